/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "codec.h"

const struct codec *codec_find(enum archive_compression compression)
{
    static const struct codec none = {.filter = NULL};

    switch (compression) {
    case ARCHIVE_GZIP:
        return &codec_gzip;
    case ARCHIVE_ZSTD:
        return &codec_zstd;
    default:
        return &none;
    }
}

uint64_t codec_bound(const struct codec *codec, uint64_t bytes)
{
    size_t rest = bytes % CODEC_BLOCK;

    if (!codec->filter)
        return bytes;
    return bytes / CODEC_BLOCK * codec->bound(CODEC_BLOCK) + (rest > 0 ? codec->bound(rest) : 0);
}
