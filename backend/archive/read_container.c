/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "read_container.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

#include "cipher.h"
#include "mac.h"
#include "qubesfs/cleanup.h"
#include "qubesfs/locked.h"
#include "scrypt.h"

/* beyond this one derivation at a time */
#define SHARED_MEMORY ((uint64_t)256 << 20)
/* p is how often the memory is worked through: Qubes' have 1; more than this takes minutes */
#define WORK_FACTOR 16u
#define KEYS_SIZE                                                                                  \
    (sizeof(((struct container_key *)0)->cipher) + sizeof(((struct container_key *)0)->mac))

static uint32_t get_big_endian(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

int container_cost(const unsigned char *untrusted_container, size_t length, uint64_t memory_max,
                   struct container_cost *ret_cost, struct error *ret_error)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    struct container_cost cost;

    if (length < CONTAINER_OVERHEAD || memcmp(untrusted_container, "scrypt", 7) != 0)
        return error_set(ret_error, -EBADMSG, "it is no scrypt container");
    if (!EVP_Digest(untrusted_container, 48, digest, NULL, EVP_sha256(), NULL))
        return -EIO;
    if (memcmp(digest, untrusted_container + 48, 16) != 0)
        return error_set(ret_error, -EBADMSG, "its scrypt header is damaged");
    cost.log2_n = untrusted_container[7];
    cost.r = get_big_endian(untrusted_container + 8);
    cost.p = get_big_endian(untrusted_container + 12);
    if (cost.log2_n < 1 || cost.log2_n > 63 || cost.r < 1 || cost.p < 1 ||
        (uint64_t)cost.r * cost.p >= 1u << 30)
        return error_set(ret_error, -EBADMSG, "its scrypt header is none");
    /* r is below 2^30 */
    if (cost.log2_n > 40 || container_memory(&cost) > memory_max)
        return error_set(ret_error, -ENOTSUP,
                         "its key (scrypt, log2 N = %u, r = %" PRIu32
                         ") takes more memory than the %" PRIu64 " MiB that --kdf-memory allows",
                         cost.log2_n, cost.r, memory_max >> 20);
    if ((uint64_t)cost.p * container_memory(&cost) > WORK_FACTOR * memory_max ||
        (uint64_t)128 * cost.r * cost.p > memory_max)
        return error_set(ret_error, -ENOTSUP,
                         "its key (scrypt, log2 N = %u, r = %" PRIu32 ", p = %" PRIu32
                         ") takes too long; --kdf-memory, now %" PRIu64 " MiB, allows that too",
                         cost.log2_n, cost.r, cost.p, memory_max >> 20);
    *ret_cost = cost;
    return 0;
}

int container_derive(const struct container_cost *cost, const unsigned char *untrusted_container,
                     const char *prefix, const struct secret *passphrase,
                     const atomic_bool *cancelled, struct container_key *ret_key)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    size_t prefix_length = strlen(prefix), length = prefix_length + secret_length(passphrase);
    pthread_mutex_t *lock CLEANUP(cleanup_unlock) = NULL;
    char *buffer;
    int result = 0;

    if (container_memory(cost) > SHARED_MEMORY)
        lock = cleanup_lock(&one_at_a_time);
    if (atomic_load(cancelled))
        return -ECANCELED;
    buffer = locked_alloc(length + 1);
    if (!buffer)
        return -ENOMEM;
    memcpy(buffer, prefix, prefix_length);
    memcpy(buffer + prefix_length, secret_data(passphrase), secret_length(passphrase));
    memcpy(ret_key->salt, untrusted_container + 16, sizeof(ret_key->salt));
    /* both keys are one piece of 64 bytes; nobody makes other ones than with r = 8 and p = 1, but
     * the scrypt tool might */
    if (cost->r == CONTAINER_R && cost->p == CONTAINER_P && cost->log2_n <= SCRYPT_LOG2_N_MAX)
        result = scrypt_derive(buffer, length, ret_key->salt, sizeof(ret_key->salt), cost->log2_n,
                               ret_key->cipher, KEYS_SIZE, cancelled);
    else if (EVP_PBE_scrypt(buffer, length, ret_key->salt, sizeof(ret_key->salt),
                            (uint64_t)1 << cost->log2_n, cost->r, cost->p, UINT64_MAX,
                            ret_key->cipher, KEYS_SIZE) != 1)
        result = -ENOMEM;
    locked_free(buffer, length + 1);
    return result;
}

static int decrypt(const struct container_key *key, unsigned char *data, size_t length)
{
    struct cipher *cipher;
    int result = cipher_new(CIPHER_CTR, &cipher);

    if (result < 0)
        return result;
    result = cipher_begin(cipher, key->cipher, NULL);
    if (result == 0 && length > 0)
        result = cipher_decrypt(cipher, data, length, data);
    cipher_free(cipher);
    return result;
}

int container_open(const struct container_key *key, unsigned char *untrusted_container,
                   size_t length)
{
    unsigned char digest[MAC_SIZE_MAX];
    int result = mac_once(MAC_SHA256, key->mac, sizeof(key->mac), untrusted_container, 64, digest);

    if (result < 0)
        return result;
    if (CRYPTO_memcmp(digest, untrusted_container + 64, 32) != 0)
        return -EKEYREJECTED;
    result = mac_once(MAC_SHA256, key->mac, sizeof(key->mac), untrusted_container,
                      length - CONTAINER_MAC, digest);
    if (result < 0)
        return result;
    if (CRYPTO_memcmp(digest, untrusted_container + length - CONTAINER_MAC, CONTAINER_MAC) != 0)
        return -EBADMSG;
    return decrypt(key, untrusted_container + CONTAINER_HEADER, length - CONTAINER_OVERHEAD);
}
