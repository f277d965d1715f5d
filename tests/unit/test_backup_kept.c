/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Going on with what is kept: a refusal drops nothing, two copies at once are told apart. */
#include "backup_helper.h"

#include "backup/making.h"
#include "backup/stream.h"

#define MIB ((off_t)1 << 20)

/* Reads on from what `text` has of a stream that begins at `from`, up to `end` or the end: what the
 * last read said. */
static ssize_t read_up_to(struct backup_stream *stream, off_t from, off_t end, struct text *text)
{
    ssize_t got = 1;

    while (got > 0 && from + (off_t)text->length < end)
        got = read_into(stream, from + (off_t)text->length, text);
    return got;
}

/* The first read of a copy that goes on at `offset`. */
static ssize_t go_on_at(off_t offset)
{
    struct backup_stream *stream;
    ssize_t got;

    assert_int_equal(backup_stream_new(plan, NULL, &stream), 0);
    got = read_at(stream, offset);
    backup_stream_free(stream);
    return got;
}

static struct backup_stream *begin(off_t end, struct text *text)
{
    struct backup_stream *stream;

    assert_int_equal(backup_stream_new(plan, NULL, &stream), 0);
    assert_true(read_up_to(stream, 0, end, text) > 0);
    return stream;
}

static int setup_kept(void **state)
{
    if (setup(state))
        return -1;
    set_passphrase();
    set_option(BACKUP_COMPRESSION, "none");
    run(NULL, "head -c 34000000 /dev/urandom >var/lib/qubes/appvms/work/private.img");
    return backup_list_set(plan, BACKUP_INCLUDE, "work\n", 5, NULL);
}

static void test_refusal_drops_nothing(void **state)
{
    struct text first = TEXT_INIT, rest = TEXT_INIT, again = TEXT_INIT;
    struct backup_stream *stream = begin(3 * MIB, &first);
    off_t at = (off_t)first.length;

    (void)state;
    backup_stream_free(stream);
    for (int i = 0; i < 3; i++) {
        host_fake_run(host, "work");
        assert_int_equal(go_on_at(at), -EBUSY);
        assert_int_equal(go_on_at(at), -EBUSY);
        host_fake_run(host, "");
        assert_true(go_on_at(at) > 0);
    }
    assert_int_equal(backup_stream_new(plan, NULL, &stream), 0);
    assert_int_equal(read_up_to(stream, at, INT64_MAX, &rest), 0);
    backup_stream_free(stream);
    /* one that was read to its end can be gone on with as well */
    host_fake_run(host, "work");
    assert_int_equal(go_on_at(MIB), -EBUSY);
    host_fake_run(host, "");
    assert_int_equal(backup_stream_new(plan, NULL, &stream), 0);
    assert_int_equal(read_up_to(stream, MIB, INT64_MAX, &again), 0);
    backup_stream_free(stream);
    assert_int_equal(again.length, first.length + rest.length - (size_t)MIB);
    assert_memory_equal(again.data, first.data + MIB, first.length - (size_t)MIB);
    assert_memory_equal(again.data + first.length - MIB, rest.data, rest.length);
    text_free(&first);
    text_free(&rest);
    text_free(&again);
}

/* What has changed can't be gone on with ever again. */
static void test_change_drops(void **state)
{
    struct text first = TEXT_INIT;
    char *clone = below("clone");
    bool clones;

    (void)state;
    run(NULL, "cp --reflink=always home/user/file clone 2>/dev/null || rm -f clone");
    clones = access(clone, F_OK) == 0;
    free(clone);
    backup_stream_free(begin(3 * MIB, &first));
    run(NULL,
        "printf changed | dd of=var/lib/qubes/appvms/work/private.img conv=notrunc bs=1M seek=1 "
        "status=none");
    /* a file system that clones still has the old state */
    if (!clones) {
        assert_int_equal(go_on_at((off_t)first.length), -EBUSY);
        assert_int_equal(go_on_at((off_t)first.length), -ESPIPE);
    }
    text_free(&first);
}

static void test_two_at_once(void **state)
{
    struct text older = TEXT_INIT, newer = TEXT_INIT;
    struct backup_stream *a = begin(3 * MIB, &older), *b = begin(24 * MIB, &newer);
    off_t at = (off_t)older.length;

    (void)state;
    /* nothing is kept while the newer one is read, whoever leaves */
    backup_stream_free(a);
    assert_int_equal(go_on_at(at), -ESPIPE);
    backup_stream_free(b);
    /* it must not get the newer one's bytes */
    assert_int_equal(go_on_at(at), -ESPIPE);
    assert_true(go_on_at((off_t)newer.length) > 0);
    assert_int_equal(go_on_at(at), -ESPIPE);
    /* the same place in both: the newer one's, as is everything near its end */
    assert_true(go_on_at((off_t)newer.length - MIB) > 0);
    text_free(&older);
    text_free(&newer);
}

static void test_near(void **state)
{
    (void)state;
    assert_true(kept_near(100, 100));
    assert_true(kept_near(100, 0));
    assert_false(kept_near(100, 101));
    assert_true(kept_near(100 << 20, 84 << 20));
    assert_false(kept_near(100 << 20, (84 << 20) - 1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_kept, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_refusal_drops_nothing),
        TEST(test_change_drops),
        TEST(test_two_at_once),
        cmocka_unit_test(test_near),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
