/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole writer: headers, sizes, errors, the same bytes again, going on where it was cut off. */
#include "archive_helper.h"

#include <errno.h>

#include "archive/outer.h"

static struct secret *secret;

static int make_secret(void **state)
{
    (void)state;
    return secret_new("correct horse", 13, &secret);
}

static int drop_secret(void **state)
{
    (void)state;
    secret_unref(secret);
    return 0;
}

static const unsigned char seed[ARCHIVE_SEED_SIZE] = "thirty-two bytes of randomness..";

static struct archive_options options_of(unsigned format)
{
    return (struct archive_options){.format = format,
                                    .encrypted = true,
                                    .passphrase = secret,
                                    .compression = ARCHIVE_GZIP,
                                    .kdf_log2_n = ARCHIVE_KDF_MIN,
                                    .backup_id = "20161020T123455-1234",
                                    .salt_seed = seed,
                                    .time = 1000000000};
}

static void check_header(const struct archive_options *options, const char *expected)
{
    struct text text = TEXT_INIT, header = TEXT_INIT;
    struct archive_output output = output_to(&text);
    struct archive_writer *writer;

    struct archive_bound bound;

    assert_int_equal(archive_writer_new(options, &output, &writer, NULL), 0);
    archive_writer_free(writer); /* it begins with the header, whatever comes then */
    archive_bound_begin(&bound, options);
    assert_int_equal(text.length, bound.bytes);
    put_file("outer", text.data, text.length);
    run(&header, "tar -ixOf outer backup-header");
    assert_string_equal(header.data, expected);
    /* ustar, octal size with its NUL, nothing that a simple reader would not know */
    assert_memory_equal(text.data + 257,
                        "ustar\0"
                        "00",
                        8);
    assert_int_equal(text.data[156], '0');
    assert_int_equal(text.data[135], '\0');
    text_free(&text);
    text_free(&header);
}

#define ID_LINES "backup-id=20161020T123455-1234\nqubesfs-manifest=1\n"

static void test_headers(void **state)
{
    struct archive_options options = options_of(3);

    (void)state;
    check_header(&options, "version=3\nhmac-algorithm=SHA512\ncrypto-algorithm=aes-256-cbc\n"
                           "encrypted=True\ncompressed=True\ncompression-filter=gzip\n" ID_LINES);
    options.encrypted = false;
    options.compression = ARCHIVE_NONE;
    check_header(&options, "version=3\nhmac-algorithm=SHA512\ncrypto-algorithm=aes-256-cbc\n"
                           "encrypted=False\ncompressed=False\n" ID_LINES);
    options = options_of(4);
    check_header(&options, "version=4\nencrypted=True\ncompressed=True\ncompression-filter=gzip\n"
                           "hmac-algorithm=scrypt\n" ID_LINES);
    options.compression = ARCHIVE_ZSTD;
    check_header(&options, "version=4\nencrypted=True\ncompressed=True\ncompression-filter=zstd\n"
                           "hmac-algorithm=scrypt\n" ID_LINES);
    options.compression = ARCHIVE_NONE;
    check_header(&options, "version=4\nencrypted=True\ncompressed=False\ncompression-filter=gzip\n"
                           "hmac-algorithm=scrypt\n" ID_LINES);
}

static void refused(const struct archive_options *options)
{
    struct text text = TEXT_INIT;
    struct archive_output output = output_to(&text);
    struct archive_writer *writer;
    struct error error = {0};

    assert_int_equal(archive_writer_new(options, &output, &writer, &error), -EINVAL);
    assert_int_equal(error.code, -EINVAL);
    assert_int_equal(text.length, 0);
}

static void test_refusals(void **state)
{
    static const char *const ids[] = {"", "-1", "a b", "a=b", "a\nb", "\xc3\xa4", "a_b"};
    struct archive_options options = options_of(5);

    (void)state;
    refused(&options);
    options = options_of(4);
    options.encrypted = false;
    refused(&options);
    options = options_of(4);
    options.kdf_log2_n = 13;
    refused(&options);
    options.kdf_log2_n = 21;
    refused(&options);
    options = options_of(3);
    options.continue_without_header = true; /* behind what? */
    refused(&options);
    options = options_of(4);
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        snprintf(options.backup_id, sizeof(options.backup_id), "%s", ids[i]);
        refused(&options);
    }
    memset(options.backup_id, 'a', sizeof(options.backup_id));
    refused(&options);
}

