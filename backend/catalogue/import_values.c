/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What values of a backup and of the host both forms look at alike. */
#include "import.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "qubesfs/sorted.h"

const char *import_global(const struct import_pass *pass, const char *name)
{
    const struct pairs *globals =
        pass->host->fresh ? &pass->import->target->globals : &pass->host->reading.globals;

    return name_value_find(globals->items, globals->count, name);
}

const char *import_kernel(const struct import_pass *pass, struct conversion *made,
                          const struct import_vm *vm, const char *untrusted_kernel)
{
    const char *root = pass->import->root;
    char *path CLEANUP_FREE = NULL;
    struct stat status;

    if (is_none(untrusted_kernel))
        return "";
    if (!file_name_ok(untrusted_kernel)) {
        leave_out(made, vm->target, "kernel", untrusted_kernel);
        return NULL;
    }
    if (!root)
        return untrusted_kernel;
    path = text_format("%s" R3_ROOT "/vm-kernels/%s", root, untrusted_kernel);
    if (path && stat(path, &status) == 0)
        return untrusted_kernel;
    import_note(pass, vm, "kernel: the default, for %s is not here", untrusted_kernel);
    return NULL;
}

bool import_text_ok(const char *untrusted_text)
{
    for (const unsigned char *at = (const unsigned char *)untrusted_text; *at; at++)
        if ((*at < 0x20 && *at != '\n' && *at != '\t') || *at == 0x7f)
            return false;
    return true;
}

static const char *new_name_at(const void *list, size_t index)
{
    return ((struct import_vm *const *)list)[index]->shown.new_name;
}

const struct import_vm *import_restored(const struct import_pass *pass, const char *new_name)
{
    size_t index = sorted_find(pass->restored, pass->restored_count, new_name, new_name_at);

    return index != SIZE_MAX ? pass->restored[index] : NULL;
}

int import_qid_of(const struct import_pass *pass, const char *name)
{
    const struct draft *there = reading_by_name(&pass->host->reading, name);
    const struct import_vm *vm = there ? NULL : import_restored(pass, name);

    return there ? there->qid : vm ? vm->qid : -1;
}
