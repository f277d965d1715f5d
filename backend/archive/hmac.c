/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hmac.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_SIZE 64
#define PREFIX      "(stdin)= "

struct hmac {
    EVP_PKEY *key; /* OpenSSL wipes both when they are freed */
    EVP_MD_CTX *context;
};

static int begin(struct hmac *hmac)
{
    EVP_MD_CTX_reset(hmac->context);
    return EVP_DigestSignInit(hmac->context, NULL, EVP_sha512(), NULL, hmac->key) == 1 ? 0 : -EIO;
}

int hmac_new(const struct secret *passphrase, struct hmac **ret_hmac)
{
    struct hmac *hmac = calloc(1, sizeof(*hmac));
    int result = -ENOMEM;

    if (!hmac)
        return -ENOMEM;
    hmac->key = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, secret_data(passphrase),
                                             secret_length(passphrase));
    hmac->context = EVP_MD_CTX_new();
    if (!hmac->key || !hmac->context)
        goto err0;
    result = begin(hmac);
    if (result < 0)
        goto err0;
    *ret_hmac = hmac;
    return 0;
err0:
    hmac_free(hmac);
    return result;
}

void hmac_free(struct hmac *hmac)
{
    if (!hmac)
        return;
    EVP_MD_CTX_free(hmac->context);
    EVP_PKEY_free(hmac->key);
    free(hmac);
}

int hmac_update(struct hmac *hmac, const void *data, size_t length)
{
    return EVP_DigestSignUpdate(hmac->context, data, length) == 1 ? 0 : -EIO;
}

int hmac_end(struct hmac *hmac, char ret_text[HMAC_TEXT_LENGTH + 1])
{
    unsigned char digest[DIGEST_SIZE];
    size_t length = sizeof(digest);
    char *at = ret_text + strlen(PREFIX);

    if (EVP_DigestSignFinal(hmac->context, digest, &length) != 1 || length != DIGEST_SIZE)
        return -EIO;
    memcpy(ret_text, PREFIX, strlen(PREFIX));
    for (size_t i = 0; i < DIGEST_SIZE; i++)
        at += sprintf(at, "%02x", digest[i]);
    strcpy(at, "\n");
    return begin(hmac);
}
