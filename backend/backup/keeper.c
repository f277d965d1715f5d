/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keeper.h"

#include <errno.h>
#include <signal.h>

#include "making.h"
#include "qubesfs/clock.h"

/* what is kept for going on is looked at so often */
#define LOOK_SECONDS 10

/* The first plan whose change is not on the disk yet: older ones first, so that a name that was
 * given anew ends as the new plan's.  Called with the service's lock held. */
static struct backup_plan *next_unsaved(struct backup_service *service)
{
    for (size_t i = 0; i < service->plan_count; i++)
        if (service->plans[i]->unsaved)
            return service->plans[i];
    return NULL;
}

/* Called with the service's lock held; lets go of it meanwhile. */
static void save_all(struct backup_service *service)
{
    struct backup_plan *plan;

    while ((plan = next_unsaved(service)) != NULL) {
        struct error error;
        int result;

        plan->unsaved = false;
        service->keeper_saving = true;
        pthread_mutex_unlock(&service->lock);
        result = saved_write(plan, &error);
        backup_report(plan, "save", result < 0 ? &error : NULL);
        pthread_mutex_lock(&service->lock);
        service->keeper_saving = false;
    }
    pthread_cond_broadcast(&service->keeper_saved);
}

/* Called with the service's lock held; lets go of it meanwhile. */
static void expire_all(struct backup_service *service)
{
    for (size_t i = 0; i < service->plan_count; i++) {
        struct backup_plan *plan = service->plans[i];

        pthread_mutex_unlock(&service->lock);
        kept_expire(plan, clock_monotonic_ns());
        pthread_mutex_lock(&service->lock);
    }
}

static void *thread(void *cookie)
{
    struct backup_service *service = cookie;
    struct timespec until;

    pthread_setname_np(pthread_self(), "backup-plans");
    LOCK_SCOPE(&service->lock);
    for (;;) {
        save_all(service);
        expire_all(service);
        if (service->keeper_ending)
            break;
        if (next_unsaved(service))
            continue;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += LOOK_SECONDS;
        pthread_cond_timedwait(&service->keeper_moved, &service->lock, &until);
    }
    return NULL;
}

int keeper_start(struct backup_service *service)
{
    sigset_t all, before;
    int result;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    result = pthread_create(&service->keeper, NULL, thread, service);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    service->keeper_running = result == 0;
    return -result;
}

void keeper_wake(struct backup_service *service)
{
    pthread_cond_signal(&service->keeper_moved);
}

void keeper_stop(struct backup_service *service)
{
    if (!service->keeper_running)
        return;
    pthread_mutex_lock(&service->lock);
    service->keeper_ending = true;
    keeper_wake(service);
    pthread_cond_broadcast(&service->keeper_saved);
    pthread_mutex_unlock(&service->lock);
    pthread_join(service->keeper, NULL);
    service->keeper_running = false;
}

void backup_service_flush(struct backup_service *service)
{
    LOCK_SCOPE(&service->lock);
    while (service->keeper_running && !service->keeper_ending &&
           (next_unsaved(service) || service->keeper_saving))
        pthread_cond_wait(&service->keeper_saved, &service->lock);
}

void plan_save(struct backup_plan *plan)
{
    LOCK_SCOPE(&plan->service->lock);
    plan->unsaved = true;
    keeper_wake(plan->service);
}
