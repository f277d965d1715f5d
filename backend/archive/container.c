/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "container.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "cipher.h"
#include "mac.h"

struct container {
    struct cipher *cipher;
    struct mac *mac;
};

int container_new(struct container **ret_container)
{
    struct container *container = calloc(1, sizeof(*container));
    int result;

    if (!container)
        return -ENOMEM;
    result = cipher_new(CIPHER_CTR, &container->cipher);
    if (result == 0)
        result = mac_new(MAC_SHA256, &container->mac);
    if (result < 0) {
        container_free(container);
        return result;
    }
    *ret_container = container;
    return 0;
}

void container_free(struct container *container)
{
    if (!container)
        return;
    cipher_free(container->cipher);
    mac_free(container->mac);
    free(container);
}

static void put_big_endian(unsigned char *at, unsigned number)
{
    for (unsigned i = 4; i-- > 0; number >>= 8)
        at[i] = (unsigned char)number;
}

int container_begin(struct container *container, const struct container_key *key, unsigned log2_n,
                    unsigned char ret_header[CONTAINER_HEADER])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    int result;

    memcpy(ret_header, "scrypt", 7); /* with the version, 0 */
    ret_header[7] = (unsigned char)log2_n;
    put_big_endian(ret_header + 8, CONTAINER_R);
    put_big_endian(ret_header + 12, CONTAINER_P);
    memcpy(ret_header + 16, key->salt, CONTAINER_SALT);
    if (!EVP_Digest(ret_header, 48, digest, NULL, EVP_sha256(), NULL))
        return -EIO;
    memcpy(ret_header + 48, digest, 16);
    result = mac_once(MAC_SHA256, key->mac, sizeof(key->mac), ret_header, 64, digest);
    if (result < 0)
        return result;
    memcpy(ret_header + 64, digest, 32);
    result = cipher_begin(container->cipher, key->cipher, NULL);
    if (result < 0)
        return result;
    return mac_begin(container->mac, key->mac, sizeof(key->mac));
}

int container_encrypt(struct container *container, const void *data, size_t length,
                      unsigned char *ret_data)
{
    return cipher_encrypt(container->cipher, data, length, ret_data);
}

int container_prove(struct container *container, const void *data, size_t length)
{
    return mac_update(container->mac, data, length);
}

int container_end(struct container *container, unsigned char ret_mac[CONTAINER_MAC])
{
    unsigned char digest[MAC_SIZE_MAX];
    int result = mac_end(container->mac, digest);

    if (result == 0)
        memcpy(ret_mac, digest, CONTAINER_MAC);
    return result;
}
