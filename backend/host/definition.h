/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All that a start defines a VM from (definition.c, disks.c) and prepares for it (prepare.c). */
#ifndef QUBESFS_HOST_DEFINITION_H
#define QUBESFS_HOST_DEFINITION_H

#include "qubesfs/host.h"

struct definition_parts {
    struct definition definition;
    struct definition_volume volumes[5];
    struct definition_pci pci[16];
    bool xen, test; /* the driver */
    bool own_root;  /* not the template's */
    bool own_kernel;
    /* what a start prepares and checks; NULL: none */
    const char *kernels;        /* directory of kernel, initramfs and modules */
    const char *root;           /* the image; the template's where it is that */
    const char *root_cow;       /* made when it is missing */
    const char *volatile_image; /* made anew */
    char *strings[64];          /* owned */
    size_t string_count;
};

/** All that a start defines the VM from; -ENOENT where the template is not in the catalogue. */
int definition_collect(struct host *host, const struct catalogue *catalogue,
                       const struct catalogue_entry *entry, const char *uuid,
                       struct definition_parts *ret_parts, struct error *ret_error);
void definition_release(struct definition_parts *parts);
/** Of all that the definition is made from. */
uint64_t definition_hash(struct host *host, const struct catalogue *catalogue,
                         const struct catalogue_entry *entry);
/** Takes the string over until definition_release; NULL for NULL, and when there are too many. */
const char *definition_keep(struct definition_parts *parts, char *string);

/** disks.c: the volumes, in their order on the bus. */
int disks_collect(struct host *host, const struct catalogue *catalogue,
                  const struct catalogue_entry *entry, const struct catalogue_entry *root_owner,
                  struct definition_parts *parts, struct error *ret_error);

#endif
