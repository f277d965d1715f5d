/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests that are answered later.  Each is answered exactly once: by who finishes it, by the
 * clock (a command still at work after 15 s), by an interrupt, or because its node vanishes.  They
 * are known by numbers, never by pointers, so that a late finisher or interrupt meets nothing.
 */
#ifndef QUBESFS_FS_WAITS_H
#define QUBESFS_FS_WAITS_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct fs;
struct node;
struct handle;
struct wait;

struct waits {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t moved; /* a nearer deadline, or the end */
    struct wait *first;
    uint64_t next_id;
    pthread_t thread;
    bool running, ending;
};

/** Starts the clock's thread.  0 or a negative errno. */
int waits_start(struct fs *fs);
/** Answers all that still wait with `error` (a positive errno) and ends the thread. */
void waits_stop(struct fs *fs, int error);

enum wait_kind {
    WAIT_WRITE, /* a user's write: the node's file is locked in the kernel; answered EINPROGRESS
                   after 15 s */
    WAIT_NAME,  /* a user makes, renames or removes a name in this directory, which the kernel has
                   locked: answered EINPROGRESS after 5 s, so that no listing waits for long */
    WAIT_OTHER, /* a getattr or open that needs the disk */
    WAIT_READ,  /* a read or flush of a stream, which answers interrupts itself */
    WAIT_TAKE,  /* a write to a stream: both of it, and it may take its time */
};

/** Notes a request to `node` as waiting and returns its number; 0: it was answered already (out of
 * memory, interrupted, the node vanishes).  WAIT_READ and WAIT_TAKE give the open file,
 * whose handle_interrupt is called with the number when the caller is interrupted; the others pass
 * NULL. */
uint64_t waits_add(struct fs *fs, fuse_req_t request, struct node *node, enum wait_kind kind,
                   struct handle *handle);

/** True if a WAIT_READ or WAIT_TAKE was interrupted: to be asked once its work was begun, since an
 * interrupt that came before then met nothing. */
bool waits_interrupted(struct fs *fs, uint64_t number);

/** The request, for the caller alone to answer and then to end with waits_done; NULL: it was
 * answered. */
fuse_req_t waits_take(struct fs *fs, uint64_t number, struct wait **ret_wait);
void waits_done(struct fs *fs, struct wait *wait);

/** Answers all writes to this node, and all changes of names in it, with `error`: it is about to
 * vanish. */
void waits_release(struct fs *fs, struct node *node, int error);

#endif
