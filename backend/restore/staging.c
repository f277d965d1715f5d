/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "staging.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "qubesfs/clock.h"
#include "qubesfs/disk.h"
#include "qubesfs/log.h"
#include "qubesfs/text.h"

static int open_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* STATE/restore, locked: no two daemons make, take or remove a staging directory at once. */
static int open_locked(const char *state, bool make, char **ret_path)
{
    char *path CLEANUP_FREE = text_format("%s/restore", state);
    int fd CLEANUP_CLOSE = -1, result = path ? 0 : -ENOMEM;

    if (result == 0 && make)
        result = disk_make_directories(path, 0700);
    if (result < 0)
        return result;
    fd = open_directory(path);
    if (fd < 0)
        return fd;
    while (flock(fd, LOCK_EX))
        if (errno != EINTR)
            return -errno;
    *ret_path = MOVE_POINTER(path);
    return MOVE_FD(fd);
}

static struct staging *allocate(const char *path, const char *name)
{
    struct staging *staging = calloc(1, sizeof(*staging));

    if (!staging)
        return NULL;
    staging->fd = -1;
    snprintf(staging->id, sizeof(staging->id), "%s", name);
    staging->directory = text_format("%s/%s", path, name);
    if (staging->directory)
        return staging;
    free(staging);
    return NULL;
}

