/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "container.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "mac.h"

struct container {
    EVP_CIPHER_CTX *cipher; /* OpenSSL wipes both when they are freed */
    struct mac *mac;
};

int container_new(struct container **ret_container)
{
    struct container *container = calloc(1, sizeof(*container));
    int result;

    if (!container)
        return -ENOMEM;
    container->cipher = EVP_CIPHER_CTX_new();
    result = container->cipher ? mac_new(MAC_SHA256, &container->mac) : -ENOMEM;
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
    EVP_CIPHER_CTX_free(container->cipher);
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
    static const unsigned char zero[16];
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
    if (!EVP_EncryptInit_ex(container->cipher, EVP_aes_256_ctr(), NULL, key->cipher, zero))
        return -EIO;
    result = mac_begin(container->mac, key->mac, sizeof(key->mac));
    return result < 0 ? result : mac_update(container->mac, ret_header, CONTAINER_HEADER);
}

int container_put(struct container *container, const void *data, size_t length,
                  unsigned char *ret_data)
{
    int made;

    if (!EVP_EncryptUpdate(container->cipher, ret_data, &made, data, (int)length))
        return -EIO;
    return mac_update(container->mac, ret_data, length);
}

int container_end(struct container *container, unsigned char ret_mac[CONTAINER_MAC])
{
    unsigned char digest[MAC_SIZE_MAX];
    int result = mac_end(container->mac, digest);

    if (result == 0)
        memcpy(ret_mac, digest, CONTAINER_MAC);
    return result;
}
