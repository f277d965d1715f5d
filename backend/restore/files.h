/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files are written on a thread of their own, so that unpacking and the disk work side by side.
 * What it is given is done in order; its first error stays and is told by every later call.
 */
#ifndef RESTORE_FILES_H
#define RESTORE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "qubesfs/error.h"

struct files;

/** 0 or a negative errno. */
int files_new(struct files **ret_files);
/** Writes a copy of the bytes at `offset`; waits while there is much to do.  `fd` stays open until
 * files_close was done. */
int files_write(struct files *files, int fd, uint64_t offset, const void *data, size_t length,
                struct error *ret_error);
/** The file is through: gets its size, its time (unless 0), goes to the disk if `durable`, and is
 * closed.  `fd` and `name` (for messages) are the thread's from now on; on failure, too. */
int files_close(struct files *files, int fd, char *name, uint64_t size, time_t mtime, bool durable,
                struct error *ret_error);
/** Waits until all is done. */
int files_drain(struct files *files, struct error *ret_error);
/** Ends the thread; what was not done yet is dropped, but what it was given is closed. */
void files_free(struct files *files);

#endif
