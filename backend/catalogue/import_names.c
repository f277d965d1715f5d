/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which VMs of a backup are restored, and under which names and into which directories. */
#include "import.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define NAMES_TOLD 20

void import_list_name(struct text *list, size_t *count, const char *name)
{
    if (*count < NAMES_TOLD)
        text_printf(list, "%s%s", *count ? ", " : "", name);
    else if (*count == NAMES_TOLD)
        text_string(list, " and others");
    (*count)++;
}

static void skip(struct import_vm *vm, const char *reason)
{
    vm->shown.action = IMPORT_SKIP;
    vm->shown.reason = reason;
}

/* The names of a list, one a line; sorted. */
static struct pairs read_list(const char *untrusted_list, struct arena *arena)
{
    struct pairs names = {NULL, 0, 0};

    for (const char *at = untrusted_list ? untrusted_list : ""; *at;) {
        size_t length = strcspn(at, "\n");

        if (length > 0)
            pairs_add(&names, arena, arena_copy(arena, at, length), "");
        at += length + (at[length] == '\n');
    }
    pairs_sort(&names, arena);
    return names;
}

static bool is_listed(const struct pairs *list, const char *name)
{
    return name_value_find(list->items, list->count, name) != NULL;
}

/* Names that the backup has nothing of. */
static size_t strangers(const struct import_pass *pass, const struct pairs *list,
                        struct text *names)
{
    size_t count = 0;

    for (size_t i = 0; i < list->count; i++)
        if (!import_find(pass->import, list->items[i].name))
            import_list_name(names, &count, list->items[i].name);
    return count;
}

int import_select(struct import_pass *pass, const struct catalogue_import_options *options)
{
    struct catalogue_import *import = pass->import;
    struct pairs include = read_list(options->include, &pass->arena);
    struct pairs exclude = read_list(options->exclude, &pass->arena);
    struct text unknown CLEANUP_TEXT = TEXT_INIT, ignored CLEANUP_TEXT = TEXT_INIT;

    if (strangers(pass, &include, &unknown) > 0)
        return error_set(pass->error, -ENOENT,
                         "there is nothing of %s in the backup: see the names in `include`",
                         unknown.data ? unknown.data : "");
    if (strangers(pass, &exclude, &ignored) > 0)
        import_note(pass, NULL, "exclude: there is nothing of %s in the backup",
                    ignored.data ? ignored.data : "");
    for (size_t i = 0; i < import->count; i++) {
        struct import_vm *vm = &import->vms[i];

        if (include.count > 0 && !is_listed(&include, vm->shown.name))
            skip(vm, "not in `include`");
        else if (is_listed(&exclude, vm->shown.name))
            skip(vm, "in `exclude`");
        else if (!vm->target && !options->dom0_home)
            skip(vm, "`dom0_home` is 0");
    }
    return text_status(&unknown) ? text_status(&unknown) : text_status(&ignored);
}

/* The VM's own directory and that of its images, for a name. */
static const char *own_directory(const struct import_pass *pass, const struct import_vm *vm,
                                 const char *name)
{
    return arena_printf(&pass->import->arena, R3_ROOT "/%s/%s",
                        vm_class_directory(vm->shown.vm_class), name);
}

static const char *image_directory(const struct import_pass *pass, const struct import_vm *vm,
                                   const char *name)
{
    if (pass->import->form == CATALOGUE_R3)
        return own_directory(pass, vm, name);
    return arena_printf(&pass->import->arena, "%s/%s/%s", pass->import->pool.directory,
                        vm_class_directory(vm->shown.vm_class), name);
}

static bool is_there(const struct import_pass *pass, const char *directory)
{
    char *path CLEANUP_FREE = NULL;
    struct stat status;

    if (!pass->import->root)
        return false;
    path = text_format("%s%s", pass->import->root, directory);
    return path && lstat(path, &status) == 0;
}

/* Why the VM can't have the name here; NULL when it can. */
static const char *taken(const struct import_pass *pass, const struct import_vm *vm,
                         const char *name)
{
    if (name_value_find(pass->host->names.items, pass->host->names.count, name))
        return "a VM of this name is here";
    if (!pass->again && (is_there(pass, own_directory(pass, vm, name)) ||
                         is_there(pass, image_directory(pass, vm, name))))
        return "a directory of this name is here, of no VM in the catalogue";
    return NULL;
}

/* Names given in this pass, with the VMs before: a restored VM never takes one of another. */
static bool is_given(const struct import_pass *pass, const char *name)
{
    for (size_t i = 0; i < pass->import->count; i++)
        if (pass->import->vms[i].shown.new_name != pass->import->vms[i].shown.name &&
            strcmp(pass->import->vms[i].shown.new_name, name) == 0)
            return true;
    return false;
}

/* Qubes' rule: the name cut to 29 characters, and a number; on R4 with a dash before it, for which
 * one more is cut where the number has two digits. */
static const char *rename_it(const struct import_pass *pass, const struct import_vm *vm)
{
    const char *dash = pass->import->form == CATALOGUE_R4 ? "-" : "";

    for (int number = 1; number <= 98; number++) {
        int room = VM_NAME_MAX - (int)strlen(dash) - (number < 10 ? 1 : 2);
        const char *name = arena_printf(&pass->import->arena, "%.*s%s%d", room < 29 ? room : 29,
                                        vm->shown.name, dash, number);

        if (!vm_name_reason(name) && !reading_by_name(&pass->import->source, name) &&
            !is_given(pass, name) && !taken(pass, vm, name))
            return name;
    }
    return NULL;
}

static void settle_name(struct import_pass *pass, struct import_vm *vm, const char *conflict)
{
    const char *name;

    if (!conflict)
        return;
    if (pass->import->conflict == IMPORT_CONFLICT_SKIP) {
        skip(vm, conflict);
        return;
    }
    name = rename_it(pass, vm);
    if (!name) {
        skip(vm, "a VM of this name is here, and so are all names that it could get instead");
        return;
    }
    vm->shown.new_name = name;
    import_note(pass, vm, "renamed to %s: %s", name, conflict);
}

int import_name(struct import_pass *pass)
{
    struct catalogue_import *import = pass->import;
    struct text names CLEANUP_TEXT = TEXT_INIT;
    bool refuse = pass->again || import->conflict == IMPORT_CONFLICT_REFUSE;
    const char *reason = NULL;
    size_t count = 0;

    for (size_t i = 0; i < import->count; i++) {
        struct import_vm *vm = &import->vms[i];
        const char *conflict;

        if (!import_is_restored(vm))
            continue;
        conflict = taken(pass, vm, vm->shown.new_name);
        if (conflict && refuse) {
            import_list_name(&names, &count, vm->shown.new_name);
            reason = reason && strcmp(reason, conflict) != 0 ? "VMs or directories of these names "
                                                               "are here"
                                                             : conflict;
        } else if (!pass->again) {
            settle_name(pass, vm, conflict);
        }
        if (!pass->again && import_is_restored(vm) && !import->verify) {
            vm->shown.directory = own_directory(pass, vm, vm->shown.new_name);
            vm->shown.image_directory = image_directory(pass, vm, vm->shown.new_name);
        }
    }
    if (count == 0)
        return text_status(&names);
    return error_set(pass->error, -EEXIST, "%s: %s%s", names.data ? names.data : "", reason,
                     pass->again ? " since the restore has begun"
                                 : "; `conflict` says what to do then, or name it in `exclude`");
}
