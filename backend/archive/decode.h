/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decompression of inner archives, in this process.  A compressed stream is one or more pieces one
 * after the other (gzip members, zstd frames, bzip2 and xz streams), which are decoded one by one;
 * those of our own writer, small and with a length told in front, side by side on threads
 * (decode_side.h).  What comes out is always the same.
 *
 * Memory is bounded whatever the stream asks for; how much comes out is the sink's to bound.
 */
#ifndef ARCHIVE_DECODE_H
#define ARCHIVE_DECODE_H

#include <stdbool.h>
#include <stddef.h>

#include "qubesfs/error.h"
#include "read_header.h"

/** No decoder takes more memory than that, beside its buffers. */
#define DECODE_MEMORY_MAX ((size_t)80 << 20)

/** What a stream of one kind is decoded with.  A context serves one thread. */
struct decode_codec {
    int (*open)(void **ret_context); /* 0 or -ENOMEM */
    void (*close)(void *context);
    /** A piece begins, whatever became of the one before.  0 or -ENOMEM. */
    int (*begin)(void *context);
    /** Decodes: moves `*in` on, fills up to `room` bytes at `out`.  1: the piece has ended; 0: it
     * goes on, in more input or, if `room` was used up, more output; -EBADMSG: damaged; -ENOTSUP:
     * it asks for too much memory; -ENOMEM. */
    int (*step)(void *context, const unsigned char **in, size_t *in_length, unsigned char *out,
                size_t room, size_t *ret_made);
    /** The length of the piece that begins here, if it may be decoded alone into DECODE_ALONE
     * bytes: an untrusted hint.  0: none, or not all of it is there.  NULL: never. */
    size_t (*alone)(const unsigned char *data, size_t length);
    bool one_piece;  /* nothing may follow the first piece */
    bool zeros_pass; /* zeros may stand between pieces and at the end */
};

/** What a piece that is decoded alone may become. */
#define DECODE_ALONE ((size_t)1 << 20)

extern const struct decode_codec decode_gzip, decode_zstd, decode_bzip2, decode_xz, decode_lzma;

/** NULL for none. */
const struct decode_codec *decode_find(enum read_filter filter);

/** A piece of exactly `length` bytes, by the codec's own `begin` and `step`, so that it comes to
 * the same as anywhere in a stream.  0: it is that, and became `*ret_made` bytes; else: it isn't.
 */
int decode_alone(const struct decode_codec *codec, void *context, const unsigned char *data,
                 size_t length, unsigned char *out, size_t *ret_made);

struct decode_sink {
    void *cookie;
    int (*write)(void *cookie, const void *data, size_t length, struct error *ret_error);
};

struct decoder;
struct decode_side;

/** `side` (NULL: none) must live as long.  0 or -ENOMEM. */
int decoder_new(enum read_filter filter, struct decode_side *side, const struct decode_sink *sink,
                struct decoder **ret_decoder);
void decoder_free(struct decoder *decoder); /* NULL is fine */
/** Takes the next bytes.  0, as `step`, or what the sink returned. */
int decoder_write(struct decoder *decoder, const unsigned char *data, size_t length,
                  struct error *ret_error);
/** A piece has ended, and none has begun. */
bool decoder_is_whole(const struct decoder *decoder);
/** Whether a stream may begin so. */
bool decode_may_begin(enum read_filter filter, const unsigned char *data, size_t length);

#endif
