/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "read_cipher.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 16u

struct read_cipher {
    const struct secret *passphrase;
    struct cipher_events events;
    EVP_CIPHER_CTX *context; /* OpenSSL wipes it when it is freed */
    bool newer;              /* the key that made sense last was made with SHA-256 */
    bool begun;              /* the stream's key is set */
    bool held;               /* `block` is the last one so far, decrypted */
    unsigned char block[BLOCK];
};

int read_cipher_new(const struct secret *passphrase, const struct cipher_events *events,
                    struct read_cipher **ret_cipher)
{
    struct read_cipher *cipher = calloc(1, sizeof(*cipher));

    if (!cipher)
        return -ENOMEM;
    cipher->passphrase = passphrase;
    cipher->events = *events;
    cipher->context = EVP_CIPHER_CTX_new();
    if (!cipher->context) {
        free(cipher);
        return -ENOMEM;
    }
    *ret_cipher = cipher;
    return 0;
}

void read_cipher_free(struct read_cipher *cipher)
{
    if (!cipher)
        return;
    EVP_CIPHER_CTX_free(cipher->context);
    OPENSSL_cleanse(cipher, sizeof(*cipher));
    free(cipher);
}

void read_cipher_begin(struct read_cipher *cipher)
{
    cipher->begun = false;
    cipher->held = false;
}

/* Derives key and vector and hands them to the context; nothing of them stays on the stack. */
static int set_key(struct read_cipher *cipher, const unsigned char *salt, bool newer)
{
    unsigned char key[EVP_MAX_KEY_LENGTH], vector[EVP_MAX_IV_LENGTH];
    int good = EVP_BytesToKey(EVP_aes_256_cbc(), newer ? EVP_sha256() : EVP_md5(), salt,
                              secret_data(cipher->passphrase),
                              (int)secret_length(cipher->passphrase), 1, key, vector) == 32 &&
               EVP_DecryptInit_ex(cipher->context, EVP_aes_256_cbc(), NULL, key, vector) &&
               EVP_CIPHER_CTX_set_padding(cipher->context, 0);

    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(vector, sizeof(vector));
    return good ? 0 : -EIO;
}

/* 1: this key makes sense of the beginning, and is set; 0: it does not. */
static int try_key(struct read_cipher *cipher, const unsigned char *data, size_t length, bool newer)
{
    unsigned char plain[CIPHER_JUDGED + BLOCK];
    size_t judged = length - CIPHER_HEADER < CIPHER_JUDGED ? length - CIPHER_HEADER : CIPHER_JUDGED;
    int made, result = set_key(cipher, data + 8, newer);

    if (result == 0 &&
        !EVP_DecryptUpdate(cipher->context, plain, &made, data + CIPHER_HEADER, (int)judged))
        result = -EIO;
    if (result == 0 && cipher->events.judge(cipher->events.cookie, plain, judged)) {
        cipher->newer = newer;
        result = set_key(cipher, data + 8, newer);
        result = result < 0 ? result : 1;
    }
    OPENSSL_cleanse(plain, sizeof(plain));
    return result;
}

static int begin(struct read_cipher *cipher, const unsigned char *data, size_t length,
                 struct error *ret_error)
{
    bool newer = cipher->newer;
    int result;

    if (length < CIPHER_HEADER + BLOCK || memcmp(data, CIPHER_MAGIC, 8) != 0)
        return error_set(ret_error, -EBADMSG, "it is not encrypted as the backup says");
    result = try_key(cipher, data, length, newer);
    if (result == 0)
        result = try_key(cipher, data, length, !newer);
    if (result == 0)
        return error_set(ret_error, -EBADMSG,
                         "no key makes sense of it, neither by MD5 nor by SHA-256");
    cipher->begun = true;
    return result < 0 ? result : 0;
}

/* EVP takes an int. */
static int decrypt(struct read_cipher *cipher, unsigned char *data, size_t length)
{
    int made;

    return EVP_DecryptUpdate(cipher->context, data, &made, data, (int)length) ? 0 : -EIO;
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
        result = decrypt(cipher, data, length);
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
