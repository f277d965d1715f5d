/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two threads of the room. */
#ifndef QUBESFS_DEVICES_KERNEL_H
#define QUBESFS_DEVICES_KERNEL_H

#include "qubesfs/devices.h"

/* kernel_watch.c */
struct kernel_watch;
/** Tells the kernel's devices once, on the caller's thread, and then whenever they differ. */
int kernel_watch_start(const char *image_directory, const struct devices_listener *listener,
                       struct kernel_watch **ret_watch);
/** Has it look again, and waits. */
void kernel_watch_refresh(struct kernel_watch *watch, unsigned seconds);
void kernel_watch_stop(struct kernel_watch *watch); /* NULL is fine */

/* domains.c: the listener that reads domains */
struct domain_watch;
int domain_watch_start(const char *socket, const struct devices_listener *listener,
                       struct domain_watch **ret_watch);
int domain_watch_refresh(struct domain_watch *watch, unsigned seconds, struct error *ret_error);
void domain_watch_stop(struct domain_watch *watch); /* NULL is fine */

#endif
