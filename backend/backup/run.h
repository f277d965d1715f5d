/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs: a stream and the backup that it makes. */
#ifndef BACKUP_RUN_H
#define BACKUP_RUN_H

struct backup_service;

/** Ends all streams' work.  Called with the service's lock held. */
void runs_shut(struct backup_service *service);

#endif
