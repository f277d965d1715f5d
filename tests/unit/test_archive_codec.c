/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Blocks and codecs: what they make, how long it may get, and that other programs read it. */
#include "archive_helper.h"

#include "archive/codec.h"

static const enum archive_level levels[] = {ARCHIVE_DEFAULT, ARCHIVE_FAST, ARCHIVE_SMALL};

static void fill(unsigned char *data, size_t length, const char *kind)
{
    FILE *random = fopen("/dev/urandom", "re");

    if (!strcmp(kind, "random"))
        assert_int_equal(fread(data, 1, length, random), length);
    else if (!strcmp(kind, "zeros"))
        memset(data, 0, length);
    else
        for (size_t i = 0; i < length; i++)
            data[i] = (unsigned char)"a line of a log, more or less\n"[i % 29 + (i / 4096) % 2];
    fclose(random);
}

/* Two blocks one after the other, as a stream has them. */
static void check(const struct codec *codec, enum archive_level level, const char *kind,
                  size_t length, const char *command)
{
    unsigned char *data = malloc(length), *packed = malloc(2 * codec->bound(length));
    size_t first, second;
    void *context, *other;

    fill(data, length, kind);
    assert_int_equal(codec->open(level, &context), 0);
    assert_int_equal(codec->pack(context, data, length, packed, &first), 0);
    assert_true(first <= codec->bound(length));
    /* what was packed before makes no difference, nor does who packs */
    assert_int_equal(codec->pack(context, data, length, packed + first, &second), 0);
    assert_int_equal(second, first);
    assert_memory_equal(packed, packed + first, first);
    assert_int_equal(codec->open(level, &other), 0);
    assert_int_equal(codec->pack(other, data, length, packed + first, &second), 0);
    assert_int_equal(second, first);
    assert_memory_equal(packed, packed + first, first);
    codec->close(other);
    codec->close(context);
    put_file("plain", data, length);
    put_file("packed", packed, first + second);
    run(NULL, "cat plain plain >both; %s <packed | cmp - both", command);
    free(data);
    free(packed);
}

static void check_all(const struct codec *codec, const char *command)
{
    static const char *const kinds[] = {"random", "zeros", "text"};
    static const size_t lengths[] = {1, 10240, 65535, 65536, CODEC_BLOCK};

    for (size_t level = 0; level < 3; level++)
        for (size_t kind = 0; kind < 3; kind++)
            for (size_t i = 0; i < 5; i++)
                check(codec, levels[level], kinds[kind], lengths[i], command);
}

static void test_gzip(void **state)
{
    (void)state;
    check_all(&codec_gzip, "gzip -dc");
    check(&codec_gzip, ARCHIVE_DEFAULT, "text", CODEC_BLOCK,
          "python3 -c 'import gzip,sys; sys.stdout.buffer.write(gzip.decompress("
          "sys.stdin.buffer.read()))'");
    if (have("busybox"))
        check(&codec_gzip, ARCHIVE_DEFAULT, "random", CODEC_BLOCK, "busybox gzip -dc");
}

static void test_zstd(void **state)
{
    (void)state;
    if (!have("zstd"))
        skip();
    check_all(&codec_zstd, "zstd -dcq");
}

/* A reader finds the next member by the length in this one. */
static void test_gzip_length(void **state)
{
    unsigned char *data = calloc(1, CODEC_BLOCK), *packed = malloc(codec_gzip.bound(CODEC_BLOCK));
    void *context;
    size_t length;

    (void)state;
    assert_int_equal(codec_gzip.open(ARCHIVE_DEFAULT, &context), 0);
    assert_int_equal(codec_gzip.pack(context, data, CODEC_BLOCK, packed, &length), 0);
    assert_memory_equal(packed, "\x1f\x8b\x08\x04", 4);
    assert_memory_equal(packed + 10, "\x08\0QF\x04\0", 6);
    assert_int_equal(packed[16] | packed[17] << 8 | packed[18] << 16 | packed[19] << 24, length);
    codec_gzip.close(context);
    free(data);
    free(packed);
}

static void test_bounds(void **state)
{
    (void)state;
    assert_int_equal(codec_bound(codec_find(ARCHIVE_NONE), 12345), 12345);
    assert_int_equal(codec_bound(&codec_gzip, 0), 0);
    assert_int_equal(codec_bound(&codec_gzip, CODEC_BLOCK), codec_gzip.bound(CODEC_BLOCK));
    assert_int_equal(codec_bound(&codec_gzip, 3 * CODEC_BLOCK + 1),
                     3 * codec_gzip.bound(CODEC_BLOCK) + codec_gzip.bound(1));
    /* no more than a ten thousandth is lost on what does not compress */
    assert_true(codec_gzip.bound(CODEC_BLOCK) < CODEC_BLOCK + CODEC_BLOCK / 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_gzip, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_zstd, directory_setup, directory_teardown),
        cmocka_unit_test(test_gzip_length),
        cmocka_unit_test(test_bounds),
    };

    if (!have("gzip") || !have("python3")) {
        puts("skipped: gzip or python3 is not installed");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