/* The journal will be of no use without the way to it. */
static int sync_names(int parent)
{
    int above CLEANUP_CLOSE = openat(parent, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return above < 0 || fsync(parent) || fsync(above) ? -errno : 0;
}

int staging_new(const char *state, struct staging **ret_staging, struct error *ret_error)
{
    struct timespec now = clock_wall_unique();
    char *path CLEANUP_FREE = NULL, name[48];
    int parent CLEANUP_CLOSE = open_locked(state, true, &path), result = parent < 0 ? parent : 0;
    struct staging *staging = NULL;

    snprintf(name, sizeof(name), "%lld.%09ld-%d", (long long)now.tv_sec, now.tv_nsec,
             (int)getpid());
    if (result == 0 && !(staging = allocate(path, name)))
        result = -ENOMEM;
    if (result == 0 && mkdirat(parent, name, 0700))
        result = -errno;
    if (result == 0)
        result = sync_names(parent);
    if (result == 0) {
        staging->fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (staging->fd < 0 || flock(staging->fd, LOCK_EX | LOCK_NB))
            result = -errno;
    }
    if (result < 0) {
        if (parent >= 0)
            unlinkat(parent, name, AT_REMOVEDIR);
        staging_free(staging);
        return error_set(ret_error, result, "nothing can be staged in %s/restore: %s", state,
                         strerror(-result));
    }
    *ret_staging = staging;
    return 0;
}

int staging_adopt(const char *state, const char *name, struct staging **ret_staging,
                  struct error *ret_error)
{
    char *path CLEANUP_FREE = NULL;
    int parent CLEANUP_CLOSE = open_locked(state, false, &path), result = parent < 0 ? parent : 0;
    struct staging *staging = NULL;

    if (result == 0 && !(staging = allocate(path, name)))
        result = -ENOMEM;
    if (result == 0) {
        staging->fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (staging->fd < 0)
            result = -errno;
        else if (flock(staging->fd, LOCK_EX | LOCK_NB))
            result = errno == EWOULDBLOCK ? -EBUSY : -errno;
    }
    if (result < 0)
        error_set(ret_error, result, "%s/restore/%s: %s", state, name, strerror(-result));
    else if ((result = journal_read(staging, ret_error)) == -ENOENT)
        result = 0; /* killed before anything was made elsewhere */
    if (result < 0) {
        staging_free(staging);
        return result;
    }
    *ret_staging = staging;
    return 0;
}

/* The directory beside the target that stages for its file system. */
static int add_elsewhere(struct staging *staging, const char *near, char **ret_path)
{
    char *path CLEANUP_FREE = text_format("%s/.qubesfs-restore-%s", near, staging->id);

    if (!path)
        return -ENOMEM;
    for (size_t i = 0; i < staging->elsewhere_count; i++)
        if (strcmp(staging->elsewhere[i], path) == 0) {
            *ret_path = MOVE_POINTER(path);
            return 0;
        }
    if (strings_add(&staging->elsewhere, &staging->elsewhere_count, path))
        return -ENOMEM;
    *ret_path = MOVE_POINTER(path);
    return 0;
}

/* Notes those above the target that are not there, outer ones first. */
static int add_parents(struct staging *staging, const char *target, const char *near)
{
    char *copy CLEANUP_FREE = strdup(target);
    size_t first = strlen(near);

    if (!copy)
        return -ENOMEM;
    for (char *slash = strchr(copy + first + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        bool known = false;

        *slash = '\0';
        for (size_t i = 0; i < staging->parent_count; i++)
            known = known || strcmp(staging->parents[i], copy) == 0;
        if (!known && strings_add(&staging->parents, &staging->parent_count, copy))
            return -ENOMEM;
        *slash = '/';
    }
    return 0;
}

int staging_add(struct staging *staging, const char *target, uint64_t promised,
                struct error *ret_error)
{
    char *near CLEANUP_FREE = nearest_directory(target), *base CLEANUP_FREE = NULL;
    char *path CLEANUP_FREE = NULL;
    struct staged *item = NULL;
    struct stat status;
    int result = near ? 0 : -ENOMEM;

    if (lstat(target, &status) == 0)
        return error_set(ret_error, -EEXIST,
                         "%s is there already, and nothing is ever overwritten: move it away",
                         target);
    if (result == 0)
        result = add_parents(staging, target, near);
    if (result == 0 && same_mount(staging->directory, near))
        result = (base = strdup(staging->directory)) ? 0 : -ENOMEM;
    else if (result == 0)
        result = add_elsewhere(staging, near, &base);
    if (result == 0) {
        path = text_format("%s/%zu", base, staging->count);
        item = path ? staging_append(staging, target, path) : NULL;
    }
    if (!item)
        return error_set(ret_error, -ENOMEM, "out of memory");
    item->promised = promised;
    return 0;
}

int staging_add_vm(struct staging *staging, const char *name, const char *uuid)
{
    struct staged_vm *grown = reallocarray(staging->vms, staging->vm_count + 1, sizeof(*grown)), vm;

    if (!grown)
        return -ENOMEM;
    staging->vms = grown;
    vm = (struct staged_vm){strdup(name), strdup(uuid)};
    if (!vm.name || !vm.uuid) {
        free(vm.name);
        free(vm.uuid);
        return -ENOMEM;
    }
    grown[staging->vm_count++] = vm;
    return 0;
}

/* Whose it will be: as what is beside it, where we may say so. */
static void take_after(int fd, const char *near)
{
    struct stat beside;

    if (stat(near, &beside))
        return;
    if (geteuid() == 0 && fchown(fd, beside.st_uid, beside.st_gid))
        log_warning("%s: its owner can't be passed on: %m", near);
    if (fchmod(fd, (beside.st_mode & 07777) | 0700))
        log_warning("%s: its mode can't be passed on: %m", near);
}

static int make_item(struct staged *item)
{
    char *near CLEANUP_FREE = nearest_directory(item->target);
    struct stat status;

    if (!near)
        return -ENOMEM;
    if (mkdir(item->path, 0700))
        return -errno;
    item->fd = open(item->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (item->fd < 0 || fstat(item->fd, &status))
        return -errno;
    item->inode = status.st_ino;
    take_after(item->fd, near);
    return 0;
}

int staging_prepare(struct staging *staging, struct error *ret_error)
{
    int result = room_check(staging, ret_error);

    if (result == 0) /* before anything is made that it must tell of */
        result = journal_write(staging, ret_error);
    if (result < 0)
        return result;
    for (size_t i = 0; result == 0 && i < staging->elsewhere_count; i++)
        if (mkdir(staging->elsewhere[i], 0700))
            result = error_set(ret_error, -errno, "%s can't be made: %s", staging->elsewhere[i],
                               strerror(errno));
    for (size_t i = 0; result == 0 && i < staging->count; i++) {
        result = make_item(&staging->items[i]);
        if (result < 0)
            error_set(ret_error, result, "%s can't be made: %s", staging->items[i].path,
                      strerror(-result));
    }
    return result;
}

int staging_set_phase(struct staging *staging, enum staging_phase phase, struct error *ret_error)
{
    staging->phase = phase;
    return journal_write(staging, ret_error);
}

int staging_set_catalogue(struct staging *staging, const char *path)
{
    char *real = realpath(path, NULL), *known = real ? real : strdup(path);

    if (!known)
        return -ENOMEM;
    free(staging->catalogue);
    staging->catalogue = known;
    staging->catalogue_there = real != NULL;
    return 0;
}

void staging_free(struct staging *staging)
{
    if (!staging)
        return;
    for (size_t i = 0; i < staging->count; i++) {
        free(staging->items[i].target);
        free(staging->items[i].path);
        if (staging->items[i].fd >= 0)
            close(staging->items[i].fd);
    }
    for (size_t i = 0; i < staging->vm_count; i++) {
        free(staging->vms[i].name);
        free(staging->vms[i].uuid);
    }
    for (size_t i = 0; i < staging->elsewhere_count; i++)
        free(staging->elsewhere[i]);
    for (size_t i = 0; i < staging->parent_count; i++)
        free(staging->parents[i]);
    free(staging->catalogue);
    free(staging->items);
    free(staging->vms);
    free(staging->elsewhere);
    free(staging->parents);
    free(staging->directory);
    if (staging->fd >= 0)
        close(staging->fd);
    free(staging);
}
