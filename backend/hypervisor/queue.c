/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/clock.h"

#define BUCKETS 1024 /* a storm of events of 10,000 domains: ten a bucket */

struct look {
    struct look *next;        /* in order of tickets */
    struct look *next_bucket; /* of the same hash */
    uint64_t ticket;
    char uuid[37];
    bool redefined;
};

struct queue {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t work;  /* something to do */
    pthread_cond_t told;  /* `done` grew, or stopping, or ended */
    unsigned references;
    uint64_t newest, done; /* tickets */
    struct look *first, **last;
    struct look *buckets[BUCKETS];
    uint64_t sweep; /* ticket of the sweep that waits; 0: none */
    bool lost;      /* a connection died */
    bool stopping, ended;
};

int queue_new(struct queue **ret_queue)
{
    struct queue *queue = calloc(1, sizeof(*queue));
    pthread_condattr_t monotonic;

    if (!queue)
        return -ENOMEM;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->work, &monotonic);
    pthread_cond_init(&queue->told, &monotonic);
    pthread_condattr_destroy(&monotonic);
    queue->references = 1;
    queue->last = &queue->first;
    *ret_queue = queue;
    return 0;
}

struct queue *queue_ref(struct queue *queue)
{
    LOCK_SCOPE(&queue->lock);
    queue->references++;
    return queue;
}

static struct look **bucket_of(struct queue *queue, const char *uuid)
{
    uint32_t hash = 2166136261u;

    while (*uuid)
        hash = (hash ^ (unsigned char)*uuid++) * 16777619u;
    return &queue->buckets[hash % BUCKETS];
}

/* Takes the first look off.  Called with the lock held. */
static struct look *take_look(struct queue *queue)
{
    struct look *look = queue->first;
    struct look **link = bucket_of(queue, look->uuid);

    while (*link != look)
        link = &(*link)->next_bucket;
    *link = look->next_bucket;
    queue->first = look->next;
    if (!queue->first)
        queue->last = &queue->first;
    return look;
}

void queue_unref(struct queue *queue)
{
    bool still_used;

    if (!queue)
        return;
    pthread_mutex_lock(&queue->lock);
    still_used = --queue->references > 0;
    pthread_mutex_unlock(&queue->lock);
    if (still_used)
        return;
    while (queue->first)
        free(take_look(queue));
    pthread_mutex_destroy(&queue->lock);
    pthread_cond_destroy(&queue->work);
    pthread_cond_destroy(&queue->told);
    free(queue);
}

/* Called with the lock held. */
static uint64_t sweep_locked(struct queue *queue)
{
    if (queue->sweep == 0)
        queue->sweep = ++queue->newest;
    pthread_cond_signal(&queue->work);
    return queue->sweep;
}

uint64_t queue_sweep(struct queue *queue)
{
    LOCK_SCOPE(&queue->lock);
    return sweep_locked(queue);
}

uint64_t queue_look(struct queue *queue, const char *uuid, bool redefined)
{
    struct look **bucket = bucket_of(queue, uuid), *look;

    LOCK_SCOPE(&queue->lock);
    for (look = *bucket; look; look = look->next_bucket)
        if (strcmp(look->uuid, uuid) == 0) {
            look->redefined |= redefined;
            return look->ticket;
        }
    look = malloc(sizeof(*look));
    if (!look) /* a sweep needs no memory here and sees the domain too */
        return sweep_locked(queue);
    *look = (struct look){.ticket = ++queue->newest, .redefined = redefined};
    snprintf(look->uuid, sizeof(look->uuid), "%s", uuid);
    look->next_bucket = *bucket;
    *bucket = look;
    *queue->last = look;
    queue->last = &look->next;
    pthread_cond_signal(&queue->work);
    return look->ticket;
}

void queue_lost(struct queue *queue)
{
    LOCK_SCOPE(&queue->lock);
    queue->lost = true;
    pthread_cond_signal(&queue->work);
}

void queue_stop(struct queue *queue)
{
    LOCK_SCOPE(&queue->lock);
    queue->stopping = true;
    pthread_cond_broadcast(&queue->work);
    pthread_cond_broadcast(&queue->told);
}

bool queue_stopping(struct queue *queue)
{
    LOCK_SCOPE(&queue->lock);
    return queue->stopping;
}

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u),
                             .tv_nsec = (long)(ns % 1000000000u)};
}

bool queue_wait(struct queue *queue, uint64_t ticket, unsigned seconds)
{
    struct timespec until = timespec_of(clock_monotonic_ns() + seconds * 1000000000ull);

    LOCK_SCOPE(&queue->lock);
    while (queue->done < ticket && !queue->stopping)
        if (pthread_cond_timedwait(&queue->told, &queue->lock, &until) == ETIMEDOUT)
            break;
    return queue->done >= ticket;
}

bool queue_wait_ended(struct queue *queue, unsigned seconds)
{
    struct timespec until = timespec_of(clock_monotonic_ns() + seconds * 1000000000ull);

    LOCK_SCOPE(&queue->lock);
    while (!queue->ended)
        if (pthread_cond_timedwait(&queue->told, &queue->lock, &until) == ETIMEDOUT)
            break;
    return queue->ended;
}

void queue_next(struct queue *queue, uint64_t deadline_ns, struct queue_item *ret_item)
{
    struct timespec until = timespec_of(deadline_ns);
    struct look *look;

    *ret_item = (struct queue_item){.kind = QUEUE_TIMEOUT};
    LOCK_SCOPE(&queue->lock);
    while (!queue->stopping && !queue->lost && queue->sweep == 0 && !queue->first)
        if (pthread_cond_timedwait(&queue->work, &queue->lock, &until) == ETIMEDOUT)
            break;
    if (queue->stopping) {
        ret_item->kind = QUEUE_STOP;
    } else if (queue->lost) {
        queue->lost = false;
        ret_item->kind = QUEUE_LOST;
    } else if (queue->sweep > 0 && (!queue->first || queue->first->ticket > queue->sweep)) {
        ret_item->kind = QUEUE_SWEEP;
        ret_item->ticket = queue->sweep;
        queue->sweep = 0;
    } else if (queue->first) {
        look = take_look(queue);
        ret_item->kind = QUEUE_LOOK;
        ret_item->ticket = look->ticket;
        ret_item->redefined = look->redefined;
        memcpy(ret_item->uuid, look->uuid, sizeof(ret_item->uuid));
        free(look);
    }
}

void queue_pause(struct queue *queue, uint64_t deadline_ns)
{
    struct timespec until = timespec_of(deadline_ns);

    LOCK_SCOPE(&queue->lock);
    while (!queue->stopping && queue->sweep == 0 && !queue->first)
        if (pthread_cond_timedwait(&queue->work, &queue->lock, &until) == ETIMEDOUT)
            break;
}

uint64_t queue_newest(struct queue *queue)
{
    LOCK_SCOPE(&queue->lock);
    return queue->newest;
}

void queue_done(struct queue *queue, uint64_t ticket)
{
    LOCK_SCOPE(&queue->lock);
    while (queue->first && queue->first->ticket <= ticket)
        free(take_look(queue));
    if (queue->sweep <= ticket)
        queue->sweep = 0;
    if (queue->done < ticket)
        queue->done = ticket;
    pthread_cond_broadcast(&queue->told);
}

void queue_ended(struct queue *queue)
{
    LOCK_SCOPE(&queue->lock);
    queue->ended = true;
    pthread_cond_broadcast(&queue->told);
}
