/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "read_cipher.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cipher.h"
#include "qubesfs/locked.h"

#define BLOCK CIPHER_BLOCK

struct read_cipher {
    const struct secret *passphrase;
    struct cipher_events events;
    struct cipher *cipher;
    struct cipher_secret *secret; /* locked */
    enum cipher_digest digest;    /* that made the key that made sense last */
    bool begun;                   /* the stream's key is set */
    bool held;                    /* `block` is the last one so far, decrypted */
    unsigned char block[BLOCK];
};

int read_cipher_new(const struct secret *passphrase, const struct cipher_events *events,
                    struct read_cipher **ret_cipher)
{
    struct read_cipher *cipher = calloc(1, sizeof(*cipher));
    int result;

    if (!cipher)
        return -ENOMEM;
    cipher->passphrase = passphrase;
    cipher->events = *events;
    cipher->digest = CIPHER_MD5;
    cipher->secret = locked_alloc(sizeof(*cipher->secret));
    result = cipher->secret ? cipher_new(CIPHER_CBC, &cipher->cipher) : -ENOMEM;
    if (result < 0)
        read_cipher_free(cipher);
    else
        *ret_cipher = cipher;
    return result;
}

void read_cipher_free(struct read_cipher *cipher)
{
    if (!cipher)
        return;
    cipher_free(cipher->cipher);
    locked_free(cipher->secret, sizeof(*cipher->secret));
    free(cipher);
}

void read_cipher_begin(struct read_cipher *cipher)
{
    cipher->begun = false;
    cipher->held = false;
}

static int set_key(struct read_cipher *cipher, const unsigned char *salt, enum cipher_digest digest)
{
    int result = cipher_derive(digest, secret_data(cipher->passphrase),
                               secret_length(cipher->passphrase), salt, cipher->secret);

    return result < 0 ? result
                      : cipher_begin(cipher->cipher, cipher->secret->key, cipher->secret->vector);
}

/* 1: this key makes sense of the beginning, and is set; 0: it does not. */
static int try_key(struct read_cipher *cipher, const unsigned char *data, size_t length,
                   enum cipher_digest digest)
{
    unsigned char plain[CIPHER_JUDGED];
    size_t judged = length - CIPHER_HEADER < CIPHER_JUDGED ? length - CIPHER_HEADER : CIPHER_JUDGED;
    int result = set_key(cipher, data + 8, digest);

    judged -= judged % BLOCK;
    if (result == 0)
        result = cipher_decrypt(cipher->cipher, data + CIPHER_HEADER, judged, plain);
    if (result < 0 || !cipher->events.judge(cipher->events.cookie, plain, judged))
        return result;
    cipher->digest = digest;
    result = set_key(cipher, data + 8, digest);
    return result < 0 ? result : 1;
}

static int begin(struct read_cipher *cipher, const unsigned char *data, size_t length,
                 struct error *ret_error)
{
    enum cipher_digest digest = cipher->digest;
    int result;

    if (length < CIPHER_HEADER + BLOCK || memcmp(data, CIPHER_MAGIC, 8) != 0)
        return error_set(ret_error, -EBADMSG, "it is not encrypted as the backup says");
    result = try_key(cipher, data, length, digest);
    if (result == 0)
        result = try_key(cipher, data, length, digest == CIPHER_MD5 ? CIPHER_SHA256 : CIPHER_MD5);
    if (result == 0)
        return error_set(ret_error, -EBADMSG,
                         "no key makes sense of it, neither by MD5 nor by SHA-256");
    cipher->begun = true;
    return result < 0 ? result : 0;
}

static int hand_on(struct read_cipher *cipher, const unsigned char *plain, size_t length,
                   struct error *ret_error)
{
    return length > 0 ? cipher->events.plain(cipher->events.cookie, plain, length, ret_error) : 0;
}

int read_cipher_next(struct read_cipher *cipher, unsigned char *data, size_t length, bool last,
                     struct error *ret_error)
{
    int result = 0;

    if (!cipher->begun) {
        result = begin(cipher, data, length, ret_error);
        if (result < 0)
            return result;
        data += CIPHER_HEADER;
        length -= CIPHER_HEADER;
    }
    if (length % BLOCK)
        return error_set(ret_error, -EBADMSG, "it is cut within a block of its cipher");
    if (length > 0) {
        result = cipher_decrypt(cipher->cipher, data, length, data);
        if (result == 0 && cipher->held)
            result = hand_on(cipher, cipher->block, BLOCK, ret_error);
        memcpy(cipher->block, data + length - BLOCK, BLOCK);
        cipher->held = true;
        if (result == 0)
            result = hand_on(cipher, data, length - BLOCK, ret_error);
    }
    return result < 0 || !last ? result : read_cipher_last(cipher, ret_error);
}

int read_cipher_last(struct read_cipher *cipher, struct error *ret_error)
{
    unsigned padding = cipher->block[BLOCK - 1];

    if (!cipher->held || padding < 1 || padding > BLOCK)
        return error_set(ret_error, -EBADMSG, "the end of its cipher is missing");
    for (unsigned i = 0; i < padding; i++)
        if (cipher->block[BLOCK - 1 - i] != padding)
            return error_set(ret_error, -EBADMSG, "the end of its cipher is missing");
    cipher->held = false;
    return hand_on(cipher, cipher->block, BLOCK - padding, ret_error);
}
