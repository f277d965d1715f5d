/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QUBESFS_HOST_ENTRIES_H
#define QUBESFS_HOST_ENTRIES_H

#include "qubesfs/catalogue.h"
#include "qubesfs/error.h"

/**
 * Writes the entries of the guest `id` into XenStore, all or none.  `socket` as for xenstore_open; `root`
 * is put before /etc/localtime.  Returns 0, -ENOTCONN, or what xenstored refuses them with, in words.
 */
int entries_write(const char *socket, const char *root, const struct catalogue *catalogue,
                  const struct catalogue_entry *entry, unsigned id, struct error *ret_error);

#endif
