/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A listener that keeps what it is told, and waits for it. */
#ifndef HYPERVISOR_HELPER_H
#define HYPERVISOR_HELPER_H

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/hypervisor.h"

#define HEARD_MAX 20000

struct heard {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t told;
    struct domain *domains[HEARD_MAX];
    size_t count;
    unsigned alls, changes, gones, disconnects;
    struct error why;
};

static void heard_clear(struct heard *heard)
{
    for (size_t i = 0; i < heard->count; i++)
        domain_unref(heard->domains[i]);
    heard->count = 0;
}

static void heard_all(void *cookie, struct domain *const *domains, size_t count)
{
    struct heard *heard = cookie;

    LOCK_SCOPE(&heard->lock);
    heard_clear(heard);
    for (size_t i = 0; i < count; i++)
        heard->domains[heard->count++] = domain_ref(domains[i]);
    heard->alls++;
    pthread_cond_broadcast(&heard->told);
}

static void heard_changed(void *cookie, struct domain *domain)
{
    struct heard *heard = cookie;
    size_t i;

    LOCK_SCOPE(&heard->lock);
    for (i = 0; i < heard->count; i++)
        if (strcmp(heard->domains[i]->uuid, domain->uuid) == 0)
            break;
    if (i < heard->count)
        domain_unref(heard->domains[i]);
    else
        heard->count++;
    heard->domains[i] = domain_ref(domain);
    heard->changes++;
    pthread_cond_broadcast(&heard->told);
}

static void heard_gone(void *cookie, const char *uuid)
{
    struct heard *heard = cookie;

    LOCK_SCOPE(&heard->lock);
    for (size_t i = 0; i < heard->count; i++)
        if (strcmp(heard->domains[i]->uuid, uuid) == 0) {
            domain_unref(heard->domains[i]);
            heard->domains[i] = heard->domains[--heard->count];
            break;
        }
    heard->gones++;
    pthread_cond_broadcast(&heard->told);
}

static void heard_disconnected(void *cookie, const struct error *error)
{
    struct heard *heard = cookie;

    LOCK_SCOPE(&heard->lock);
    heard->why = *error;
    heard->disconnects++;
    pthread_cond_broadcast(&heard->told);
}

static inline struct heard *heard_new(void)
{
    struct heard *heard = calloc(1, sizeof(*heard));

    if (!heard)
        abort();
    pthread_mutex_init(&heard->lock, NULL);
    pthread_cond_init(&heard->told, NULL);
    return heard;
}

static inline void heard_free(struct heard *heard)
{
    heard_clear(heard);
    pthread_mutex_destroy(&heard->lock);
    pthread_cond_destroy(&heard->told);
    free(heard);
}

static inline struct hypervisor_listener heard_listener(struct heard *heard)
{
    return (struct hypervisor_listener){heard, heard_all, heard_changed, heard_gone,
                                        heard_disconnected};
}

/* A reference to the domain of that name as told last; NULL: none. */
static inline struct domain *heard_domain(struct heard *heard, const char *name)
{
    LOCK_SCOPE(&heard->lock);
    for (size_t i = 0; i < heard->count; i++)
        if (strcmp(heard->domains[i]->name, name) == 0)
            return domain_ref(heard->domains[i]);
    return NULL;
}

/* The state told last; -1: no such domain. */
static inline int heard_state(struct heard *heard, const char *name)
{
    struct domain *domain = heard_domain(heard, name);
    int state = domain ? (int)domain->state : -1;

    domain_unref(domain);
    return state;
}

/* Waits up to 5 s until the domain is told in that state (-1: gone). */
static inline bool heard_wait(struct heard *heard, const char *name, int state)
{
    for (int try = 0; try < 500; try++) {
        if (heard_state(heard, name) == state)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return false;
}

#endif
