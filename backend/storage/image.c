/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images, opened in a state that stays still where there is one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/log.h"
#include "qubesfs/storage.h"

#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* A link on another machine's disk means that machine's paths. */
static int open_link(const char *path, const char *root)
{
    struct open_how how = {.flags = OPEN_FLAGS, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    char target[PATH_MAX];
    ssize_t length = readlink(path, target, sizeof(target) - 1);
    int directory CLEANUP_CLOSE = -1, fd;

    if (length < 0)
        return -errno;
    target[length] = '\0';
    if (target[0] != '/' || !*root) {
        fd = open(path, OPEN_FLAGS);
        return fd < 0 ? -errno : fd;
    }
    directory = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return -errno;
    fd = (int)syscall(SYS_openat2, directory, target, &how, sizeof(how));
    return fd < 0 ? -errno : fd;
}

static int open_path(const char *path, const char *root)
{
    int fd = open(path, OPEN_FLAGS | O_NOFOLLOW);

    if (fd < 0 && errno == ELOOP)
        return open_link(path, root);
    return fd < 0 ? -errno : fd;
}

/* A copy of this moment that shares the data: nameless, in the same file system.  -1: not possible
 * there. */
static int clone_file(int fd)
{
    char link[64], directory[PATH_MAX], *slash;
    int copy CLEANUP_CLOSE = -1;
    ssize_t length;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    length = readlink(link, directory, sizeof(directory) - 1);
    if (length <= 0)
        return -1;
    directory[length] = '\0';
    slash = strrchr(directory, '/');
    if (!slash)
        return -1;
    slash[slash == directory] = '\0';
    copy = open(directory, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (copy < 0 || ioctl(copy, FICLONE, fd))
        return -1;
    return MOVE_FD(copy);
}

/* A state younger than this may have a twin of the same time: file systems count in ticks. */
#define TICK_SECONDS 1

static struct storage_state state_of(const struct stat *status)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (struct storage_state){
        .known = now.tv_sec - status->st_ctim.tv_sec > TICK_SECONDS,
        .device = status->st_dev,
        .inode = status->st_ino,
        .size = (uint64_t)status->st_size,
        .modified = status->st_mtim,
        .changed = status->st_ctim,
    };
}

static bool same_file(const struct storage_state *a, const struct storage_state *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

bool storage_state_equal(const struct storage_state *a, const struct storage_state *b)
{
    return a->known && b->known && same_file(a, b);
}

bool storage_unchanged(const struct storage_image *image)
{
    struct storage_state now;
    struct stat status;

    if (fstat(image->fd, &status))
        return false;
    now = state_of(&status);
    return same_file(&now, &image->state);
}

static int fail(int code, const char *path, struct error *ret_error)
{
    return error_set(ret_error, code, "can't open %s: %s", path, strerror(-code));
}

static int open_file(const struct storage_place *place, const char *root, bool look_only,
                     struct storage_image *image, struct error *ret_error)
{
    int fd CLEANUP_CLOSE = open_path(place->path, root);
    struct stat status;

    if (fd < 0)
        return fail(fd, place->path, ret_error);
    if (fstat(fd, &status))
        return fail(-errno, place->path, ret_error);
    if (!S_ISREG(status.st_mode))
        return error_set(ret_error, -EINVAL, "%s is no regular file", place->path);
    image->state = state_of(&status);
    image->size = (uint64_t)status.st_size;
    if (place->kind == STORAGE_FILE && !look_only) {
        int copy = clone_file(fd);

        if (copy >= 0) {
            const struct timespec times[] = {status.st_atim, status.st_mtim};

            /* so that it is stored as what it is a clone of; where that can't be, it is stored as
             * ours */
            if (fchmod(copy, status.st_mode & 07777) || futimens(copy, times) ||
                fchown(copy, status.st_uid, status.st_gid))
                log_debug("the clone of %s is not alike: %m", place->path);
            /* written to meanwhile: nobody knows which state was cloned */
            image->fd = fd;
            image->state.known = image->state.known && storage_unchanged(image);
            image->fd = copy;
            if (fstat(copy, &status) == 0)
                image->size = (uint64_t)status.st_size;
            image->still = true;
            return 0;
        }
    }
    image->still = place->kind == STORAGE_CLEAN;
    image->fd = MOVE_FD(fd);
    return 0;
}

/* The newest NAME-SECONDS-back beside a logical volume that is not there; "" when there is none. */
static void find_back(const char *path, char *ret_path, size_t size)
{
    const char *base = strrchr(path, '/') + 1;
    size_t length = strlen(base);
    char *directory CLEANUP_FREE = strndup(path, (size_t)(base - path));
    DIR *list = directory ? opendir(directory) : NULL;
    unsigned long long newest = 0;
    struct dirent *next;

    ret_path[0] = '\0';
    while (list && (next = readdir(list)) != NULL) {
        unsigned long long seconds;
        char *end;

        if (strncmp(next->d_name, base, length) != 0 || next->d_name[length] != '-')
            continue;
        seconds = strtoull(next->d_name + length + 1, &end, 10);
        if (strcmp(end, "-back") == 0 && seconds > newest) {
            newest = seconds;
            snprintf(ret_path, size, "%s%s", directory, next->d_name);
        }
    }
    if (list)
        closedir(list);
}

static int open_volume(const struct storage_place *place, const char *root, bool active,
                       struct storage_image *image, struct error *ret_error)
{
    char other[PATH_MAX];
    struct stat status;
    int fd;

    /* while a VM runs it has a snapshot; one that is left over holds what was not committed */
    snprintf(other, sizeof(other), "%s-snap", place->path);
    if (!active && stat(other, &status) == 0)
        return error_set(
            ret_error, -EBUSY,
            "%s was left behind by a crash: start its VM and shut it down, so that the "
            "volume is whole again",
            other);
    fd = open_path(place->path, root);
    if (fd == -ENOENT) {
        find_back(place->path, other, sizeof(other));
        if (other[0])
            fd = open_path(other, root);
    }
    if (fd < 0)
        return fail(fd, place->path, ret_error);
    *image = (struct storage_image){.fd = fd, .still = true};
    if (fstat(fd, &status) == 0) {
        image->block = S_ISBLK(status.st_mode);
        image->size = (uint64_t)status.st_size;
    }
    if (image->block && ioctl(fd, BLKGETSIZE64, &image->size))
        image->size = 0;
    return 0;
}

int storage_open(const struct storage_place *place, const char *root, bool active, bool look_only,
                 struct storage_image *ret_image, struct error *ret_error)
{
    *ret_image = (struct storage_image)STORAGE_IMAGE_INIT;
    if (place->kind == STORAGE_LVM)
        return open_volume(place, root, active, ret_image, ret_error);
    return open_file(place, root, look_only, ret_image, ret_error);
}

int storage_measure(const struct storage_place *place, const char *root,
                    struct storage_measure *ret_measure)
{
    struct stat status;
    int fd CLEANUP_CLOSE = -1;

    if (lstat(place->path, &status))
        return -errno;
    if (!S_ISREG(status.st_mode)) {
        fd = open_path(place->path, root);
        if (fd < 0)
            return fd;
        if (fstat(fd, &status))
            return -errno;
    }
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        return -EINVAL;
    *ret_measure = (struct storage_measure){(uint64_t)status.st_size,
                                            (uint64_t)status.st_blocks * 512, status.st_mtim};
    if (S_ISBLK(status.st_mode) && ioctl(fd, BLKGETSIZE64, &ret_measure->size))
        return -errno;
    return 0;
}

void storage_close(struct storage_image *image)
{
    if (image->fd >= 0)
        close(image->fd);
    image->fd = -1;
}
