/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Members of an archive, made below an open directory.  Paths are relative, without `..`; no
 * symbolic link is ever followed, so nothing gets out of it.  What can't be made since it
 * contradicts what was made before, or since no file system takes such a name, is -EILSEQ, changes
 * nothing, and need not end the work.
 */
#ifndef RESTORE_LANDING_H
#define RESTORE_LANDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "qubesfs/error.h"

struct landing_directory {
    char *path;
    mode_t mode;
    time_t mtime;
};

struct landing {
    int fd;    /* the directory; borrowed */
    uid_t uid; /* whose everything will be, where we may say so */
    gid_t gid;
    /* they get their modes and times at the end, or nothing could be put into some */
    struct landing_directory *directories;
    size_t directory_count;
    size_t counted, counted_bytes;
    char *near_path; /* the directory that was last used, and its descriptor */
    int near_fd;
};

/** `like` is open: its owner will be everything's. */
int landing_init(struct landing *landing, int fd, int like);
void landing_free(struct landing *landing);

/** One more directory is to be remembered: -E2BIG when that are too many.  Without the others that
 * is all that a tree without a descriptor does. */
int landing_count_directory(struct landing *landing, const char *path, struct error *ret_error);
/** Path "" is the directory itself.  It was counted. */
int landing_add_directory(struct landing *landing, const char *path, mode_t mode, time_t mtime,
                          struct error *ret_error);
/** A new, empty file, open for writing; directories above it are made.  Set-id bits are dropped. */
int landing_add_file(struct landing *landing, const char *path, mode_t mode, int *ret_fd,
                     struct error *ret_error);
int landing_add_symlink(struct landing *landing, const char *path, const char *untrusted_target,
                        time_t mtime, struct error *ret_error);
/** Another name for a file that was made before. */
int landing_add_hard_link(struct landing *landing, const char *path, const char *target,
                          struct error *ret_error);
/** Sets the directories' modes and times; nothing can be added after it. */
int landing_finish(struct landing *landing, struct error *ret_error);

#endif
