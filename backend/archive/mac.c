/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMAC over OpenSSL's plain digest functions, as these keep their state where they are told to: in
 * locked memory.  EVP's contexts hold the key on the heap; libgcrypt's are locked too, but its
 * SHA-512 takes 1.3 times as long.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* plain functions are meant */
#include "mac.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "qubesfs/locked.h"

#define PREFIX    "(stdin)= "
#define BLOCK_MAX 128u

union state {
    SHA_CTX sha1;
    SHA256_CTX sha256;
    SHA512_CTX sha512;
};

struct mac {
    enum mac_digest digest;
    union state inner, outer;
    unsigned char pad[BLOCK_MAX], result[MAC_SIZE_MAX];
};

/* what an algorithm's functions are, all of one type */
#define PLAIN(name, member)                                                                        \
    static int name##_begin(union state *state)                                                    \
    {                                                                                              \
        return name##_Init(&state->member);                                                        \
    }                                                                                              \
    static int name##_add(union state *state, const void *data, size_t length)                     \
    {                                                                                              \
        return name##_Update(&state->member, data, length);                                        \
    }                                                                                              \
    static int name##_end(union state *state, unsigned char *ret_digest)                           \
    {                                                                                              \
        return name##_Final(ret_digest, &state->member);                                           \
    }

PLAIN(SHA1, sha1)
PLAIN(SHA256, sha256)
PLAIN(SHA384, sha512)
PLAIN(SHA512, sha512)

static const struct plain {
    size_t block, size;
    int (*begin)(union state *state);
    int (*add)(union state *state, const void *data, size_t length);
    int (*end)(union state *state, unsigned char *ret_digest);
} plains[] = {
    [MAC_SHA1] = {64, 20, SHA1_begin, SHA1_add, SHA1_end},
    [MAC_SHA256] = {64, 32, SHA256_begin, SHA256_add, SHA256_end},
    [MAC_SHA384] = {128, 48, SHA384_begin, SHA384_add, SHA384_end},
    [MAC_SHA512] = {128, 64, SHA512_begin, SHA512_add, SHA512_end},
};

int mac_new(enum mac_digest digest, struct mac **ret_mac)
{
    struct mac *mac = locked_alloc(sizeof(*mac));

    if (!mac)
        return -ENOMEM;
    mac->digest = digest;
    *ret_mac = mac;
    return 0;
}

void mac_free(struct mac *mac)
{
    locked_free(mac, sizeof(*mac));
}

/* Begins a digest with the key, each byte of it changed by `change`. */
static bool begin_keyed(struct mac *mac, union state *state, unsigned char change)
{
    const struct plain *plain = &plains[mac->digest];
    bool good;

    for (size_t i = 0; i < plain->block; i++)
        mac->pad[i] ^= change;
    good = plain->begin(state) && plain->add(state, mac->pad, plain->block);
    for (size_t i = 0; i < plain->block; i++)
        mac->pad[i] ^= change;
    return good;
}

int mac_begin(struct mac *mac, const void *key, size_t length)
{
    const struct plain *plain = &plains[mac->digest];
    bool good = true;

    memset(mac->pad, 0, sizeof(mac->pad));
    if (length > plain->block)
        good = plain->begin(&mac->inner) && plain->add(&mac->inner, key, length) &&
               plain->end(&mac->inner, mac->pad);
    else if (length > 0)
        memcpy(mac->pad, key, length);
    good = good && begin_keyed(mac, &mac->inner, 0x36) && begin_keyed(mac, &mac->outer, 0x5c);
    return good ? 0 : -EIO;
}

int mac_update(struct mac *mac, const void *data, size_t length)
{
    return plains[mac->digest].add(&mac->inner, data, length) ? 0 : -EIO;
}

int mac_end(struct mac *mac, unsigned char *ret_digest)
{
    const struct plain *plain = &plains[mac->digest];
    bool good = plain->end(&mac->inner, mac->result) &&
                plain->add(&mac->outer, mac->result, plain->size) &&
                plain->end(&mac->outer, ret_digest);

    return good ? 0 : -EIO;
}

size_t mac_size(enum mac_digest digest)
{
    return plains[digest].size;
}

int mac_once(enum mac_digest digest, const void *key, size_t key_length, const void *data,
             size_t length, unsigned char *ret_digest)
{
    struct mac *mac;
    int result = mac_new(digest, &mac);

    if (result < 0)
        return result;
    result = mac_begin(mac, key, key_length);
    if (result == 0)
        result = mac_update(mac, data, length);
    if (result == 0)
        result = mac_end(mac, ret_digest);
    mac_free(mac);
    return result;
}

void mac_text(const unsigned char digest[64], char ret_text[MAC_TEXT_LENGTH + 1])
{
    char *at = ret_text + strlen(PREFIX);

    memcpy(ret_text, PREFIX, strlen(PREFIX));
    for (size_t i = 0; i < 64; i++)
        at += sprintf(at, "%02x", digest[i]);
    strcpy(at, "\n");
}
