/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The catalogue inside a backup: which VMs it promises, and all of it in the host's form. */
#include "import.h"

#include <errno.h>
#include <string.h>

#include "qubesfs/sorted.h"

#define WHAT "the backup's qubes.xml"

/* Qubes' own way through a VM takes 1 MiB.  With these an import takes less than 300 MiB of memory,
 * whatever the document is filled with. */
#define BYTES_MAX (16u << 20)
#define MARKS_MAX 400000
#define VMS_MAX   4000
/* of one element: libxml2 compares each with all before it */
#define ATTRIBUTES_MAX 1000

/* True if the document can't take more memory or time than it may: counted are its '<' and '=',
 * which every element and every attribute has one of.  A value may not hold a '<', so the '=' of an
 * element's attributes all stand between two of them. */
static bool size_ok(const char *untrusted_data, size_t length)
{
    size_t all = 0, attributes = 0;

    if (length > BYTES_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (untrusted_data[i] == '<')
            attributes = 0;
        else if (untrusted_data[i] != '=')
            continue;
        else if (++attributes > ATTRIBUTES_MAX)
            return false;
        if (++all > MARKS_MAX)
            return false;
    }
    return true;
}

/* What a backup's writer has marked the VM with; NULLs when it is not in the backup. */
struct promise {
    const char *untrusted_path, *untrusted_size;
};

static struct promise promise_of(const struct catalogue_import *import, const struct draft *draft,
                                 struct arena *arena)
{
    const struct pairs *features = &draft->features;
    const char *content, *path, *size;
    bool is_in;

    if (import->source.form == CATALOGUE_R3) {
        content = element_attribute(draft->element, "backup_content", arena);
        path = element_attribute(draft->element, "backup_path", arena);
        size = element_attribute(draft->element, "backup_size", arena);
        is_in = parse_bool(content, false);
    } else {
        content = name_value_find(features->items, features->count, "backup-content");
        path = name_value_find(features->items, features->count, "backup-path");
        size = name_value_find(features->items, features->count, "backup-size");
        /* Qubes' reader takes any text for true */
        is_in = content && *content;
    }
    return is_in && path && !is_none(path) ? (struct promise){path, size}
                                           : (struct promise){NULL, NULL};
}

/* The forms that Qubes' writers make: `vm2`, `appvms/work`, `dom0-home/user`. */
static bool backup_path_ok(const struct draft *draft, const char *untrusted_path, size_t length)
{
    static const char *const directories[] = {"appvms/", "servicevms/", "vm-templates/"};
    char name[256];
    uint64_t number;

    if (length == 0 || length >= sizeof(name))
        return false;
    memcpy(name, untrusted_path, length);
    name[length] = '\0';
    if (draft->vm_class == VM_CLASS_ADMIN)
        return strncmp(name, "dom0-home/", 10) == 0 && file_name_ok(name + 10);
    if (strncmp(name, "vm", 2) == 0 && parse_number(name + 2, QID_MAX, &number))
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
        size_t prefix = strlen(directories[i]);

        if (strncmp(name, directories[i], prefix) == 0)
            return !vm_name_reason(name + prefix);
    }
    return false;
}

/* R3's alone has a name of its own. */
static const char *firewall_name(struct catalogue_import *import, const struct draft *draft)
{
    const char *untrusted_name =
        import->source.form == CATALOGUE_R3
            ? element_attribute(draft->element, "firewall_conf", &import->arena)
            : NULL;

    return untrusted_name && file_name_ok(untrusted_name) ? untrusted_name : "firewall.xml";
}

static uint64_t volume_size(const struct draft *draft, const char *name)
{
    const struct catalogue_volume *volume =
        catalogue_volume_find(draft->volumes, draft->volume_count, name);

    return volume ? volume->size : 0;
}

static int add_vm(struct catalogue_import *import, const struct draft *draft,
                  const struct promise *promise)
{
    struct import_vm *vm = &import->vms[import->count];
    size_t length = strlen(promise->untrusted_path);
    uint64_t size = 0;

    if (length > 0 && promise->untrusted_path[length - 1] == '/')
        length--;
    if (!backup_path_ok(draft, promise->untrusted_path, length))
        return reading_refuse(&import->source, draft->element,
                              "the path of %s in the backup, '%.200s', is none", draft->name,
                              promise->untrusted_path);
    if (promise->untrusted_size && *promise->untrusted_size &&
        !parse_number(promise->untrusted_size, INT64_MAX, &size))
        return reading_refuse(&import->source, draft->element,
                              "the size of %s in the backup, '%.80s', is no number", draft->name,
                              promise->untrusted_size);
    vm->source = draft;
    vm->shown = (struct catalogue_import_vm){
        .action = IMPORT_RESTORE,
        .reason = "",
        .name = draft->name,
        .new_name = draft->name,
        .uuid = "",
        .vm_class = draft->vm_class,
        .backup_path = arena_printf(&import->arena, "%.*s/", (int)length, promise->untrusted_path),
        .backup_size = size,
        .has_root = draft->updateable,
        .root_size = volume_size(draft, "root"),
        .private_size = volume_size(draft, "private"),
        .firewall_name = firewall_name(import, draft),
        .notes = "",
    };
    import->count++;
    return 0;
}

