/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stream from inside: what its two halves, reads (stream.c) and the thread (stream_thread.c),
 * share. */
#ifndef BACKUP_STREAM_STATE_H
#define BACKUP_STREAM_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "stream.h"

#define RING_SIZE ((uint64_t)STREAM_AHEAD + STREAM_BACK)

enum state { IDLE, STARTING, RUNNING, DRAINING, ENDED, FAILED };

struct request {
    struct request *next;
    uint64_t offset;
    size_t size;
    void (*done)(void *cookie, ssize_t result, const void *data);
    void *cookie;
    ssize_t result; /* set when it is moved to `delivering` */
    const void *data;
    void *copy; /* of data that goes around the ring's end */
};

struct backup_stream {
    const struct stream_work *work;
    void *cookie;
    atomic_uint references; /* the owner's, the thread's, and one for each call under way */
    atomic_bool closed;     /* set under the lock, read by the thread without */

    pthread_mutex_t lock; /* guards everything below; taken after the service's */
    pthread_cond_t wake;  /* for the thread: a read came or was answered, or it is to end */
    enum state state;
    int code; /* of FAILED */
    unsigned char *ring;
    uint64_t first;    /* where it begins */
    uint64_t head;     /* bytes made, counted from 0 */
    uint64_t reserved; /* >= head: the thread is writing up to here */
    uint64_t consumed;
    bool settled;   /* how it ends is decided: nothing changes that any more */
    bool cancelled; /* `closed` by stream_shut: reads were refused, so it is no success */
    bool impatient; /* DRAINING: the reader leaves out some of what was made, as it seems */
    struct request *pending; /* not answered, by offset */
    struct request
        *delivering; /* their data in the ring is being used: it must not be overwritten */
};

/** Answers all reads that can be answered; called with the lock held, lets go of it meanwhile. */
void stream_answer(struct backup_stream *stream);
/** Answers all reads that wait with `code`, whatever there is; the lock as above. */
void stream_refuse_all(struct backup_stream *stream, int code);
/** Starts the thread.  Called with the lock held, in state IDLE. */
int stream_start(struct backup_stream *stream);
void stream_unref(struct backup_stream *stream);

#endif
