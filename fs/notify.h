/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Real inotify events on a FUSE mount: one thread performs the operation whose events are wanted on
 * the daemon's own mount, and the handlers let that thread alone do it.
 *
 * Source: measured on kernels 6.1 and 6.18; fuse_lowlevel_notify_* makes no such events.
 */
#ifndef QUBESFS_FS_NOTIFY_H
#define QUBESFS_FS_NOTIFY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "deputy.h"

struct fs;
struct node;
struct poke;

struct notifier {
    pthread_mutex_t lock; /* guards the queue, ending and ready */
    pthread_cond_t moved; /* something was queued, or the end */
    struct poke *first, **last;
    bool running, ending, ready;
    int root;               /* the mount's root directory; the thread's own */
    const char *mountpoint; /* not NULL: no right to keep `root`, it is opened for each poke */
    dev_t device;           /* what is mounted there as long as it is us */
    int failed;             /* why there is no root: a negative errno */
    pthread_t thread;
    _Atomic pid_t tid;    /* the poking thread's; 0: none */
    struct deputy deputy; /* for what needs the daemon's files */
    struct node *current; /* what the thread is about to publish, rename or remove; its own, read by
                             the handlers of its own requests only */
};

/** Makes the queue usable, before anything else here. */
void notifier_init(struct fs *fs);
/** Starts the thread, which opens the mount (so the session must be answering), and waits for that.
 */
int notifier_start(struct fs *fs, const char *mountpoint);
/** Ends the thread after the poke at work; what is still queued is published untold. */
void notifier_stop(struct fs *fs);

/* Called with the tree's lock held; each takes its own reference. */
void notify_appeared(struct fs *fs, struct node *hidden);
void notify_vanished(struct fs *fs, struct node *leaving);
void notify_renamed(struct fs *fs, struct node *node, const char *name);
void notify_changed(struct fs *fs, struct node *node);

#endif
