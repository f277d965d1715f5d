/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names in archives: of outer members, and paths of inner ones.
 *
 *     vm2/private.img.000        chunk 0 of the inner archive vm2/private.img
 *     vm2/private.img.000.hmac   formats 2 and 3: its HMAC
 *     vm2/private.img.000.enc    format 4
 *     vm1/..000                  chunk 0 of vm1/. (a directory)
 */
#ifndef ARCHIVE_READ_NAMES_H
#define ARCHIVE_READ_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#define NAMES_CHUNKS_MAX 10000000u

enum names_kind { NAMES_CHUNK, NAMES_HMAC, NAMES_CONTAINER };

struct names_parts {
    enum names_kind kind;
    size_t base_length;  /* the inner archive's name is so much of the member's */
    size_t chunk_length; /* with the number */
    unsigned number;
};

/** Takes an outer name apart.  False: it is none of the above. */
bool names_split(const char *untrusted_name, struct names_parts *ret_parts);

/** Makes a path plain: no empty and no `.` part, no slash at its end.  In place, never longer.
 * False: it is absolute, has `..` in it, or nothing is left. */
bool names_plain(char *untrusted_path);

/** `path` is `root` or something below it; both plain. */
bool names_is_below(const char *path, const char *root);

#endif
