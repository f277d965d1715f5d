/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "landing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "qubesfs/cleanup.h"

/* Their paths are kept in memory until the end. */
#define DIRECTORIES_MAX ((size_t)1 << 20)
#define PATH_BYTES_MAX  ((size_t)64 << 20)

int landing_init(struct landing *landing, int fd, int like)
{
    struct stat status;

    *landing = (struct landing){.fd = fd, .near_fd = -1};
    if (fstat(like, &status))
        return -errno;
    landing->uid = status.st_uid;
    landing->gid = status.st_gid;
    return 0;
}

static void forget_near(struct landing *landing)
{
    if (landing->near_fd >= 0)
        close(landing->near_fd);
    landing->near_fd = -1;
    free(landing->near_path);
    landing->near_path = NULL;
}

void landing_free(struct landing *landing)
{
    forget_near(landing);
    for (size_t i = 0; i < landing->directory_count; i++)
        free(landing->directories[i].path);
    free(landing->directories);
    *landing = (struct landing){.fd = -1, .near_fd = -1};
}

static int fail(struct error *ret_error, int code, const char *path)
{
    switch (code) {
    case -EEXIST:
        return error_set(ret_error, -EILSEQ, "\"%s\" is in it twice", path);
    case -ELOOP:
    case -ENOTDIR:
        return error_set(ret_error, -EILSEQ, "\"%s\" is below something that is no directory",
                         path);
    case -ENOENT:
    case -EMLINK:
    case -ENAMETOOLONG:
        return error_set(ret_error, -EILSEQ, "\"%s\" can't be made here: %s", path,
                         strerror(-code));
    default:
        return error_set(ret_error, code, "\"%s\" can't be made: %s", path, strerror(-code));
    }
}

int landing_count_directory(struct landing *landing, const char *path, struct error *ret_error)
{
    landing->counted++;
    landing->counted_bytes += strlen(path) + 32;
    if (landing->counted > DIRECTORIES_MAX || landing->counted_bytes > PATH_BYTES_MAX)
        return error_set(ret_error, -E2BIG, "there are more directories in it than any backup has");
    return 0;
}

