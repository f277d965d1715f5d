/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cipher.h"

#include <errno.h>
#include <gcrypt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* some twenty streams; what is too little grows by as much */
#define SECURE_MEMORY 65536
#define SALT          8u

struct cipher {
    gcry_cipher_hd_t handle;
    enum cipher_mode mode;
};

static bool library_works;

static void start_library(void)
{
    /* without its version, it says, it does not start */
    library_works = gcry_check_version(GCRYPT_VERSION) &&
                    !gcry_control(GCRYCTL_INIT_SECMEM, SECURE_MEMORY, 0) &&
                    !gcry_control(GCRYCTL_AUTO_EXPAND_SECMEM, SECURE_MEMORY, 0) &&
                    !gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
}

static int library(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, start_library);
    return library_works ? 0 : -EIO;
}

static int code(gcry_error_t error)
{
    return !error ? 0 : gcry_err_code(error) == GPG_ERR_ENOMEM ? -ENOMEM : -EIO;
}

int cipher_new(enum cipher_mode mode, struct cipher **ret_cipher)
{
    struct cipher *cipher = calloc(1, sizeof(*cipher));
    int result = cipher ? library() : -ENOMEM;

    if (result == 0) {
        cipher->mode = mode;
        result = code(gcry_cipher_open(
            &cipher->handle, GCRY_CIPHER_AES256,
            mode == CIPHER_CBC ? GCRY_CIPHER_MODE_CBC : GCRY_CIPHER_MODE_CTR, GCRY_CIPHER_SECURE));
    }
    if (result < 0) {
        free(cipher);
        return result;
    }
    *ret_cipher = cipher;
    return 0;
}

void cipher_free(struct cipher *cipher)
{
    if (!cipher)
        return;
    gcry_cipher_close(cipher->handle);
    free(cipher);
}

int cipher_begin(struct cipher *cipher, const unsigned char key[CIPHER_KEY],
                 const unsigned char *vector)
{
    static const unsigned char zeros[CIPHER_VECTOR];
    int result;

    if (!vector)
        vector = zeros;
    result = code(gcry_cipher_reset(cipher->handle));
    if (result == 0)
        result = code(gcry_cipher_setkey(cipher->handle, key, CIPHER_KEY));
    if (result < 0)
        return result;
    return code(cipher->mode == CIPHER_CBC
                    ? gcry_cipher_setiv(cipher->handle, vector, CIPHER_VECTOR)
                    : gcry_cipher_setctr(cipher->handle, vector, CIPHER_VECTOR));
}

int cipher_encrypt(struct cipher *cipher, const void *data, size_t length, void *ret_data)
{
    return code(gcry_cipher_encrypt(cipher->handle, ret_data, length,
                                    ret_data == data ? NULL : data, ret_data == data ? 0 : length));
}

int cipher_decrypt(struct cipher *cipher, const void *data, size_t length, void *ret_data)
{
    return code(gcry_cipher_decrypt(cipher->handle, ret_data, length,
                                    ret_data == data ? NULL : data, ret_data == data ? 0 : length));
}

/* D1 = H(passphrase salt), D2 = H(D1 passphrase salt), ...; all of them, cut. */
int cipher_derive(enum cipher_digest digest, const void *passphrase, size_t length,
                  const unsigned char salt[SALT], struct cipher_secret *ret_secret)
{
    int algorithm = digest == CIPHER_MD5 ? GCRY_MD_MD5 : GCRY_MD_SHA256;
    unsigned char *at = ret_secret->key; /* and on into the vector */
    size_t size, left = sizeof(*ret_secret), before = 0;
    gcry_md_hd_t handle;
    int result = library();

    if (result == 0)
        result = code(gcry_md_open(&handle, algorithm, GCRY_MD_FLAG_SECURE));
    if (result < 0)
        return result;
    for (; left > 0; at += before, left -= before) {
        gcry_md_reset(handle);
        gcry_md_write(handle, at - before, before);
        gcry_md_write(handle, passphrase, length);
        gcry_md_write(handle, salt, SALT);
        size = gcry_md_get_algo_dlen(algorithm);
        before = left < size ? left : size;
        memcpy(at, gcry_md_read(handle, algorithm), before);
    }
    gcry_md_close(handle);
    return 0;
}
