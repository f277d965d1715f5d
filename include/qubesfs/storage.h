/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Storage: where the data of a volume's image is, and where its holes are. */
#ifndef QUBESFS_STORAGE_H
#define QUBESFS_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** `length` bytes of data at `offset`, both in bytes.  Everything outside of extents reads as
 * zeros. */
struct storage_extent {
    uint64_t offset;
    uint64_t length;
};

struct storage_map {
    struct storage_extent *extents; /* ascending, not touching one another, none empty */
    size_t count;
    uint64_t data_bytes; /* the sum of all lengths */
    uint64_t size;       /* of the file: the end of what was asked about */
};

#define STORAGE_MAP_INIT                                                                           \
    {                                                                                              \
        NULL, 0, 0, 0                                                                              \
    }

/**
 * Finds the data below `size` bytes of the open file by SEEK_DATA and SEEK_HOLE.  Extents begin and
 * end on multiples of 512 (or at `size`), as tar's sparse members need them.  A file system that
 * can't tell answers one extent.  The file's position is not used nor kept. Returns 0 and fills
 * `ret_map` (to be freed by storage_map_free), -ENOMEM, or lseek's errno.
 */
int storage_map_read(int fd, uint64_t size, struct storage_map *ret_map);
/** Frees the extents.  Fine on an empty one. */
void storage_map_free(struct storage_map *map);

/** True if some of the file is no data. */
bool storage_map_has_holes(const struct storage_map *map);

#endif
