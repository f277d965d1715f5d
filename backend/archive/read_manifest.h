/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The closing manifest (its text: docs/FORMAT.md).  All that it says is known when it comes, so it is
 * not parsed: what it must be is made as the stream is read, and compared.
 */
#ifndef ARCHIVE_READ_MANIFEST_H
#define ARCHIVE_READ_MANIFEST_H

#include <stdint.h>

#include "qubesfs/error.h"
#include "qubesfs/text.h"

#define MANIFEST_NAME "qubesfs-manifest"
/** It is no longer. */
#define MANIFEST_MAX ((size_t)64 << 20)

/** What was read so far.  All zero: nothing. */
struct read_manifest {
    struct text files;  /* of all but the last file */
    struct text chunks; /* of the last file */
    char *name;         /* its name, owned */
    unsigned chunk_count;
    uint64_t file_count;
    unsigned char catalogue[32]; /* SHA-256 of the document */
};

/** A file begins.  0, -ENOMEM, or -E2BIG: no manifest is so long. */
int read_manifest_file(struct read_manifest *manifest, const char *name);
/** A chunk of it: size and SHA-256 of the outer member's content.  Errors as above. */
int read_manifest_chunk(struct read_manifest *manifest, size_t length,
                        const unsigned char digest[32]);
/** The document of the catalogue.  0 or -EIO. */
int read_manifest_catalogue(struct read_manifest *manifest, const void *document, size_t length);
/** Compares.  0, -ENOMEM, or -EBADMSG, with what differs in words. */
int read_manifest_compare(struct read_manifest *manifest, const char *backup_id, const char *text,
                          size_t length, struct error *ret_error);
void read_manifest_clear(struct read_manifest *manifest);

#endif
