/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Streams of `openssl enc -aes-256-cbc` (formats 2 and 3), decrypted in place:
 *
 *     0   8  "Salted__"
 *     8   8  salt
 *     16  n  AES-256-CBC with PKCS#7 padding
 *
 * The key comes from the passphrase with MD5 (OpenSSL before 1.1.0) or SHA-256 (since): which one
 * is found out by what the first bytes decrypt to.  The stream is authentic already.
 */
#ifndef ARCHIVE_READ_CIPHER_H
#define ARCHIVE_READ_CIPHER_H

#include <stdbool.h>
#include <stddef.h>

#include "qubesfs/error.h"
#include "qubesfs/secret.h"

#define CIPHER_MAGIC  "Salted__"
#define CIPHER_HEADER 16u
/** So much of the plain stream is judged, or all of it if it has less. */
#define CIPHER_JUDGED 512u

struct cipher_events {
    void *cookie;
    /** Says if that may be how the plain stream begins; padding may stand at its end. */
    bool (*judge)(void *cookie, const unsigned char *plain, size_t length);
    /** The next plain bytes. */
    int (*plain)(void *cookie, const unsigned char *plain, size_t length, struct error *ret_error);
};

struct read_cipher;

/** `passphrase` must live as long.  0 or -ENOMEM. */
int read_cipher_new(const struct secret *passphrase, const struct cipher_events *events,
                    struct read_cipher **ret_cipher);
void read_cipher_free(struct read_cipher *cipher); /* NULL is fine; wipes its keys */

/** A new stream begins, whatever became of the one before. */
void read_cipher_begin(struct read_cipher *cipher);

/** Decrypts the stream's next piece in place and hands it on, but for the last 16 bytes, unless
 * nothing follows (`last`).  Pieces have whole blocks of 16, and the first one 528 bytes or all.
 * 0; -EBADMSG: it is no such stream, or no key makes sense of it; -ENOMEM, -EIO, or what `plain`
 * returned. */
int read_cipher_next(struct read_cipher *cipher, unsigned char *data, size_t length, bool last,
                     struct error *ret_error);

/** Nothing follows after all: hands on what was held back. */
int read_cipher_last(struct read_cipher *cipher, struct error *ret_error);

#endif
