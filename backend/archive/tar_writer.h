/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An inner archive on its way into a sink: members, their data and the end, in GNU tar's format. */
#ifndef ARCHIVE_TAR_WRITER_H
#define ARCHIVE_TAR_WRITER_H

#include <stdint.h>
#include <sys/stat.h>

#include "qubesfs/archive.h"
#include "sink.h"
#include "tar_header.h"

/** One inner archive.  Filled in by the caller, then used by the functions below. */
struct tar_writer {
    struct sink *sink; /* NULL: nothing is written or read, bytes are only counted */
    const struct archive_output *output; /* asked for cancellation; NULL with a NULL sink */
    uint64_t written;
    uint64_t disk_bytes;   /* of all files so far */
    unsigned char *buffer; /* TAR_BUFFER bytes of the caller's; NULL with a NULL sink */
};

#define TAR_BUFFER (256u << 10)

/** A header, with 'K' and 'L' members before it when names are long; `map` (or NULL) makes it
 * sparse. */
int tar_write_header(struct tar_writer *writer, const struct tar_member *member,
                     const struct storage_map *map);
/** Bytes of the member's data. */
int tar_write_bytes(struct tar_writer *writer, const void *data, uint64_t length);
/** Zeros up to the next block. */
int tar_write_padding(struct tar_writer *writer);
/** The end of the archive, padded to a whole record.  Does not finish the sink. */
int tar_write_end(struct tar_writer *writer);

enum tar_care {
    TAR_WATCHED, /* a change while it is read is -EBUSY */
    TAR_LIVE,    /* a change is fine */
    TAR_STILL,   /* a snapshot: times may change, but not the size */
};

/**
 * A regular file's (or block device's) header and data.  `member` has name, owner and so on; its
 * type and size are set here.  `fd` is open for reading (in a measuring writer it may serve
 * SEEK_DATA alone), `status` its fstat.  -EBUSY when size or times changed while it was read,
 * unless TAR_LIVE: then a small file is stored as it was when it was read, a big one with its first
 * `size` bytes.  Only `path` names it in messages.
 */
int tar_write_file(struct tar_writer *writer, struct tar_member *member, int fd,
                   const struct stat *status, enum tar_care care, const char *path,
                   struct error *ret_error);

/** Counts a file that has no holes, in a measuring writer, without opening it (a home has many). */
int tar_count_file(struct tar_writer *writer, struct tar_member *member, const struct stat *status);

#endif
