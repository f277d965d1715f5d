/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/storage.h"

#define SECTOR 512u

/* Takes holes of up to `hole` bytes for data. */
static void fill_holes(struct storage_map *map, uint64_t hole)
{
    size_t kept = 0;

    for (size_t i = 1; i < map->count; i++) {
        struct storage_extent *last = &map->extents[kept], *next = &map->extents[i];
        uint64_t gap = next->offset - (last->offset + last->length);

        if (gap <= hole) {
            map->data_bytes += gap;
            last->length += gap + next->length;
        } else {
            map->extents[++kept] = *next;
        }
    }
    map->count = kept + 1;
}

static int add_extent(struct storage_map *map, size_t *capacity, size_t extents_max, uint64_t begin,
                      uint64_t end)
{
    struct storage_extent *last = map->count > 0 ? &map->extents[map->count - 1] : NULL;
    struct storage_extent *grown;

    begin -= begin % SECTOR;
    if (end % SECTOR)
        end += SECTOR - end % SECTOR;
    if (end > map->size)
        end = map->size;
    if (last && begin <= last->offset + last->length) {
        if (end > last->offset + last->length) {
            map->data_bytes += end - (last->offset + last->length);
            last->length = end - last->offset;
        }
        return 0;
    }
    if (map->count >= extents_max)
        for (uint64_t hole = 4096; map->count > 1 && map->count > extents_max / 2; hole *= 2)
            fill_holes(map, hole);
    if (map->count == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 16;
        grown = reallocarray(map->extents, *capacity, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        map->extents = grown;
    }
    map->extents[map->count++] = (struct storage_extent){begin, end - begin};
    map->data_bytes += end - begin;
    return 0;
}

int storage_map_read(int fd, uint64_t size, size_t extents_max, struct storage_map *ret_map)
{
    struct storage_map map CLEANUP(storage_map_free) = {.size = size};
    size_t capacity = 0;
    uint64_t at = 0;

    while (at < size) {
        off_t data = lseek(fd, (off_t)at, SEEK_DATA), hole;
        int result;

        if (data < 0 && errno == ENXIO)
            break; /* nothing but a hole from here on */
        if (data < 0 && errno == EINVAL) {
            data = (off_t)at; /* can't tell: all of it is data */
            hole = (off_t)size;
        } else if (data < 0) {
            return -errno;
        } else if ((uint64_t)data >= size) {
            break;
        } else {
            hole = lseek(fd, data, SEEK_HOLE);
            if (hole < 0 && errno == ENXIO)
                break; /* cut shorter meanwhile: the reader will notice */
            if (hole < 0)
                return -errno;
        }
        result = add_extent(&map, &capacity, extents_max, (uint64_t)data, (uint64_t)hole);
        if (result < 0)
            return result;
        at = (uint64_t)hole;
    }
    *ret_map = map;
    map = (struct storage_map)STORAGE_MAP_INIT;
    return 0;
}

void storage_map_free(struct storage_map *map)
{
    free(map->extents);
    *map = (struct storage_map)STORAGE_MAP_INIT;
}

bool storage_map_has_holes(const struct storage_map *map)
{
    return map->data_bytes < map->size;
}
