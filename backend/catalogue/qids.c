/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The qids of an export.  R3 holds 0 to 253; a VM with a greater one gets the next that is free. */
#include "convert.h"

#include <errno.h>
#include <string.h>

int free_r3_qid(const bool *used, size_t index)
{
    for (int qid = 1; qid <= R3_QID_MAX; qid++)
        if (!used[qid] && index-- == 0)
            return qid;
    return -1;
}

int assign_r3_qids(struct conversion *conversion)
{
    const struct reading *from = conversion->from;
    bool used[R3_QID_MAX + 1] = {false};
    size_t great = 0;

    for (size_t i = 0; i < from->draft_count; i++)
        if (from->drafts[i].qid <= R3_QID_MAX)
            used[from->drafts[i].qid] = true;
    for (size_t i = 0; i < from->draft_count; i++) {
        const struct draft *draft = from->by_qid[i];
        int qid = draft->qid <= R3_QID_MAX ? draft->qid : free_r3_qid(used, great++);

        if (qid < 0)
            return error_set(from->ret_error, -EOPNOTSUPP,
                             "%s: a backup of format 3 cannot hold more than %d VMs; use format 4",
                             from->path, R3_QID_MAX);
        counterpart_of(conversion, draft)->qid = qid;
    }
    return 0;
}

int catalogue_export_qid(const struct catalogue *catalogue, enum catalogue_form form, int qid)
{
    bool used[R3_QID_MAX + 1] = {false}, found = false;
    size_t smaller = 0;

    for (size_t i = 0; i < catalogue->entry_count; i++) {
        int other = catalogue->entries[i]->qid;

        found = found || other == qid;
        if (other <= R3_QID_MAX)
            used[other] = true;
        else if (other < qid)
            smaller++;
    }
    if (!found)
        return -1;
    /* the file's own form is left as it is */
    if (form == catalogue->form || form == CATALOGUE_R4 || qid <= R3_QID_MAX)
        return qid;
    return free_r3_qid(used, smaller);
}
