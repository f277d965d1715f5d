/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tar_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "qubesfs/log.h"
#include "tar_images.h"
#include "tar_links.h"

#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* deeper ones have no path that a call would take; each costs stack and an open file here */
#define DEPTH_MAX (PATH_MAX / 2u)

struct walk {
    struct tar_writer *writer;
    const struct archive_source *source;
    struct tar_links links;
    struct error *error;
};

/** One entry of the tree on its way into the archive. */
struct entry {
    const struct entry *parent; /* NULL at the top */
    int directory;              /* open directory that `base` is in, or AT_FDCWD */
    const char *base;
    const char *name; /* in the archive */
    const char *path; /* for messages */
    struct stat status;
};

static int write_entry(struct walk *walk, struct entry *entry);

static int fail(const struct walk *walk, int code, const char *what, const struct entry *entry)
{
    return error_set(walk->error, code, "can't %s %s: %s", what, entry->path, strerror(-code));
}

/* What vanishes while somebody works in the tree was not there. */
static bool may_vanish(const struct walk *walk, const struct entry *entry, int code)
{
    return code == -ENOENT && walk->source->live && entry->parent;
}

/* What can't be opened any more is nothing that a further name of it may lead to. */
static bool has_vanished(struct walk *walk, const struct entry *entry, int code)
{
    if (!may_vanish(walk, entry, code))
        return false;
    tar_links_forget(&walk->links, &entry->status);
    return true;
}

/* Opens the entry: the link itself never, what it leads to if `follow`. */
static int open_entry(const struct walk *walk, const struct entry *entry, bool follow, int flags)
{
    const char *root = walk->source->root;
    char target[PATH_MAX];
    ssize_t length = -1;
    int fd;

    if (follow && root[0])
        length = readlinkat(entry->directory, entry->base, target, sizeof(target) - 1);
    if (length > 0 && target[0] == '/') {
        struct open_how how = {.flags = (uint64_t)flags, .resolve = RESOLVE_IN_ROOT};
        int root_fd CLEANUP_CLOSE = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (root_fd < 0)
            return -errno;
        target[length] = '\0';
        fd = (int)syscall(SYS_openat2, root_fd, target, &how, sizeof(how));
    } else {
        fd = openat(entry->directory, entry->base, flags | (follow ? 0 : O_NOFOLLOW));
    }
    return fd < 0 ? -errno : fd;
}

static struct tar_member member_of(const struct walk *walk, const struct entry *entry)
{
    const struct archive_owners *owners = &walk->source->owners;

    return (struct tar_member){
        .name = entry->name,
        .mode = entry->status.st_mode & 07777,
        .uid = entry->status.st_uid,
        .gid = entry->status.st_gid,
        .time = entry->status.st_mtim.tv_sec,
        .user = owners->user ? owners->user(owners->cookie, entry->status.st_uid) : NULL,
        .group = owners->group ? owners->group(owners->cookie, entry->status.st_gid) : NULL,
    };
}

static int write_header(struct walk *walk, const struct entry *entry,
                        const struct tar_member *member)
{
    int result = tar_write_header(walk->writer, member, NULL);

    return result < 0 ? fail(walk, result, "store", entry) : 0;
}

static int write_symlink(struct walk *walk, const struct entry *entry)
{
    struct tar_member member = member_of(walk, entry);
    char target[PATH_MAX];
    ssize_t length = readlinkat(entry->directory, entry->base, target, sizeof(target) - 1);

    if (length < 0)
        return has_vanished(walk, entry, -errno) ? 0 : fail(walk, -errno, "read the link", entry);
    target[length] = '\0';
    member.type = TAR_SYMLINK;
    member.link_name = target;
    return write_header(walk, entry, &member);
}

/* A further name of a file that is in the archive already; `ret_done` tells if it was one. */
static int write_hard_link(struct walk *walk, const struct entry *entry, bool *ret_done)
{
    struct tar_member member = member_of(walk, entry);
    int result;

    *ret_done = false;
    if (walk->source->dereference || entry->status.st_nlink < 2)
        return 0;
    result = tar_links_find(&walk->links, &entry->status, entry->name, &member.link_name);
    if (result < 0)
        return fail(walk, result, "store", entry);
    if (!member.link_name)
        return 0;
    *ret_done = true;
    member.type = TAR_HARD_LINK;
    return write_header(walk, entry, &member);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
    char **list;
    size_t count;
};

static void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
}

/* The sorted names in an open directory. */
static int read_names(int fd, struct names *names)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    size_t capacity = 0;
    struct dirent *next;
    int result = 0;

    if (!directory) {
        result = -errno;
        if (copy >= 0)
            close(copy);
        return result;
    }
    while (errno = 0, (next = readdir(directory)) != NULL) {
        if (!strcmp(next->d_name, ".") || !strcmp(next->d_name, ".."))
            continue;
        if (names->count == capacity) {
            char **grown;

            capacity = capacity ? 2 * capacity : 32;
            grown = reallocarray(names->list, capacity, sizeof(*grown));
            if (!grown)
                break;
            names->list = grown;
        }
        names->list[names->count] = strdup(next->d_name);
        if (!names->list[names->count])
            break;
        names->count++;
    }
    result = next ? -ENOMEM : -errno;
    closedir(directory);
    if (names->count > 0)
        qsort(names->list, names->count, sizeof(*names->list), compare_names);
    return result;
}

