/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocks of tar archives: GNU tar's own format for the inner archives, plain ustar for the outer
 * one. Source: GNU tar's tar.h and manual ("Basic Tar Format"); the unit tests compare with GNU
 * tar's bytes.
 */
#ifndef ARCHIVE_TAR_HEADER_H
#define ARCHIVE_TAR_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "qubesfs/storage.h"

#define TAR_BLOCK     512u
#define TAR_RECORD    10240u /* whole archives are padded to a multiple of this */
#define TAR_NAME_SIZE 100u   /* of the name and link name fields */

enum tar_type {
    TAR_FILE = '0',
    TAR_HARD_LINK = '1',
    TAR_SYMLINK = '2',
    TAR_DIRECTORY = '5',
    TAR_LONG_LINK = 'K', /* GNU: link name of the next member */
    TAR_LONG_NAME = 'L', /* GNU: name of the next member */
    TAR_SPARSE = 'S',    /* GNU: file with holes */
};

struct tar_member {
    const char *name;
    const char *link_name; /* NULL: none */
    enum tar_type type;
    mode_t mode; /* permission bits */
    uid_t uid;
    gid_t gid;
    uint64_t size; /* of the data that follows, without padding */
    int64_t time;
    const char *user, *group; /* NULL: none */
};

/** Bytes from `length` to the next block, resp. record. */
static inline uint64_t tar_padding(uint64_t length, unsigned unit)
{
    return (unit - length % unit) % unit;
}

/** A header in GNU's format.  Names longer than their field are cut (the caller sends an 'L' or 'K'
 * member first); numbers too big for octal digits are written in base 256. */
void tar_header_gnu(unsigned char block[TAR_BLOCK], const struct tar_member *member);

/** A ustar header that needs no extension: -ENAMETOOLONG if the name fits neither the name field
 * nor prefix and name, -EOVERFLOW if the size needs more than 11 octal digits. */
int tar_header_ustar(unsigned char block[TAR_BLOCK], const struct tar_member *member);

/** Entries of a sparse map in a header, and in each block that continues it. */
#define TAR_SPARSE_IN_HEADER 4u
#define TAR_SPARSE_IN_BLOCK  21u

/** How many blocks continue the map: it has an entry for each extent and one that marks the end. */
size_t tar_sparse_blocks(const struct storage_map *map);
/** Makes a GNU header of type 'S' out of `member` and `map`. */
void tar_header_sparse(unsigned char block[TAR_BLOCK], const struct tar_member *member,
                       const struct storage_map *map);
/** The block number `index` (from 0) that continues the map. */
void tar_sparse_block(unsigned char block[TAR_BLOCK], const struct storage_map *map, size_t index);

#endif
