/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Receivers from outside: what is written, flushed, interrupted, cancelled. */
#include "receive.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "receive_state.h"

void taking_free(struct taking *taking)
{
    free(taking->data);
    free(taking);
}

void taking_answer(struct taking *taking, ssize_t result)
{
    taking->done(taking->cookie, result);
    taking_free(taking);
}

void receiver_destroy(struct backup_receiver *receiver)
{
    struct backup_service *service = receiver->service;

    pthread_mutex_lock(&service->lock);
    if (receiver->link)
        *receiver->link = receiver->next;
    if (receiver->next)
        receiver->next->link = receiver->link;
    pthread_mutex_unlock(&service->lock);
    pthread_mutex_destroy(&receiver->lock);
    pthread_cond_destroy(&receiver->wake);
    free(receiver);
    service_unref(service);
}

int backup_receiver_new(struct backup_plan *plan, bool verify, bool append,
                        struct backup_receiver **ret_receiver)
{
    struct backup_receiver *receiver = calloc(1, sizeof(*receiver));
    struct backup_service *service = plan->service;

    if (!receiver)
        return -ENOMEM;
    receiver->plan = plan;
    receiver->service = service_ref(service);
    receiver->verify = verify;
    receiver->append = append;
    pthread_mutex_init(&receiver->lock, NULL);
    pthread_cond_init(&receiver->wake, NULL);
    *ret_receiver = receiver;
    LOCK_SCOPE(&service->lock);
    receiver->ending = service->closing;
    receiver->next = service->receivers;
    receiver->link = &service->receivers;
    if (receiver->next)
        receiver->next->link = &receiver->next;
    service->receivers = receiver;
    return 0;
}

/* Called with the lock held. */
static int start(struct backup_receiver *receiver)
{
    pthread_attr_t detached;
    sigset_t all, before;
    pthread_t id;
    int result;

    sigfillset(&all);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    result = pthread_create(&id, &detached, receiver_thread, receiver);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&detached);
    receiver->running = result == 0;
    return -result;
}

/* Called with the lock held. */
static int queue(struct backup_receiver *receiver, struct taking *taking)
{
    struct taking **last = &receiver->queue;
    int result = receiver->running ? 0 : start(receiver);

    if (result < 0)
        return result;
    while (*last)
        last = &(*last)->next;
    *last = taking;
    pthread_cond_signal(&receiver->wake);
    return 0;
}

static void submit(struct backup_receiver *receiver, struct taking *taking)
{
    int result;

    pthread_mutex_lock(&receiver->lock);
    result = queue(receiver, taking);
    pthread_mutex_unlock(&receiver->lock);
    if (result < 0)
        taking_answer(taking, result);
}

void backup_receiver_write(struct backup_receiver *receiver, off_t offset,
                           const void *untrusted_data, size_t size,
                           void (*done)(void *cookie, ssize_t result), void *cookie)
{
    struct taking *taking = malloc(sizeof(*taking));
    char *data = malloc(size + 1);

    if (!taking || !data) {
        free(taking);
        free(data);
        done(cookie, -ENOMEM);
        return;
    }
    memcpy(data, untrusted_data, size);
    *taking = (struct taking){
        .offset = offset, .size = size, .data = data, .done = done, .cookie = cookie};
    submit(receiver, taking);
}

void backup_receiver_flush(struct backup_receiver *receiver, bool may_go_on,
                           void (*done)(void *cookie, ssize_t result), void *cookie)
{
    struct taking *taking;
    bool nothing;

    pthread_mutex_lock(&receiver->lock);
    nothing = !receiver->running;
    pthread_mutex_unlock(&receiver->lock);
    taking = nothing ? NULL : malloc(sizeof(*taking));
    if (!taking) {
        done(cookie, nothing ? 0 : -ENOMEM);
        return;
    }
    *taking = (struct taking){
        .flush = true, .may_go_on = may_go_on, .done = done, .cookie = cookie};
    submit(receiver, taking);
}

void backup_receiver_interrupt(struct backup_receiver *receiver, void *cookie)
{
    struct taking *taking = NULL, **place;
    void (*done)(void *, ssize_t) = NULL;
    ssize_t result = -EINTR;

    pthread_mutex_lock(&receiver->lock);
    for (place = &receiver->queue; *place && (*place)->cookie != cookie;)
        place = &(*place)->next;
    taking = *place;
    if (taking) {
        *place = taking->next;
    } else if (receiver->at_work && receiver->at_work->cookie == cookie) {
        struct taking *at_work = receiver->at_work;

        at_work->interrupted = true;
        if (at_work->flush || at_work->taken > 0) {
            /* the thread frees it */
            done = at_work->done;
            result = at_work->flush ? -EINTR : (ssize_t)at_work->taken;
            receiver->at_work = NULL;
        }
    }
    pthread_mutex_unlock(&receiver->lock);
    if (taking)
        taking_answer(taking, -EINTR);
    else if (done)
        done(cookie, result);
}

void backup_receiver_free(struct backup_receiver *receiver)
{
    bool running;

    if (!receiver)
        return;
    pthread_mutex_lock(&receiver->lock);
    running = receiver->running;
    receiver->closed = true;
    pthread_cond_signal(&receiver->wake);
    pthread_mutex_unlock(&receiver->lock);
    if (!running)
        receiver_destroy(receiver);
}

/* Wakes what waits, whatever for. */
static void stop(struct backup_receiver *receiver, bool by_command)
{
    LOCK_SCOPE(&receiver->lock);
    if (by_command && receiver->state != TAKING)
        return;
    if (by_command)
        receiver->cancelled = true;
    else
        receiver->ending = true;
    if (receiver->restore)
        restore_cancel(receiver->restore);
    pthread_cond_signal(&receiver->wake);
}

void receivers_shut(struct backup_service *service)
{
    for (struct backup_receiver *receiver = service->receivers; receiver; receiver = receiver->next)
        stop(receiver, false);
}

void receivers_cancel(struct backup_plan *plan)
{
    LOCK_SCOPE(&plan->service->lock);
    for (struct backup_receiver *receiver = plan->service->receivers; receiver;
         receiver = receiver->next)
        if (receiver->plan == plan)
            stop(receiver, true);
}

bool receivers_busy(const struct backup_service *service, const struct backup_plan *plan)
{
    for (const struct backup_receiver *receiver = service->receivers; receiver;
         receiver = receiver->next)
        if (receiver->plan == plan && receiver->active)
            return true;
    return false;
}
