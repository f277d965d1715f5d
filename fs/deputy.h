/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread that has the daemon's table of files and acts for one that has none of it: the notifier
 * can neither answer a request nor tell the kernel to forget a name, since the FUSE device is not open
 * in its own table (why: notify.c).
 */
#ifndef QUBESFS_FS_DEPUTY_H
#define QUBESFS_FS_DEPUTY_H

#include <pthread.h>
#include <stdbool.h>

struct deputy {
    pthread_mutex_t lock; /* guards all below; nothing else is taken under it */
    pthread_cond_t moved; /* work was given or is done, or the end */
    void (*work)(void *cookie);
    void *cookie;
    pthread_t thread;
    bool running, ending;
};

/** Starts the thread.  0 or a negative errno. */
int deputy_start(struct deputy *deputy);
/** Has `work(cookie)` done there and waits until it is.  For one caller's thread only, which holds
 * no lock that `work` needs. */
void deputy_do(struct deputy *deputy, void (*work)(void *cookie), void *cookie);
/** Ends the thread.  Fine where it was never started. */
void deputy_stop(struct deputy *deputy);

#endif
