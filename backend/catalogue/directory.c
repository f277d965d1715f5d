/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Follows a directory by its path with inotify.  While it does not exist, its nearest ancestor that
 * does is watched in its place; when it is replaced by another one, the watch moves there.
 */
#include "directory.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "qubesfs/cleanup.h"

/* Not IN_CREATE: a file that was just made is empty still, and its writer will close it. */
#define OF_THE_DIRECTORY                                                                           \
    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF |       \
     IN_MOVE_SELF | IN_ONLYDIR)
#define OF_AN_ANCESTOR                                                                             \
    (IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

int directory_open(struct directory *ret_directory, const char *path_of_file)
{
    char copy[PATH_MAX];
    struct directory made = {.fd = -1, .watch = -1};

    if (snprintf(copy, sizeof(copy), "%s", path_of_file) >= (int)sizeof(copy))
        return -ENAMETOOLONG;
    made.file_name = strdup(basename(copy));
    snprintf(copy, sizeof(copy), "%s", path_of_file);
    made.path = strdup(dirname(copy));
    made.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (!made.file_name || !made.path || made.fd < 0) {
        int result = made.fd < 0 ? -errno : -ENOMEM;

        directory_close(&made);
        return result;
    }
    *ret_directory = made;
    return 0;
}

void directory_close(struct directory *directory)
{
    if (directory->fd >= 0)
        close(directory->fd);
    directory->fd = -1;
    free(directory->file_name);
    free(directory->path);
    directory->file_name = directory->path = NULL;
}

static void take_watch(struct directory *directory, int watch, bool ancestor)
{
    if (directory->watch >= 0 && directory->watch != watch)
        inotify_rm_watch(directory->fd, directory->watch);
    directory->watch = watch;
    directory->ancestor = ancestor;
}

void directory_settle(struct directory *directory)
{
    char path[PATH_MAX], below[PATH_MAX];

    /* between failing on a directory and watching its parent it may have been made: then again; it
     * may come and go as often, so the tries are few, and the next look has more */
    for (unsigned tries = 0; tries < 16; tries++) {
        int watch = inotify_add_watch(directory->fd, directory->path, OF_THE_DIRECTORY);
        struct stat status;

        if (watch >= 0) {
            take_watch(directory, watch, false);
            return;
        }
        snprintf(path, sizeof(path), "%s", directory->path);
        do {
            snprintf(below, sizeof(below), "%s", path);
            dirname(path);
            watch = inotify_add_watch(directory->fd, path, OF_AN_ANCESTOR);
        } while (watch < 0 && strcmp(path, below) != 0);
        take_watch(directory, watch, true);
        if (watch < 0 || stat(below, &status) < 0)
            return;
        /* there, but not to be watched (a file, no permission): wait for a change of it */
        if (!S_ISDIR(status.st_mode) || access(below, R_OK) < 0)
            return;
    }
}

bool directory_events(struct directory *directory)
{
    _Alignas(struct inotify_event) char events[4096];
    bool matters = false;

    for (;;) {
        ssize_t length = read(directory->fd, events, sizeof(events));

        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            return matters;
        for (ssize_t at = 0; at < length;) {
            struct inotify_event event;

            memcpy(&event, events + at, sizeof(event));
            const char *name = event.len > 0 ? events + at + sizeof(event) : NULL;

            at += (ssize_t)(sizeof(event) + event.len);
            /* an old watch's last word about its own end would only cost a look */
            if (event.wd == directory->watch && (event.mask & IN_IGNORED))
                directory->watch = -1;
            if (!name || directory->ancestor || strcmp(name, directory->file_name) == 0)
                matters = true;
        }
    }
}
