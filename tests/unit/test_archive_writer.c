/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chunks, codec, cipher and MACs, checked against openssl, gzip and GNU tar. */
#include "archive_helper.h"

#include <errno.h>

#include "archive/chunk.h"
#include "archive/cipher.h"
#include "archive/codec.h"
#include "archive/hmac.h"
#include "archive/outer.h"

#define PASSPHRASE "correct horse \xc3\xa4"

static struct secret *passphrase(void)
{
    struct secret *secret;

    assert_int_equal(secret_new(PASSPHRASE, strlen(PASSPHRASE), &secret), 0);
    return secret;
}

static void put_file(const char *name, const void *data, size_t length)
{
    char *path = below(name);
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    free(path);
}

static void test_hmac(void **state)
{
    static const size_t lengths[] = {0, 1, 138, 100000};
    struct secret *secret = passphrase();
    char *data = calloc(1, 100000), text[HMAC_TEXT_LENGTH + 1];
    struct hmac *hmac;

    (void)state;
    assert_int_equal(hmac_new(secret, &hmac), 0);
    for (size_t i = 0; i < 4; i++) {
        struct text theirs = TEXT_INIT;

        put_file("data", data, lengths[i]);
        run(&theirs,
            "openssl dgst -sha512 -hmac '" PASSPHRASE "' <data | sed 's/.*(stdin)=/(stdin)=/'");
        assert_int_equal(hmac_update(hmac, data, lengths[i]), 0);
        assert_int_equal(hmac_end(hmac, text), 0);
        assert_int_equal(strlen(text), HMAC_TEXT_LENGTH);
        assert_string_equal(text, theirs.data);
        text_free(&theirs);
    }
    hmac_free(hmac);
    secret_unref(secret);
    free(data);
}

/* The very bytes of `openssl enc` with the same salt, but for magic and salt, which it leaves out
 * then. */
static void test_cipher(void **state)
{
    static const size_t lengths[] = {0, 1, 15, 16, 17, 65536, 300001};
    static const unsigned char salt[CIPHER_SALT] = {1, 2, 0xff, 0, 5, 0x80, 7, 8};
    struct secret *secret = passphrase();
    char *data = malloc(300001);

    (void)state;
    for (size_t i = 0; i < 300001; i++)
        data[i] = (char)(i * i >> 5);
    for (size_t i = 0; i < 7; i++) {
        struct memory_sink memory = MEMORY_SINK;
        struct text theirs = TEXT_INIT;
        struct sink *cipher;

        put_file("data", data, lengths[i]);
        run(&theirs, "openssl enc -e -aes-256-cbc -md md5 -S 0102ff0005800708 "
                     "-pass 'pass:" PASSPHRASE "' <data 2>/dev/null");
        assert_int_equal(cipher_open(secret, salt, &memory.sink, &cipher), 0);
        /* in pieces that fit no block */
        for (size_t at = 0; at < lengths[i]; at += 70001)
            assert_int_equal(
                sink_write(cipher, data + at, lengths[i] - at < 70001 ? lengths[i] - at : 70001),
                0);
        assert_int_equal(sink_finish(cipher), 0);
        sink_free(cipher);
        assert_int_equal(memory.finished, 1);
        assert_int_equal(memory.text.length, cipher_size(lengths[i]));
        assert_memory_equal(memory.text.data, "Salted__\1\2\xff\0\5\x80\7\10", 16);
        assert_in_range(theirs.length, memory.text.length - 16, memory.text.length);
        assert_memory_equal(memory.text.data + memory.text.length - cipher_size(lengths[i]) + 16,
                            theirs.data + theirs.length - (cipher_size(lengths[i]) - 16),
                            cipher_size(lengths[i]) - 16);
        put_file("cipher", memory.text.data, memory.text.length);
        run(NULL, "openssl enc -d -aes-256-cbc -md md5 -pass 'pass:" PASSPHRASE
                  "' <cipher 2>/dev/null | cmp - data");
        text_free(&theirs);
        text_free(&memory.text);
    }
    free(data);
    secret_unref(secret);
}

static void test_gzip(void **state)
{
    static const size_t lengths[] = {0, 1, 65536, 3000000};
    unsigned char *data = malloc(3000000);
    const struct codec *codec = codec_find(ARCHIVE_GZIP);
    FILE *random = fopen("/dev/urandom", "re");

    (void)state;
    assert_int_equal(fread(data, 1, 3000000, random), 3000000);
    fclose(random);
    for (size_t i = 0; i < 4; i++) {
        struct memory_sink memory = MEMORY_SINK;
        struct sink *sink;

        assert_int_equal(codec->open(0, &memory.sink, &sink), 0);
        assert_int_equal(sink_write(sink, data, lengths[i] / 3), 0);
        assert_int_equal(sink_write(sink, data + lengths[i] / 3, lengths[i] - lengths[i] / 3), 0);
        assert_int_equal(sink_finish(sink), 0);
        sink_free(sink);
        /* nothing compresses worse than random data */
        assert_true(memory.text.length <= codec->bound(lengths[i]));
        put_file("plain", data, lengths[i]);
        put_file("packed", memory.text.data, memory.text.length);
        run(NULL, "gzip -dc <packed | cmp - plain");
        text_free(&memory.text);
    }
    free(data);
}