/* Opens the directory `name` in `at`, and makes it if it is missing. */
static int enter(const struct landing *landing, int at, const char *name)
{
    int fd;

    if (mkdirat(at, name, 0700) == 0) {
        if (geteuid() == 0 && fchownat(at, name, landing->uid, landing->gid, AT_SYMLINK_NOFOLLOW))
            return -errno;
    } else if (errno != EEXIST) {
        return -errno;
    }
    fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Opens the directory that the last part of the path is to be in, which it hands out; the
 * descriptor stays the tree's. */
static int open_parent(struct landing *landing, const char *path, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    char *parent CLEANUP_FREE = strndup(path, length), *rest = NULL;
    int fd;

    if (!parent)
        return -ENOMEM;
    *ret_name = slash ? slash + 1 : path;
    if (landing->near_path && strcmp(landing->near_path, parent) == 0)
        return landing->near_fd;
    forget_near(landing);
    fd = openat(landing->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    landing->near_path = strdup(parent);
    for (char *part = strtok_r(parent, "/", &rest); part && fd >= 0;
         part = strtok_r(NULL, "/", &rest)) {
        int next = enter(landing, fd, part);

        close(fd);
        fd = next;
    }
    if (fd < 0 || !landing->near_path) {
        forget_near(landing);
        if (fd >= 0)
            close(fd);
        return fd < 0 ? fd : -ENOMEM;
    }
    landing->near_fd = fd;
    return fd;
}

static int remember(struct landing *landing, const char *path, mode_t mode, time_t mtime)
{
    struct landing_directory *grown;
    size_t count = landing->directory_count;

    if ((count & (count + 1)) == 0) { /* grows by doubling */
        grown = reallocarray(landing->directories, 2 * count + 2, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        landing->directories = grown;
    }
    landing->directories[count].path = strdup(path);
    if (!landing->directories[count].path)
        return -ENOMEM;
    landing->directories[count].mode = mode & 01777;
    landing->directories[count].mtime = mtime;
    landing->directory_count++;
    return 0;
}

int landing_add_directory(struct landing *landing, const char *path, mode_t mode, time_t mtime,
                          struct error *ret_error)
{
    const char *name;
    int at = path[0] ? open_parent(landing, path, &name) : landing->fd, made;

    if (at < 0)
        return fail(ret_error, at, path);
    if (path[0]) {
        made = enter(landing, at, name);
        if (made < 0)
            return fail(ret_error, made, path);
        close(made);
    }
    made = remember(landing, path, mode, mtime);
    return made < 0 ? fail(ret_error, made, path) : 0;
}

int landing_add_file(struct landing *landing, const char *path, mode_t mode, int *ret_fd,
                     struct error *ret_error)
{
    const char *name;
    int at = open_parent(landing, path, &name), fd;

    if (at < 0)
        return fail(ret_error, at, path);
    fd = openat(at, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(ret_error, -errno, path);
    if ((geteuid() == 0 && fchown(fd, landing->uid, landing->gid)) || fchmod(fd, mode & 0777)) {
        int result = fail(ret_error, -errno, path);

        close(fd);
        return result;
    }
    *ret_fd = fd;
    return 0;
}

int landing_add_symlink(struct landing *landing, const char *path, const char *untrusted_target,
                        time_t mtime, struct error *ret_error)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = mtime}};
    const char *name;
    int at = open_parent(landing, path, &name);

    if (at < 0)
        return fail(ret_error, at, path);
    if (symlinkat(untrusted_target, at, name))
        return fail(ret_error, -errno, path);
    if ((geteuid() == 0 && fchownat(at, name, landing->uid, landing->gid, AT_SYMLINK_NOFOLLOW)) ||
        (mtime > 0 && utimensat(at, name, times, AT_SYMLINK_NOFOLLOW)))
        return fail(ret_error, -errno, path);
    return 0;
}

int landing_add_hard_link(struct landing *landing, const char *path, const char *target,
                          struct error *ret_error)
{
    const char *name, *new_name;
    int at = open_parent(landing, target, &name), from CLEANUP_CLOSE = -1;
    struct stat status;

    if (at < 0)
        return fail(ret_error, at, path);
    from = fcntl(at, F_DUPFD_CLOEXEC, 0);
    if (from < 0)
        return fail(ret_error, -errno, path);
    if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) || S_ISDIR(status.st_mode))
        return error_set(ret_error, -EILSEQ, "\"%s\" is a link to \"%s\", which is not there", path,
                         target);
    at = open_parent(landing, path, &new_name);
    if (at < 0)
        return fail(ret_error, at, path);
    return linkat(from, name, at, new_name, 0) ? fail(ret_error, -errno, path) : 0;
}

/* Those further in come first. */
static int compare(const void *a, const void *b)
{
    return strcmp(((const struct landing_directory *)b)->path,
                  ((const struct landing_directory *)a)->path);
}

int landing_finish(struct landing *landing, struct error *ret_error)
{
    forget_near(landing);
    if (landing->directory_count > 0)
        qsort(landing->directories, landing->directory_count, sizeof(*landing->directories),
              compare);
    for (size_t i = 0; i < landing->directory_count; i++) {
        const struct landing_directory *directory = &landing->directories[i];
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = directory->mtime}};
        const char *name = ".";
        int at, fd CLEANUP_CLOSE = -1;

        at = directory->path[0] ? open_parent(landing, directory->path, &name) : landing->fd;
        fd = at < 0 ? at : openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || (directory->path[0] && fchmod(fd, directory->mode)) ||
            (directory->mtime > 0 && futimens(fd, times)))
            return fail(ret_error, at < 0 ? at : -errno, directory->path);
    }
    forget_near(landing);
    return 0;
}
