/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mac.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "(stdin)= "

struct mac {
    enum mac_digest digest;
    EVP_MAC_CTX *context; /* OpenSSL wipes it when it is freed */
};

int mac_new(enum mac_digest digest, struct mac **ret_mac)
{
    struct mac *mac = calloc(1, sizeof(*mac));
    EVP_MAC *algorithm;

    if (!mac)
        return -ENOMEM;
    algorithm = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (!algorithm) {
        free(mac);
        return -EIO;
    }
    mac->digest = digest;
    mac->context = EVP_MAC_CTX_new(algorithm);
    EVP_MAC_free(algorithm);
    if (!mac->context) {
        free(mac);
        return -ENOMEM;
    }
    *ret_mac = mac;
    return 0;
}

void mac_free(struct mac *mac)
{
    if (!mac)
        return;
    EVP_MAC_CTX_free(mac->context);
    free(mac);
}

int mac_begin(struct mac *mac, const void *key, size_t length)
{
    static const char *const names[] = {"SHA256", "SHA512", "SHA1", "SHA384"};
    OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                                                (char *)names[mac->digest], 0),
                               OSSL_PARAM_construct_end()};

    /* OpenSSL takes a NULL key for "the same again" */
    return EVP_MAC_init(mac->context, length > 0 ? key : "", length, parameters) == 1 ? 0 : -EIO;
}

int mac_update(struct mac *mac, const void *data, size_t length)
{
    return EVP_MAC_update(mac->context, data, length) == 1 ? 0 : -EIO;
}

int mac_end(struct mac *mac, unsigned char *ret_digest)
{
    size_t length;

    return EVP_MAC_final(mac->context, ret_digest, &length, MAC_SIZE_MAX) == 1 ? 0 : -EIO;
}

size_t mac_size(enum mac_digest digest)
{
    static const size_t sizes[] = {32, 64, 20, 48};

    return sizes[digest];
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
