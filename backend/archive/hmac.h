/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `.hmac` members of formats 2 and 3: HMAC-SHA512 with the passphrase's bytes as its key,
 * written as `openssl dgst -sha512 -hmac PASSPHRASE` of Qubes R2 and R3 did: "(stdin)= ", 128 hex
 * digits, newline.
 */
#ifndef ARCHIVE_HMAC_H
#define ARCHIVE_HMAC_H

#include <stddef.h>

#include "qubesfs/secret.h"

#define HMAC_NAME        "SHA512"
#define HMAC_TEXT_LENGTH 138

struct hmac;

/** 0, -ENOMEM or -EIO.  Begun already. */
int hmac_new(const struct secret *passphrase, struct hmac **ret_hmac);
void hmac_free(struct hmac *hmac); /* NULL is fine; wipes the key */

int hmac_update(struct hmac *hmac, const void *data, size_t length);
/** Fills `ret_text` with HMAC_TEXT_LENGTH bytes and a NUL, and begins the next one. */
int hmac_end(struct hmac *hmac, char ret_text[HMAC_TEXT_LENGTH + 1]);

#endif
