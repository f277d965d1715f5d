/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XenStore: a connection to xenstored by its wire protocol, and a thread that follows it.
 *
 * Written here and not taken from libxenstore, whose calls have no time limit: with a xenstored
 * that has stopped they would hold their caller for ever.
 */
#ifndef QUBESFS_XENSTORE_H
#define QUBESFS_XENSTORE_H

#include <stdbool.h>
#include <stddef.h>

#include "qubesfs/error.h"

#define XENSTORE_SECONDS   5    /* in which xenstored has to answer a request */
#define XENSTORE_VALUE_MAX 4096 /* bytes of a value, and of a request with its path */
#define XENSTORE_NAMES_MAX 1000 /* names of a directory that are looked at */

/** One connection.  Used by one thread at a time.  A request that gets no answer in time, or a
 * broken connection, makes it useless: each further call is -ENOTCONN, and it is only to be closed.
 */
struct xenstore;

/** Connects to the socket `path` (NULL: as libxenstore finds it, by XENSTORED_PATH,
 * XENSTORED_RUNDIR or in /var/run/xenstored, else the kernel's /dev/xen/xenbus).  Returns 0, or
 * -ENOTCONN with the reason. */
int xenstore_open(const char *path, struct xenstore **ret_store, struct error *ret_error);
void xenstore_close(struct xenstore *store); /* NULL is fine */
/** True once the connection is broken. */
bool xenstore_is_lost(const struct xenstore *store);

/*
 * Requests.  They return 0 or -errno as xenstored says: -ENOENT, -EACCES, -EAGAIN (a transaction
 * met another's change), -ENOSPC, ...; -EINVAL for a path or value that is too long; -ETIMEDOUT;
 * -ENOTCONN. What is read was written by a VM, perhaps: not to be trusted.
 */

/** Reads a value of up to `size` - 1 bytes and puts a NUL behind it.  A longer one, or one with a
 * NUL in it, is -EINVAL. */
int xenstore_read(struct xenstore *store, const char *path, char *ret_untrusted_value, size_t size);

/** The names in a directory, sorted. */
struct xenstore_names {
    char *data; /* owned; the names point into it */
    const char **names;
    size_t count;
};
/** Lists a directory; of more than XENSTORE_NAMES_MAX names, or more than fit into one answer (4096
 * bytes), only some.  To be let go with xenstore_names_free, also after an error. */
int xenstore_list(struct xenstore *store, const char *path,
                  struct xenstore_names *ret_untrusted_names);
void xenstore_names_free(struct xenstore_names *names);

int xenstore_write(struct xenstore *store, const char *path, const char *value);
/** Makes an empty node; fine if it is there. */
int xenstore_mkdir(struct xenstore *store, const char *path);
/** Removes a node and all below it. */
int xenstore_remove(struct xenstore *store, const char *path);
/** Sets a node's permissions as xenstored writes them, "n5 r0": the owner first. */
int xenstore_set_permissions(struct xenstore *store, const char *path, const char *permissions);
/** 1 if the domain is known to xenstored, 0 if not, or -errno. */
int xenstore_is_introduced(struct xenstore *store, unsigned domain);

/** One value of several that are written together. */
struct xenstore_entry {
    const char *path, *value;
    const char *permissions; /* NULL: those of the directory above */
};

/** Begins a transaction: all requests until its end belong to it. */
int xenstore_begin(struct xenstore *store);
/** Ends it; -EAGAIN: another changed what was read meanwhile, nothing was done, begin again. */
int xenstore_commit(struct xenstore *store);
void xenstore_abort(struct xenstore *store);

/** Writes all of them or none, in a transaction that is tried again as often as another is in its
 * way. */
int xenstore_write_all(struct xenstore *store, const struct xenstore_entry *entries, size_t count);

/*
 * Watches.  An event says no more than which watch it was: a VM that changes its keys as fast as it
 * can costs no memory, since there is never more than one event of a watch in the queue.
 */

/** From now on a change of `path` or below it queues `token`; it is queued once at the beginning.
 */
int xenstore_watch(struct xenstore *store, const char *path, const char *token);
int xenstore_unwatch(struct xenstore *store, const char *path, const char *token);
/** Waits up to `milliseconds` (-1: for ever) for an event.  Returns 1 and the token (at least
 * XENSTORE_TOKEN_MAX bytes), 0 when time is up or `wake_fd` (-1: none) is readable, or -errno. */
#define XENSTORE_TOKEN_MAX 64
int xenstore_next(struct xenstore *store, int milliseconds, int wake_fd, char *ret_token);

/*
 * A thread that keeps a connection, and makes it anew (0.1 s to 2 s later) when it breaks.
 */

/** All are called on the follower's thread.  Those that return an errno end the connection by it.
 */
struct xenstore_listener {
    void *cookie;
    /** There is a connection: set watches, read. */
    int (*connected)(void *cookie, struct xenstore *store);
    int (*event)(void *cookie, struct xenstore *store, const char *token);
    /** After all events that have come, and when the time that it gave has passed.
     * `ret_milliseconds`: when it is to be called next, -1: with the next event. */
    int (*settle)(void *cookie, struct xenstore *store, int *ret_milliseconds);
    /** It is broken, or could not be made; told once until there is another one. */
    void (*disconnected)(void *cookie, const struct error *error);
};

struct xenstore_follower;

/** Starts to follow; `path` as for xenstore_open, copied.  Returns 0 or -errno. */
int xenstore_follow(const char *path, const struct xenstore_listener *listener,
                    struct xenstore_follower **ret_follower);
/** Makes a new connection at once and waits, at most `seconds`, until all was read by it.
 * Returns 0, -ETIMEDOUT, or -ENOTCONN with the reason. */
int xenstore_follow_again(struct xenstore_follower *follower, unsigned seconds,
                          struct error *ret_error);
/** Ends the thread (within XENSTORE_SECONDS).  NULL is fine. */
void xenstore_follow_stop(struct xenstore_follower *follower);

#endif
