/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HMACs: of chunks and headers, with SHA-512 in format 3 and SHA-256 in format 4.  The others are
 * read only: SHA-1 is that of older backups, SHA-384 might have been chosen. */
#ifndef ARCHIVE_MAC_H
#define ARCHIVE_MAC_H

#include <stddef.h>

struct mac;

enum mac_digest { MAC_SHA256, MAC_SHA512, MAC_SHA1, MAC_SHA384 };

#define MAC_SIZE_MAX 64u

/** 0, -ENOMEM or -EIO. */
int mac_new(enum mac_digest digest, struct mac **ret_mac);
void mac_free(struct mac *mac); /* NULL is fine; wipes the key */

/** Begins one, whatever became of the one before.  The key is copied. */
int mac_begin(struct mac *mac, const void *key, size_t length);
int mac_update(struct mac *mac, const void *data, size_t length);
/** Fills `ret_digest` with mac_size bytes: no more than MAC_SIZE_MAX. */
int mac_end(struct mac *mac, unsigned char *ret_digest);

/** 20, 32, 48 or 64. */
size_t mac_size(enum mac_digest digest);

/** All of it in one.  0, -ENOMEM or -EIO. */
int mac_once(enum mac_digest digest, const void *key, size_t key_length, const void *data,
             size_t length, unsigned char *ret_digest);

/** The text of an `.hmac` member of format 3, as Qubes' `openssl dgst -sha512 -hmac` printed it:
 * "(stdin)= ", 128 hex digits, newline. */
#define MAC_TEXT_LENGTH 138u
void mac_text(const unsigned char digest[64], char ret_text[MAC_TEXT_LENGTH + 1]);

#endif
