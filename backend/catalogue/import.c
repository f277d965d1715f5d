/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An import from its making to its end. */
#include "import.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "qubesfs/sorted.h"

void import_note(const struct import_pass *pass, const struct import_vm *vm, const char *format,
                 ...)
{
    struct text *told = vm ? &pass->import->told : &pass->import->general;
    char line[800];
    va_list arguments;

    if (pass->again)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (vm)
        text_printf(told, "%s\t", vm->shown.name);
    text_escape(told, line, strlen(line));
    text_string(told, "\n");
}

/* Each VM gets its own lines of what was told, in the order in which it was. */
static int share_out_notes(struct catalogue_import *import)
{
    struct text *notes = calloc(import->count + 1, sizeof(*notes));
    char name[VM_NAME_MAX + 1];
    int result = notes ? 0 : -ENOMEM;

    for (const char *at = import->told.data; !result && at && *at;) {
        size_t length = strcspn(at, "\n"), end = strcspn(at, "\t");
        struct import_vm *vm = NULL;

        if (end < length && end < sizeof(name)) {
            memcpy(name, at, end);
            name[end] = '\0';
            vm = import_find(import, name);
        }
        if (vm && import_is_restored(vm)) {
            text_append(&notes[vm - import->vms], at + end + 1, length - end - 1);
            text_string(&notes[vm - import->vms], "\n");
        }
        at += length + (at[length] == '\n');
    }
    for (size_t i = 0; notes && i < import->count; i++) {
        struct text *own = &notes[i];

        if (!result)
            result = text_status(own);
        if (!result && own->length > 0)
            import->vms[i].shown.notes = arena_copy(&import->arena, own->data, own->length);
        text_free(own);
    }
    free(notes);
    text_free(&import->told);
    return result;
}

static int give_uuids(struct catalogue_import *import)
{
    for (size_t i = 0; i < import->count; i++) {
        unsigned char b[16];

        if (!import_is_restored(&import->vms[i]))
            continue;
        if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
            return -EIO;
        b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
        b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
        import->vms[i].shown.uuid = arena_printf(
            &import->arena, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
            b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
            b[14], b[15]);
    }
    return 0;
}

/* The names of an R3 whitelist, from the feature. */
static void make_menus(struct catalogue_import *import)
{
    for (size_t i = 0; i < import->count; i++) {
        struct import_vm *vm = &import->vms[i];
        const struct pairs *features = &vm->source->features;
        const char *items = name_value_find(features->items, features->count, "menu-items");

        if (import_is_restored(vm) && items && import->form == CATALOGUE_R3)
            vm->shown.menu = import_menu_list(items, &import->arena);
    }
}

/* Everything that the save does, but for the file. */
static int decide(struct catalogue_import *import, const struct import_host *host,
                  const struct catalogue_import_options *options, const char *data, size_t length,
                  struct error *ret_error)
{
    struct import_pass pass = {.import = import, .host = host, .error = ret_error};
    char *made CLEANUP_FREE = NULL;
    size_t made_length = 0;
    int result = import_select(&pass, options);

    if (!result)
        result = give_uuids(import);
    if (!result)
        result = import_make(&pass, data, length, &made, &made_length);
    arena_free(&pass.arena);
    return result;
}

static int fill(struct catalogue_import *import, const void *untrusted_document, size_t length,
                const struct catalogue_import_options *options, struct error *ret_error)
{
    const struct patience patience = {.seconds = 15, .cancel_fd = -1};
    struct import_host host = {.document = NULL};
    char *data CLEANUP_FREE = NULL;
    size_t data_length = 0;
    int result = -ENOENT;

    if (!import->verify)
        result = load_bytes(import->path, &patience, &data, &data_length, NULL, ret_error);
    import->fresh = result == -ENOENT;
    if (!result)
        result = import_host_read(&host, import->path, data, data_length, ret_error);
    else if (import->fresh)
        result = 0;
    if (!result)
        result = import_read(import, untrusted_document, length, options->format,
                             import->fresh ? NULL : &host, ret_error);
    if (!result && import->fresh)
        result = import_host_fresh(&host, import, ret_error);
    if (!result && import->form == CATALOGUE_R4)
        result = import_choose_pool(&host, &import->arena, &import->pool, ret_error);
    if (!result)
        result = decide(import, &host, options, data, data_length, ret_error);
    import_host_free(&host);
    return result;
}

