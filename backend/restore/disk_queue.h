/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files are written on a thread of their own, so that unpacking and the disk work side by side.
 * What it is given is done in order; its first error stays and is told by every later call.
 */
#ifndef RESTORE_DISK_QUEUE_H
#define RESTORE_DISK_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "qubesfs/error.h"

struct disk_queue;

/** 0 or a negative errno. */
int disk_queue_new(struct disk_queue **ret_queue);
/** Writes a copy of the bytes at `offset`; waits while there is much to do.  `fd` stays open until
 * disk_queue_close was done. */
int disk_queue_write(struct disk_queue *queue, int fd, uint64_t offset, const void *data,
                     size_t length, struct error *ret_error);
/** The file is through: gets its size, its time (unless 0), goes to the disk if `durable`, and is
 * closed.  `fd` and `name` (for messages) are the thread's from now on; on failure, too. */
int disk_queue_close(struct disk_queue *queue, int fd, char *name, uint64_t size, time_t mtime,
                     bool durable, struct error *ret_error);
/** Waits until all is done. */
int disk_queue_drain(struct disk_queue *queue, struct error *ret_error);
/** Ends the thread; what was not done yet is dropped, but what it was given is closed. */
void disk_queue_free(struct disk_queue *queue);

#endif
