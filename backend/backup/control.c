/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plan's `control`. */
#include <errno.h>
#include <string.h>

#include "internal.h"
#include "making.h"
#include "receive.h"
#include "run.h"

static void cancel(struct backup_plan *plan)
{
    runs_cancel(plan);
    receivers_cancel(plan);
    kept_drop(plan);
}

int backup_control(struct backup_plan *plan, const char *untrusted_lines, size_t length,
                   struct error *ret_error)
{
    size_t line;

    for (size_t at = 0; at < length; at += line + 1) {
        const char *end = memchr(untrusted_lines + at, '\n', length - at);

        line = end ? (size_t)(end - (untrusted_lines + at)) : length - at;
        if (line != strlen("cancel") || memcmp(untrusted_lines + at, "cancel", line) != 0)
            return error_set(ret_error, -EINVAL,
                             "\"%.*s\" is no command here: `cancel` ends a backup or restore",
                             line < 100 ? (int)line : 100, untrusted_lines + at);
        cancel(plan);
    }
    return length > 0 ? 0 : error_set(ret_error, -EINVAL, "there is no command: `cancel`?");
}
