/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The outer archive: the same members and the same end whether its bytes come at once or one by
 * one; no member is bigger than the limit that the callee sets. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "archive/read_outer.h"
#include "qubesfs/text.h"
#include "tar_sums.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIMIT 65536u

struct seen {
    struct text text;
    unsigned char buffer[LIMIT];
    size_t length;
};

static int begin(void *cookie, const char *untrusted_name, uint64_t untrusted_size,
                 unsigned char **ret_data, struct error *ret_error)
{
    struct seen *seen = cookie;

    (void)ret_error;
    if (strlen(untrusted_name) > OUTER_NAME_MAX || !untrusted_name[0])
        abort();
    if (untrusted_size > LIMIT)
        return -E2BIG;
    text_printf(&seen->text, "begin %s %llu\n", untrusted_name, (unsigned long long)untrusted_size);
    seen->length = (size_t)untrusted_size;
    *ret_data = seen->buffer;
    return 0;
}

static int end(void *cookie, struct error *ret_error)
{
    struct seen *seen = cookie;

    (void)ret_error;
    text_append(&seen->text, seen->buffer, seen->length);
    return 0;
}

static struct text parse(const uint8_t *data, size_t size, size_t piece)
{
    struct seen *seen = calloc(1, sizeof(*seen));
    struct outer_events events = {seen, begin, end};
    struct outer_reader *reader;
    struct error error = {.code = 0};
    struct text text;
    int result = 0;

    if (!seen || outer_reader_new(&events, &reader))
        abort();
    for (size_t at = 0; result == 0 && at < size; at += piece)
        result =
            outer_reader_write(reader, data + at, size - at < piece ? size - at : piece, &error);
    text_printf(&seen->text, "result %d %d\n", result,
                result == 0 && outer_reader_is_between(reader));
    outer_reader_free(reader);
    text = seen->text;
    free(seen);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = with_sums(data, size);
    struct text whole = parse(copy, size, size ? size : 1);

    for (size_t piece = 1; piece < 1000; piece = piece * 30 + 1) {
        struct text cut = parse(copy, size, piece);

        if (cut.length != whole.length || memcmp(cut.data, whole.data, cut.length) != 0)
            abort();
        text_free(&cut);
    }
    text_free(&whole);
    free(copy);
    return 0;
}
