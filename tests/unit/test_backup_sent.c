/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was sent is sent again byte for byte, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backup/sent.h"
#include "qubesfs/cleanup.h"

/* Parts of these lengths: an empty one, exact pieces, one more and one less. */
static const size_t parts[] = {700, 0, SENT_PIECE, SENT_PIECE + 1, 3 * SENT_PIECE - 1, 5, 0, 12345};

static unsigned char *stream;
static size_t begins[ARRAY_SIZE(parts) + 1];

struct output {
    uint64_t from, until; /* what has left */
};

static int out(void *cookie, uint64_t offset, const void *data, size_t length)
{
    struct output *output = cookie;

    assert_int_equal(offset, output->until);
    assert_memory_equal(stream + offset, data, length);
    output->until += length;
    return 0;
}

/* Makes the stream from a part on, up to `end`, in uneven steps. */
static int make(struct sent *sent, size_t part, size_t end, struct output *output)
{
    int result = 0;

    output->from = output->until = begins[part];
    for (; result == 0 && part < ARRAY_SIZE(parts) && begins[part] <= end; part++) {
        size_t at = begins[part];

        result = sent_part(sent);
        while (result == 0 && at < begins[part + 1] && at < end) {
            size_t step = 1 + (size_t)rand() % 300000;

            if (step > begins[part + 1] - at)
                step = begins[part + 1] - at;
            if (step > end - at)
                step = end - at;
            result = sent_take(sent, stream + at, step, out, output);
            at += step;
        }
    }
    return result;
}

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        begins[i + 1] = begins[i] + parts[i];
    stream = malloc(begins[ARRAY_SIZE(parts)]);
    for (size_t i = 0; i < begins[ARRAY_SIZE(parts)]; i++)
        stream[i] = (unsigned char)rand();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(stream);
    return 0;
}

static void test_same(void **state)
{
    const size_t length = begins[ARRAY_SIZE(parts)];
    struct output output;
    struct sent *sent;
    size_t end, part;
    uint64_t begin;

    (void)state;
    for (int attempt = 0; attempt < 20; attempt++) {
        end = attempt < (int)ARRAY_SIZE(begins) ? begins[attempt] : (size_t)rand() % length;
        assert_int_equal(sent_new(&sent), 0);
        assert_int_equal(sent_rewind(sent, 0, &part, &begin), -ESPIPE);
        assert_int_equal(make(sent, 0, end, &output), 0);
        assert_int_equal(output.until, end);
        /* again and again, from before the end, each a little further */
        for (int again = 0; again < 3; again++) {
            uint64_t offset = sent_length(sent);

            offset -= offset > 0 ? (uint64_t)rand() % offset : 0;
            assert_int_equal(sent_rewind(sent, sent_length(sent) + 1, &part, &begin), -ESPIPE);
            assert_int_equal(sent_rewind(sent, offset, &part, &begin), 0);
            assert_true(begin <= offset && begin == begins[part]);
            assert_true(part + 1 == ARRAY_SIZE(begins) || begins[part + 1] >= begin);
            end = end + 1000000 < length && again < 2 ? end + 1000000 : length;
            assert_int_equal(make(sent, part, end, &output), 0);
            assert_int_equal(output.until, end);
            assert_int_equal(sent_finish(sent), 0);
        }
        sent_free(sent);
    }
}

/* Not a byte of a piece leaves that differs, be it in its last one. */
static void test_another(void **state)
{
    const size_t length = begins[ARRAY_SIZE(parts)];
    struct output output;
    struct sent *sent;
    size_t part;
    uint64_t begin;

    (void)state;
    for (int attempt = 0; attempt < 20; attempt++) {
        size_t end = length - 1 - (size_t)rand() % 1000000, changed;

        assert_int_equal(sent_new(&sent), 0);
        assert_int_equal(make(sent, 0, end, &output), 0);
        assert_int_equal(sent_rewind(sent, (uint64_t)rand() % end, &part, &begin), 0);
        changed = attempt == 0 ? end - 1 : begin + (size_t)rand() % (end - begin);
        stream[changed] ^= 1;
        assert_int_equal(make(sent, part, length, &output), -EBUSY);
        assert_true(output.until <= changed);
        assert_int_equal(sent_finish(sent), -EBUSY);
        stream[changed] ^= 1;
        sent_free(sent);
    }
    /* shorter than it was */
    assert_int_equal(sent_new(&sent), 0);
    assert_int_equal(make(sent, 0, 10000000, &output), 0);
    assert_int_equal(sent_rewind(sent, 100, &part, &begin), 0);
    assert_int_equal(make(sent, part, 600, &output), 0);
    assert_int_equal(sent_finish(sent), -EBUSY);
    sent_free(sent);
    /* a part that ends elsewhere */
    assert_int_equal(sent_new(&sent), 0);
    assert_int_equal(make(sent, 0, 10000000, &output), 0);
    assert_int_equal(sent_rewind(sent, 0, &part, &begin), 0);
    output.until = 0;
    assert_int_equal(sent_part(sent), 0);
    assert_int_equal(sent_take(sent, stream, 10, out, &output), 0);
    assert_int_equal(sent_part(sent), -EBUSY);
    sent_free(sent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same), cmocka_unit_test(test_another)};

    return cmocka_run_group_tests(tests, setup, teardown);
}
