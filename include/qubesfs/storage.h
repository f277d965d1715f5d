/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Storage: where a volume's bytes are, how to read a state of them that stays still, and where the
 * holes in it are. */
#ifndef QUBESFS_STORAGE_H
#define QUBESFS_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "qubesfs/catalogue.h"
#include "qubesfs/error.h"

/** What keeps a volume, and so what a running VM does to it. */
enum storage_kind {
    STORAGE_FILE,  /* a file that a running VM changes: R3, and R4's driver `file` */
    STORAGE_CLEAN, /* R4's `file-reflink`: the state of the last stop; a running VM has another file
                    */
    STORAGE_LVM,   /* R4's `lvm_thin`: the same with logical volumes */
};

struct storage_place {
    enum storage_kind kind;
    char *path; /* with root before it; owned */
};

/**
 * Where the VM's volume `name` is at rest, by the catalogue alone; `directory` is the VM's own,
 * with root.  `ret_place` is to be given to storage_place_free.  -EOPNOTSUPP: a pool's driver is
 * none of these; -ENOENT: the VM has no such volume; -ENOMEM.
 */
int storage_locate(const char *root, const char *directory, const struct catalogue *catalogue,
                   const struct catalogue_entry *entry, const char *name,
                   struct storage_place *ret_place, struct error *ret_error);
void storage_place_free(struct storage_place *place);

/** What tells one state of a file from another: as long as it stays, nobody has written to it. */
struct storage_state {
    bool known; /* false: such a state can't be told from others, not even from itself */
    dev_t device;
    ino_t inode;
    uint64_t size;
    struct timespec modified, changed;
};

struct storage_image {
    int fd;
    bool still; /* nobody changes what is read from it: a state at rest, or a clone of our own */
    bool block; /* a block device */
    uint64_t size;
    struct storage_state state; /* of the file (not of its clone) when it was opened */
};

#define STORAGE_IMAGE_INIT                                                                         \
    {                                                                                              \
        .fd = -1                                                                                   \
    }

/**
 * Opens the image as it is now.  A STORAGE_FILE is cloned where the file system can (FICLONE; the
 * clone has no name and goes with its descriptor) unless `look_only`.  Links that lead to an
 * absolute path lead below `root`.  `active`: the VM uses it.  -EBUSY: it was left dirty by a
 * crash; -EINVAL: it is no image; else open's errno.
 */
int storage_open(const struct storage_place *place, const char *root, bool active, bool look_only,
                 struct storage_image *ret_image, struct error *ret_error);
void storage_close(struct storage_image *image);

/** True if both are known and the same. */
bool storage_state_equal(const struct storage_state *a, const struct storage_state *b);
/** True if nobody has written to an image that is not `still` since it was opened. */
bool storage_unchanged(const struct storage_image *image);

/** What there is of a volume; looks at the disk, opens nothing but links and block devices. */
struct storage_measure {
    uint64_t size, allocated; /* bytes */
    struct timespec modified;
};
/** 0, -EINVAL where it is neither a regular file nor a block device, or stat's errno. */
int storage_measure(const struct storage_place *place, const char *root,
                    struct storage_measure *ret_measure);

/** Makes a new file of holes.  -EEXIST, or what it failed with, in words; nothing is left then. */
int storage_make_sparse(const char *path, uint64_t size, struct error *ret_error);
/** Makes a new scratch image for a VM whose root image has `root_size` bytes: partition 1 for swap,
 * partition 2 as large as the root (in whole MiB), and 512 MiB more.  Source: Qubes R3's
 * prepare-volatile-img.sh. */
int storage_make_volatile(const char *path, uint64_t root_size, struct error *ret_error);
#define STORAGE_SWAP_MIB 1024

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
 * can't tell answers one extent.  Where there would be more than `extents_max` (at least 2, usually
 * STORAGE_EXTENTS_MAX; a VM can punch any number of holes into its image), the smallest holes count
 * as data.  The file's position is not used nor kept.  Returns 0 and fills `ret_map` (to be freed
 * by storage_map_free), -ENOMEM, or lseek's errno.
 */
int storage_map_read(int fd, uint64_t size, size_t extents_max, struct storage_map *ret_map);
#define STORAGE_EXTENTS_MAX ((size_t)1 << 20)
/** Frees the extents.  Fine on an empty one. */
void storage_map_free(struct storage_map *map);

/** True if some of the file is no data. */
bool storage_map_has_holes(const struct storage_map *map);

#endif
