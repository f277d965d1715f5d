/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chunks of both formats as the pipeline makes them, opened with openssl and scrypt. */
#include "archive_helper.h"

#include <errno.h>

#include "archive/keys.h"
#include "archive/mac.h"
#include "archive/outer.h"
#include "archive/pipe.h"

#define PASSPHRASE "correct horse \xc3\xa4"
#define ID         "20161020T123455-1234"

static struct secret *secret;

static int make_secret(void **state)
{
    (void)state;
    return secret_new(PASSPHRASE, strlen(PASSPHRASE), &secret);
}

static int drop_secret(void **state)
{
    (void)state;
    secret_unref(secret);
    return 0;
}

static struct archive_options options_of(unsigned format, bool encrypted)
{
    return (struct archive_options){.format = format,
                                    .encrypted = encrypted,
                                    .passphrase = secret,
                                    .kdf_log2_n = ARCHIVE_KDF_MIN,
                                    .backup_id = ID,
                                    .threads = 2};
}

static void test_mac(void **state)
{
    static const size_t lengths[] = {0, 1, 138, 100000};
    char *data = calloc(1, 100000), text[MAC_TEXT_LENGTH + 1];
    unsigned char digest[MAC_SIZE_MAX];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct text theirs = TEXT_INIT;

        put_file("data", data, lengths[i]);
        run(&theirs,
            "openssl dgst -sha512 -hmac '" PASSPHRASE "' <data | sed 's/.*(stdin)=/(stdin)=/'");
        assert_int_equal(
            mac_once(MAC_SHA512, PASSPHRASE, strlen(PASSPHRASE), data, lengths[i], digest), 0);
        mac_text(digest, text);
        assert_int_equal(strlen(text), MAC_TEXT_LENGTH);
        assert_string_equal(text, theirs.data);
        text_free(&theirs);
    }
    free(data);
}

/* A file's stream of `length` bytes, all alike, through the pipeline: the outer archive. */
static void make(const struct archive_options *options, uint64_t length, struct text *text)
{
    const struct format *format = format_find(options->format);
    struct archive_output output = output_to(text);
    struct archive_options noted = *options;
    unsigned char *data = malloc(CODEC_BLOCK);
    struct sealer *sealer;
    struct pipe *pipe;

    memset(data, 'x', CODEC_BLOCK);
    assert_int_equal(archive_manifest_new(&noted.manifest), 0);
    assert_int_equal(format->open(&noted, &sealer), 0);
    assert_int_equal(pipe_new(&noted, &output, sealer, &pipe), 0);
    assert_int_equal(pipe_begin(pipe, "vm2/private.img", NULL, length), 0);
    /* in pieces that fit no block */
    for (uint64_t left = length, piece; left > 0; left -= piece) {
        piece = left < 700001 ? left : 700001;
        assert_int_equal(sink_write(pipe_sink(pipe), data, (size_t)piece), 0);
    }
    assert_int_equal(pipe_end(pipe), 0);
    assert_int_equal(pipe_drain(pipe), 0);
    pipe_free(pipe);
    sealer->operations->free(sealer);
    archive_manifest_free(noted.manifest);
    free(data);
    assert_int_equal(text_status(text), 0);
    assert_int_equal(text->length % TAR_RECORD, 0);
    assert_int_equal(text->length, format_file_size(format, format->stream_size(&noted, length)));
}

