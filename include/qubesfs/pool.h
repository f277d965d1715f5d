/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Worker threads for what may wait: hypervisor calls, disks. */
#ifndef QUBESFS_POOL_H
#define QUBESFS_POOL_H

struct pool;

/** Makes a pool of up to `max_threads`, started on demand and ended after a while without work.
 * `name` shows in ps and top (15 bytes).  Returns 0 or -ENOMEM. */
int pool_new(const char *name, unsigned max_threads, struct pool **ret_pool);

/** Runs `function(argument)` on a worker, in order of the calls as far as a worker is free.
 * Returns 0, -ENOMEM, or -ESHUTDOWN once pool_stop was called (the function is then not run). */
int pool_run(struct pool *pool, void (*function)(void *argument), void *argument);

/** Takes no more work, waits up to `seconds` for what runs (jobs not yet begun are run too).
 * Returns 0, or -ETIMEDOUT when some still run: the pool must then be leaked, not freed. */
int pool_stop(struct pool *pool, unsigned seconds);

/** Frees a stopped pool.  NULL is fine. */
void pool_free(struct pool *pool);

#endif
