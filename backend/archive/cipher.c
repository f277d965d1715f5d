/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cipher.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC       "Salted__"
#define MAGIC_SIZE  8
#define BLOCK       16
#define OUTPUT_SIZE (64u << 10)

struct cipher {
    struct sink sink;
    EVP_CIPHER_CTX *context; /* OpenSSL wipes it when it is freed */
    bool begun;              /* magic and salt were written */
    unsigned char head[MAGIC_SIZE + CIPHER_SALT];
    unsigned char output[OUTPUT_SIZE + BLOCK];
};

static int begin(struct cipher *cipher)
{
    if (cipher->begun)
        return 0;
    cipher->begun = true;
    return sink_write(cipher->sink.next, cipher->head, sizeof(cipher->head));
}

static int cipher_write(struct sink *sink, const void *data, size_t length)
{
    struct cipher *cipher = (struct cipher *)sink;
    const unsigned char *bytes = data;
    int result = begin(cipher);

    while (result == 0 && length > 0) {
        size_t piece = length < OUTPUT_SIZE ? length : OUTPUT_SIZE;
        int made;

        if (!EVP_EncryptUpdate(cipher->context, cipher->output, &made, bytes, (int)piece))
            return -EIO;
        result = sink_write(sink->next, cipher->output, (size_t)made);
        bytes += piece;
        length -= piece;
    }
    return result;
}

static int cipher_finish(struct sink *sink)
{
    struct cipher *cipher = (struct cipher *)sink;
    int made, result = begin(cipher);

    if (result < 0)
        return result;
    if (!EVP_EncryptFinal_ex(cipher->context, cipher->output, &made))
        return -EIO;
    result = sink_write(sink->next, cipher->output, (size_t)made);
    return result < 0 ? result : sink_finish(sink->next);
}

static void cipher_free(struct sink *sink)
{
    struct cipher *cipher = (struct cipher *)sink;

    EVP_CIPHER_CTX_free(cipher->context);
    free(cipher);
}

static const struct sink_operations operations = {cipher_write, cipher_finish, cipher_free};

/* Derives key and vector and hands them to the context; nothing of them stays on the stack. */
static int set_key(struct cipher *cipher, const struct secret *passphrase)
{
    unsigned char key[EVP_MAX_KEY_LENGTH], vector[EVP_MAX_IV_LENGTH];
    int good = EVP_BytesToKey(EVP_aes_256_cbc(), EVP_md5(), cipher->head + MAGIC_SIZE,
                              secret_data(passphrase), (int)secret_length(passphrase), 1, key,
                              vector) == 32 &&
               EVP_EncryptInit_ex(cipher->context, EVP_aes_256_cbc(), NULL, key, vector);

    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(vector, sizeof(vector));
    return good ? 0 : -EIO;
}

int cipher_open(const struct secret *passphrase, const unsigned char *salt, struct sink *next,
                struct sink **ret_sink)
{
    struct cipher *cipher = calloc(1, sizeof(*cipher));
    int result = -ENOMEM;

    if (!cipher)
        return -ENOMEM;
    cipher->sink = (struct sink){&operations, next};
    cipher->context = EVP_CIPHER_CTX_new();
    if (!cipher->context)
        goto err0;
    memcpy(cipher->head, MAGIC, MAGIC_SIZE);
    result = -EIO;
    if (salt)
        memcpy(cipher->head + MAGIC_SIZE, salt, CIPHER_SALT);
    else if (RAND_bytes(cipher->head + MAGIC_SIZE, CIPHER_SALT) != 1)
        goto err0;
    result = set_key(cipher, passphrase);
    if (result < 0)
        goto err0;
    *ret_sink = &cipher->sink;
    return 0;
err0:
    cipher_free(&cipher->sink);
    return result;
}

uint64_t cipher_size(uint64_t bytes)
{
    return MAGIC_SIZE + CIPHER_SALT + bytes / BLOCK * BLOCK + BLOCK;
}