static int write_child(struct walk *walk, const struct entry *parent, int fd, const char *base)
{
    char *name CLEANUP_FREE = NULL, *path CLEANUP_FREE = NULL;
    struct entry child = {.parent = parent, .directory = fd, .base = base};

    /* the parent's name in the archive ends with a slash */
    if (asprintf(&name, "%s%s", parent->name, base) < 0) {
        name = NULL;
        return fail(walk, -ENOMEM, "store", parent);
    }
    if (asprintf(&path, "%s/%s", parent->path, base) < 0) {
        path = NULL;
        return fail(walk, -ENOMEM, "store", parent);
    }
    child.name = name;
    child.path = path;
    return write_entry(walk, &child);
}

static int write_directory(struct walk *walk, const struct entry *entry, int fd)
{
    struct tar_member member = member_of(walk, entry);
    struct names names CLEANUP(names_free) = {NULL, 0};
    char *name CLEANUP_FREE = NULL;
    struct entry self = *entry;
    unsigned depth = 0;
    int result;

    for (const struct entry *above = entry->parent; above; above = above->parent, depth++)
        if (above->status.st_dev == entry->status.st_dev &&
            above->status.st_ino == entry->status.st_ino)
            return fail(walk, -ELOOP, "store", entry);
    if (depth > DEPTH_MAX)
        return error_set(walk->error, -ENAMETOOLONG,
                         "a directory lies more than %u levels deep, nothing can name it: %s",
                         DEPTH_MAX, entry->path);
    if (asprintf(&name, "%s/", entry->name) < 0) {
        name = NULL;
        return fail(walk, -ENOMEM, "store", entry);
    }
    self.name = member.name = name;
    member.type = TAR_DIRECTORY;
    walk->writer->disk_bytes += (uint64_t)entry->status.st_blocks * 512;
    result = write_header(walk, &self, &member);
    if (result < 0)
        return result;
    result = read_names(fd, &names);
    if (result < 0)
        return fail(walk, result, "list", entry);
    for (size_t i = 0; result == 0 && i < names.count; i++)
        result = write_child(walk, &self, fd, names.list[i]);
    return result;
}

/* A file or directory, as `entry->status` says, reached by way of a link if `follow`. */
static int write_opened(struct walk *walk, struct entry *entry, bool follow)
{
    mode_t type = entry->status.st_mode & S_IFMT;
    struct tar_member member = member_of(walk, entry);
    struct stat before = entry->status;
    int fd CLEANUP_CLOSE = -1;

    if (!walk->writer->sink && walk->source->live && type == S_IFREG &&
        entry->status.st_blocks >= (entry->status.st_size + 511) / 512)
        return tar_count_file(walk->writer, &member, &entry->status);
    fd = open_entry(walk, entry, follow, OPEN_FLAGS);
    if (fd < 0)
        return has_vanished(walk, entry, fd) ? 0 : fail(walk, fd, "open", entry);
    if (fstat(fd, &entry->status))
        return fail(walk, -errno, "look at", entry);
    if ((entry->status.st_mode & S_IFMT) != type)
        return error_set(walk->error, -EBUSY, "%s was replaced while it was read", entry->path);
    if (type == S_IFDIR)
        return write_directory(walk, entry, fd);
    if (before.st_dev != entry->status.st_dev || before.st_ino != entry->status.st_ino)
        tar_links_forget(&walk->links, &before); /* another file has its name since */
    member = member_of(walk, entry);
    return tar_write_file(walk->writer, &member, fd, &entry->status,
                          walk->source->live ? TAR_LIVE : TAR_WATCHED, entry->path, walk->error);
}

static int write_special(struct walk *walk, const struct entry *entry)
{
    mode_t type = entry->status.st_mode & S_IFMT;

    if (type == S_IFSOCK || type == S_IFIFO || walk->source->live) {
        log_debug("%s is left out of the backup: it is neither file, directory nor link",
                  entry->path);
        return 0;
    }
    return error_set(walk->error, -EINVAL,
                     "%s is a device: format 3 stores image files only, nothing was stored of it",
                     entry->path);
}

/* Replaces the link's status by that of what it leads to; `ret_dangling` if that is nothing. */
static int follow_link(struct walk *walk, struct entry *entry, bool *ret_dangling)
{
    int fd CLEANUP_CLOSE = open_entry(walk, entry, true, O_PATH | O_CLOEXEC);

    *ret_dangling = fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP;
    if (*ret_dangling)
        return 0;
    if (fd < 0)
        return fail(walk, fd, "follow", entry);
    return fstat(fd, &entry->status) ? fail(walk, -errno, "look at", entry) : 0;
}

/* True if the kernel's list of mounts says that the device is a file system that lives in some
 * process.  Asking that file system itself might take for ever. */
