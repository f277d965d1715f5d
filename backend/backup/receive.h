/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Receivers: open files whose bytes are a backup, to be restored or verified.
 *
 * Writes and flushes are queued, and a thread of the receiver's own, which the first write starts,
 * takes them one by one; a write is answered when the restore has taken its bytes.  An interrupted
 * write that was begun is answered with what of it is on its way already: the rest is not taken.
 *
 *     IDLE      no byte came
 *     TAKING    the restore is under way
 *     DONE      it is in force; only zeros may follow
 *     FAILED    it was taken back; everything is answered with `code`
 */
#ifndef BACKUP_RECEIVE_H
#define BACKUP_RECEIVE_H

#include "internal.h"

/** Ends all restores: their writers get -ECANCELED.  Called with the service's lock held. */
void receivers_shut(struct backup_service *service);
/** The command `cancel`; takes the service's lock. */
void receivers_cancel(struct backup_plan *plan);
/** True if something is written into the plan's files.  Called with the service's lock held. */
bool receivers_busy(const struct backup_service *service, const struct backup_plan *plan);

/* outcome.c: what is told of it */

/** A restore or verification by that plan begins, gets on, ended. `run` is only compared. */
void outcome_begin(struct backup_plan *plan, const void *run, bool verify);
void outcome_progress(struct backup_plan *plan, const void *run, bool verify, uint64_t done,
                      uint64_t total, uint64_t begun_ns, const char *current);
/** `error` NULL: it is done.  `lines` (NULL: no memory for them) tell what was in it. */
void outcome_end(struct backup_plan *plan, const void *run, bool verify, uint64_t done,
                 uint64_t total, const char *lines, const struct error *error, bool cancelled);

#endif
