/* SPDX-License-Identifier: GPL-2.0-or-later */
/* File systems: where a directory can be moved to, and how much room there is. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "staging.h"

/* Both the file system and the mount: a rename does not go from one mount to another. */
bool same_mount(const char *a, const char *b)
{
    struct statx first, second;

    if (statx(AT_FDCWD, a, 0, STATX_MNT_ID | STATX_INO, &first) ||
        statx(AT_FDCWD, b, 0, STATX_MNT_ID | STATX_INO, &second))
        return false;
    return first.stx_dev_major == second.stx_dev_major &&
           first.stx_dev_minor == second.stx_dev_minor &&
           (!(first.stx_mask & second.stx_mask & STATX_MNT_ID) ||
            first.stx_mnt_id == second.stx_mnt_id);
}

char *nearest_directory(const char *path)
{
    char *found = strdup(path), *slash;
    struct stat status;

    while (found && found[0] && (stat(found, &status) || !S_ISDIR(status.st_mode))) {
        slash = strrchr(found, '/');
        if (!slash || slash == found) {
            free(found);
            return strdup(slash ? "/" : ".");
        }
        *slash = '\0';
    }
    return found;
}

/* What all items want on the file system of the one at `first`; 0 if one before was of it. */
static uint64_t wanted_on(const struct staging *staging, size_t first, const dev_t *devices)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < staging->count; i++) {
        if (devices[i] != devices[first])
            continue;
        if (i < first)
            return 0;
        if (__builtin_add_overflow(sum, staging->items[i].promised, &sum))
            return UINT64_MAX;
    }
    return sum;
}

int room_check(const struct staging *staging, struct error *ret_error)
{
    dev_t *devices CLEANUP_FREE = calloc(staging->count + 1, sizeof(*devices));
    struct statvfs room;
    struct stat status;

    if (!devices)
        return error_set(ret_error, -ENOMEM, "out of memory");
    for (size_t i = 0; i < staging->count; i++) {
        char *near CLEANUP_FREE = nearest_directory(staging->items[i].target);

        if (!near)
            return error_set(ret_error, -ENOMEM, "out of memory");
        if (stat(near, &status))
            return error_set(ret_error, -errno, "%s: %s", near, strerror(errno));
        devices[i] = status.st_dev;
    }
    for (size_t i = 0; i < staging->count; i++) {
        char *near CLEANUP_FREE = nearest_directory(staging->items[i].target);
        uint64_t wanted = wanted_on(staging, i, devices), there;

        if (!near || statvfs(near, &room))
            return error_set(ret_error, near ? -errno : -ENOMEM, "%s: how much room there is: %s",
                             near ? near : "", strerror(near ? errno : ENOMEM));
        there = (uint64_t)room.f_bavail * room.f_frsize;
        if (wanted > there)
            return error_set(ret_error, -ENOSPC,
                             "there is not enough room at %s: the backup needs %llu bytes, %llu "
                             "are free; make room, or restore less of it with `include`",
                             near, (unsigned long long)wanted, (unsigned long long)there);
    }
    return 0;
}
