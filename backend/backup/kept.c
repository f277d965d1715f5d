/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The last backup of each plan, kept for a copy of it that was cut off. */
#include <string.h>

#include "making.h"
#include "qubesfs/clock.h"

/* An unfinished one; and one that was read to its end, whose last bytes may have been lost on their
 * way: between processes, over a network. */
#define UNFINISHED_SECONDS 3600
#define FINISHED_SECONDS   300

/* A finished one must not keep a logical volume busy, which a VM's stop may want to remove. */
static bool holds_volumes(const struct making *making)
{
    for (size_t i = 0; i < making->job.count; i++)
        for (size_t j = 0; j < making->job.items[i].image_count; j++)
            if (making->job.items[i].images[j].open.block)
                return true;
    return false;
}

void kept_begin(struct backup_plan *plan, struct making *making)
{
    struct making *old;

    pthread_mutex_lock(&plan->lock);
    making->number = ++plan->begun;
    old = plan->kept;
    plan->kept = NULL;
    pthread_mutex_unlock(&plan->lock);
    making_free(old);
}

void kept_put(struct backup_plan *plan, struct making *making)
{
    struct making *old = making;
    uint64_t seconds = making->finished ? FINISHED_SECONDS : UNFINISHED_SECONDS;

    if (making->finished && holds_volumes(making)) {
        making_free(making);
        return;
    }
    making->keep_until_ns = clock_monotonic_ns() + seconds * 1000000000ull;
    pthread_mutex_lock(&plan->lock);
    /* removed, or the passphrase is another one by now: nobody may have it any more; and a newer
     * one, at work or kept, is the one to go on with */
    if (!plan->forgotten && making->number == plan->begun &&
        plan_same_secret(plan->passphrase, making->passphrase)) {
        old = plan->kept;
        plan->kept = making;
    }
    pthread_mutex_unlock(&plan->lock);
    making_free(old);
}

struct making *kept_take(struct backup_plan *plan, const char *vm_name, uint64_t offset)
{
    struct making *kept;

    LOCK_SCOPE(&plan->lock);
    kept = plan->kept;
    if (!kept || offset > sent_length(kept->sent) || !kept->vm_name != !vm_name ||
        (vm_name && strcmp(kept->vm_name, vm_name) != 0))
        return NULL;
    plan->kept = NULL;
    return kept;
}

void kept_drop(struct backup_plan *plan)
{
    struct making *kept;

    pthread_mutex_lock(&plan->lock);
    kept = plan->kept;
    plan->kept = NULL;
    pthread_mutex_unlock(&plan->lock);
    making_free(kept);
}

void kept_expire(struct backup_plan *plan, uint64_t now_ns)
{
    struct making *expired = NULL;

    pthread_mutex_lock(&plan->lock);
    if (plan->kept && plan->kept->keep_until_ns <= now_ns) {
        expired = plan->kept;
        plan->kept = NULL;
    }
    pthread_mutex_unlock(&plan->lock);
    making_free(expired);
}
