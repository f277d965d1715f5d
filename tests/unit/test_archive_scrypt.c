/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The own scrypt against RFC 7914 and OpenSSL's. */
#include <errno.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "archive/scrypt.h"

/* Section 12, the one of its vectors with r = 8, p = 1 that takes no GiB. */
static void test_rfc(void **state)
{
    static const unsigned char expected[64] = {
        0x70, 0x23, 0xbd, 0xcb, 0x3a, 0xfd, 0x73, 0x48, 0x46, 0x1c, 0x06, 0xcd, 0x81,
        0xfd, 0x38, 0xeb, 0xfd, 0xa8, 0xfb, 0xba, 0x90, 0x4f, 0x8e, 0x3e, 0xa9, 0xb5,
        0x43, 0xf6, 0x54, 0x5d, 0xa1, 0xf2, 0xd5, 0x43, 0x29, 0x55, 0x61, 0x3f, 0x0f,
        0xcf, 0x62, 0xd4, 0x97, 0x05, 0x24, 0x2a, 0x9a, 0xf9, 0xe6, 0x1e, 0x85, 0xdc,
        0x0d, 0x65, 0x1e, 0x40, 0xdf, 0xcf, 0x01, 0x7b, 0x45, 0x57, 0x58, 0x87};
    unsigned char key[64];

    (void)state;
    assert_int_equal(
        scrypt_derive("pleaseletmein", 13, "SodiumChloride", 14, 14, key, sizeof(key), NULL), 0);
    assert_memory_equal(key, expected, sizeof(key));
}

/* Each cost up to 2^15, lengths around those of SHA-256's blocks and digests; one memory for two.
 */
static void test_openssl(void **state)
{
    static const size_t lengths[] = {0, 1, 31, 32, 33, 55, 56, 64, 65, 129, 1000};
    unsigned char passphrase[1000], salt[1000], ours[1000], theirs[1000];
    struct scrypt *scrypt;

    (void)state;
    for (size_t i = 0; i < 1000; i++) {
        passphrase[i] = (unsigned char)(i * 7 + 1);
        salt[i] = (unsigned char)(i * 13 + 5);
    }
    for (unsigned log2_n = 1; log2_n <= 15; log2_n++) {
        assert_int_equal(scrypt_new(log2_n, &scrypt), 0);
        for (size_t i = 0; i < 2; i++) {
            size_t length = lengths[(log2_n + 5 * i) % 11], salt_length = lengths[log2_n * 3 % 11],
                   key_length = lengths[1 + log2_n % 10];

            assert_int_equal(EVP_PBE_scrypt((char *)passphrase, length, salt, salt_length,
                                            (uint64_t)1 << log2_n, 8, 1, UINT64_MAX, theirs,
                                            key_length),
                             1);
            assert_int_equal(
                scrypt_run(scrypt, passphrase, length, salt, salt_length, ours, key_length, NULL),
                0);
            assert_memory_equal(ours, theirs, key_length);
        }
        scrypt_free(scrypt);
    }
}

static void test_cancelled(void **state)
{
    atomic_bool cancelled = true;
    unsigned char key[64] = "untouched", again[64];
    struct scrypt *scrypt;

    (void)state;
    assert_int_equal(scrypt_new(14, &scrypt), 0);
    assert_int_equal(scrypt_run(scrypt, "x", 1, "y", 1, key, 64, &cancelled), -ECANCELED);
    assert_string_equal((char *)key, "untouched");
    cancelled = false;
    assert_int_equal(scrypt_run(scrypt, "x", 1, "y", 1, key, 64, &cancelled), 0);
    scrypt_free(scrypt);
    assert_int_equal(scrypt_derive("x", 1, "y", 1, 14, again, 64, NULL), 0);
    assert_memory_equal(key, again, 64);
    scrypt_free(NULL);
}

static void test_limits(void **state)
{
    unsigned char key[64];

    (void)state;
    assert_int_equal(scrypt_derive("x", 1, "y", 1, 0, key, 64, NULL), -EINVAL);
    assert_int_equal(scrypt_derive("x", 1, "y", 1, SCRYPT_LOG2_N_MAX + 1, key, 64, NULL), -EINVAL);
}

/* How many MiB of this process are kept out of core dumps. */
static unsigned undumped(void)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[512], flags[512];
    unsigned long size = 0, sum = 0;

    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        sscanf(line, "Size: %lu kB", &size);
        if (sscanf(line, "VmFlags: %511[^\n]", flags) == 1 && strstr(flags, "dd"))
            sum += size;
    }
    fclose(file);
    return (unsigned)(sum >> 10);
}

static void test_no_dump(void **state)
{
    unsigned before = undumped();
    struct scrypt *scrypt;

    (void)state;
    assert_int_equal(scrypt_new(15, &scrypt), 0);
    assert_in_range(undumped() - before, 32, 40);
    scrypt_free(scrypt);
    assert_in_range(undumped(), before, before + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc),       cmocka_unit_test(test_openssl),
        cmocka_unit_test(test_cancelled), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_no_dump),
    };

    return cmocka_run_group_tests_name("archive_scrypt", tests, NULL, NULL);
}
