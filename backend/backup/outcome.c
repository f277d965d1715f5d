/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a restore or a verification gets on and ends: in `status`, `error`, `contents` and the
 * journal. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qubesfs/clock.h"
#include "receive.h"

static const char *name_of(bool verify)
{
    return verify ? "verify" : "restore";
}

void outcome_begin(struct backup_plan *plan, const void *run, bool verify)
{
    const struct status status = {
        .state = STATUS_RUNNING, .begins = true, .operation = name_of(verify), .eta_seconds = -1};

    status_set(plan, run, &status);
}

void outcome_progress(struct backup_plan *plan, const void *run, bool verify, uint64_t done,
                      uint64_t total, uint64_t begun_ns, const char *current)
{
    struct status status = {.state = STATUS_RUNNING,
                            .operation = name_of(verify),
                            .bytes_done = done,
                            .bytes_total = total,
                            .eta_seconds = -1};
    uint64_t took = clock_monotonic_ns() - begun_ns;

    if (took > 0)
        status.bytes_per_second = (uint64_t)((double)done * 1e9 / (double)took);
    if (status.bytes_per_second > 0)
        status.eta_seconds = (int64_t)((total - done) / status.bytes_per_second);
    snprintf(status.current, sizeof(status.current), "%s", current);
    status_set(plan, run, &status);
}

static void set_outcome(struct backup_plan *plan, bool verify, const char *lines,
                        const struct error *error)
{
    struct backup_service *service = plan->service;
    struct timespec now = clock_wall_unique();
    char when[32], *text, *old;

    clock_format(now, when);
    text = text_format("# %s of %s: %s%s\n%s", verify ? "verification" : "restore", when,
                       error ? "failed: " : "done", error ? error->text : "", lines ? lines : "");
    if (!text)
        return; /* `status` and `error` tell the rest */
    pthread_mutex_lock(&plan->lock);
    old = plan->outcome;
    plan->outcome = text;
    pthread_mutex_unlock(&plan->lock);
    free(old);
    if (service->listener.file_changed)
        service->listener.file_changed(service->listener.cookie, plan, "contents");
}

void outcome_end(struct backup_plan *plan, const void *run, bool verify, uint64_t done,
                 uint64_t total, const char *lines, const struct error *error, bool cancelled)
{
    struct status status = {
        .operation = name_of(verify), .bytes_done = done, .bytes_total = total, .eta_seconds = -1};

    status.state = !error ? STATUS_DONE : cancelled ? STATUS_CANCELLED : STATUS_FAILED;
    if (error)
        snprintf(status.error, sizeof(status.error), "%s", error->text);
    backup_report(plan, name_of(verify), error);
    if (!error)
        host_journal_add(plan->service->host, "%s %s done, %llu bytes", name_of(verify), plan->name,
                         (unsigned long long)done);
    set_outcome(plan, verify, lines, error);
    status_set(plan, run, &status);
}
