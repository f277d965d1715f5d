/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Staged directories are moved to their places, and taken back. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "qubesfs/disk.h"
#include "qubesfs/text.h"
#include "staging.h"

/* Makes what was done in the directory of `path` last. */
static int sync_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent CLEANUP_FREE = text_format("%.*s", slash ? (int)(slash - path) : 0, path);
    int fd CLEANUP_CLOSE = -1;

    if (!parent)
        return -ENOMEM;
    fd = open(parent[0] ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) ? -errno : 0;
}

static int make_parents(const struct staging *staging, struct error *ret_error)
{
    struct stat above;

    for (size_t i = 0; i < staging->parent_count; i++) {
        const char *path = staging->parents[i];
        char *near CLEANUP_FREE = nearest_directory(path);

        if (!near)
            return error_set(ret_error, -ENOMEM, "out of memory");
        if (strcmp(near, path) == 0)
            continue;
        if (stat(near, &above) || mkdir(path, above.st_mode & 0777) ||
            chmod(path, above.st_mode & 07777))
            return error_set(ret_error, -errno, "%s can't be made: %s", path, strerror(errno));
        if (geteuid() == 0 && chown(path, above.st_uid, above.st_gid))
            return error_set(ret_error, -errno, "%s can't be given its owner: %s", path,
                             strerror(errno));
        sync_parent(path);
    }
    return 0;
}

int staging_move(struct staging *staging, struct error *ret_error)
{
    int result = make_parents(staging, ret_error);

    for (size_t i = 0; result == 0 && i < staging->count; i++) {
        struct staged *item = &staging->items[i];

        if (renameat2(AT_FDCWD, item->path, AT_FDCWD, item->target, RENAME_NOREPLACE) == 0)
            item->moved = true;
        else if (errno == EEXIST)
            result = error_set(ret_error, -EEXIST,
                               "%s has come meanwhile, and nothing is ever overwritten: move it "
                               "away",
                               item->target);
        else
            result = error_set(ret_error, -errno, "%s can't be moved to %s: %s", item->path,
                               item->target, strerror(errno));
    }
    for (size_t i = 0; result == 0 && i < staging->count; i++) {
        result = sync_parent(staging->items[i].target);
        if (result < 0)
            error_set(ret_error, result, "%s can't be synced: %s", staging->items[i].target,
                      strerror(-result));
    }
    return result;
}

/* A target is ours if it has the number of what we staged, and what we staged is no longer there.
 */
static int move_back(const struct staging *staging, struct staged *item)
{
    struct stat status;

    if (staging->phase != STAGING_COMMITTING || lstat(item->path, &status) == 0)
        return 0;
    if (lstat(item->target, &status) || status.st_ino != item->inode || !S_ISDIR(status.st_mode))
        return 0;
    if (renameat2(AT_FDCWD, item->target, AT_FDCWD, item->path, RENAME_NOREPLACE))
        return -errno;
    item->moved = false;
    return sync_parent(item->target);
}

/* Removes a directory by its path. */
static int remove_path(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent CLEANUP_FREE = text_format("%.*s", slash ? (int)(slash - path) : 0, path);
    int fd CLEANUP_CLOSE = -1;

    if (!parent || !slash)
        return -ENOMEM;
    fd = open(parent[0] ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    return disk_remove_tree(fd, slash + 1);
}

static void keep_first(int *result, int next)
{
    if (*result == 0)
        *result = next;
}

/* The journal goes last: as long as there is something elsewhere, it tells of it. */
int staging_remove(struct staging *staging, bool take_back, struct error *ret_error)
{
    int result = 0;

    for (size_t i = staging->count; take_back && i-- > 0;)
        keep_first(&result, move_back(staging, &staging->items[i]));
    for (size_t i = 0; i < staging->elsewhere_count; i++)
        keep_first(&result, remove_path(staging->elsewhere[i]));
    for (size_t i = 0; i < staging->count; i++)
        keep_first(&result, remove_path(staging->items[i].path));
    for (size_t i = staging->parent_count; take_back && i-- > 0;)
        if (rmdir(staging->parents[i]) && errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST)
            keep_first(&result, -errno);
    if (result == 0)
        result = remove_path(staging->directory);
    return result < 0
               ? error_set(ret_error, result, "%s can't be removed: %s; the next start tries again",
                           staging->directory, strerror(-result))
               : 0;
}
