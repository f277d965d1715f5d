/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qubesfs/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "qubesfs/cleanup.h"

int disk_write(int fd, const void *data, size_t length)
{
    const char *at = data;

    while (length > 0) {
        ssize_t done = write(fd, at, length);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        at += done;
        length -= (size_t)done;
    }
    return 0;
}

int disk_write_at(int fd, const void *data, size_t length, uint64_t offset)
{
    const char *at = data;

    while (length > 0) {
        ssize_t done = pwrite(fd, at, length, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        at += done;
        offset += (uint64_t)done;
        length -= (size_t)done;
    }
    return 0;
}

int disk_replace(int directory, const char *name, const void *data, size_t length)
{
    static const char temporary[] = ".new";
    int result;

    (void)!unlinkat(directory, temporary, 0); /* of one that was cut off */
    {
        int fd CLEANUP_CLOSE = openat(directory, temporary,
                                      O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0)
            return -errno;
        result = disk_write(fd, data, length);
        if (result == 0 && fsync(fd))
            result = -errno;
    }
    if (result == 0 && renameat(directory, temporary, directory, name))
        result = -errno;
    if (result < 0)
        unlinkat(directory, temporary, 0);
    else if (fsync(directory))
        result = -errno;
    return result;
}

int disk_make_directories(const char *path, mode_t mode)
{
    char copy[PATH_MAX];
    struct stat status;

    if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
        return -ENAMETOOLONG;
    for (char *at = copy + 1; copy[0]; at++) {
        char here = *at;

        if (here != '/' && here != '\0')
            continue;
        *at = '\0';
        if (mkdir(copy, mode) && errno != EEXIST)
            return -errno;
        if (here == '\0')
            break;
        *at = here;
    }
    if (stat(path, &status))
        return -errno;
    return S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
}

static void close_directory(DIR **directory)
{
    if (*directory)
        closedir(*directory);
}

/* Its own mode must not stand in the way of emptying or moving it. */
static DIR *open_own(int directory, const char *name)
{
    struct stat status;
    int fd;
    DIR *opened;

    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW))
        return NULL;
    if (S_ISDIR(status.st_mode) && (status.st_mode & 0700) != 0700 &&
        fchmodat(directory, name, 0700, 0))
        return NULL;
    fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    opened = fdopendir(fd);
    if (!opened)
        close(fd);
    return opened;
}

/* Moves the directory `name` to `top`, under a name that is free there. */
static int move_up(int from, const char *name, int top, unsigned long *number)
{
    char free_name[32];

    if (fchmodat(from, name, 0700, 0))
        return -errno;
    do {
        snprintf(free_name, sizeof(free_name), "removed.%lu", ++*number);
        if (renameat2(from, name, top, free_name, RENAME_NOREPLACE) == 0)
            return 0;
    } while (errno == EEXIST);
    return -errno;
}

/* Removes what is in `directory` and is no directory; those are moved to `top`. */
static int empty(DIR *directory, int top, unsigned long *number)
{
    int fd = dirfd(directory), result = 0;
    struct dirent *entry;

    while (result == 0 && (errno = 0, entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, entry->d_name, 0) == 0 || errno == ENOENT)
            continue;
        if (errno != EISDIR && errno != EPERM)
            result = -errno;
        else if (fd != top)
            result = move_up(fd, entry->d_name, top, number);
    }
    return result < 0 ? result : -errno;
}

/* One pass over the directories at the top; true in `ret_any` if there were some. */
static int thin_out(DIR *top, unsigned long *number, bool *ret_any)
{
    int result = 0;
    struct dirent *entry;

    *ret_any = false;
    rewinddir(top);
    while (result == 0 && (errno = 0, entry = readdir(top)) != NULL) {
        DIR *directory CLEANUP(close_directory) = NULL;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        directory = open_own(dirfd(top), entry->d_name);
        if (!directory && errno == ENOENT)
            continue; /* listed before it was removed */
        if (!directory)
            return -errno;
        *ret_any = true;
        result = empty(directory, dirfd(top), number);
        if (result == 0 && unlinkat(dirfd(top), entry->d_name, AT_REMOVEDIR))
            result = -errno;
    }
    return result < 0 ? result : -errno;
}

/* Directories further down are moved up to the top one by one: so neither depth nor the length of a
 * path matters, and two descriptors are enough. */
int disk_remove_tree(int directory, const char *name)
{
    DIR *top CLEANUP(close_directory) = open_own(directory, name);
    unsigned long number = 0;
    bool any = true;
    int result;

    if (!top)
        return errno == ENOENT ? 0 : -errno;
    result = empty(top, dirfd(top), &number);
    while (result == 0 && any)
        result = thin_out(top, &number, &any);
    if (result == 0 && unlinkat(directory, name, AT_REMOVEDIR))
        result = -errno;
    return result;
}
