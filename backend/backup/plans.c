/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The set of plans.  They are made and removed in memory; the keeper brings that to the disk. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "keeper.h"
#include "receive.h"
#include "run.h"

#define NAME_LENGTH_MAX 64
#define PLANS_MAX       1000

bool plan_name_valid(const char *untrusted_name)
{
    size_t length = strlen(untrusted_name);

    if (length == 0 || length > NAME_LENGTH_MAX || !isalnum((unsigned char)untrusted_name[0]))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)untrusted_name[i]) && !strchr("_.-", untrusted_name[i]))
            return false;
    return true;
}

/* Called with the service's lock held. */
static struct backup_plan *find(struct backup_service *service, const char *name, size_t *ret_count)
{
    struct backup_plan *found = NULL;

    *ret_count = 0;
    for (size_t i = 0; i < service->plan_count; i++) {
        struct backup_plan *plan = service->plans[i];

        if (plan->removed)
            continue;
        ++*ret_count;
        if (strcmp(plan->name, name) == 0)
            found = plan;
    }
    return found;
}

struct backup_plan *backup_plan_find(struct backup_service *service, const char *name)
{
    size_t count;

    LOCK_SCOPE(&service->lock);
    return find(service, name, &count);
}

int backup_plan_list(struct backup_service *service, struct backup_plan ***ret_plans,
                     size_t *ret_count)
{
    LOCK_SCOPE(&service->lock);
    *ret_count = 0;
    *ret_plans = calloc(service->plan_count + 1, sizeof(struct backup_plan *));
    if (!*ret_plans)
        return -ENOMEM;
    for (size_t i = 0; i < service->plan_count; i++)
        if (!service->plans[i]->removed)
            (*ret_plans)[(*ret_count)++] = service->plans[i];
    return 0;
}

const char *backup_plan_name(const struct backup_plan *plan)
{
    return plan->name;
}

int plans_add(struct backup_service *service, struct backup_plan *plan)
{
    struct backup_plan **grown =
        reallocarray(service->plans, service->plan_count + 1, sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    service->plans = grown;
    service->plans[service->plan_count++] = plan;
    return 0;
}

/* Called with the service's lock held. */
static int add(struct backup_service *service, struct backup_plan *plan, struct error *ret_error)
{
    size_t count;

    if (find(service, plan->name, &count))
        return error_set(ret_error, -EEXIST, "there is a plan \"%s\" already", plan->name);
    if (count >= PLANS_MAX)
        return error_set(ret_error, -ENOSPC, "there are %zu plans: remove one first", count);
    if (plans_add(service, plan))
        return error_set(ret_error, -ENOMEM, "out of memory");
    return 0;
}

int backup_plan_make(struct backup_service *service, const char *untrusted_name,
                     struct backup_plan **ret_plan, struct error *ret_error)
{
    struct backup_plan *plan;
    int result;

    if (!plan_name_valid(untrusted_name))
        return error_set(ret_error, -EINVAL,
                         "\"%s\" is no name for a plan: up to %d letters, digits, _, . and -, the "
                         "first a letter or digit",
                         untrusted_name, NAME_LENGTH_MAX);
    if (plan_new(service, untrusted_name, &plan))
        return error_set(ret_error, -ENOMEM, "out of memory");
    pthread_mutex_lock(&service->lock);
    result = add(service, plan, ret_error);
    pthread_mutex_unlock(&service->lock);
    if (result < 0) {
        plan_free(plan);
        return result;
    }
    plan_save(plan);
    *ret_plan = plan;
    return 0;
}

int backup_plan_remove(struct backup_plan *plan, struct error *ret_error)
{
    struct backup_service *service = plan->service;

    if (plan == service->plans[0])
        return error_set(ret_error, -EPERM, "the plan \"%s\" is always there", plan->name);
    pthread_mutex_lock(&service->lock);
    if (runs_reading(service, plan) || receivers_busy(service, plan)) {
        pthread_mutex_unlock(&service->lock);
        return error_set(ret_error, -EBUSY,
                         "a backup by the plan \"%s\" is being read or written: wait, or write cancel to its "
                         "`control`",
                         plan->name);
    }
    plan->removed = true;
    pthread_mutex_unlock(&service->lock);
    plan_forget(plan);
    plan_save(plan);
    return 0;
}
