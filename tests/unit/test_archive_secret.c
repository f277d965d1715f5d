/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is secret lies in locked memory only while an archive is written, and nowhere afterwards. */
#include "archive_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/hmac.h>
#include <unistd.h>

#include "archive/cipher.h"
#include "archive/keys.h"
#include "archive/mac.h"
#include "archive/salts.h"
#include "archive/scrypt.h"
#include "qubesfs/locked.h"

#define PASSPHRASE_LENGTH 40u
#define NEEDLE            16u /* of each secret, bytes that are looked for */
#define WINDOW            ((size_t)1 << 20)
/* larger ones are a sanitizer's */
#define MAPPING_MAX ((unsigned long)512 << 20)
#define ID          "20161020T123455-1234"

/* All that knows the secrets, in locked memory itself. */
struct known {
    unsigned char passphrase[PASSPHRASE_LENGTH];
    char composed[128];
    unsigned char needles[4][NEEDLE];
    unsigned char window[WINDOW + NEEDLE];
};

static struct known *known;
static unsigned needle_count;
static bool looked;
static unsigned found_meanwhile;

static bool window_has_one(size_t length, unsigned long address)
{
    for (unsigned i = 0; i < needle_count; i++)
        if (memmem(known->window, length, known->needles[i], NEEDLE)) {
            printf("secret %u lies at about %#lx\n", i, address);
            return true;
        }
    return false;
}

/* By pread, as other threads may unmap anything meanwhile. */
static unsigned look_in(int memory, unsigned long from, unsigned long to)
{
    unsigned found = 0;

    for (unsigned long at = from; at < to; at += WINDOW) {
        size_t length = to - at < sizeof(known->window) ? to - at : sizeof(known->window);
        ssize_t got = pread(memory, known->window, length, (off_t)at);

        if (got <= 0)
            break;
        if (window_has_one((size_t)got, at))
            found++;
    }
    return found;
}

/* In all of this process that may be written to and is not locked. */
static unsigned look(void)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    unsigned long from, to, next_from = 0, next_to = 0;
    char line[512], rights[8];
    unsigned found = 0;

    assert_non_null(maps);
    assert_true(memory >= 0);
    from = to = 0;
    while (fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx %7s", &next_from, &next_to, rights) == 3) {
            from = rights[1] == 'w' ? next_from : 0;
            to = rights[1] == 'w' ? next_to : 0;
        }
        if (!strncmp(line, "VmFlags:", 8) && !strstr(line, " lo") && to - from <= MAPPING_MAX)
            found += look_in(memory, from, to);
    }
    fclose(maps);
    close(memory);
    return found;
}

static int take_and_look(void *cookie, const void *data, size_t length)
{
    struct text *text = cookie;

    text_append(text, data, length);
    /* the header's come before there are ciphers */
    if (!looked && text->length > 100000) {
        looked = true;
        found_meanwhile = look();
    }
    return 0;
}

static void add_needle(const void *bytes)
{
    memcpy(known->needles[needle_count++], bytes, NEEDLE);
}

/* What the writer will derive for `name`, of a seed that is known. */
static void add_keys(const struct archive_options *options, const char *name)
{
    struct salts *salts;
    size_t length = (size_t)snprintf(known->composed, sizeof(known->composed), ID "!%s!", name);
    struct container_key *key = locked_alloc(sizeof(*key));
    struct cipher_secret *secret = locked_alloc(sizeof(*secret));
    unsigned char salt[SALT_MAX];

    assert_int_equal(salts_new(options->salt_seed, &salts), 0);
    assert_int_equal(salt_make(salts, name, salt, sizeof(salt)), 0);
    salts_free(salts);
    if (options->format == 4) {
        memcpy(known->composed + length, known->passphrase, PASSPHRASE_LENGTH);
        assert_int_equal(scrypt_derive(known->composed, length + PASSPHRASE_LENGTH, salt,
                                       CONTAINER_SALT, options->kdf_log2_n, key->cipher, 64, NULL),
                         0);
        add_needle(key->cipher);
        add_needle(key->mac);
    } else {
        assert_int_equal(
            cipher_derive(CIPHER_MD5, known->passphrase, PASSPHRASE_LENGTH, salt, secret), 0);
        add_needle(secret->key);
    }
    locked_free(key, sizeof(*key));
    locked_free(secret, sizeof(*secret));
}

