/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One inner archive: its chunks, authentic and in order, are decrypted, decompressed and parsed.
 *
 *     format 4   chunks together = filter ( tar ); they come decrypted
 *     format 3   chunks together = openssl enc ( filter ( tar ) )
 *     format 2   each chunk      = openssl enc ( volume of a tar ), or filter ( volume of a tar )
 */
#ifndef ARCHIVE_READ_ARCHIVE_H
#define ARCHIVE_READ_ARCHIVE_H

#include "decode.h"
#include "read_header.h"
#include "read_tar.h"

struct read_archive;

struct read_archive_options {
    const struct read_header *header; /* must live as long, as must the next two */
    const struct secret *passphrase;
    struct decode_side *side; /* NULL: none */
    size_t chunk_size;
    const char *name;
    uint64_t bytes_max;
};

/** 0, -ENOMEM or -EINVAL (the name is none). */
int read_archive_new(const struct read_archive_options *options, const struct tar_events *events,
                     struct read_archive **ret_archive);
void read_archive_free(struct read_archive *archive); /* NULL is fine */
/** Takes the next chunk, and changes its bytes.  0 or the first error of any stage. */
int read_archive_chunk(struct read_archive *archive, unsigned char *data, size_t length,
                       struct error *ret_error);
/** Nothing follows.  0, or -EBADMSG: it is not whole. */
int read_archive_end(struct read_archive *archive, struct error *ret_error);
/** It is whole if nothing follows. */
bool read_archive_is_whole(const struct read_archive *archive);
uint64_t read_archive_unpacked(const struct read_archive *archive);

#endif
