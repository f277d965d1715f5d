/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * AES-256 as formats 3 (CBC) and 4 (CTR) have it.  Keys and what is made of them lie in libgcrypt's
 * secure memory: locked and wiped.  (OpenSSL, as fast, has them on the heap.)
 */
#ifndef ARCHIVE_CIPHER_H
#define ARCHIVE_CIPHER_H

#include <stddef.h>

#define CIPHER_BLOCK  16u
#define CIPHER_KEY    32u
#define CIPHER_VECTOR 16u

/** What `openssl enc` makes its key of: see docs/FORMAT.md.  In locked memory only. */
struct cipher_secret {
    unsigned char key[CIPHER_KEY], vector[CIPHER_VECTOR];
};

enum cipher_mode { CIPHER_CBC, CIPHER_CTR };

struct cipher;

/** 0, -ENOMEM or -EIO. */
int cipher_new(enum cipher_mode mode, struct cipher **ret_cipher);
void cipher_free(struct cipher *cipher); /* NULL is fine; wipes the key */

/** Begins a stream, whatever became of the one before; `vector` NULL: zeros.  0 or -EIO. */
int cipher_begin(struct cipher *cipher, const unsigned char key[CIPHER_KEY],
                 const unsigned char *vector);
/** Goes on with it.  `length`: with CIPHER_CBC whole blocks.  `ret_data` may be `data`.  0 or -EIO.
 */
int cipher_encrypt(struct cipher *cipher, const void *data, size_t length, void *ret_data);
int cipher_decrypt(struct cipher *cipher, const void *data, size_t length, void *ret_data);

/* OpenSSL's own default: MD5 up to 1.0.2, as format 3 has it; SHA-256 since then. */
enum cipher_digest { CIPHER_MD5, CIPHER_SHA256 };

/** Format 3: EVP_BytesToKey's key and first vector.  0, -ENOMEM or -EIO. */
int cipher_derive(enum cipher_digest digest, const void *passphrase, size_t length,
                  const unsigned char salt[8], struct cipher_secret *ret_secret);

#endif
