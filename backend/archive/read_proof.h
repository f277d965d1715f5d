/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `.hmac` members of formats 2 and 3: what `openssl dgst -ALG -hmac` printed, in any of its forms:
 *
 *     (stdin)= HEX        SHA2-512(stdin)= HEX        HMAC-SHA512(NAME)= HEX
 *
 * What stands before the `=` does not count.  The digest is known by its length.
 */
#ifndef ARCHIVE_READ_PROOF_H
#define ARCHIVE_READ_PROOF_H

#include <stdbool.h>
#include <stddef.h>

#include "mac.h"
#include "qubesfs/secret.h"

#define PROOF_TEXT_MAX 4096u

struct proof {
    enum mac_digest digest;
    unsigned char bytes[MAC_SIZE_MAX];
};

/** False: it is none, or of a digest that is not read. */
bool proof_parse(const char *untrusted_text, size_t length, struct proof *ret_proof);

/** Whether it is the HMAC of these bytes.  1 or 0, -ENOMEM or -EIO. */
int proof_check(const struct proof *proof, const struct secret *passphrase, const void *data,
                size_t length);

#endif
