/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bzip2, xz and lzma: filters that a user of Qubes may have chosen. */
#include <bzlib.h>
#include <errno.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"

/* bzip2 takes at most 3.7 MiB; its own numbers are of 32 bits */
#define PIECE_MAX ((size_t)1 << 30)

struct bunzip2 {
    bz_stream stream;
    bool begun;
};

static int bunzip2_open(void **ret_context)
{
    *ret_context = calloc(1, sizeof(struct bunzip2));
    return *ret_context ? 0 : -ENOMEM;
}

static void bunzip2_close(void *context)
{
    struct bunzip2 *bunzip2 = context;

    if (bunzip2->begun)
        BZ2_bzDecompressEnd(&bunzip2->stream);
    free(bunzip2);
}

static int bunzip2_begin(void *context)
{
    struct bunzip2 *bunzip2 = context;

    if (bunzip2->begun)
        BZ2_bzDecompressEnd(&bunzip2->stream);
    memset(bunzip2, 0, sizeof(*bunzip2));
    bunzip2->begun = BZ2_bzDecompressInit(&bunzip2->stream, 0, 0) == BZ_OK;
    return bunzip2->begun ? 0 : -ENOMEM;
}

static int bunzip2_step(void *context, const unsigned char **in, size_t *in_length,
                        unsigned char *out, size_t room, size_t *ret_made)
{
    bz_stream *stream = &((struct bunzip2 *)context)->stream;
    size_t given = *in_length < PIECE_MAX ? *in_length : PIECE_MAX;
    int result;

    stream->next_in = (char *)*in; /* not written to */
    stream->avail_in = (unsigned)given;
    stream->next_out = (char *)out;
    stream->avail_out = (unsigned)room;
    result = BZ2_bzDecompress(stream);
    *in += given - stream->avail_in;
    *in_length -= given - stream->avail_in;
    *ret_made = room - stream->avail_out;
    if (result == BZ_OK || result == BZ_STREAM_END)
        return result == BZ_STREAM_END;
    return result == BZ_MEM_ERROR ? -ENOMEM : -EBADMSG;
}

const struct decode_codec decode_bzip2 = {
    .open = bunzip2_open,
    .close = bunzip2_close,
    .begin = bunzip2_begin,
    .step = bunzip2_step,
};

static int unxz_open(void **ret_context)
{
    static const lzma_stream empty = LZMA_STREAM_INIT;
    lzma_stream *stream = malloc(sizeof(*stream));

    if (!stream)
        return -ENOMEM;
    *stream = empty;
    *ret_context = stream;
    return 0;
}

static void unxz_close(void *context)
{
    lzma_end(context);
    free(context);
}

static int unxz_begin(void *context)
{
    return lzma_stream_decoder(context, DECODE_MEMORY_MAX, LZMA_TELL_UNSUPPORTED_CHECK) == LZMA_OK
               ? 0
               : -ENOMEM;
}

static int unlzma_begin(void *context)
{
    return lzma_alone_decoder(context, DECODE_MEMORY_MAX) == LZMA_OK ? 0 : -ENOMEM;
}

static int unxz_step(void *context, const unsigned char **in, size_t *in_length, unsigned char *out,
                     size_t room, size_t *ret_made)
{
    lzma_stream *stream = context;
    lzma_ret result;

    stream->next_in = *in;
    stream->avail_in = *in_length;
    stream->next_out = out;
    stream->avail_out = room;
    result = lzma_code(stream, LZMA_RUN);
    *in = stream->next_in;
    *in_length = stream->avail_in;
    *ret_made = room - stream->avail_out;
    switch (result) {
    case LZMA_OK:
    case LZMA_BUF_ERROR: /* no progress was possible: the caller sees that */
        return 0;
    case LZMA_STREAM_END:
        return 1;
    case LZMA_MEM_ERROR:
        return -ENOMEM;
    case LZMA_MEMLIMIT_ERROR:
    case LZMA_UNSUPPORTED_CHECK:
        return -ENOTSUP;
    default:
        return -EBADMSG;
    }
}

const struct decode_codec decode_xz = {
    .open = unxz_open,
    .close = unxz_close,
    .begin = unxz_begin,
    .step = unxz_step,
    .zeros_pass = true,
};

const struct decode_codec decode_lzma = {
    .open = unxz_open,
    .close = unxz_close,
    .begin = unlzma_begin,
    .step = unxz_step,
    .one_piece = true,
};
