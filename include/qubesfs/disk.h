/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files and directories changed so that they outlive a crash, and removed whatever is in them. */
#ifndef QUBESFS_DISK_H
#define QUBESFS_DISK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** Writes all bytes at the file's position; 0 or a negative errno. */
int disk_write(int fd, const void *data, size_t length);
/** The same at `offset`, whatever the position. */
int disk_write_at(int fd, const void *data, size_t length, uint64_t offset);

/** Puts `data` in the place of the file `name` in the open directory, which has the old or the new
 * content at any moment, and has the new one durably when this returns 0.  The new file, mode 0600,
 * is made as `.new` there first.  A failure leaves the old one. */
int disk_replace(int directory, const char *name, const void *data, size_t length);

/** Makes the directory `path` and those above it that are missing, with that mode (less the umask).
 * Fine if it is there.  0 or a negative errno. */
int disk_make_directories(const char *path, mode_t mode);

/**
 * Removes the directory `name` in the open directory with all that is in it: however deep, whatever
 * its directories' modes.  Never follows a link nor leaves the file system's tree.  Nobody else may
 * be at work in it.  0 (also when it is not there), or the first negative errno.
 */
int disk_remove_tree(int directory, const char *name);

#endif
