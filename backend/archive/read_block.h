/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocks of tar archives, read: what the parsers of the outer and the inner archive share.
 * Source: POSIX pax and ustar, and GNU tar's "Basic Tar Format".
 */
#ifndef ARCHIVE_READ_BLOCK_H
#define ARCHIVE_READ_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tar_header.h"

/** offset and size of fields, to be used as two arguments */
#define BLOCK_NAME          0, 100
#define BLOCK_MODE          100, 8
#define BLOCK_UID           108, 8
#define BLOCK_GID           116, 8
#define BLOCK_SIZE          124, 12
#define BLOCK_MTIME         136, 12
#define BLOCK_LINK          157, 100
#define BLOCK_PREFIX        345, 155
#define BLOCK_VOLUME_OFFSET 369, 12 /* GNU, type 'M': what came in former volumes */
#define BLOCK_REAL_SIZE     483, 12 /* GNU, types 'S' and 'M' */

#define BLOCK_TYPE_AT        156
#define BLOCK_SPARSE_AT      386
#define BLOCK_EXTENDED_AT    482
#define BLOCK_MAP_EXTENDS_AT 504

/** All of a block is zero. */
bool block_is_zero(const unsigned char *untrusted_block);
/** The sum in it is right. */
bool block_is_header(const unsigned char *untrusted_block);
/** It has GNU's magic, so that its prefix field is none. */
bool block_is_gnu(const unsigned char *untrusted_block);

/** A number, octal or base 256, from 0 to 2^62 - 1; an empty field is 0.  False: it is none, or
 * out of range. */
bool block_number(const unsigned char *untrusted_block, size_t at, size_t size, uint64_t *ret);
/** The same for times, which may be negative. */
bool block_time(const unsigned char *untrusted_block, int64_t *ret);

/** Name with prefix; NUL ends it.  `ret_name` has 257 bytes. */
void block_name(const unsigned char *untrusted_block, char *ret_name);

/** A record of a pax header: key and value, neither ended by a NUL. */
struct pax_record {
    const char *key, *value;
    size_t key_length, value_length;
};
/** Takes the next record off the front of `*untrusted_text`.  1, 0 at the end, -1: malformed. */
int pax_next(const char **untrusted_text, size_t *length, struct pax_record *ret_record);
bool pax_is(const struct pax_record *record, const char *key);
/** Decimal digits only, up to 2^62 - 1. */
bool pax_number(const char *untrusted_text, size_t length, uint64_t *ret);

#endif
