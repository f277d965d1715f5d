/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An import from its making to its end; what is decided is in import_decide.c. */
#include "import.h"

#include <errno.h>
#include <string.h>

int catalogue_import_new(const char *path, const void *untrusted_document, size_t length,
                         const struct catalogue_import_options *options,
                         struct catalogue_import **ret_import, struct error *ret_error)
{
    (void)untrusted_document;
    (void)length;
    (void)options;
    (void)ret_import;
    return error_set(ret_error, -ENOSYS, "%s: restoring is not possible yet", path);
}

void catalogue_import_free(struct catalogue_import *import)
{
    if (!import)
        return;
    arena_free(&import->arena);
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

const struct catalogue_import_vm *catalogue_import_find(const struct catalogue_import *import,
                                                        const char *untrusted_path)
{
    for (size_t i = 0; i < import->count; i++) {
        const struct catalogue_import_vm *vm = &import->vms[i].shown;
        size_t length = strlen(vm->backup_path);

        /* an outer archive of dom0's home has no slash at its end */
        if (strncmp(untrusted_path, vm->backup_path, length) == 0 ||
            (strncmp(untrusted_path, vm->backup_path, length - 1) == 0 &&
             strlen(untrusted_path) == length - 1))
            return vm;
    }
    return NULL;
}

const char *catalogue_import_notes(const struct catalogue_import *import)
{
    return import->notes;
}

int catalogue_import_set_size(struct catalogue_import *import,
                              const struct catalogue_import_vm *vm, const char *volume,
                              uint64_t bytes)
{
    (void)import;
    (void)vm;
    (void)volume;
    (void)bytes;
    return 0;
}

int catalogue_import_set_menu(struct catalogue_import *import,
                              const struct catalogue_import_vm *vm, const char *untrusted_text,
                              size_t length)
{
    (void)import;
    (void)vm;
    (void)untrusted_text;
    (void)length;
    return 0;
}

int catalogue_import_save(struct catalogue_import *import, int cancel_fd, struct error *ret_error)
{
    (void)import;
    (void)cancel_fd;
    return error_set(ret_error, -ENOSYS, "restoring is not possible yet");
}
