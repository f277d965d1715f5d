/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The last backup of each plan, kept for a copy of it that was cut off.
 *
 * A read that goes on says where, and nothing else.  So that two copies that were made at once are
 * not mistaken for one another, it is noted how far one got that is let go: where the place is near
 * that, and not near what was sent of the one that is kept, it belongs to the former.
 */
#include <stdlib.h>
#include <string.h>

#include "making.h"
#include "qubesfs/clock.h"
#include "stream.h"

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

/* What was sent runs ahead of what is in the copy: by the stream's ring, and by what the kernel,
 * pipes and sockets held. */
#define NEAR ((uint64_t)STREAM_AHEAD + (8u << 20))

bool kept_near(uint64_t sent, uint64_t offset)
{
    return offset <= sent && sent - offset <= NEAR;
}

static bool same_vm(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Called with the plan's lock held.  Without memory it is not noted. */
static void note_gone(struct backup_plan *plan, const struct making *making)
{
    struct gone *gone = &plan->gone[plan->gone_next];
    char *vm_name = making->vm_name ? strdup(making->vm_name) : NULL;

    if (making->vm_name && !vm_name)
        return;
    free(gone->vm_name);
    *gone = (struct gone){vm_name, sent_length(making->sent),
                          clock_monotonic_ns() + UNFINISHED_SECONDS * 1000000000ull};
    plan->gone_next = (plan->gone_next + 1) % GONE_MAX;
}

/* Called with the plan's lock held. */
static bool is_gone(const struct backup_plan *plan, const char *vm_name, uint64_t offset)
{
    uint64_t now = clock_monotonic_ns();

    for (size_t i = 0; i < GONE_MAX; i++) {
        const struct gone *gone = &plan->gone[i];

        if (gone->until_ns > now && same_vm(gone->vm_name, vm_name) &&
            kept_near(gone->sent, offset))
            return true;
    }
    return false;
}

void kept_forget_gone(struct backup_plan *plan)
{
    for (size_t i = 0; i < GONE_MAX; i++) {
        free(plan->gone[i].vm_name);
        plan->gone[i] = (struct gone){0};
    }
}

void kept_put_back(struct backup_plan *plan, struct making *making)
{
    struct making *old = making;

    pthread_mutex_lock(&plan->lock);
    /* removed, or the passphrase is another one by now: nobody may have it any more; and a newer
     * one, at work or kept, is the one to go on with */
    if (!plan->forgotten && making->number == plan->begun &&
        plan_same_secret(plan->passphrase, making->passphrase)) {
        old = plan->kept;
        plan->kept = making;
    } else if (making->number != plan->begun && !making->finished) {
        note_gone(plan, making);
    }
    pthread_mutex_unlock(&plan->lock);
    making_free(old);
}

void kept_put(struct backup_plan *plan, struct making *making)
{
    uint64_t seconds = making->finished ? FINISHED_SECONDS : UNFINISHED_SECONDS;

    if (making->finished && holds_volumes(making)) {
        making_free(making);
        return;
    }
    making->keep_until_ns = clock_monotonic_ns() + seconds * 1000000000ull;
    kept_put_back(plan, making);
}

struct making *kept_take(struct backup_plan *plan, const char *vm_name, uint64_t offset,
                         bool *ret_gone)
{
    struct making *kept;

    LOCK_SCOPE(&plan->lock);
    kept = plan->kept;
    *ret_gone = is_gone(plan, vm_name, offset) && !(kept && same_vm(kept->vm_name, vm_name) &&
                                                    kept_near(sent_length(kept->sent), offset));
    if (*ret_gone || !kept || offset > sent_length(kept->sent) || !same_vm(kept->vm_name, vm_name))
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
