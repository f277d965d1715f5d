/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keeper: the service's own thread, which brings changed plans to the disk and lets go of what
 * was kept for long enough. */
#ifndef BACKUP_KEEPER_H
#define BACKUP_KEEPER_H

#include "internal.h"

/** Starts the thread.  0 or a negative errno. */
int keeper_start(struct backup_service *service);
/** Has all changes saved, and ends it. */
void keeper_stop(struct backup_service *service);
/** There is something to do.  Called with the service's lock held. */
void keeper_wake(struct backup_service *service);

/* saved.c: plans on the disk */

/** Loads all plans that are there into a new service; `default` has been made.  0 or -ENOMEM. */
int saved_load(struct backup_service *service);
/** Writes the plan's file, or removes it when the plan was removed.  0 or a negative errno. */
int saved_write(struct backup_plan *plan, struct error *ret_error);

#endif
