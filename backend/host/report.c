/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lines of `error` files: one a command, there until the same command succeeds. */
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "qubesfs/clock.h"
#include "qubesfs/log.h"

struct error_line {
    char command[32];
    char *line;
};

static void drop(struct error_lines *lines, size_t place)
{
    free(lines->lines[place].line);
    lines->count--;
    memmove(&lines->lines[place], &lines->lines[place + 1],
            (lines->count - place) * sizeof(lines->lines[0]));
}

bool error_lines_clear(struct error_lines *lines, const char *command)
{
    for (size_t i = 0; i < lines->count; i++) {
        if (strcmp(lines->lines[i].command, command) == 0) {
            drop(lines, i);
            return true;
        }
    }
    return false;
}

bool error_lines_set(struct error_lines *lines, const char *command, const char *line)
{
    char *copy;

    if (!lines->lines)
        lines->lines = calloc(ERROR_LINES, sizeof(*lines->lines));
    copy = lines->lines ? strdup(line) : NULL;
    if (!copy)
        return false;
    error_lines_clear(lines, command);
    if (lines->count == ERROR_LINES)
        drop(lines, 0);
    snprintf(lines->lines[lines->count].command, sizeof(lines->lines[0].command), "%s", command);
    lines->lines[lines->count++].line = copy;
    return true;
}

char *error_lines_text(const struct error_lines *lines)
{
    struct text text CLEANUP_TEXT = TEXT_INIT;
    char *result = NULL;

    for (size_t i = 0; i < lines->count; i++)
        text_printf(&text, "%s\n", lines->lines[i].line);
    if (lines->count == 0 || text_take(&text, &result, NULL))
        return NULL;
    return result;
}

void error_lines_free(struct error_lines *lines)
{
    while (lines->count > 0)
        drop(lines, lines->count - 1);
    free(lines->lines);
    lines->lines = NULL;
}

void report_apply(struct host *host, uint64_t identity, const char *command,
                  const struct error *error)
{
    struct record *record = identity ? record_by_identity(host, identity) : NULL;
    struct error_lines *lines = record ? &record->errors : &host->root_errors;
    char key[32], line[1200], time[32];
    bool changed;

    snprintf(key, sizeof(key), "%s", command);
    if (!error) {
        changed = error_lines_clear(lines, key);
    } else {
        clock_format(clock_wall_unique(), time);
        snprintf(line, sizeof(line), "%s %s: %s", time, command, error->text);
        changed = error_lines_set(lines, key, line);
        log_warning("%s%s%s: %s", record ? record_name(record) : "", record ? ": " : "", command,
                    error->text);
        host_journal_add(host, "%s%s error %s: %s", record ? "vm " : "host",
                         record ? record_name(record) : "", command, error->text);
    }
    if (changed && record)
        record->dirty = true;
    else if (changed)
        host->root_errors_changed = true;
}

struct report {
    struct message message;
    uint64_t identity;
    const char *command;
    const struct error *error;
};

static void apply(struct host *host, struct message *message)
{
    struct report *report = (struct report *)message;

    report_apply(host, report->identity, report->command, report->error);
}

void host_report(struct host *host, uint64_t vm_identity, const char *command,
                 const struct error *error)
{
    struct report report = {
        .message = {.apply = apply}, .identity = vm_identity, .command = command, .error = error};

    host_post_and_wait(host, &report.message);
}
