/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decompression; the first byte chooses the filter.  What comes out, and how it ends, is the same
 * whether pieces are decoded side by side or one by one, and however the bytes come.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "archive/decode_side.h"
#include "qubesfs/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* a bomb is no finding */
#define LIMIT ((size_t)4 << 20)

static int take(void *cookie, const void *data, size_t length, struct error *ret_error)
{
    struct text *text = cookie;

    (void)ret_error;
    if (length == 0)
        abort();
    if (text->length + length > LIMIT)
        return -E2BIG;
    text_append(text, data, length);
    return 0;
}

static struct text decode(enum read_filter filter, struct decode_side *side, const uint8_t *data,
                          size_t size, size_t piece, int *ret_result)
{
    struct text text = TEXT_INIT;
    struct decode_sink sink = {&text, take};
    struct decoder *decoder;
    struct error error = {.code = 0};
    int result = 0;

    if (decoder_new(filter, side, &sink, &decoder))
        abort();
    for (size_t at = 0; result == 0 && at < size; at += piece)
        result = decoder_write(decoder, data + at, size - at < piece ? size - at : piece, &error);
    *ret_result = result < 0 ? result : decoder_is_whole(decoder);
    decoder_free(decoder);
    return text;
}

static void compare(const struct text *one, int one_result, const struct text *other,
                    int other_result)
{
    size_t both = one->length < other->length ? one->length : other->length;

    /* where the limit is met depends on how it is cut */
    if (one_result == -E2BIG || other_result == -E2BIG)
        return;
    /* how much comes before an error does too */
    if (one_result != other_result || (one_result >= 0 && one->length != other->length) ||
        (both > 0 && memcmp(one->data, other->data, both) != 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct decode_side *side;
    struct text whole, other;
    enum read_filter filter;
    int result, other_result;

    if (size < 2 || (!side && decode_side_new(2, &side)))
        return 0;
    filter = (enum read_filter)(1 + data[0] % FILTER_ZSTD);
    data++, size--;
    whole = decode(filter, NULL, data, size, size, &result);
    for (int i = 0; i < 3; i++) {
        static const size_t pieces[] = {SIZE_MAX / 2, 100, 1};

        if (i == 2 && size > 5000)
            break;
        other = decode(filter, side, data, size, pieces[i], &other_result);
        compare(&whole, result, &other, other_result);
        text_free(&other);
    }
    text_free(&whole);
    return 0;
}
