/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A secret: bytes in memory of their own that is locked (never swapped out), left out of core
 * dumps, not inherited by a fork, and wiped when the last reference goes.  Immutable; any thread
 * may use it.
 */
#ifndef QUBESFS_SECRET_H
#define QUBESFS_SECRET_H

#include <stddef.h>

struct secret;

/** Copies `length` bytes (the caller wipes its own).  Returns 0, -ENOMEM, or the errno of mlock
 * (-EPERM, -ENOMEM, -EAGAIN: RLIMIT_MEMLOCK is too low). */
int secret_new(const void *bytes, size_t length, struct secret **ret_secret);
struct secret *secret_ref(struct secret *secret); /* NULL is fine */
void secret_unref(struct secret *secret);         /* NULL is fine */

const void *secret_data(const struct secret *secret);
size_t secret_length(const struct secret *secret);

#endif
