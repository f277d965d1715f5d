/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "keeper.h"
#include "qubesfs/log.h"
#include "receive.h"
#include "run.h"

/* how long the end waits for threads that a disk may hold up */
#define QUIET_SECONDS 5

static void destroy(struct backup_service *service)
{
    for (size_t i = 0; i < service->plan_count; i++)
        plan_free(service->plans[i]);
    free(service->plans);
    size_cache_free(service->sizes);
    free(service->state);
    free(service->root);
    free(service->catalogue_path);
    pthread_mutex_destroy(&service->lock);
    pthread_cond_destroy(&service->quiet);
    pthread_cond_destroy(&service->keeper_moved);
    pthread_cond_destroy(&service->keeper_saved);
    free(service);
}

/* `default`, and those that were saved. */
static int make_plans(struct backup_service *service)
{
    struct backup_plan *plan;
    int result = plan_new(service, "default", &plan);

    if (result < 0)
        return result;
    result = plans_add(service, plan);
    if (result < 0)
        plan_free(plan);
    return result < 0 ? result : saved_load(service);
}

int backup_service_new(struct host *host, const char *root, const char *catalogue_path,
                       const char *state, const struct backup_listener *listener,
                       struct backup_service **ret_service)
{
    struct backup_service *service = calloc(1, sizeof(*service));
    pthread_condattr_t monotonic;
    int result;

    if (!service)
        return -ENOMEM;
    service->host = host;
    service->listener = *listener;
    atomic_init(&service->references, 1);
    pthread_mutex_init(&service->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&service->quiet, &monotonic);
    pthread_cond_init(&service->keeper_moved, &monotonic);
    pthread_cond_init(&service->keeper_saved, NULL);
    pthread_condattr_destroy(&monotonic);
    service->root = strdup(root);
    service->catalogue_path = strdup(catalogue_path);
    service->state = state ? strdup(state) : NULL;
    result = service->root && service->catalogue_path && (!state || service->state)
                 ? size_cache_new(&service->sizes)
                 : -ENOMEM;
    if (result == 0)
        result = make_plans(service);
    if (result == 0)
        result = keeper_start(service);
    if (result < 0) {
        destroy(service);
        return result;
    }
    *ret_service = service;
    return 0;
}

struct backup_service *service_ref(struct backup_service *service)
{
    atomic_fetch_add(&service->references, 1);
    return service;
}

void service_unref(struct backup_service *service)
{
    if (atomic_fetch_sub(&service->references, 1) == 1)
        destroy(service);
}

void backup_service_set_kdf_memory(struct backup_service *service, uint64_t bytes)
{
    service->kdf_memory_max = bytes;
}

static bool is_receiving(const struct backup_service *service)
{
    for (size_t i = 0; i < service->plan_count; i++)
        if (receivers_busy(service, service->plans[i]))
            return true;
    return false;
}

void backup_service_end_restores(struct backup_service *service)
{
    struct timespec until;
    bool late = false;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += QUIET_SECONDS;
    LOCK_SCOPE(&service->lock);
    service->restores_end = true;
    receivers_shut(service);
    while (is_receiving(service) && !late)
        late = pthread_cond_timedwait(&service->quiet, &service->lock, &until) == ETIMEDOUT;
    if (late)
        log_warning("a restore does not end, the next start takes it back: its disk does not "
                    "answer");
}

void backup_service_end(struct backup_service *service)
{
    struct timespec until;
    bool late = false;

    if (!service || service->ended)
        return;
    service->ended = true;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += QUIET_SECONDS;
    pthread_mutex_lock(&service->lock);
    service->closing = true;
    runs_shut(service);
    receivers_shut(service);
    while (service->active > 0 && !late)
        late = pthread_cond_timedwait(&service->quiet, &service->lock, &until) == ETIMEDOUT;
    if (service->active > 0)
        log_warning("a backup does not end: its disk does not answer");
    pthread_mutex_unlock(&service->lock);
    keeper_stop(service);
    for (size_t i = 0; i < service->plan_count; i++)
        plan_forget(service->plans[i]);
}

void backup_service_free(struct backup_service *service)
{
    if (!service)
        return;
    backup_service_end(service);
    service_unref(service);
}