static void test_outer_names(void **state)
{
    struct text text = TEXT_INIT;
    struct archive_output output = output_to(&text);
    char name[400];

    (void)state;
    for (size_t length = 98; length < 104; length++) {
        struct text listing = TEXT_INIT;

        memset(name, 'd', length);
        memcpy(name + 30, "/", 1);
        name[length] = '\0';
        assert_int_equal(outer_member(&output, name, 1, "abc", 3), 0);
        assert_int_equal(text.length, outer_size(3));
        put_file("outer", text.data, text.length);
        run(&listing, "tar -itf outer");
        assert_int_equal(listing.length, length + 1);
        assert_memory_equal(listing.data, name, length);
        text_free(&listing);
        text_free(&text);
    }
    memset(name, 'd', 101);
    name[101] = '\0';
    assert_int_equal(outer_member(&output, name, 1, "abc", 3), -ENAMETOOLONG);
    text_free(&text);
}

/* Three files, the second one of some blocks that compress to different lengths. */
#define BIG ((size_t)5 << 20 | 12345)

static void write_files(struct archive_writer *writer, unsigned first)
{
    static const char *const names[] = {"qubes.xml", "vm2/private.img", "vm3/private.img"};
    char *data = malloc(BIG);
    uint32_t state = 1;

    for (size_t i = 0; i < BIG; i++) {
        state = state * 1664525 + 1013904223;
        data[i] = (char)(i >> 20 & 1 ? state >> 24 : i * i >> 12);
    }
    for (unsigned i = first; i < 3; i++)
        assert_int_equal(archive_write_data(writer, names[i], data, i == 1 ? BIG : 100 + i, NULL),
                         0);
    free(data);
}

/* An archive and where each file begins in it. */
struct noted {
    struct text text; /* the first member: it is output_write's cookie, too */
    uint64_t offsets[5];
};

static void note_begin(void *cookie, const char *name)
{
    static const char *const names[] = {"backup-header", "qubes.xml", "vm2/private.img",
                                        "vm3/private.img", ARCHIVE_MANIFEST};
    struct noted *noted = cookie;

    for (unsigned i = 0; i < 5; i++)
        if (!strcmp(name, names[i]))
            noted->offsets[i] = noted->text.length;
}

static void make(const struct archive_options *options, unsigned first, struct noted *noted)
{
    struct archive_output output = output_to(&noted->text);
    struct archive_writer *writer;

    output.begin = note_begin;
    assert_int_equal(archive_writer_new(options, &output, &writer, NULL), 0);
    write_files(writer, first);
    assert_int_equal(archive_writer_finish(writer, NULL), 0);
    archive_writer_free(writer);
    assert_int_equal(text_status(&noted->text), 0);
}

/* The same seed makes the same bytes, whatever the number of threads; another seed, others. */
static void check_same(struct archive_options options)
{
    struct noted first = {.text = TEXT_INIT}, other = {.text = TEXT_INIT};
    struct archive_bound bound;

    archive_bound_begin(&bound, &options);
    archive_bound_add(&bound, "qubes.xml", archive_data_size(100));
    archive_bound_add(&bound, "vm2/private.img", archive_data_size(BIG));
    archive_bound_add(&bound, "vm3/private.img", archive_data_size(102));
    assert_int_equal(archive_manifest_new(&options.manifest), 0);
    make(&options, 0, &first);
    assert_true(first.text.length <= archive_bound_end(&bound));
    if (options.compression == ARCHIVE_NONE)
        assert_int_equal(first.text.length, archive_bound_end(&bound));
    for (unsigned threads = 1; threads < 6; threads += 4) {
        options.threads = threads;
        archive_manifest_rewind(options.manifest, 0);
        make(&options, 0, &other);
        assert_same(&other.text, &first.text, "with other threads");
        assert_memory_equal(other.offsets, first.offsets, sizeof(first.offsets));
        text_free(&other.text);
    }
    options.continue_without_header = true;
    for (unsigned i = 4; i-- > 0;) { /* behind the last file as well */
        struct text rest = {first.text.data + first.offsets[i + 1],
                            first.text.length - first.offsets[i + 1], 0, false};

        archive_manifest_rewind(options.manifest, i);
        make(&options, i, &other);
        assert_same(&other.text, &rest, "what goes on");
        text_free(&other.text);
    }
    archive_manifest_free(options.manifest);
    text_free(&first.text);
}

static void test_same_again(void **state)
{
    static const enum archive_compression compressions[] = {ARCHIVE_NONE, ARCHIVE_GZIP,
                                                            ARCHIVE_ZSTD};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct archive_options options = options_of(4);

        options.compression = compressions[i];
        check_same(options);
        options.format = 3;
        check_same(options);
        options.encrypted = false;
        check_same(options);
    }
}

