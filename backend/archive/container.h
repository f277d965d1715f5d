/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Containers of format 4: what Tarsnap's `scrypt enc` makes (its FORMAT file, version 0).
 *
 *     0   6   "scrypt"
 *     6   1   0
 *     7   1   log2 N
 *     8   4   r = 8, big endian
 *     12  4   p = 1, big endian
 *     16  32  salt
 *     48  16  first half of SHA-256 of 0 to 47
 *     64  32  HMAC-SHA256 of 0 to 63
 *     96  n   AES-256-CTR, counting from 0
 *     96+n 32 HMAC-SHA256 of all before
 *
 * scrypt(passphrase, salt) gives 64 bytes: the key of the cipher, the key of both HMACs.
 */
#ifndef ARCHIVE_CONTAINER_H
#define ARCHIVE_CONTAINER_H

#include <stddef.h>

#define CONTAINER_HEADER   96u
#define CONTAINER_MAC      32u
#define CONTAINER_OVERHEAD (CONTAINER_HEADER + CONTAINER_MAC)
#define CONTAINER_SALT     32u
#define CONTAINER_R        8u
#define CONTAINER_P        1u

/** In locked memory only. */
struct container_key {
    unsigned char cipher[32], mac[32];
    unsigned char salt[CONTAINER_SALT];
};

struct container;

/** Serves one container after the other.  0, -ENOMEM or -EIO. */
int container_new(struct container **ret_container);
void container_free(struct container *container); /* NULL is fine; wipes the keys */

/** Begins one: fills in its header. */
int container_begin(struct container *container, const struct container_key *key, unsigned log2_n,
                    unsigned char ret_header[CONTAINER_HEADER]);
/** Encrypts `length` bytes into `ret_data`. */
int container_encrypt(struct container *container, const void *data, size_t length,
                      unsigned char *ret_data);
/** Takes what is there of the container, header and all, for its MAC.  May be another thread's
 * than container_encrypt. */
int container_prove(struct container *container, const void *data, size_t length);
/** Ends it with what stands behind the data. */
int container_end(struct container *container, unsigned char ret_mac[CONTAINER_MAC]);

#endif
