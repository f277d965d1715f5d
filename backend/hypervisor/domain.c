/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "room.h"

struct domain *domain_ref(struct domain *domain)
{
    __atomic_add_fetch(&domain->references, 1, __ATOMIC_RELAXED);
    return domain;
}

void domain_unref(struct domain *domain)
{
    if (!domain || __atomic_sub_fetch(&domain->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    free(domain->name);
    free(domain->xml);
    disks_free(domain->disks, domain->disk_count);
    free(domain);
}

static bool same_string(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool domain_equal(const struct domain *a, const struct domain *b)
{
    if (a == b)
        return true;
    return a->id == b->id && a->state == b->state && a->persistent == b->persistent &&
           a->managed == b->managed && a->memory_kib == b->memory_kib &&
           a->max_memory_kib == b->max_memory_kib && a->vcpus == b->vcpus &&
           a->start_time == b->start_time && strcmp(a->uuid, b->uuid) == 0 &&
           same_string(a->name, b->name) && same_string(a->xml, b->xml);
}
