/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The map of a file with holes, as an inner archive brings it: pieces of data at rising offsets.
 * Kept as small numbers, some 4 bytes a piece, in at most 64 MiB.
 */
#ifndef ARCHIVE_READ_SPARSE_H
#define ARCHIVE_READ_SPARSE_H

#include <stddef.h>
#include <stdint.h>

#define SPARSE_MEMORY_MAX ((size_t)64 << 20)

struct sparse_map {
    unsigned char *bytes;
    size_t length, capacity;
    uint64_t end;    /* where the last piece ends */
    uint64_t stored; /* bytes of all pieces */
    size_t at;       /* reading: the next piece's place in `bytes` */
    uint64_t from;   /* reading: where the piece before ended */
};

/** Empties it; the memory stays for the next one. */
void sparse_clear(struct sparse_map *map);
/** Frees what it holds. */
void sparse_free(struct sparse_map *map);

/** Adds a piece.  0; -EBADMSG: it begins before the last one ends, or ends beyond 2^62; -E2BIG:
 * there are too many; -ENOMEM. */
int sparse_add(struct sparse_map *map, uint64_t offset, uint64_t length);

/** Reads the pieces that are not empty, in order.  1, or 0 at the end. */
int sparse_next(struct sparse_map *map, uint64_t *ret_offset, uint64_t *ret_length);

#endif
