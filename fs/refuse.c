/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs.h"

static void report(const struct subject *subject, const char *what, const struct error *error)
{
    if (subject->plan)
        backup_report(subject->plan, what, error);
    else
        host_report(subject->fs->host, subject->vm ? subject->vm->identity : 0, what, error);
}

int refuse(const struct subject *subject, const char *what, const struct error *error)
{
    report(subject, what, error);
    return error->code;
}

void refuse_no_more(const struct subject *subject, const char *what)
{
    report(subject, what, NULL);
}