int catalogue_import_new(const char *path, const void *untrusted_document, size_t length,
                         const struct catalogue_import_options *options,
                         struct catalogue_import **ret_import, struct error *ret_error)
{
    struct catalogue_import *import = calloc(1, sizeof(*import));
    int result;

    if (!import)
        return error_set(ret_error, -ENOMEM, "out of memory");
    import->missing = options->missing;
    import->conflict = options->conflict;
    import->verify = options->verify;
    import->path = strdup(path);
    import->root = options->root ? strdup(options->root) : NULL;
    if (!import->path || (options->root && !import->root))
        result = -ENOMEM;
    else
        result = fill(import, untrusted_document, length, options, ret_error);
    if (!result)
        make_menus(import);
    if (!result)
        result = share_out_notes(import);
    if (!result && (arena_status(&import->arena) || text_status(&import->general)))
        result = -ENOMEM;
    if (result) {
        if (result == -ENOMEM || result == -EIO)
            error_set(ret_error, result, "%s", strerror(-result));
        catalogue_import_free(import);
        return result;
    }
    import->source.ret_error = import->target_reading.ret_error = NULL;
    *ret_import = import;
    return 0;
}

void catalogue_import_free(struct catalogue_import *import)
{
    if (!import)
        return;
    arena_free(&import->arena);
    arena_free(&import->source.arena);
    arena_free(&import->target_reading.arena);
    xmlFreeDoc(import->source_document);
    xmlFreeDoc(import->target_document);
    text_free(&import->told);
    text_free(&import->general);
    free(import->path);
    free(import->root);
    free(import);
}

enum catalogue_form catalogue_import_form(const struct catalogue_import *import)
{
    return import->form;
}

size_t catalogue_import_count(const struct catalogue_import *import)
{
    return import->count;
}

const struct catalogue_import_vm *catalogue_import_vm(const struct catalogue_import *import,
                                                      size_t index)
{
    return index < import->count ? &import->vms[index].shown : NULL;
}

static const char *path_at(const void *list, size_t index)
{
    return ((const struct import_vm *const *)list)[index]->shown.backup_path;
}

const struct catalogue_import_vm *catalogue_import_find(const struct catalogue_import *import,
                                                        const char *untrusted_path)
{
    size_t length = 0;
    char path[300];

    /* a VM's path has one part or two */
    for (int parts = 0; parts < 2; parts++) {
        bool is_end;

        length += strcspn(untrusted_path + length, "/");
        is_end = untrusted_path[length] == '\0';
        if (length + 2 > sizeof(path))
            return NULL;
        memcpy(path, untrusted_path, length);
        memcpy(path + length, "/", 2);
        size_t index = sorted_find(import->by_path, import->count, path, path_at);

        /* the archive of dom0's home has no slash at its end */
        if (index != SIZE_MAX &&
            (!is_end || import->by_path[index]->shown.vm_class == VM_CLASS_ADMIN))
            return &import->by_path[index]->shown;
        if (is_end)
            return NULL;
        length++;
    }
    return NULL;
}

const char *catalogue_import_notes(const struct catalogue_import *import)
{
    return import->general.data ? import->general.data : "";
}

/* The VM shown, as one that can be changed; NULL: it is none of these. */
static struct import_vm *own(struct catalogue_import *import, const struct catalogue_import_vm *vm)
{
    for (size_t i = 0; i < import->count; i++)
        if (&import->vms[i].shown == vm)
            return &import->vms[i];
    return NULL;
}

int catalogue_import_set_size(struct catalogue_import *import, const struct catalogue_import_vm *vm,
                              const char *volume, uint64_t bytes)
{
    struct import_vm *changed = own(import, vm);
    bool root = strcmp(volume, "root") == 0;

    if (!changed || (!root && strcmp(volume, "private") != 0))
        return -EINVAL;
    changed->sizes[root ? 0 : 1] = bytes;
    return 0;
}

int catalogue_import_set_menu(struct catalogue_import *import, const struct catalogue_import_vm *vm,
                              const char *untrusted_text, size_t length)
{
    struct import_vm *changed = own(import, vm);

    if (!changed)
        return -EINVAL;
    changed->menu_items = import_menu_items(untrusted_text, length, &import->arena);
    return arena_status(&import->arena);
}