static void test_random(void **state)
{
    struct archive_options options = options_of(4);
    struct noted first = {.text = TEXT_INIT}, second = {.text = TEXT_INIT};

    (void)state;
    options.salt_seed = NULL;
    make(&options, 0, &first);
    make(&options, 0, &second);
    assert_int_equal(first.text.length, second.text.length);
    assert_memory_not_equal(first.text.data, second.text.data, first.text.length);
    text_free(&first.text);
    text_free(&second.text);
}

/* What an output says goes up, and nothing is written after it. */
static unsigned writes_left;

static int failing_write(void *cookie, const void *data, size_t length)
{
    (void)cookie, (void)data, (void)length;
    assert_int_not_equal(writes_left, UINT32_MAX);
    return writes_left-- == 0 ? -ENOSPC : 0;
}

static void test_output_fails(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        struct archive_options options = options_of(3);
        struct archive_output output = {.write = failing_write, .cancelled = output_cancelled};
        struct archive_writer *writer;
        struct error error = {0};
        int result;

        writes_left = i;
        result = archive_writer_new(&options, &output, &writer, &error);
        if (result == 0) {
            result = archive_write_data(writer, "qubes.xml", "x", 1, &error);
            if (result == 0)
                result = archive_writer_finish(writer, &error);
            archive_writer_free(writer);
        }
        assert_int_equal(result, -ENOSPC);
        assert_int_equal(error.code, -ENOSPC);
    }
}

/* A reader that takes nothing, and then goes away: the caller, which waits for room or for the end,
 * is told soon. */
struct stuck {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool gone;
    unsigned asked;
};

static int stuck_write(void *cookie, const void *data, size_t length)
{
    struct stuck *stuck = cookie;

    (void)data;
    if (length < TAR_RECORD)
        return 0; /* headers may pass */
    LOCK_SCOPE(&stuck->lock);
    while (!stuck->gone)
        pthread_cond_wait(&stuck->changed, &stuck->lock);
    return -ECANCELED;
}

static bool stuck_cancelled(void *cookie)
{
    struct stuck *stuck = cookie;

    LOCK_SCOPE(&stuck->lock);
    if (++stuck->asked < 3)
        return false;
    stuck->gone = true;
    pthread_cond_broadcast(&stuck->changed);
    return true;
}

static void check_cancel(size_t length)
{
    struct stuck stuck = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0};
    struct archive_options options = options_of(3);
    struct archive_output output = {
        .cookie = &stuck, .write = stuck_write, .cancelled = stuck_cancelled};
    struct archive_writer *writer;
    struct error error = {0};
    char *data = calloc(1, length);
    int result = 0;

    options.compression = ARCHIVE_NONE;
    options.continue_without_header = true;
    assert_int_equal(archive_manifest_new(&options.manifest), 0);
    assert_int_equal(archive_writer_new(&options, &output, &writer, &error), 0);
    for (unsigned i = 0; result == 0 && i < 10; i++)
        result = archive_write_data(writer, "f", data, length, &error);
    if (result == 0)
        result = archive_writer_finish(writer, &error);
    assert_int_equal(result, -ECANCELED);
    assert_int_equal(error.code, -ECANCELED);
    archive_writer_free(writer);
    archive_manifest_free(options.manifest);
    free(data);
}

static void test_cancel(void **state)
{
    (void)state;
    check_cancel(100);     /* at the end */
    check_cancel(9000000); /* when both chunks are full */
}

/* Freed in the middle of a file, with work left on all threads. */
static void test_give_up(void **state)
{
    char *data = calloc(1, BIG);

    (void)state;
    for (unsigned format = 3; format <= 4; format++) {
        struct text text = TEXT_INIT;
        struct archive_output output = output_to(&text);
        struct archive_options options = options_of(format);
        struct archive_writer *writer;

        assert_int_equal(archive_writer_new(&options, &output, &writer, NULL), 0);
        assert_int_equal(archive_write_data(writer, "f", data, BIG, NULL), 0);
        archive_writer_free(writer);
        text_free(&text);
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_headers, directory_setup, directory_teardown),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test_setup_teardown(test_outer_names, directory_setup, directory_teardown),
        cmocka_unit_test(test_same_again),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_output_fails),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_give_up),
    };

    if (!have("tar")) {
        puts("skipped: tar is not installed");
        return 77;
    }
    return cmocka_run_group_tests(tests, make_secret, drop_secret);
}
