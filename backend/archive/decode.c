/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "decode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "decode_side.h"

#define BUFFER_SIZE ((size_t)256 << 10)

struct decoder {
    const struct decode_codec *codec; /* NULL: bytes as they are */
    struct decode_side *side;
    struct decode_sink sink;
    void *context;
    unsigned char *buffer;
    bool inside; /* a piece has begun */
    bool any;    /* one has ended */
};

const struct decode_codec *decode_find(enum read_filter filter)
{
    static const struct decode_codec *const codecs[] = {
        [FILTER_NONE] = NULL,     [FILTER_GZIP] = &decode_gzip, [FILTER_BZIP2] = &decode_bzip2,
        [FILTER_XZ] = &decode_xz, [FILTER_LZMA] = &decode_lzma, [FILTER_ZSTD] = &decode_zstd,
    };

    return codecs[filter];
}

bool decode_may_begin(enum read_filter filter, const unsigned char *data, size_t length)
{
    static const struct {
        const char *magic;
        size_t length;
    } begins[] = {
        [FILTER_GZIP] = {"\x1f\x8b\x08", 3},
        [FILTER_BZIP2] = {"BZh", 3},
        [FILTER_XZ] = {"\xfd"
                       "7zXZ\0",
                       6},
        /* properties lc=3 lp=0 pb=2, as the program writes them; a dictionary of 4 KiB or more */
        [FILTER_LZMA] = {"\x5d\0", 2},
        [FILTER_ZSTD] = {"\x28\xb5\x2f\xfd", 4},
    };

    return length >= begins[filter].length &&
           !memcmp(data, begins[filter].magic, begins[filter].length);
}

int decode_alone(const struct decode_codec *codec, void *context, const unsigned char *data,
                 size_t length, unsigned char *out, size_t *ret_made)
{
    int result = codec->begin(context);
    size_t made = 0, step;

    while (result == 0) {
        size_t before = length;

        result = codec->step(context, &data, &length, out + made, DECODE_ALONE - made, &step);
        made += step;
        /* no more room, or no more input: it isn't that */
        if (result == 0 && step == 0 && length == before)
            return -EBADMSG;
    }
    if (result != 1 || length > 0)
        return -EBADMSG;
    *ret_made = made;
    return 0;
}

int decoder_new(enum read_filter filter, struct decode_side *side, const struct decode_sink *sink,
                struct decoder **ret_decoder)
{
    struct decoder *decoder = calloc(1, sizeof(*decoder));
    int result = 0;

    if (!decoder)
        return -ENOMEM;
    decoder->codec = decode_find(filter);
    decoder->side = side;
    decoder->sink = *sink;
    if (decoder->codec) {
        decoder->buffer = malloc(BUFFER_SIZE);
        result = decoder->buffer ? decoder->codec->open(&decoder->context) : -ENOMEM;
    }
    if (result < 0) {
        decoder_free(decoder);
        return result;
    }
    *ret_decoder = decoder;
    return 0;
}

void decoder_free(struct decoder *decoder)
{
    if (!decoder)
        return;
    if (decoder->context)
        decoder->codec->close(decoder->context);
    free(decoder->buffer);
    free(decoder);
}

bool decoder_is_whole(const struct decoder *decoder)
{
    return !decoder->codec || (decoder->any && !decoder->inside);
}

static int told(int result, struct error *ret_error)
{
    if (result == -ENOTSUP)
        return error_set(ret_error, result, "it takes too much memory to decompress it");
    return result == -EBADMSG ? error_set(ret_error, result, "its compressed data is damaged")
                              : result;
}

/* Decodes until the input is used up or the piece ends. */
static int run(struct decoder *decoder, const unsigned char **data, size_t *length,
               struct error *ret_error)
{
    size_t made;
    int step, result = 0;

    do {
        size_t before = *length;

        step = decoder->codec->step(decoder->context, data, length, decoder->buffer, BUFFER_SIZE,
                                    &made);
        if (step < 0)
            return told(step, ret_error);
        if (made > 0)
            result = decoder->sink.write(decoder->sink.cookie, decoder->buffer, made, ret_error);
        if (step == 1) {
            decoder->inside = false;
            decoder->any = true;
        } else if (made == 0 && *length == before && before > 0) {
            return told(-EBADMSG, ret_error); /* it neither takes nor gives */
        }
    } while (result == 0 && step == 0 && (*length > 0 || made == BUFFER_SIZE));
    return result;
}

static int begin(struct decoder *decoder, const unsigned char **data, size_t *length,
                 struct error *ret_error)
{
    const struct decode_codec *codec = decoder->codec;
    size_t taken = 0;
    int result = 0;

    if (codec->zeros_pass && decoder->any)
        while (*length > 0 && **data == 0)
            ++*data, --*length;
    if (*length == 0)
        return 0;
    if (codec->one_piece && decoder->any)
        return told(-EBADMSG, ret_error);
    if (decoder->side && codec->alone)
        result = decode_side_run(decoder->side, codec, &decoder->sink, *data, *length, &taken,
                                 ret_error);
    *data += taken;
    *length -= taken;
    decoder->any = decoder->any || taken > 0;
    if (result < 0 || *length == 0)
        return result;
    decoder->inside = true;
    return codec->begin(decoder->context);
}

int decoder_write(struct decoder *decoder, const unsigned char *data, size_t length,
                  struct error *ret_error)
{
    int result = 0;

    if (!decoder->codec)
        return decoder->sink.write(decoder->sink.cookie, data, length, ret_error);
    while (result == 0 && length > 0) {
        if (!decoder->inside)
            result = begin(decoder, &data, &length, ret_error);
        if (result == 0 && decoder->inside)
            result = run(decoder, &data, &length, ret_error);
    }
    return result;
}
