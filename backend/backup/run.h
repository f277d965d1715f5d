/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs: a stream and the backup that it makes. */
#ifndef BACKUP_RUN_H
#define BACKUP_RUN_H

#include <stdbool.h>

struct backup_plan;
struct backup_service;

/** Ends all streams' work.  Called with the service's lock held. */
void runs_shut(struct backup_service *service);
/** Ends the reads of the plan's `backup` (not those of a VM's); takes the service's lock. */
void runs_cancel(struct backup_plan *plan);
/** True if a backup by this plan is being made.  Called with the service's lock held. */
bool runs_reading(const struct backup_service *service, const struct backup_plan *plan);

#endif
