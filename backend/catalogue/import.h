/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of an import share. */
#ifndef QUBESFS_CATALOGUE_IMPORT_INTERNAL_H
#define QUBESFS_CATALOGUE_IMPORT_INTERNAL_H

#include "internal.h"
#include "qubesfs/catalogue_import.h"

struct import_vm {
    struct catalogue_import_vm shown;
};

struct catalogue_import {
    struct arena arena;
    enum catalogue_form form;
    struct import_vm *vms; /* sorted by name */
    size_t count;
    const char *notes;
};

#endif
