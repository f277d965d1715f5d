/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a plan's `error` file says: a line for each command that failed last time. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "qubesfs/clock.h"
#include "qubesfs/log.h"
#include "qubesfs/text.h"

struct report {
    struct report *next;
    char *command;
    char *line; /* with its newline */
};

static void report_free(struct report *report)
{
    if (!report)
        return;
    free(report->command);
    free(report->line);
    free(report);
}

void reports_free(struct report *reports)
{
    while (reports) {
        struct report *next = reports->next;

        report_free(reports);
        reports = next;
    }
}

static struct report *report_new(const char *command, const struct error *error,
                                 struct timespec when)
{
    struct report *report = calloc(1, sizeof(*report));
    char time[32];

    if (!report)
        return NULL;
    clock_format(when, time);
    report->command = strdup(command);
    if (asprintf(&report->line, "%s %s: %s\n", time, command, error->text) < 0)
        report->line = NULL;
    if (!report->command || !report->line) {
        report_free(report);
        return NULL;
    }
    return report;
}

/* Puts `added` (or nothing) in the place of the command's line; true if there is a difference. */
static bool replace(struct backup_plan *plan, const char *command, struct report *added,
                    struct timespec when)
{
    struct report **at = &plan->reports, *old = NULL;

    while (*at && strcmp((*at)->command, command) < 0)
        at = &(*at)->next;
    if (*at && strcmp((*at)->command, command) == 0) {
        old = *at;
        *at = old->next;
    }
    if (added) {
        added->next = *at;
        *at = added;
    }
    if (old || added)
        plan->error_changed = when;
    report_free(old);
    return old || added;
}

void backup_report(struct backup_plan *plan, const char *command, const struct error *error)
{
    struct backup_service *service = plan->service;
    struct timespec when = clock_wall_unique();
    struct report *added = NULL;
    bool changed;

    if (error) {
        added = report_new(command, error, when);
        log_error("backup %s: %s: %s", plan->name, command, error->text);
        host_journal_add(service->host, "backup %s %s: %s", plan->name, command, error->text);
        if (!added)
            return; /* no memory even for this: the log has it */
    }
    pthread_mutex_lock(&plan->lock);
    changed = replace(plan, command, added, when);
    pthread_mutex_unlock(&plan->lock);
    if (changed && service->listener.file_changed)
        service->listener.file_changed(service->listener.cookie, plan, "error");
}

int backup_error_get(struct backup_plan *plan, char **ret_text)
{
    struct text text CLEANUP_TEXT = TEXT_INIT;

    LOCK_SCOPE(&plan->lock);
    for (const struct report *report = plan->reports; report; report = report->next)
        text_string(&text, report->line);
    return text_take(&text, ret_text, NULL);
}

struct timespec backup_error_time(struct backup_plan *plan)
{
    LOCK_SCOPE(&plan->lock);
    return plan->error_changed;
}
