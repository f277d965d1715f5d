/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a plan's `status` is made from. */
#ifndef BACKUP_STATUS_H
#define BACKUP_STATUS_H

#include <stdbool.h>
#include <stdint.h>

struct backup_plan;

enum status_state { STATUS_IDLE, STATUS_RUNNING, STATUS_DONE, STATUS_FAILED, STATUS_CANCELLED };

/** Bytes are those of what is backed up, before compression, as far as a reader has them. */
struct status {
    enum status_state state;
    bool begins; /* the first one of a run */
    const char *operation; /* a constant; NULL: "backup" */
    uint64_t bytes_done, bytes_total, bytes_per_second;
    int64_t eta_seconds; /* -1: nobody knows; told while it runs */
    char current[300]; /* VM and file */
    char error[1000];
};

/** Makes the text of an idle plan.  0 or -ENOMEM. */
int status_init(struct backup_plan *plan);
/** Says how `run` (only its address is used) gets on.  Told at once when the state is another one,
 * else at most twice a second. */
void status_set(struct backup_plan *plan, const void *run, const struct status *status);

#endif
