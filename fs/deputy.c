/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "deputy.h"

#include "qubesfs/cleanup.h"

static void *deputy_thread(void *cookie)
{
    struct deputy *deputy = cookie;

    pthread_setname_np(pthread_self(), "qfs-deputy");
    pthread_mutex_lock(&deputy->lock);
    for (;;) {
        while (!deputy->work && !deputy->ending)
            pthread_cond_wait(&deputy->moved, &deputy->lock);
        if (!deputy->work)
            break;
        pthread_mutex_unlock(&deputy->lock);
        deputy->work(deputy->cookie); /* the caller waits: nobody else touches the two */
        pthread_mutex_lock(&deputy->lock);
        deputy->work = NULL;
        pthread_cond_broadcast(&deputy->moved);
    }
    pthread_mutex_unlock(&deputy->lock);
    return NULL;
}

int deputy_start(struct deputy *deputy)
{
    int result;

    pthread_mutex_init(&deputy->lock, NULL);
    pthread_cond_init(&deputy->moved, NULL);
    result = -pthread_create(&deputy->thread, NULL, deputy_thread, deputy);
    deputy->running = result == 0;
    return result;
}

void deputy_do(struct deputy *deputy, void (*work)(void *cookie), void *cookie)
{
    LOCK_SCOPE(&deputy->lock);
    deputy->cookie = cookie;
    deputy->work = work;
    pthread_cond_broadcast(&deputy->moved);
    while (deputy->work)
        pthread_cond_wait(&deputy->moved, &deputy->lock);
}

void deputy_stop(struct deputy *deputy)
{
    if (!deputy->running)
        return;
    pthread_mutex_lock(&deputy->lock);
    deputy->ending = true;
    pthread_cond_broadcast(&deputy->moved);
    pthread_mutex_unlock(&deputy->lock);
    pthread_join(deputy->thread, NULL);
    deputy->running = false;
}
