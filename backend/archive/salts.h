/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Salts: all that is random in an archive.  They come from one seed, by the name of the outer
 * member that they are for, so that a writer with the same seed makes the same archive:
 *
 *     salt = the first bytes of HMAC-SHA256(seed, "vm2/private.img.000")
 */
#ifndef ARCHIVE_SALTS_H
#define ARCHIVE_SALTS_H

#include <stddef.h>

#define SALT_MAX 32u

struct salts;

/** `seed`: ARCHIVE_SEED_SIZE bytes, or NULL for random ones.  0, -ENOMEM or -EIO. */
int salts_new(const unsigned char *seed, struct salts **ret_salts);
void salts_free(struct salts *salts); /* NULL is fine */

/** Makes up to SALT_MAX bytes.  Any thread may ask.  0, -ENOMEM or -EIO. */
int salt_make(const struct salts *salts, const char *name, unsigned char *ret_salt, size_t length);

#endif
