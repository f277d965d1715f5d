/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "qubesfs/cleanup.h"

/* Their paths are kept in memory until the end. */
#define DIRECTORIES_MAX ((size_t)1 << 20)
#define PATH_BYTES_MAX  ((size_t)64 << 20)

int tree_init(struct tree *tree, int fd, int like)
{
    struct stat status;

    *tree = (struct tree){.fd = fd, .near_fd = -1};
    if (fstat(like, &status))
        return -errno;
    tree->uid = status.st_uid;
    tree->gid = status.st_gid;
    return 0;
}

static void forget_near(struct tree *tree)
{
    if (tree->near_fd >= 0)
        close(tree->near_fd);
    tree->near_fd = -1;
    free(tree->near_path);
    tree->near_path = NULL;
}

void tree_free(struct tree *tree)
{
    forget_near(tree);
    for (size_t i = 0; i < tree->directory_count; i++)
        free(tree->directories[i].path);
    free(tree->directories);
    *tree = (struct tree){.fd = -1, .near_fd = -1};
}

static int fail(struct error *ret_error, int code, const char *path)
{
    switch (code) {
    case -EEXIST:
        return error_set(ret_error, -EILSEQ, "\"%s\" is in it twice", path);
    case -ELOOP:
    case -ENOTDIR:
        return error_set(ret_error, -EILSEQ, "\"%s\" is below something that is no directory", path);
    case -ENOENT:
    case -EMLINK:
    case -ENAMETOOLONG:
        return error_set(ret_error, -EILSEQ, "\"%s\" can't be made here: %s", path,
                         strerror(-code));
    default:
        return error_set(ret_error, code, "\"%s\" can't be made: %s", path, strerror(-code));
    }
}

int tree_count_directory(struct tree *tree, const char *path, struct error *ret_error)
{
    tree->counted++;
    tree->counted_bytes += strlen(path) + 32;
    if (tree->counted > DIRECTORIES_MAX || tree->counted_bytes > PATH_BYTES_MAX)
        return error_set(ret_error, -E2BIG,
                         "there are more directories in it than any backup has");
    return 0;
}

/* Opens the directory `name` in `at`, and makes it if it is missing. */
static int enter(const struct tree *tree, int at, const char *name)
{
    int fd;

    if (mkdirat(at, name, 0700) == 0) {
        if (geteuid() == 0 && fchownat(at, name, tree->uid, tree->gid, AT_SYMLINK_NOFOLLOW))
            return -errno;
    } else if (errno != EEXIST) {
        return -errno;
    }
    fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Opens the directory that the last part of the path is to be in, which it hands out; the
 * descriptor stays the tree's. */
static int open_parent(struct tree *tree, const char *path, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    char *parent CLEANUP_FREE = strndup(path, length), *rest = NULL;
    int fd;

    if (!parent)
        return -ENOMEM;
    *ret_name = slash ? slash + 1 : path;
    if (tree->near_path && strcmp(tree->near_path, parent) == 0)
        return tree->near_fd;
    forget_near(tree);
    fd = openat(tree->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    tree->near_path = strdup(parent);
    for (char *part = strtok_r(parent, "/", &rest); part && fd >= 0;
         part = strtok_r(NULL, "/", &rest)) {
        int next = enter(tree, fd, part);

        close(fd);
        fd = next;
    }
    if (fd < 0 || !tree->near_path) {
        forget_near(tree);
        if (fd >= 0)
            close(fd);
        return fd < 0 ? fd : -ENOMEM;
    }
    tree->near_fd = fd;
    return fd;
}

static int remember(struct tree *tree, const char *path, mode_t mode, time_t mtime)
{
    struct tree_directory *grown;
    size_t count = tree->directory_count;

    if ((count & (count + 1)) == 0) { /* grows by doubling */
        grown = reallocarray(tree->directories, 2 * count + 2, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        tree->directories = grown;
    }
    tree->directories[count].path = strdup(path);
    if (!tree->directories[count].path)
        return -ENOMEM;
    tree->directories[count].mode = mode & 01777;
    tree->directories[count].mtime = mtime;
    tree->directory_count++;
    return 0;
}

int tree_add_directory(struct tree *tree, const char *path, mode_t mode, time_t mtime,
                       struct error *ret_error)
{
    const char *name;
    int at = path[0] ? open_parent(tree, path, &name) : tree->fd, made;

    if (at < 0)
        return fail(ret_error, at, path);
    if (path[0]) {
        made = enter(tree, at, name);
        if (made < 0)
            return fail(ret_error, made, path);
        close(made);
    }
    made = remember(tree, path, mode, mtime);
    return made < 0 ? fail(ret_error, made, path) : 0;
}

int tree_add_file(struct tree *tree, const char *path, mode_t mode, int *ret_fd,
                  struct error *ret_error)
{
    const char *name;
    int at = open_parent(tree, path, &name), fd;

    if (at < 0)
        return fail(ret_error, at, path);
    fd = openat(at, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(ret_error, -errno, path);
    if ((geteuid() == 0 && fchown(fd, tree->uid, tree->gid)) || fchmod(fd, mode & 0777)) {
        int result = fail(ret_error, -errno, path);

        close(fd);
        return result;
    }
    *ret_fd = fd;
    return 0;
}

int tree_add_symlink(struct tree *tree, const char *path, const char *untrusted_target,
                     struct error *ret_error)
{
    const char *name;
    int at = open_parent(tree, path, &name);

    if (at < 0)
        return fail(ret_error, at, path);
    if (symlinkat(untrusted_target, at, name))
        return fail(ret_error, -errno, path);
    if (geteuid() == 0 && fchownat(at, name, tree->uid, tree->gid, AT_SYMLINK_NOFOLLOW))
        return fail(ret_error, -errno, path);
    return 0;
}

int tree_add_hard_link(struct tree *tree, const char *path, const char *target,
                       struct error *ret_error)
{
    const char *name, *new_name;
    int at = open_parent(tree, target, &name), from CLEANUP_CLOSE = -1;
    struct stat status;

    if (at < 0)
        return fail(ret_error, at, path);
    from = fcntl(at, F_DUPFD_CLOEXEC, 0);
    if (from < 0)
        return fail(ret_error, -errno, path);
    if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) || S_ISDIR(status.st_mode))
        return error_set(ret_error, -EILSEQ, "\"%s\" is a link to \"%s\", which is not there", path,
                         target);
    at = open_parent(tree, path, &new_name);
    if (at < 0)
        return fail(ret_error, at, path);
    return linkat(from, name, at, new_name, 0) ? fail(ret_error, -errno, path) : 0;
}

/* Those further in come first. */
static int compare(const void *a, const void *b)
{
    return strcmp(((const struct tree_directory *)b)->path,
                  ((const struct tree_directory *)a)->path);
}

int tree_finish(struct tree *tree, struct error *ret_error)
{
    forget_near(tree);
    if (tree->directory_count > 0)
        qsort(tree->directories, tree->directory_count, sizeof(*tree->directories), compare);
    for (size_t i = 0; i < tree->directory_count; i++) {
        const struct tree_directory *directory = &tree->directories[i];
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = directory->mtime}};
        const char *name = ".";
        int at, fd CLEANUP_CLOSE = -1;

        at = directory->path[0] ? open_parent(tree, directory->path, &name) : tree->fd;
        fd = at < 0 ? at : openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || (directory->path[0] && fchmod(fd, directory->mode)) ||
            (directory->mtime > 0 && futimens(fd, times)))
            return fail(ret_error, at < 0 ? at : -errno, directory->path);
    }
    forget_near(tree);
    return 0;
}
