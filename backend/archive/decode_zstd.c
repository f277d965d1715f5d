/* SPDX-License-Identifier: GPL-2.0-or-later */
/* zstd, frame by frame. */
#include <errno.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "decode.h"

/* 64 MiB: what the highest level without --ultra needs is 8 */
#define WINDOW_LOG_MAX 26

#define MAGIC_SIZE     4u
#define SINGLE_SEGMENT 0x20 /* in the byte behind it: the window is the content */

static int unzstd_open(void **ret_context)
{
    ZSTD_DCtx *context = ZSTD_createDCtx();

    if (!context)
        return -ENOMEM;
    ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    *ret_context = context;
    return 0;
}

static void unzstd_close(void *context)
{
    ZSTD_freeDCtx(context);
}

static int unzstd_begin(void *context)
{
    ZSTD_DCtx_reset(context, ZSTD_reset_session_only);
    return 0;
}

static int unzstd_step(void *context, const unsigned char **in, size_t *in_length,
                       unsigned char *out, size_t room, size_t *ret_made)
{
    ZSTD_inBuffer input = {*in, *in_length, 0};
    ZSTD_outBuffer output = {out, room, 0};
    size_t left = ZSTD_decompressStream(context, &output, &input);

    *ret_made = output.pos;
    *in += input.pos;
    *in_length -= input.pos;
    if (!ZSTD_isError(left))
        return left == 0;
    switch (ZSTD_getErrorCode(left)) {
    case ZSTD_error_memory_allocation:
        return -ENOMEM;
    case ZSTD_error_frameParameter_windowTooLarge:
        return -ENOTSUP;
    default:
        return -EBADMSG;
    }
}

/* As our own writer makes them: the content's length is told, and the window is no bigger. */
static size_t unzstd_alone(const unsigned char *data, size_t length)
{
    unsigned long long content = ZSTD_getFrameContentSize(data, length);
    size_t told;

    if (content == ZSTD_CONTENTSIZE_UNKNOWN || content == ZSTD_CONTENTSIZE_ERROR ||
        content > DECODE_ALONE || content == 0 || !(data[MAGIC_SIZE] & SINGLE_SEGMENT))
        return 0;
    told = ZSTD_findFrameCompressedSize(data, length);
    return ZSTD_isError(told) ? 0 : told;
}

const struct decode_codec decode_zstd = {
    .open = unzstd_open,
    .close = unzstd_close,
    .begin = unzstd_begin,
    .step = unzstd_step,
    .alone = unzstd_alone,
};
