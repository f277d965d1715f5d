/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The closing manifest, read.  All that it says is known when it comes, so it is not parsed: what
 * it must be is made from what was read, and compared.
 */
#ifndef ARCHIVE_READ_MANIFEST_H
#define ARCHIVE_READ_MANIFEST_H

#include "manifest.h"
#include "qubesfs/error.h"

/** It is no longer. */
#define READ_MANIFEST_MAX ((size_t)128 << 20)

/** `text` must be that of `manifest`.  0, -ENOMEM, or -EBADMSG with the first line that differs. */
int read_manifest_compare(const struct archive_manifest *manifest, const char *backup_id,
                          const char *text, size_t length, struct error *ret_error);

#endif
