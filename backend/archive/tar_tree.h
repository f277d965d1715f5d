/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A source as members of an inner archive, in an order of its own: by name, byte for byte, each
 * directory before what is in it, so that the same tree makes the same bytes. */
#ifndef ARCHIVE_TAR_TREE_H
#define ARCHIVE_TAR_TREE_H

#include "tar_writer.h"

/** Writes (or measures) all of `source`.  Sockets, FIFOs and, in a live tree, devices are left out;
 * so is what is mounted below a live tree through FUSE (this file system among it). */
int tar_write_tree(struct tar_writer *writer, const struct archive_source *source,
                   struct error *ret_error);

#endif
