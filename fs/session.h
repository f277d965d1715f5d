/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The FUSE session: mount, the threads that serve it, and noticing its end. */
#ifndef QUBESFS_FS_SESSION_H
#define QUBESFS_FS_SESSION_H

#include "fs.h"
#include "qubesfs/error.h"

struct session;

/**
 * Mounts at `mountpoint` (replacing a stale mount of a dead daemon, refusing a living one) and
 * serves it by a few threads.  `fuse_options` is libfuse's -o, or NULL.  Sets fs->session. Returns
 * 0 or a negative errno with the reason.
 */
int session_start(struct fs *fs, const char *mountpoint, const char *fuse_options,
                  struct session **ret_session, struct error *ret_error);

/** Waits until the mount is gone (unmounted in our namespace, or aborted) or one of the signals
 * SIGTERM, SIGINT came (blocked in all threads, see session_block_signals); SIGHUP calls `refresh`.
 */
void session_wait(struct session *session, void (*refresh)(struct fs *fs));

/** To be called before any thread is started. */
void session_block_signals(void);

/** Ends the threads, then unmounts (if it still is mounted); what comes to the mount after that
 * fails. Answers to old requests may still be given, to nobody. */
void session_end(struct session *session);
/** Frees an ended session: nobody answers a request any more.  NULL is fine. */
void session_free(struct session *session);

#endif
