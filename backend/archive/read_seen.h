/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names that came already, up to a million of them, as 16 bytes each of their SHA-256. */
#ifndef ARCHIVE_READ_SEEN_H
#define ARCHIVE_READ_SEEN_H

#include <stddef.h>

struct seen_name {
    unsigned char digest[16]; /* all zero: a free place */
};

struct seen {
    struct seen_name *names;
    size_t count, capacity; /* a power of two */
};

/** 0; -EEXIST: it came already; -E2BIG: too many; -ENOMEM, -EIO. */
int seen_add(struct seen *seen, const char *untrusted_name);
void seen_free(struct seen *seen);

#endif
