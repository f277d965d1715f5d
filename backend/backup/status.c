/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a plan's `status` says.  It tells of the read or write of `backup` that began last; what one says
 * that began before is passed over.  The text is made when it is told, so that it is another one
 * only when that is told.
 */
#include "status.h"

#include <errno.h>
#include <string.h>

#include "internal.h"
#include "qubesfs/clock.h"
#include "qubesfs/text.h"

#define TELL_NS 500000000ull

static const char *const state_names[] = {
    [STATUS_IDLE] = "idle",     [STATUS_RUNNING] = "running",     [STATUS_DONE] = "done",
    [STATUS_FAILED] = "failed", [STATUS_CANCELLED] = "cancelled",
};

static char *render(const struct status *status)
{
    struct text text CLEANUP_TEXT = TEXT_INIT;
    bool any = status->state != STATUS_IDLE, done = status->state == STATUS_DONE;
    uint64_t total = status->bytes_total;
    char *taken;

    text_printf(&text, "state=%s\noperation=%s\n", state_names[status->state],
                any ? status->operation ? status->operation : "backup" : "");
    text_printf(&text, "bytes_done=%llu\n", (unsigned long long)status->bytes_done);
    text_printf(&text, "bytes_total=%llu\n", (unsigned long long)total);
    text_printf(&text, "percent=%u\n",
                done        ? 100
                : total > 0 ? (unsigned)(status->bytes_done * 100.0 / (double)total)
                            : 0);
    text_printf(&text, "bytes_per_second=%llu\n", (unsigned long long)status->bytes_per_second);
    text_string(&text, "eta_seconds=");
    if (done)
        text_string(&text, "0");
    else if (status->state == STATUS_RUNNING && status->eta_seconds >= 0)
        text_printf(&text, "%lld", (long long)status->eta_seconds);
    text_string(&text, "\ncurrent=");
    text_escape(&text, status->current, strlen(status->current));
    text_string(&text, "\nerror=");
    text_escape(&text, status->error, strlen(status->error));
    text_string(&text, "\n");
    return text_take(&text, &taken, NULL) ? NULL : taken;
}

/* Called with the plan's lock held; true if there is something to tell. */
static bool publish(struct backup_plan *plan)
{
    char *text = render(&plan->status);

    if (!text)
        return false;
    if (plan->status_text && strcmp(text, plan->status_text) == 0) {
        free(text);
        return false;
    }
    free(plan->status_text);
    plan->status_text = text;
    plan->status_changed = clock_wall_unique();
    plan->status_told_ns = clock_monotonic_ns();
    return true;
}

int status_init(struct backup_plan *plan)
{
    LOCK_SCOPE(&plan->lock);
    return publish(plan) ? 0 : -ENOMEM;
}

static void tell(struct backup_plan *plan)
{
    const struct backup_listener *listener = &plan->service->listener;

    if (listener->file_changed)
        listener->file_changed(listener->cookie, plan, "status");
}

void status_set(struct backup_plan *plan, const void *run, const struct status *status)
{
    bool changed = false;

    pthread_mutex_lock(&plan->lock);
    if (status->begins && (status->state == STATUS_RUNNING || plan->status.state != STATUS_RUNNING))
        plan->status_run = run;
    if (plan->status_run == run) {
        bool other_state = plan->status.state != status->state || status->begins;

        plan->status = *status;
        plan->status.begins = false;
        if (other_state || clock_monotonic_ns() - plan->status_told_ns >= TELL_NS)
            changed = publish(plan);
    }
    pthread_mutex_unlock(&plan->lock);
    if (changed)
        tell(plan);
}

int backup_status_get(struct backup_plan *plan, char **ret_text)
{
    LOCK_SCOPE(&plan->lock);
    *ret_text = strdup(plan->status_text);
    return *ret_text ? 0 : -ENOMEM;
}

struct timespec backup_status_time(struct backup_plan *plan)
{
    LOCK_SCOPE(&plan->lock);
    return plan->status_changed;
}
