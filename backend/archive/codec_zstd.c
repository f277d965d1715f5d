/* SPDX-License-Identifier: GPL-2.0-or-later */
/* zstd, one frame a block, with the block's length and a checksum in each. */
#include <errno.h>
#include <zstd.h>

#include "codec.h"

static void zstd_close(void *context)
{
    ZSTD_freeCCtx(context);
}

static int zstd_open(enum archive_level level, void **ret_context)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();

    if (!context)
        return -ENOMEM;
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel,
                           level == ARCHIVE_FAST    ? 1
                           : level == ARCHIVE_SMALL ? 12
                                                    : 3);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    *ret_context = context;
    return 0;
}

static size_t zstd_bound(size_t length)
{
    return ZSTD_compressBound(length);
}

static int zstd_pack(void *context, const void *data, size_t length, void *packed,
                     size_t *ret_length)
{
    size_t made = ZSTD_compress2(context, packed, ZSTD_compressBound(length), data, length);

    if (ZSTD_isError(made))
        return -EIO;
    *ret_length = made;
    return 0;
}

const struct codec codec_zstd = {"zstd", zstd_open, zstd_close, zstd_pack, zstd_bound};
