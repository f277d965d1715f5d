/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypervisor's domains, and which VM each is. */
#include <search.h>
#include <string.h>

#include "internal.h"
#include "qubesfs/log.h"

static int by_uuid(const void *a, const void *b)
{
    return strcmp(((const struct domain *)a)->uuid, ((const struct domain *)b)->uuid);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct domain *)a)->name, ((const struct domain *)b)->name);
}

static struct domain *find(void *const *tree, const struct domain *key,
                           int (*compare)(const void *, const void *))
{
    struct domain **found = tfind(key, tree, compare);

    return found ? *found : NULL;
}

static void drop(struct host *host, struct domain *domain)
{
    if (!domain)
        return;
    if (find(&host->domains_by_uuid, domain, by_uuid) == domain)
        tdelete(domain, &host->domains_by_uuid, by_uuid);
    if (find(&host->domains_by_name, domain, by_name) == domain)
        tdelete(domain, &host->domains_by_name, by_name);
    domain_unref(domain);
}

void domains_set(struct host *host, struct domain *domain)
{
    drop(host, find(&host->domains_by_uuid, domain, by_uuid));
    /* a domain undefined and made anew under its name has another uuid */
    drop(host, find(&host->domains_by_name, domain, by_name));
    if (!tsearch(domain, &host->domains_by_uuid, by_uuid)) {
        log_error("out of memory: domain %s is not seen", domain->name);
        return;
    }
    if (!tsearch(domain, &host->domains_by_name, by_name))
        log_error("out of memory: domain %s is found by its uuid only", domain->name);
    domain_ref(domain);
}

void domains_remove(struct host *host, const char *uuid)
{
    struct domain key = {.references = 1};

    strncpy(key.uuid, uuid, sizeof(key.uuid) - 1);
    drop(host, find(&host->domains_by_uuid, &key, by_uuid));
}

static void free_nothing(void *domain)
{
    (void)domain;
}

static void free_domain(void *domain)
{
    domain_unref(domain);
}

void domains_clear(struct host *host)
{
    tdestroy(host->domains_by_name, free_nothing);
    tdestroy(host->domains_by_uuid, free_domain);
    host->domains_by_name = host->domains_by_uuid = NULL;
}

struct domain *domains_match(struct host *host, const struct record *record)
{
    struct domain key = {.references = 1, .name = (char *)record_name(record)};
    struct domain *domain = NULL;

    if (strcmp(record_name(record), "dom0") == 0)
        return NULL;
    if (record->entry->uuid[0]) {
        strncpy(key.uuid, record->entry->uuid, sizeof(key.uuid) - 1);
        domain = find(&host->domains_by_uuid, &key, by_uuid);
    }
    return domain ? domain : find(&host->domains_by_name, &key, by_name);
}

void domains_match_all(struct host *host)
{
    for (size_t i = 0; i < host->record_count; i++) {
        struct record *record = host->records[i];
        struct domain *domain = domains_match(host, record);

        if (domain == record->domain)
            continue;
        domain_unref(record->domain);
        record->domain = domain ? domain_ref(domain) : NULL;
        record->dirty = true;
    }
}

void domains_update(struct host *host, struct domain *domain)
{
    struct domain *before = find(&host->domains_by_uuid, domain, by_uuid);
    /* under the uuid and name that it had, it belongs to whom it belonged to: nobody else need be
     * looked at, however many there are */
    bool same = before && strcmp(before->name, domain->name) == 0 &&
                find(&host->domains_by_name, domain, by_name) == before;

    if (!same) {
        domains_set(host, domain);
        domains_match_all(host);
        return;
    }
    domain_ref(before); /* keeps its address from being used again until all are compared */
    domains_set(host, domain);
    for (size_t i = 0; i < host->record_count; i++) {
        struct record *record = host->records[i];

        if (record->domain != before)
            continue;
        domain_unref(record->domain);
        record->domain = domain_ref(domain);
        record->dirty = true;
    }
    domain_unref(before);
}
