/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Codecs: what compresses an inner archive.  It is cut into blocks of 1 MiB, each of which becomes
 * something complete (a gzip member, a zstd frame), so that blocks can be compressed side by side;
 * one after the other they are what `gzip -d` or `zstd -d` reads.  The same block makes the same
 * bytes on each thread and each time.
 */
#ifndef ARCHIVE_CODEC_H
#define ARCHIVE_CODEC_H

#include <stdint.h>

#include "qubesfs/archive.h"

#define CODEC_BLOCK ((size_t)1 << 20)

struct codec {
    const char *filter; /* the header's compression-filter; NULL: not compressed, nothing below */
    /** What one thread needs.  0 or -ENOMEM. */
    int (*open)(enum archive_level level, void **ret_context);
    void (*close)(void *context);
    /** Compresses up to CODEC_BLOCK bytes into `packed`, which has codec_bound(length) of room.
     * 0 or -EIO. */
    int (*pack)(void *context, const void *data, size_t length, void *packed, size_t *ret_length);
    /** No block of `length` bytes becomes longer than this. */
    size_t (*bound)(size_t length);
};

extern const struct codec codec_gzip, codec_zstd;

/** Never NULL for a valid compression. */
const struct codec *codec_find(enum archive_compression compression);

/** No output for `bytes` of input, cut into blocks, is longer than this. */
uint64_t codec_bound(const struct codec *codec, uint64_t bytes);

#endif
