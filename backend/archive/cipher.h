/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cipher of formats 2 and 3: what `openssl enc -e -aes-256-cbc -md md5 -pass pass:PASSPHRASE`
 * makes.
 *
 *     0   8  "Salted__"
 *     8   8  salt
 *     16  n  AES-256-CBC with PKCS#7 padding
 *
 * Key and first vector come from EVP_BytesToKey with MD5 and one round; weak, but what every reader
 * of the format expects.
 */
#ifndef ARCHIVE_CIPHER_H
#define ARCHIVE_CIPHER_H

#include <stdint.h>

#include "qubesfs/secret.h"
#include "sink.h"

#define CIPHER_NAME "aes-256-cbc"
#define CIPHER_SALT 8

/** Opens an encrypting stage before `next`, with a random salt (or `salt`, for tests).  Nothing is
 * written before the first byte comes.  0, -ENOMEM, or -EIO when OpenSSL refuses (FIPS mode has no
 * MD5). */
int cipher_open(const struct secret *passphrase, const unsigned char *salt, struct sink *next,
                struct sink **ret_sink);

/** The length of the whole for `bytes` of input, exactly. */
uint64_t cipher_size(uint64_t bytes);

#endif
