/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "read_sparse.h"

#include <errno.h>
#include <stdlib.h>

/* the longest number, 7 bits a byte */
#define NUMBER_SIZE 10u

void sparse_clear(struct sparse_map *map)
{
    map->length = 0;
    map->at = 0;
    map->end = map->stored = map->from = 0;
}

void sparse_free(struct sparse_map *map)
{
    free(map->bytes);
    *map = (struct sparse_map){NULL, 0, 0, 0, 0, 0, 0};
}

static void put(struct sparse_map *map, uint64_t number)
{
    while (number >= 128) {
        map->bytes[map->length++] = (unsigned char)(number | 128);
        number >>= 7;
    }
    map->bytes[map->length++] = (unsigned char)number;
}

static uint64_t get(struct sparse_map *map)
{
    uint64_t number = 0;

    for (unsigned shift = 0;; shift += 7) {
        unsigned char byte = map->bytes[map->at++];

        number |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return number;
    }
}

int sparse_add(struct sparse_map *map, uint64_t offset, uint64_t length)
{
    const uint64_t limit = (uint64_t)1 << 62;

    if (offset < map->end || offset >= limit || length >= limit - offset)
        return -EBADMSG;
    if (length == 0)
        return 0;
    if (map->capacity - map->length < 2 * NUMBER_SIZE) {
        size_t capacity = map->capacity > 0 ? 2 * map->capacity : 4096;
        unsigned char *bytes;

        if (capacity > SPARSE_MEMORY_MAX)
            return -E2BIG;
        bytes = realloc(map->bytes, capacity);
        if (!bytes)
            return -ENOMEM;
        map->bytes = bytes;
        map->capacity = capacity;
    }
    put(map, offset - map->end);
    put(map, length);
    map->end = offset + length;
    map->stored += length;
    return 0;
}

int sparse_next(struct sparse_map *map, uint64_t *ret_offset, uint64_t *ret_length)
{
    if (map->at == map->length)
        return 0;
    *ret_offset = map->from + get(map);
    *ret_length = get(map);
    map->from = *ret_offset + *ret_length;
    return 1;
}
