/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tar_header.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* offset and size of the fields: POSIX ustar, and where GNU's differs */
#define NAME      0, 100
#define MODE      100, 8
#define UID       108, 8
#define GID       116, 8
#define SIZE      124, 12
#define MTIME     136, 12
#define LINK_NAME 157, 100
#define USER      265, 32
#define GROUP     297, 32
#define DEV_MAJOR 329, 8
#define DEV_MINOR 337, 8
#define PREFIX    345, 155

enum {
    CHECKSUM_AT = 148,
    CHECKSUM_SIZE = 8,
    TYPE_AT = 156,
    MAGIC_AT = 257,
    SPARSE_AT = 386,
    SPARSE_ENTRY = 24,
    IS_EXTENDED_AT = 482,
    REAL_SIZE_AT = 483,
    BLOCK_IS_EXTENDED_AT = 504,
};

static void put_text(unsigned char *block, size_t at, size_t size, const char *text)
{
    size_t length = text ? strlen(text) : 0;

    /* a field that is full has no NUL; GNU keeps one in user and group names, which are never that
     * long on a sane host and else are cut */
    if (length > size)
        length = size;
    if (length > 0)
        memcpy(block + at, text, length);
}

/* Octal with a NUL when it fits, else GNU's base 256: two's complement, the first bit set. */
static void put_number(unsigned char *block, size_t at, size_t size, int64_t number)
{
    uint64_t limit = (uint64_t)1 << (3 * (size - 1));

    if (number >= 0 && (uint64_t)number < limit) {
        for (size_t i = size - 1; i-- > 0; number >>= 3)
            block[at + i] = (unsigned char)('0' + (number & 7));
        block[at + size - 1] = '\0';
        return;
    }
    for (size_t i = size; i-- > 0; number >>= 8)
        block[at + i] = (unsigned char)number;
    block[at] |= 0x80;
}

static void put_checksum(unsigned char *block)
{
    unsigned sum = 0;

    memset(block + CHECKSUM_AT, ' ', CHECKSUM_SIZE);
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += block[i];
    put_number(block, CHECKSUM_AT, CHECKSUM_SIZE - 1, sum); /* the last byte stays a space */
}

static void put_common(unsigned char *block, const struct tar_member *member)
{
    memset(block, 0, TAR_BLOCK);
    put_number(block, MODE, member->mode & 07777);
    put_number(block, UID, member->uid);
    put_number(block, GID, member->gid);
    put_number(block, SIZE, (int64_t)member->size);
    put_number(block, MTIME, member->time);
    block[TYPE_AT] = (unsigned char)member->type;
    put_text(block, LINK_NAME, member->link_name);
    put_text(block, USER, member->user);
    put_text(block, GROUP, member->group);
}

void tar_header_gnu(unsigned char block[TAR_BLOCK], const struct tar_member *member)
{
    put_common(block, member);
    put_text(block, NAME, member->name);
    memcpy(block + MAGIC_AT, "ustar  ", 8);
    put_checksum(block);
}

int tar_header_ustar(unsigned char block[TAR_BLOCK], const struct tar_member *member)
{
    size_t length = strlen(member->name);
    const char *name = member->name;

    if (member->size >= (uint64_t)1 << 33)
        return -EOVERFLOW;
    put_common(block, member);
    if (length > TAR_NAME_SIZE) {
        /* the first slash that leaves no more than a full name behind it */
        const char *slash = strchr(name + length - TAR_NAME_SIZE - 1, '/');

        if (!slash || slash == name || slash - name > 155 || !slash[1])
            return -ENAMETOOLONG;
        memcpy(block + 345, name, (size_t)(slash - name));
        name = slash + 1;
    }
    put_text(block, NAME, name);
    memcpy(block + MAGIC_AT, "ustar\00000", 8);
    put_number(block, DEV_MAJOR, 0);
    put_number(block, DEV_MINOR, 0);
    put_checksum(block);
    return 0;
}

size_t tar_sparse_blocks(const struct storage_map *map)
{
    size_t entries = map->count + 1;

    if (entries <= TAR_SPARSE_IN_HEADER)
        return 0;
    return (entries - TAR_SPARSE_IN_HEADER + TAR_SPARSE_IN_BLOCK - 1) / TAR_SPARSE_IN_BLOCK;
}

/* Writes up to `room` entries from number `first` on. */
static void put_entries(unsigned char *block, size_t at, size_t room, const struct storage_map *map,
                        size_t first)
{
    for (size_t i = first; i <= map->count && i - first < room; i++) {
        /* the entry after the last extent marks where the file ends */
        struct storage_extent end = {map->size, 0};
        const struct storage_extent *entry = i < map->count ? &map->extents[i] : &end;

        put_number(block, at, 12, (int64_t)entry->offset);
        put_number(block, at + 12, 12, (int64_t)entry->length);
        at += SPARSE_ENTRY;
    }
}

void tar_header_sparse(unsigned char block[TAR_BLOCK], const struct tar_member *member,
                       const struct storage_map *map)
{
    struct tar_member sparse = *member;

    sparse.type = TAR_SPARSE;
    sparse.size = map->data_bytes;
    put_common(block, &sparse);
    put_text(block, NAME, member->name);
    memcpy(block + MAGIC_AT, "ustar  ", 8);
    put_entries(block, SPARSE_AT, TAR_SPARSE_IN_HEADER, map, 0);
    block[IS_EXTENDED_AT] = tar_sparse_blocks(map) > 0;
    put_number(block, REAL_SIZE_AT, 12, (int64_t)map->size);
    put_checksum(block);
}

void tar_sparse_block(unsigned char block[TAR_BLOCK], const struct storage_map *map, size_t index)
{
    memset(block, 0, TAR_BLOCK);
    put_entries(block, 0, TAR_SPARSE_IN_BLOCK, map,
                TAR_SPARSE_IN_HEADER + index * TAR_SPARSE_IN_BLOCK);
    block[BLOCK_IS_EXTENDED_AT] = index + 1 < tar_sparse_blocks(map);
}