/* Makes one, opens it with other programs, and compares; there must be so many chunks. */
static void check(unsigned format, bool encrypted, uint64_t length, unsigned chunks)
{
    struct archive_options options = options_of(format, encrypted);
    struct text text = TEXT_INIT;

    make(&options, length, &text);
    put_file("outer", text.data, text.length);
    text_free(&text);
    run(NULL, "rm -rf parts && mkdir parts && tar -ixf outer -C parts");
    run(NULL, "[ $(ls parts/vm2 | grep -vc hmac) = %u ]", chunks);
    run(NULL, "rm -f stream; touch stream");
    for (unsigned i = 0; i < chunks; i++) {
        if (format == 4)
            run(NULL,
                "printf %%s '" ID "!vm2/private.img.%03u!" PASSPHRASE
                "' | scrypt dec -P -f parts/vm2/private.img.%03u.enc >>stream",
                i, i);
        else
            run(NULL,
                "cd parts/vm2 && cat private.img.%03u >>../../stream && "
                "[ \"$(openssl dgst -sha512 -hmac '" PASSPHRASE "' <private.img.%03u | "
                "sed 's/.*= //')\" = \"$(sed 's/.*= //' private.img.%03u.hmac)\" ]",
                i, i, i);
    }
    if (format == 3 && encrypted)
        run(NULL, "openssl enc -d -aes-256-cbc -md md5 -pass 'pass:" PASSPHRASE
                  "' <stream >plain 2>/dev/null && mv plain stream");
    run(NULL, "head -c %llu /dev/zero | tr '\\0' x | cmp - stream", (unsigned long long)length);
}

static void test_small(void **state)
{
    static const uint64_t lengths[] = {0, 1, 15, 16, 17, 1048575, 1048576, 2097153};

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        check(3, true, lengths[i], 1);
        check(3, false, lengths[i], 1);
        check(4, true, lengths[i], 1);
    }
}

/* What ends at a chunk's end gets an empty one more. */
static void test_ends(void **state)
{
    (void)state;
    check(3, false, CHUNK_SIZE - 1, 1);
    check(3, false, CHUNK_SIZE, 2);
    check(3, false, CHUNK_SIZE + 1, 2);
}

static void test_ends_encrypted(void **state)
{
    (void)state;
    /* 16 bytes of salt before it, 1 to 16 of padding behind it */
    check(3, true, CHUNK_SIZE - 33, 1);
    check(3, true, CHUNK_SIZE - 32, 2);
    check(3, true, CHUNK_SIZE - 17, 2);
}

static void test_ends_4(void **state)
{
    (void)state;
    check(4, true, CHUNK_SIZE - 1, 1);
    check(4, true, CHUNK_SIZE, 2);
    check(4, true, CHUNK_SIZE + 1, 2);
}

/* The key of RFC 7914's kind: what OpenSSL derives is checked by `scrypt dec` above; here that keys
 * wanted, forgotten and asked for in any order are right. */
static void test_keys(void **state)
{
    struct archive_options options = options_of(4, true);
    static const unsigned char seed[ARCHIVE_SEED_SIZE] = "seed";
    struct container_key key, again;
    struct salts *salts;
    struct keys *keys;
    char name[32];

    (void)state;
    assert_int_equal(salts_new(seed, &salts), 0);
    assert_int_equal(keys_new(&options, salts, &keys), 0);
    assert_int_equal(keys_get(keys, "f.000", &key), 0);
    /* more than it keeps */
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "f.%03u", i % 10);
        keys_want(keys, name);
    }
    keys_forget(keys, "f.003");
    assert_int_equal(keys_get(keys, "f.003", &again), 0);
    assert_memory_not_equal(&key, &again, sizeof(key));
    assert_int_equal(keys_get(keys, "f.000", &again), 0);
    assert_memory_equal(&key, &again, sizeof(key));
    keys_want(keys, "f.000"); /* and never asked for */
    keys_stop(keys);
    assert_int_equal(keys_get(keys, "f.001", &again), -ECANCELED);
    keys_free(keys);
    salts_free(salts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mac, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_small, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_ends, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_ends_encrypted, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_ends_4, directory_setup, directory_teardown),
        cmocka_unit_test(test_keys),
    };

    if (!have("tar") || !have("openssl") || !have("scrypt")) {
        puts("skipped: tar, openssl or scrypt is not installed");
        return 77;
    }
    return cmocka_run_group_tests(tests, make_secret, drop_secret);
}
