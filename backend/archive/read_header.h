/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-header, read: lines of key=value, as strictly as Qubes R4 reads them (ASCII, one `=` a
 * line, no known key twice, known keys' values of letters, digits and dashes).  Unknown keys are
 * passed over.  It must be authentic: this is called after the MAC was checked.
 */
#ifndef ARCHIVE_READ_HEADER_H
#define ARCHIVE_READ_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "mac.h"
#include "qubesfs/archive.h"
#include "qubesfs/error.h"

/** backup-header is no longer. */
#define READ_HEADER_MAX 65536u

enum read_filter { FILTER_NONE, FILTER_GZIP, FILTER_BZIP2, FILTER_XZ, FILTER_LZMA, FILTER_ZSTD };

struct read_header {
    unsigned version;
    bool encrypted;
    enum read_filter filter;
    bool scrypt; /* format 4; else `digest` */
    enum mac_digest digest;
    char backup_id[ARCHIVE_ID_SIZE];
    bool manifest;
};

/** 0; -EINVAL: malformed, or a key that must be there is not; -ENOTSUP: a version, cipher, digest
 * or filter that is not read.  `ret_error` says which. */
int read_header_parse(const char *text, size_t length, struct read_header *ret_header,
                      struct error *ret_error);

/** "gzip", ...; "" for none. */
const char *read_filter_name(enum read_filter filter);

#endif
