/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "codec.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#define OUTPUT_SIZE (64u << 10)
/* deflate counts in unsigned ints; any piece below 4 GiB would do */
#define INPUT_MAX (64u << 20)

/* store: the bytes as they are */

static int store_write(struct sink *sink, const void *data, size_t length)
{
    return sink_write(sink->next, data, length);
}

static int store_finish(struct sink *sink)
{
    return sink_finish(sink->next);
}

static void store_free(struct sink *sink)
{
    free(sink);
}

static const struct sink_operations store_operations = {store_write, store_finish, store_free};

static int store_open(int level, struct sink *next, struct sink **ret_sink)
{
    struct sink *sink = malloc(sizeof(*sink));

    (void)level;
    if (!sink)
        return -ENOMEM;
    *sink = (struct sink){&store_operations, next};
    *ret_sink = sink;
    return 0;
}

static uint64_t store_bound(uint64_t bytes)
{
    return bytes;
}

/* gzip by zlib: one member for the whole file, as `gzip` makes it from a pipe */

struct gzip {
    struct sink sink;
    z_stream stream;
    unsigned char output[OUTPUT_SIZE];
};

static int deflate_piece(struct gzip *gzip, int flush)
{
    int result;

    do {
        gzip->stream.next_out = gzip->output;
        gzip->stream.avail_out = OUTPUT_SIZE;
        if (deflate(&gzip->stream, flush) == Z_STREAM_ERROR)
            return -EIO;
        result = sink_write(gzip->sink.next, gzip->output, OUTPUT_SIZE - gzip->stream.avail_out);
        if (result < 0)
            return result;
    } while (gzip->stream.avail_out == 0);
    return 0;
}

static int gzip_write(struct sink *sink, const void *data, size_t length)
{
    struct gzip *gzip = (struct gzip *)sink;
    const unsigned char *bytes = data;

    while (length > 0) {
        size_t piece = length < INPUT_MAX ? length : INPUT_MAX;
        int result;

        gzip->stream.next_in = (unsigned char *)bytes; /* zlib doesn't write to it */
        gzip->stream.avail_in = (unsigned)piece;
        result = deflate_piece(gzip, Z_NO_FLUSH);
        if (result < 0)
            return result;
        bytes += piece;
        length -= piece;
    }
    return 0;
}

static int gzip_finish(struct sink *sink)
{
    struct gzip *gzip = (struct gzip *)sink;
    int result;

    gzip->stream.avail_in = 0;
    result = deflate_piece(gzip, Z_FINISH);
    return result < 0 ? result : sink_finish(sink->next);
}

static void gzip_free(struct sink *sink)
{
    struct gzip *gzip = (struct gzip *)sink;

    deflateEnd(&gzip->stream);
    free(gzip);
}

static const struct sink_operations gzip_operations = {gzip_write, gzip_finish, gzip_free};

static int gzip_open(int level, struct sink *next, struct sink **ret_sink)
{
    struct gzip *gzip = calloc(1, sizeof(*gzip));

    if (!gzip)
        return -ENOMEM;
    gzip->sink = (struct sink){&gzip_operations, next};
    /* 15 bits of window, +16 for a gzip header without name and time; 8 is zlib's default memory */
    if (deflateInit2(&gzip->stream, level ? level : 6, Z_DEFLATED, 15 + 16, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        free(gzip);
        return -ENOMEM;
    }
    *ret_sink = &gzip->sink;
    return 0;
}

/* deflateBound's own formula for the worst memory level, with room for header and trailer */
static uint64_t gzip_bound(uint64_t bytes)
{
    return bytes + (bytes >> 9) + (bytes >> 12) + (bytes >> 14) + (bytes >> 25) + 64;
}

const struct codec *codec_find(enum archive_compression compression)
{
    static const struct codec codecs[] = {
        [ARCHIVE_NONE] = {NULL, store_open, store_bound},
        [ARCHIVE_ZSTD] = {NULL, store_open, store_bound},
        [ARCHIVE_GZIP] = {"gzip", gzip_open, gzip_bound},
    };

    return &codecs[compression];
}
