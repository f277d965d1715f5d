/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the query thread is to do next.  Requests get growing tickets and are done in that order, so
 * one number says what is done.  A request that is waiting already is not queued twice: the second
 * asker gets the first one's ticket, which is fine because it has not begun.
 *
 * Reference-counted: libvirt lets go of its callbacks late, and one may still post after the room
 * ended.
 */
#ifndef HYPERVISOR_QUEUE_H
#define HYPERVISOR_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

struct queue;

/** Returns 0 or -ENOMEM. */
int queue_new(struct queue **ret_queue);
struct queue *queue_ref(struct queue *queue);
void queue_unref(struct queue *queue); /* NULL is fine */

/* Any thread: */

/** Look at one domain; `redefined`: its definition too is to be read again.  Returns the ticket. */
uint64_t queue_look(struct queue *queue, const char *uuid, bool redefined);
/** Look at everything.  Returns the ticket. */
uint64_t queue_sweep(struct queue *queue);
/** A connection died: the one of now, or one before it.  Overtakes everything. */
void queue_lost(struct queue *queue);
/** No more: the query thread ends, and nobody waits any longer. */
void queue_stop(struct queue *queue);
bool queue_stopping(struct queue *queue);
/** Waits until `ticket` is done, at most `seconds`.  False: it is not (time is up, or stopped). */
bool queue_wait(struct queue *queue, uint64_t ticket, unsigned seconds);
/** Waits until queue_ended was called, at most `seconds`. */
bool queue_wait_ended(struct queue *queue, unsigned seconds);

/* The query thread: */

enum queue_kind {
    QUEUE_STOP,
    QUEUE_LOST,
    QUEUE_SWEEP,
    QUEUE_LOOK,
    QUEUE_TIMEOUT, /* nothing until the deadline */
};

struct queue_item {
    enum queue_kind kind;
    uint64_t ticket;
    char uuid[37]; /* of QUEUE_LOOK */
    bool redefined;
};

/** Takes the next request, waiting for it until `deadline_ns` of the monotonic clock. */
void queue_next(struct queue *queue, uint64_t deadline_ns, struct queue_item *ret_item);
/** Waits until there is a request (which stays) or the stop, or until `deadline_ns`. */
void queue_pause(struct queue *queue, uint64_t deadline_ns);
/** The newest ticket given out. */
uint64_t queue_newest(struct queue *queue);
/** All up to `ticket` is done and told; what still waits among them is dropped. */
void queue_done(struct queue *queue, uint64_t ticket);
/** The query thread's last word. */
void queue_ended(struct queue *queue);

#endif