static void check(unsigned format)
{
    static const unsigned char seed[ARCHIVE_SEED_SIZE] = "a seed that is known";
    struct archive_options options = {.format = format,
                                      .encrypted = true,
                                      .compression = ARCHIVE_NONE,
                                      .kdf_log2_n = ARCHIVE_KDF_MIN,
                                      .backup_id = ID,
                                      .salt_seed = seed};
    struct text text = TEXT_INIT;
    struct archive_output output = {&text, take_and_look, output_cancelled, NULL, NULL};
    struct archive_writer *writer;
    struct error error = {0};
    struct secret *secret;
    char *data = calloc(1, 1000000);

    known = locked_alloc(sizeof(*known));
    assert_non_null(known);
    needle_count = 0;
    looked = false;
    assert_int_equal(getentropy(known->passphrase, PASSPHRASE_LENGTH), 0);
    for (size_t i = 0; i < PASSPHRASE_LENGTH; i++)
        known->passphrase[i] |= 1; /* no NUL */
    add_needle(known->passphrase + 8);
    assert_int_equal(secret_new(known->passphrase, PASSPHRASE_LENGTH, &secret), 0);
    options.passphrase = secret;
    add_keys(&options, "vm2/private.img.000");

    assert_int_equal(archive_writer_new(&options, &output, &writer, &error), 0);
    assert_int_equal(archive_write_data(writer, "vm2/private.img", data, 1000000, &error), 0);
    assert_int_equal(archive_writer_finish(writer, &error), 0);
    assert_true(looked);
    assert_int_equal(found_meanwhile, 0);
    archive_writer_free(writer);
    secret_unref(secret);
    assert_int_equal(look(), 0);

    /* it does find what is there */
    memcpy(data, known->needles[needle_count - 1], NEEDLE);
    assert_int_not_equal(look(), 0);
    free(data);
    text_free(&text);
    locked_free(known, sizeof(*known));
}

/* Sanitizers keep copies of what goes through them. */
static void skip_with_sanitizer(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip();
#endif
}

static void test_format3(void **state)
{
    (void)state;
    skip_with_sanitizer();
    check(3);
}

static void test_format4(void **state)
{
    (void)state;
    skip_with_sanitizer();
    check(4);
}

/* Keys around the digests' blocks, against OpenSSL's own HMAC. */
static void test_mac_keys(void **state)
{
    static const size_t lengths[] = {0, 1, 63, 64, 65, 127, 128, 129, 1000};
    static const struct {
        enum mac_digest digest;
        const EVP_MD *(*md)(void);
    } digests[] = {{MAC_SHA1, EVP_sha1},
                   {MAC_SHA256, EVP_sha256},
                   {MAC_SHA384, EVP_sha384},
                   {MAC_SHA512, EVP_sha512}};
    unsigned char key[1000], ours[MAC_SIZE_MAX], theirs[EVP_MAX_MD_SIZE];
    unsigned size;

    (void)state;
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (unsigned char)(i * 11 + 3);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        for (size_t j = 0; j < 4; j++) {
            assert_int_equal(mac_once(digests[j].digest, key, lengths[i], "data", 4, ours), 0);
            HMAC(digests[j].md(), key, (int)lengths[i], (const unsigned char *)"data", 4, theirs,
                 &size);
            assert_int_equal(size, mac_size(digests[j].digest));
            assert_memory_equal(ours, theirs, size);
        }
    }
}

/* Both ciphers and both digests for their key, against EVP's. */
static void test_cipher(void **state)
{
    static const struct {
        enum cipher_mode mode;
        enum cipher_digest digest;
        const EVP_CIPHER *(*cipher)(void);
        const EVP_MD *(*md)(void);
    } cases[] = {{CIPHER_CBC, CIPHER_MD5, EVP_aes_256_cbc, EVP_md5},
                 {CIPHER_CTR, CIPHER_SHA256, EVP_aes_256_ctr, EVP_sha256}};
    static const unsigned char salt[8] = "saltsal";
    unsigned char data[4096], ours[4096], theirs[4096], key[32], vector[16];
    struct cipher_secret secret;
    struct cipher *cipher;
    int made;

    (void)state;
    memset(data, 'x', sizeof(data));
    for (size_t i = 0; i < 2; i++) {
        EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

        assert_int_equal(cipher_derive(cases[i].digest, "pass", 4, salt, &secret), 0);
        EVP_BytesToKey(cases[i].cipher(), cases[i].md(), salt, (const unsigned char *)"pass", 4, 1,
                       key, vector);
        assert_memory_equal(secret.key, key, 32);
        assert_memory_equal(secret.vector, vector, 16);
        EVP_EncryptInit_ex(context, cases[i].cipher(), NULL, key, vector);
        EVP_EncryptUpdate(context, theirs, &made, data, sizeof(data));
        EVP_CIPHER_CTX_free(context);
        assert_int_equal(cipher_new(cases[i].mode, &cipher), 0);
        /* twice, the first one given up; then in pieces */
        assert_int_equal(cipher_begin(cipher, key, vector), 0);
        assert_int_equal(cipher_encrypt(cipher, data, 32, ours), 0);
        assert_int_equal(cipher_begin(cipher, key, vector), 0);
        assert_int_equal(cipher_encrypt(cipher, data, 48, ours), 0);
        memcpy(ours + 48, data + 48, sizeof(data) - 48);
        assert_int_equal(cipher_encrypt(cipher, ours + 48, sizeof(data) - 48, ours + 48), 0);
        assert_memory_equal(ours, theirs, sizeof(data));
        assert_int_equal(cipher_begin(cipher, key, vector), 0);
        assert_int_equal(cipher_decrypt(cipher, ours, sizeof(ours), ours), 0);
        assert_memory_equal(ours, data, sizeof(data));
        cipher_free(cipher);
    }
    cipher_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format3),
        cmocka_unit_test(test_format4),
        cmocka_unit_test(test_mac_keys),
        cmocka_unit_test(test_cipher),
    };

    return cmocka_run_group_tests_name("archive_secret", tests, NULL, NULL);
}