static bool is_fuse(dev_t device)
{
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t size = 0;
    bool found = false;

    while (mounts && !found && getline(&line, &size, mounts) > 0) {
        const char *type = strstr(line, " - ");
        unsigned major_number, minor_number;

        found = type && strncmp(type + 3, "fuse", 4) == 0 &&
                sscanf(line, "%*u %*u %u:%u", &major_number, &minor_number) == 2 &&
                makedev(major_number, minor_number) == device;
    }
    free(line);
    if (mounts)
        fclose(mounts);
    return found;
}

/* What the kernel knows of an entry of a live tree without asking a file system's process; of local
 * disks that is all. */
static int look_without_asking(const struct entry *entry, struct stat *ret_status)
{
    struct statx status;

    if (statx(entry->directory, entry->base,
              AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_BASIC_STATS,
              &status))
        return -errno;
    *ret_status = (struct stat){
        .st_dev = makedev(status.stx_dev_major, status.stx_dev_minor),
        .st_ino = status.stx_ino,
        .st_mode = status.stx_mode,
        .st_nlink = status.stx_nlink,
        .st_uid = status.stx_uid,
        .st_gid = status.stx_gid,
        .st_rdev = makedev(status.stx_rdev_major, status.stx_rdev_minor),
        .st_size = (off_t)status.stx_size,
        .st_blksize = (blksize_t)status.stx_blksize,
        .st_blocks = (blkcnt_t)status.stx_blocks,
        .st_mtim = {status.stx_mtime.tv_sec, status.stx_mtime.tv_nsec},
        .st_ctim = {status.stx_ctime.tv_sec, status.stx_ctime.tv_nsec},
    };
    return 0;
}

/* True for what is mounted in a live tree and can't even be looked at: another user's FUSE file
 * system, or one whose process has died.  Asked for nothing, statx tells the device all the same.
 */
static bool is_out_of_reach(const struct entry *entry, int code)
{
    struct statx status;

    if (code == -ENOTCONN)
        return true;
    return code == -EACCES &&
           statx(entry->directory, entry->base, AT_SYMLINK_NOFOLLOW, 0, &status) == 0 &&
           makedev(status.stx_dev_major, status.stx_dev_minor) != entry->parent->status.st_dev;
}

/* `ret_there` false: it is to be passed over. */
static int look_at(const struct walk *walk, struct entry *entry, bool *ret_there)
{
    int code;

    *ret_there = true;
    if (!walk->source->live || !entry->parent)
        return fstatat(entry->directory, entry->base, &entry->status, AT_SYMLINK_NOFOLLOW) == 0
                   ? 0
                   : fail(walk, -errno, "look at", entry);
    code = look_without_asking(entry, &entry->status);
    if (code == 0 &&
        (entry->status.st_dev == entry->parent->status.st_dev || !is_fuse(entry->status.st_dev)))
        return 0;
    *ret_there = false;
    if (may_vanish(walk, entry, code))
        return 0;
    if (code < 0 && !is_out_of_reach(entry, code))
        return fail(walk, code, "look at", entry);
    log_info("%s is left out of the backup: %s", entry->path,
             code == 0 ? "a FUSE file system is mounted there"
                       : "something is mounted there that can't be reached");
    return 0;
}

static int write_entry(struct walk *walk, struct entry *entry)
{
    bool follow = false, done = true, there;
    int result;

    if (walk->writer->output && walk->writer->output->cancelled(walk->writer->output->cookie))
        return error_set(walk->error, -ECANCELED, "the backup was given up");
    result = look_at(walk, entry, &there);
    if (result < 0 || !there)
        return result;
    if (S_ISLNK(entry->status.st_mode) && (walk->source->dereference || !entry->parent)) {
        bool dangling;

        result = follow_link(walk, entry, &dangling);
        if (result < 0)
            return result;
        follow = !dangling;
    }
    if (walk->source->image && !S_ISREG(entry->status.st_mode))
        return error_set(walk->error, -EINVAL, "%s is no regular file", entry->path);
    if (S_ISDIR(entry->status.st_mode))
        return write_opened(walk, entry, follow);
    if (!S_ISREG(entry->status.st_mode) && !S_ISLNK(entry->status.st_mode))
        return write_special(walk, entry);
    result = write_hard_link(walk, entry, &done);
    if (result < 0 || done)
        return result;
    return S_ISLNK(entry->status.st_mode) ? write_symlink(walk, entry)
                                          : write_opened(walk, entry, follow);
}

int tar_write_tree(struct tar_writer *writer, const struct archive_source *source,
                   struct error *ret_error)
{
    struct error ignored;
    struct walk walk = {
        .writer = writer, .source = source, .error = ret_error ? ret_error : &ignored};
    struct entry top = {
        .directory = AT_FDCWD, .base = source->path, .name = source->name, .path = source->path};
    int result;

    if (source->images)
        return tar_write_images(writer, source, walk.error);
    result = write_entry(&walk, &top);
    tar_links_free(&walk.links);
    return result;
}
