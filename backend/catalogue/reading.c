/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "qubesfs/log.h"
#include "qubesfs/sorted.h"

int reading_refuse(struct reading *reading, const xmlNode *where, const char *format, ...)
{
    long line = where ? element_line(where) : 1;
    char reason[800];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    return error_set(reading->ret_error, -EINVAL, "%s:%ld: %s", reading->path, line, reason);
}

struct draft *reading_draft(struct reading *reading, xmlNode *element, enum vm_class vm_class)
{
    if (reading->draft_count == reading->draft_capacity) {
        size_t capacity = reading->draft_capacity ? 2 * reading->draft_capacity : 64;
        struct draft *grown = arena_alloc(&reading->arena, capacity * sizeof(*grown));

        if (!grown)
            return NULL;
        if (reading->draft_count > 0)
            memcpy(grown, reading->drafts, reading->draft_count * sizeof(*grown));
        reading->drafts = grown;
        reading->draft_capacity = capacity;
    }
    struct draft *draft = &reading->drafts[reading->draft_count++];

    *draft = (struct draft){.element = element, .vm_class = vm_class};
    return draft;
}

int reading_identify(struct reading *reading, struct draft *draft, const char *untrusted_qid,
                     const char *untrusted_name)
{
    const char *reason;
    uint64_t qid;

    if (!untrusted_qid)
        return reading_refuse(reading, draft->element, "a VM has no qid");
    if (!parse_number(untrusted_qid, QID_MAX, &qid))
        return reading_refuse(reading, draft->element, "qid '%.80s' is not a number from 0 to %d",
                              untrusted_qid, QID_MAX);
    draft->qid = (int)qid;
    if (draft->vm_class == VM_CLASS_ADMIN) {
        if (untrusted_name && strcmp(untrusted_name, "dom0") != 0)
            return reading_refuse(reading, draft->element,
                                  "the AdminVM is called '%.80s' instead of dom0", untrusted_name);
        draft->name = "dom0";
        return 0;
    }
    if (!untrusted_name)
        return reading_refuse(reading, draft->element, "the VM with qid %d has no name",
                              draft->qid);
    reason = vm_name_reason(untrusted_name);
    if (!reason && strcmp(untrusted_name, "dom0") == 0)
        reason = "only the AdminVM may have this name";
    if (reason)
        return reading_refuse(reading, draft->element, "%s: '%.80s'", reason, untrusted_name);
    draft->name = untrusted_name;
    return 0;
}

/* Drafts lie in one array in the document's order: among equals the later one is the greater. */
static int compare_qids(const void *one, const void *other)
{
    const struct draft *left = *(struct draft *const *)one;
    const struct draft *right = *(struct draft *const *)other;

    if (left->qid != right->qid)
        return left->qid < right->qid ? -1 : 1;
    return left < right ? -1 : 1;
}

static int compare_names(const void *one, const void *other)
{
    const struct draft *left = *(struct draft *const *)one;
    const struct draft *right = *(struct draft *const *)other;
    int order = strcmp(left->name, right->name);

    if (order != 0)
        return order;
    return left < right ? -1 : 1;
}

int reading_index(struct reading *reading)
{
    size_t count = reading->draft_count;

    reading->by_qid = arena_alloc(&reading->arena, count * sizeof(*reading->by_qid));
    reading->by_name = arena_alloc(&reading->arena, count * sizeof(*reading->by_name));
    if (!reading->by_qid || !reading->by_name)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        reading->by_qid[i] = reading->by_name[i] = &reading->drafts[i];
    qsort(reading->by_qid, count, sizeof(*reading->by_qid), compare_qids);
    qsort(reading->by_name, count, sizeof(*reading->by_name), compare_names);
    for (size_t i = 1; i < count; i++) {
        const struct draft *before = reading->by_qid[i - 1], *draft = reading->by_qid[i];

        if (before->qid == draft->qid)
            return reading_refuse(reading, draft->element, "qid %d was given to %s already",
                                  draft->qid, before->name);
        draft = reading->by_name[i];
        if (strcmp(reading->by_name[i - 1]->name, draft->name) == 0)
            return reading_refuse(reading, draft->element, "there are two VMs called %s",
                                  draft->name);
    }
    return 0;
}

const struct draft *reading_by_qid(const struct reading *reading, int qid)
{
    size_t low = 0, high = reading->draft_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (reading->by_qid[middle]->qid < qid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < reading->draft_count && reading->by_qid[low]->qid == qid ? reading->by_qid[low]
                                                                          : NULL;
}

static const char *draft_name(const void *list, size_t index)
{
    return ((struct draft *const *)list)[index]->name;
}

const struct draft *reading_by_name(const struct reading *reading, const char *name)
{
    size_t index = sorted_find(reading->by_name, reading->draft_count, name, draft_name);

    return index != SIZE_MAX ? reading->by_name[index] : NULL;
}

void reading_uuid(struct reading *reading, struct draft *draft, const char *untrusted_uuid)
{
    if (!untrusted_uuid || is_none(untrusted_uuid))
        return;
    if (!parse_uuid(untrusted_uuid, draft->uuid)) {
        draft->uuid[0] = '\0';
        if (!reading->foreign)
            log_warning("%s:%ld: uuid of %s is malformed and left out", reading->path,
                        element_line(draft->element), draft->name);
    }
}
