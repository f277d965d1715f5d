/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inner archive, read as its bytes come.  Strict: what GNU tar writes (its own format with long
 * names, base 256 and old sparse maps; its multi-volume archives in format 2) and what Qubes R4's
 * writer does (ustar with pax headers and sparse maps 1.0), ended by two zero blocks and nothing
 * but zeros behind them.  A shorter one is not taken for whole.  The bytes are authentic, but
 * whoever knew the passphrase may have made them: paths stay below the archive's name, sizes and
 * maps are bounded.
 */
#ifndef ARCHIVE_READ_TAR_H
#define ARCHIVE_READ_TAR_H

#include "qubesfs/archive_reader.h"

struct tar_events {
    void *cookie;
    int (*begin)(void *cookie, const struct archive_member *member, struct error *ret_error);
    int (*data)(void *cookie, uint64_t offset, const void *data, size_t length,
                struct error *ret_error);
    int (*end)(void *cookie, struct error *ret_error);
};

struct tar_reader;

/** `root`: the archive's name, made plain (copied).  0 or -ENOMEM. */
int tar_reader_new(const struct tar_events *events, const char *root, uint64_t bytes_max,
                   struct tar_reader **ret_reader);
void tar_reader_free(struct tar_reader *reader); /* NULL is fine */

/** Takes the next bytes.  0; -EBADMSG: damaged, or bigger than `bytes_max`; -EINVAL: what no
 * backup has; -ENOTSUP, -E2BIG, -ENOMEM, or what an event returned. */
int tar_reader_write(struct tar_reader *reader, const void *data, size_t length,
                     struct error *ret_error);
/** Format 2: the bytes that follow are those of the next volume. */
int tar_reader_next_volume(struct tar_reader *reader, struct error *ret_error);
/** Its end was there, and whole blocks. */
bool tar_reader_is_whole(const struct tar_reader *reader);
uint64_t tar_reader_taken(const struct tar_reader *reader);

/** Whether an archive, or the next volume of one, may begin with this block. */
bool tar_may_begin(const unsigned char *block);

#endif
