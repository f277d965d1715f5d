/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys of format 4.  Each container has its own, and deriving one takes a quarter of a second and
 * 128 MiB (log2 N = 17), so keys that will be needed are derived ahead on a thread of their own,
 * one at a time: what it works in (1 GiB at log2 N = 20) is there once, from the first key on.
 */
#ifndef ARCHIVE_KEYS_H
#define ARCHIVE_KEYS_H

#include "container.h"
#include "qubesfs/archive.h"
#include "salts.h"

struct keys;

/** `options` and `salts` must live as long.  0, -ENOMEM, or pthread_create's errno. */
int keys_new(const struct archive_options *options, const struct salts *salts,
             struct keys **ret_keys);
/** Stops what is being derived, and wipes all.  NULL is fine. */
void keys_free(struct keys *keys);

/** The key for the outer member `name` (without `.enc`) will be needed.  When many are wanted, the
 * oldest one is forgotten. */
void keys_want(struct keys *keys, const char *name);
/** It won't be needed after all. */
void keys_forget(struct keys *keys, const char *name);
/** Nobody needs any more: keys_get comes back soon, with -ECANCELED from now on. */
void keys_stop(struct keys *keys);
/** Waits for that key, derived already or now.  0, -ENOMEM, -EIO or -ECANCELED. */
int keys_get(struct keys *keys, const char *name, struct container_key *ret_key);

#endif
