/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images that are open already, as members of an inner archive. */
#ifndef ARCHIVE_TAR_IMAGES_H
#define ARCHIVE_TAR_IMAGES_H

#include "tar_writer.h"

/** Writes (or counts) the source's images. */
int tar_write_images(struct tar_writer *writer, const struct archive_source *source,
                     struct error *ret_error);

#endif
