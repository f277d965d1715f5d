/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A backup in the making: all that its bytes follow from, and what was sent of it.  It belongs to
 * the run that makes it; after that to the plan, which keeps the last one for a while, so that a
 * copy that was cut off can be gone on with.
 */
#ifndef BACKUP_MAKING_H
#define BACKUP_MAKING_H

#include "internal.h"
#include "sent.h"

struct making {
    struct backup_service *service;
    char *vm_name; /* NULL: as the plan says */
    struct archive_options options;
    unsigned char *seed; /* locked memory */
    struct secret *passphrase;
    struct job job; /* with its images open */
    char *document; /* the catalogue inside */
    size_t document_length;
    uint64_t bound;     /* the stream may not become longer: see run_write */
    uint64_t tar_bytes; /* of all inner archives */
    struct sent *sent;
    struct archive_manifest *manifest; /* what it will tell, as far as that was written */
    bool finished;   /* all was made and read */
    bool spoiled;    /* what is left of it is another one now, or its end was written as cut */
    uint64_t number; /* of the plan's backups: see kept_put */
    uint64_t keep_until_ns;
};

/** Settles what a backup of this moment holds.  -ENOKEY, -EBUSY, ... when there can't be one. */
int making_new(struct backup_plan *plan, const char *vm_name, struct making **ret_making,
               struct error *ret_error);
/** It is to be gone on with: -ENOTCONN, -EBUSY, ... when what is left of it can't be read now. */
int making_resume(struct making *making, struct error *ret_error);
/** It is in somebody's hands as a whole: writes the time into the host's catalogue.  Not being able
 * to is no error. */
void making_mark(const struct making *making);
/** Lets go of everything, snapshots too.  NULL is fine. */
void making_free(struct making *making);

/* kept.c: what plans keep.  All take the plan's lock. */

/** It has begun: gives it a number, and lets go of the one that was kept. */
void kept_begin(struct backup_plan *plan, struct making *making);
/** The plan keeps this one from now on, in place of another; takes it over.  One that began before
 * another did is let go instead: who goes on with that one must not get the bytes of this one. */
void kept_put(struct backup_plan *plan, struct making *making);
/** It was taken, but could not be gone on with now: kept as long as it would have been. */
void kept_put_back(struct backup_plan *plan, struct making *making);
/** Takes out what can be gone on with at `offset`, for the one VM or (NULL) the plan; NULL: there
 * is nothing such.  `ret_gone`: a copy that was cut off there is of a backup that was let go. */
struct making *kept_take(struct backup_plan *plan, const char *vm_name, uint64_t offset,
                         bool *ret_gone);
/** True if a copy that was cut off at `offset` may be one of a stream of which so much was sent. */
bool kept_near(uint64_t sent, uint64_t offset);
/** Frees the notes of those that were let go; of a plan that ends. */
void kept_forget_gone(struct backup_plan *plan);
/** Lets go of what is kept: all, or what was kept for long enough. */
void kept_drop(struct backup_plan *plan);
void kept_expire(struct backup_plan *plan, uint64_t now_ns);

#endif