static int compare_paths(const void *one, const void *other)
{
    return strcmp((*(const struct import_vm *const *)one)->shown.backup_path,
                  (*(const struct import_vm *const *)other)->shown.backup_path);
}

/* The paths' forms are such that one is never the beginning of another. */
static int sort_by_path(struct catalogue_import *import)
{
    const struct import_vm **sorted =
        arena_alloc(&import->arena, import->count * sizeof(const struct import_vm *));

    import->by_path = sorted;
    if (!sorted)
        return 0; /* told by the arena */
    for (size_t i = 0; i < import->count; i++)
        sorted[i] = &import->vms[i];
    qsort(sorted, import->count, sizeof(*sorted), compare_paths);
    for (size_t i = 1; i < import->count; i++)
        if (compare_paths(&sorted[i - 1], &sorted[i]) == 0)
            return reading_refuse(&import->source, sorted[i]->source->element,
                                  "%s and %s have the same path in the backup, '%s'",
                                  sorted[i - 1]->shown.name, sorted[i]->shown.name,
                                  sorted[i]->shown.backup_path);
    return 0;
}

static int find_vms(struct catalogue_import *import)
{
    const struct reading *source = &import->source;
    int result = 0;

    import->vms = arena_alloc(&import->arena, source->draft_count * sizeof(*import->vms));
    if (!import->vms)
        return 0;
    for (size_t i = 0; !result && i < source->draft_count; i++) {
        const struct draft *draft = source->by_name[i];
        struct promise promise = promise_of(import, draft, &import->arena);

        if (promise.untrusted_path)
            result = add_vm(import, draft, &promise);
    }
    return result ? result : sort_by_path(import);
}

/* The whole catalogue goes through the conversion, as VMs depend on others that are not restored.
 */
static int bring_into_form(struct catalogue_import *import)
{
    const struct catalogue_mark *ignored;
    int result = 0;

    if (import->form == import->source.form) {
        import->target = &import->source;
    } else {
        result =
            convert(&import->source, NULL, 0, &import->told, &import->target_document, &ignored);
        if (!result)
            result = reading_fill(&import->target_reading, import->target_document);
        import->target = &import->target_reading;
    }
    for (size_t i = 0; !result && i < import->count; i++) {
        struct import_vm *vm = &import->vms[i];

        if (vm->source->vm_class == VM_CLASS_ADMIN)
            continue;
        vm->target = reading_by_name(import->target, vm->shown.name);
        if (!vm->target)
            return error_set(import->source.ret_error, -EINVAL, WHAT ": %s can't be converted",
                             vm->shown.name);
        vm->shown.vm_class = vm->target->vm_class;
        /* a template that the backup's catalogue does not know: the VM still is none that stands
         * alone, there is no root volume in the backup to let it */
        if (vm->shown.vm_class == VM_CLASS_STANDALONE && !vm->source->updateable)
            vm->shown.vm_class = VM_CLASS_APP;
    }
    return result;
}

int import_read(struct catalogue_import *import, const void *untrusted_document, size_t length,
                int format, const struct import_host *host, struct error *ret_error)
{
    int result;

    import->source = (struct reading){.path = WHAT, .ret_error = ret_error, .foreign = true};
    import->target_reading = import->source;
    if (!size_ok(untrusted_document, length))
        return error_set(ret_error, -EINVAL, WHAT ":1: it is larger than any catalogue is");
    result = document_parse(WHAT, untrusted_document, length, &import->source_document, ret_error);
    if (!result)
        result = reading_fill(&import->source, import->source_document);
    if (result)
        return result;
    if (import->source.draft_count > VMS_MAX)
        return error_set(ret_error, -EINVAL, WHAT ": it has more VMs than %d", VMS_MAX);
    /* as Qubes' own readers have it */
    if (format != 0 && import->source.form != (format >= 4 ? CATALOGUE_R4 : CATALOGUE_R3))
        return error_set(ret_error, -EINVAL,
                         WHAT " is of the form of Qubes %s, which a backup of format %d can't hold",
                         import->source.form == CATALOGUE_R4 ? "R4" : "R3", format);
    import->form = host ? host->reading.form : import->source.form;
    result = find_vms(import);
    if (!result && !arena_status(&import->arena))
        result = bring_into_form(import);
    if (!result && (arena_status(&import->arena) || arena_status(&import->source.arena)))
        result = -ENOMEM;
    return result == -ENOMEM ? error_set(ret_error, result, "out of memory") : result;
}

static const char *name_at(const void *list, size_t index)
{
    return ((const struct import_vm *)list)[index].shown.name;
}

struct import_vm *import_find(const struct catalogue_import *import, const char *name)
{
    size_t index = sorted_find(import->vms, import->count, name, name_at);

    return index != SIZE_MAX ? &import->vms[index] : NULL;
}

bool import_is_restored(const struct import_vm *vm)
{
    return vm->target && vm->shown.action == IMPORT_RESTORE;
}
