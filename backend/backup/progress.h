/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How far a run is.  What is read from the disk runs ahead of what the reader has, by chunks of 100
 * MiB; so what is in each piece of the stream is noted beside its place there, and what counts is
 * how much the reader has.
 *
 * The end is where the slower one of two comes to it: the reader, at its speed while there is
 * something to read; and who makes the pieces, at the speed with which these have become ready.
 */
#ifndef BACKUP_PROGRESS_H
#define BACKUP_PROGRESS_H

#include <pthread.h>
#include <stdint.h>

#include "internal.h"

#define PROGRESS_MARKS 64

struct progress {
    struct backup_plan *plan; /* NULL: nobody is told (a VM's own backup) */
    uint64_t (*now)(void);    /* clock_monotonic_ns, but for tests */
    pthread_mutex_t lock;     /* guards what follows */
    /* bytes of inner archives: all, those before the one at work, those of it that are out */
    uint64_t total, done_before, in_item;
    struct progress_mark {
        uint64_t out, done;
    } marks[PROGRESS_MARKS]; /* ascending, the last PROGRESS_MARKS */
    size_t mark_count;
    uint64_t begun_ns, begun_done; /* where the speed is measured from */
    bool again;                    /* what is made was read before: no speed is measured yet */
    uint64_t sent_ns, waited_ns;   /* when bytes left last; how long none were there, since begun */
    /* pieces: the first one that became ready (before it: the beginning), the last one */
    struct progress_ready {
        uint64_t ns, made;
    } started, first, last;
    uint64_t looked_ns;
    char current[300];
};

void progress_init(struct progress *progress, struct backup_plan *plan);
void progress_destroy(struct progress *progress);
/** The work begins, or goes on behind `done` bytes of `total`, at `out` in the stream.  The reader
 * has it up to `offset` already. */
void progress_begin(struct progress *progress, uint64_t total, uint64_t done, uint64_t out,
                    uint64_t offset);
/** The next inner archive is this one; the one before is done. */
void progress_item(struct progress *progress, const char *vm, const char *file);
/** The `length` bytes at `out` in the stream bring what is out of it to `tar_bytes`. */
void progress_piece(struct progress *progress, uint64_t tar_bytes, uint64_t out, uint64_t length);
/** The reader has the stream up to `consumed`: tells that when it is time. */
void progress_look(struct progress *progress, uint64_t consumed);
void progress_end(struct progress *progress, enum status_state state, const char *error);

#endif