/* How many outer members a stream of `length` bytes becomes, and that the bound is exact for it. */
static unsigned count_chunks(uint64_t length)
{
    static unsigned char data[1 << 20];
    struct secret *secret = passphrase();
    struct text text = TEXT_INIT;
    struct archive_output output = output_to(&text);
    struct text listing = TEXT_INIT;
    struct hmac *hmac;
    struct sink *chunk;
    unsigned lines = 0;

    assert_int_equal(hmac_new(secret, &hmac), 0);
    assert_int_equal(chunk_open(&output, hmac, 0, &chunk), 0);
    assert_int_equal(chunk_begin(chunk, "vm2/private.img"), 0);
    for (uint64_t left = length; left > 0;) {
        size_t piece = left < sizeof(data) ? (size_t)left : sizeof(data);

        assert_int_equal(sink_write(chunk, data, piece), 0);
        left -= piece;
    }
    assert_int_equal(sink_finish(chunk), 0);
    sink_free(chunk);
    hmac_free(hmac);
    secret_unref(secret);
    assert_int_equal(text_status(&text), 0);
    assert_int_equal(text.length, chunk_outer_size(length));
    assert_int_equal(text.length % TAR_RECORD, 0);
    put_file("outer", text.data, text.length);
    text_free(&text);
    run(&listing, "tar -itvf outer");
    for (const char *at = listing.data; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    /* the last chunk's size is what is left */
    if (length == CHUNK_SIZE || length == 0) {
        char expected[64];
        const char *found;

        snprintf(expected, sizeof(expected), "vm2/private.img.%03u\n", length == 0 ? 0 : 1);
        found = strstr(listing.data, expected);
        assert_non_null(found);
        while (found > listing.data && found[-1] != '\n')
            found--;
        assert_non_null(strstr(found, " 0 "));
        run(NULL, "tar -ixOf outer vm2/private.img.%03u | cmp - /dev/null", length == 0 ? 0 : 1);
    }
    text_free(&listing);
    return lines;
}

static void test_chunks(void **state)
{
    (void)state;
    assert_int_equal(count_chunks(0), 2);
    assert_int_equal(count_chunks(1), 2);
    assert_int_equal(count_chunks(CHUNK_SIZE - 1), 2);
    assert_int_equal(count_chunks(CHUNK_SIZE), 4);
    assert_int_equal(count_chunks(CHUNK_SIZE + 1), 4);
}

/* An inner archive of exactly 100 MiB through the whole writer, stored. */
static void test_exact_multiple(void **state)
{
    struct secret *secret = passphrase();
    struct archive_options options = {
        .format = 3, .passphrase = secret, .compression = ARCHIVE_NONE};
    struct text text = TEXT_INIT, listing = TEXT_INIT;
    struct archive_output output = output_to(&text);
    struct archive_writer *writer;
    size_t length = CHUNK_SIZE - 512 - 1024; /* header and end */
    char *data = malloc(length);

    (void)state;
    memset(data, 'x', length);
    assert_int_equal(archive_data_size(length), CHUNK_SIZE);
    assert_int_equal(archive_writer_new(&options, &output, &writer, NULL), 0);
    assert_int_equal(archive_write_data(writer, "f", data, length, NULL), 0);
    archive_writer_free(writer);
    assert_int_equal(text.length, 2 * TAR_RECORD + archive_bound_file(&options, CHUNK_SIZE));
    put_file("outer", text.data, text.length);
    run(&listing, "tar -itf outer");
    assert_string_equal(listing.data,
                        "backup-header\nbackup-header.hmac\nf.000\nf.000.hmac\nf.001\n"
                        "f.001.hmac\n");
    free(data);
    text_free(&text);
    text_free(&listing);
    secret_unref(secret);
}

static void test_header(void **state)
{
    struct secret *secret = passphrase();
    struct archive_options options = {
        .format = 3, .encrypted = true, .passphrase = secret, .compression = ARCHIVE_GZIP};
    struct text text = TEXT_INIT, header = TEXT_INIT;
    struct archive_output output = output_to(&text);
    struct archive_writer *writer;

    (void)state;
    assert_int_equal(archive_writer_new(&options, &output, &writer, NULL), 0);
    archive_writer_free(writer);
    assert_true(text.length <= archive_bound_header(&options));
    put_file("outer", text.data, text.length);
    run(&header, "tar -ixOf outer backup-header");
    assert_string_equal(header.data,
                        "version=3\nhmac-algorithm=SHA512\ncrypto-algorithm=aes-256-cbc\n"
                        "encrypted=True\ncompressed=True\ncompression-filter=gzip\n");
    /* ustar, octal size with its NUL, nothing that a simple reader would not know */
    assert_memory_equal(text.data + 257,
                        "ustar\0"
                        "00",
                        8);
    assert_int_equal(text.data[156], '0');
    assert_int_equal(text.data[135], '\0');
    options.format = 4;
    assert_int_equal(archive_writer_new(&options, &output, &writer, NULL), -EINVAL);
    text_free(&text);
    text_free(&header);
    secret_unref(secret);
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
    struct secret *secret = passphrase();
    struct archive_options options = {
        .format = 3, .encrypted = true, .passphrase = secret, .compression = ARCHIVE_GZIP};
    struct archive_output output = {NULL, failing_write, output_cancelled, NULL};

    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        struct archive_writer *writer;
        struct error error = {0};
        int result;

        writes_left = i;
        result = archive_writer_new(&options, &output, &writer, &error);
        if (result == 0) {
            result = archive_write_data(writer, "qubes.xml", "x", 1, &error);
            archive_writer_free(writer);
        }
        assert_int_equal(result, -ENOSPC);
        assert_int_equal(error.code, -ENOSPC);
    }
    secret_unref(secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hmac, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_cipher, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_gzip, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_chunks, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_exact_multiple, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_header, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_outer_names, directory_setup, directory_teardown),
        cmocka_unit_test(test_output_fails),
    };

    if (!have("tar") || !have("openssl") || !have("gzip")) {
        puts("skipped: tar, openssl or gzip is not installed");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
