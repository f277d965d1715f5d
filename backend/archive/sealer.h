/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sealers: what encrypts and authenticates, where formats 3 and 4 differ.  A sealer takes the
 * stream of each file and fills chunks.
 *
 *     one thread   begin  (open  put*)*  end: after the last put
 *     another one         (prove*  close)*
 */
#ifndef ARCHIVE_SEALER_H
#define ARCHIVE_SEALER_H

#include "chunk.h"
#include "codec.h"
#include "qubesfs/archive.h"
#include "qubesfs/text.h"

struct sealer;

struct sealer_operations {
    /** Makes what goes into `backup-header.hmac` for that text of `backup-header`. */
    int (*prove_header)(struct sealer *sealer, const struct text *header, struct text *proof);
    /** A file's stream begins.  `next` (or NULL) will follow it. */
    int (*begin)(struct sealer *sealer, const char *name, const char *next);
    /** Begins the chunk, which is empty but for its name and number. */
    int (*open)(struct sealer *sealer, struct chunk *chunk);
    /** Adds bytes of the stream, no more than CHUNK_SIZE - payload.  May keep a few back. */
    int (*put)(struct sealer *sealer, struct chunk *chunk, const unsigned char *data,
               size_t length);
    /** The stream ends: adds what was kept back.  There is room for it. */
    int (*end)(struct sealer *sealer, struct chunk *chunk);
    /** Authenticates `length` bytes of the chunk from `from` on, in order; once at least, with 0.
     * Runs on a thread of its own, while the chunk is filled and the next one begun. */
    int (*prove)(struct sealer *sealer, const struct chunk *chunk, size_t from, size_t length);
    /** On that thread: the chunk is full, or the last one, and all of it is authenticated. */
    int (*close)(struct sealer *sealer, struct chunk *chunk);
    /** Writes it as outer members.  On a third thread. */
    int (*write)(const struct chunk *chunk, const struct archive_output *output, time_t when);
    /** Any thread: the others come back soon, with -ECANCELED where they would wait. */
    void (*stop)(struct sealer *sealer);
    void (*free)(struct sealer *sealer); /* wipes all that was derived from the passphrase */
};

/** First member of each sealer's own struct. */
struct sealer {
    const struct sealer_operations *operations;
};

struct format {
    /** `options` must live as long as the sealer. */
    int (*open)(const struct archive_options *options, struct sealer **ret_sealer);
    /** The text of backup-header as Qubes' writer has it, in its order. */
    void (*header)(const struct archive_options *options, const char *filter, struct text *text);
    /** Bytes in the outer archive of `backup-header.hmac`. */
    uint64_t (*proof_size)(const struct archive_options *options, const struct text *header);
    /** How long a file's stream of `bytes` is when it is cut into chunks. */
    uint64_t (*stream_size)(const struct archive_options *options, uint64_t bytes);
    unsigned chunk_overhead; /* bytes more in each chunk */
    unsigned chunk_proof;    /* bytes in a member of its own beside each chunk; 0: there is none */
};

extern const struct format format_3, format_4;

/** NULL if there is no such format. */
const struct format *format_find(unsigned number);

/** Bytes in the outer archive of a file whose stream has that size: a multiple of CHUNK_SIZE ends
 * in an empty chunk. */
uint64_t format_file_size(const struct format *format, uint64_t stream_size);

/** The whole text of backup-header, of a format that there is. */
void format_header(const struct archive_options *options, struct text *text);

#endif
