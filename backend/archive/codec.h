/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Codecs: what compresses an inner archive.  A codec is one stage of the chain, opened anew for
 * each file. It may use threads of its own, but hands its output on from the thread that calls it.
 */
#ifndef ARCHIVE_CODEC_H
#define ARCHIVE_CODEC_H

#include <stdint.h>

#include "qubesfs/archive.h"
#include "sink.h"

struct codec {
    const char *filter; /* the header's compression-filter; NULL: not compressed */
    /** Opens a stage before `next`; level 0 is the codec's default.  0 or -ENOMEM. */
    int (*open)(int level, struct sink *next, struct sink **ret_sink);
    /** No output for `bytes` of input is longer than this. */
    uint64_t (*bound)(uint64_t bytes);
};

/** Never NULL for a valid compression. */
const struct codec *codec_find(enum archive_compression compression);

#endif
