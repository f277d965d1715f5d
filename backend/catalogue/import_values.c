/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What values of a backup and of the host both forms look at alike. */
#include "import.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "properties.h"

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

int import_qid_of(const struct import_pass *pass, const char *name)
{
    const struct draft *there = reading_by_name(&pass->host->reading, name);

    if (there)
        return there->qid;
    for (size_t low = 0, high = pass->restored_count; low < high;) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(pass->restored[middle]->shown.new_name, name);

        if (order == 0)
            return pass->restored[middle]->qid;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}
