/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qubesfs/pool.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "qubesfs/cleanup.h"

#define IDLE_SECONDS 10

struct job {
    struct job *next;
    void (*function)(void *argument);
    void *argument;
};

struct pool {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t work;  /* a job was queued, or the pool stops */
    pthread_cond_t ended; /* a thread has ended */
    struct job *first, **last;
    unsigned threads, idle, queued, max_threads;
    bool stopping;
    char name[16];
};

static struct job *next_job(struct pool *pool)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_SECONDS;
    pool->idle++;
    while (!pool->first && !pool->stopping)
        if (pthread_cond_timedwait(&pool->work, &pool->lock, &until) == ETIMEDOUT)
            break;
    pool->idle--;
    if (!pool->first)
        return NULL;
    struct job *job = pool->first;

    pool->first = job->next;
    if (!pool->first)
        pool->last = &pool->first;
    pool->queued--;
    return job;
}

static void *worker(void *cookie)
{
    struct pool *pool = cookie;
    struct job *job;

    pthread_setname_np(pthread_self(), pool->name);
    pthread_mutex_lock(&pool->lock);
    while ((job = next_job(pool)) != NULL) {
        pthread_mutex_unlock(&pool->lock);
        job->function(job->argument);
        free(job);
        pthread_mutex_lock(&pool->lock);
    }
    pool->threads--;
    pthread_cond_broadcast(&pool->ended);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

int pool_new(const char *name, unsigned max_threads, struct pool **ret_pool)
{
    struct pool *pool = calloc(1, sizeof(*pool));
    pthread_condattr_t monotonic;

    if (!pool)
        return -ENOMEM;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, &monotonic);
    pthread_cond_init(&pool->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pool->last = &pool->first;
    pool->max_threads = max_threads;
    snprintf(pool->name, sizeof(pool->name), "%s", name);
    *ret_pool = pool;
    return 0;
}

/* Called with the lock held. */
static int start_thread(struct pool *pool)
{
    pthread_attr_t detached;
    pthread_t thread;
    int result;

    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    result = pthread_create(&thread, &detached, worker, pool);
    pthread_attr_destroy(&detached);
    if (result == 0)
        pool->threads++;
    return -result;
}

int pool_run(struct pool *pool, void (*function)(void *argument), void *argument)
{
    struct job *job = malloc(sizeof(*job));

    if (!job)
        return -ENOMEM;
    *job = (struct job){.function = function, .argument = argument};
    LOCK_SCOPE(&pool->lock);
    /* a job that no thread will ever take is refused, not queued */
    if (pool->stopping || (pool->queued >= pool->idle && pool->threads < pool->max_threads &&
                           start_thread(pool) && pool->threads == 0)) {
        free(job);
        return pool->stopping ? -ESHUTDOWN : -ENOMEM;
    }
    *pool->last = job;
    pool->last = &job->next;
    pool->queued++;
    pthread_cond_signal(&pool->work);
    return 0;
}

int pool_stop(struct pool *pool, unsigned seconds)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    LOCK_SCOPE(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    while (pool->threads > 0)
        if (pthread_cond_timedwait(&pool->ended, &pool->lock, &until) == ETIMEDOUT)
            return pool->threads > 0 ? -ETIMEDOUT : 0;
    return 0;
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->ended);
    free(pool);
}
