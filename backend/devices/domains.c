/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Follows all domains in XenStore by watches:
 *
 *   @introduceDomain, @releaseDomain      which there are
 *   .../name, qubes-block-devices, device/vbd   of each domain
 *   each back end that a disk of it has, as the back end's domain changes that
 *
 * An event makes the domain be read anew as a whole.  How often is paid for by who caused it: a
 * domain is looked at for its own changes at most 10 times in a second, so that one that floods its
 * keys delays nobody else.  The first few come at once, as a plug-in is several changes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domain.h"
#include "kernel.h"
#include "qubesfs/cleanup.h"
#include "qubesfs/clock.h"
#include "qubesfs/log.h"

#define LOOKS_MAX   10 /* in a second */
#define LOOKS_FREE  5  /* of them without a pause between */
#define SECOND_NS   1000000000ull
#define DOMAIN_ZERO 0

/* A watch on the back end of a disk. */
struct back_watch {
    unsigned backend, devid;
    bool dirty, wanted;
};

struct followed {
    struct followed *next;
    unsigned id;
    uint64_t order;
    bool dirty, seen;
    uint64_t
        looks[LOOKS_MAX]; /* when it was looked at for its own changes; the oldest is overwritten */
    unsigned look_count;
    struct complaints complaints;
    struct xen_domain *told; /* one reference */
    struct back_watch backs[DEVICE_ATTACHED_MAX];
    size_t back_count;
};

struct domain_watch {
    struct devices_listener listener;
    struct xenstore_follower *follower;
    struct followed *domains;
    bool list_dirty;
    uint64_t next_order;
};

static struct followed *find(struct domain_watch *watch, unsigned id)
{
    struct followed *domain = watch->domains;

    while (domain && domain->id != id)
        domain = domain->next;
    return domain;
}

static void free_followed(struct followed *domain)
{
    xen_domain_unref(domain->told);
    free(domain);
}

static const char *const watched[] = {"name", "qubes-block-devices", "device/vbd"};

static int set_watches(struct xenstore *store, unsigned id,
                       int (*set)(struct xenstore *store, const char *path, const char *token))
{
    int result = 0;

    for (size_t i = 0; i < ARRAY_SIZE(watched) && !result; i++) {
        char path[64], token[32];

        snprintf(path, sizeof(path), "/local/domain/%u/%s", id, watched[i]);
        snprintf(token, sizeof(token), "d%u", id);
        result = set(store, path, token);
    }
    return result;
}

static int set_back_watch(struct xenstore *store, unsigned id, const struct back_watch *back,
                          int (*set)(struct xenstore *store, const char *path, const char *token))
{
    char path[64], token[48];

    snprintf(path, sizeof(path), "/local/domain/%u/backend/vbd/%u/%u", back->backend, id,
             back->devid);
    snprintf(token, sizeof(token), "b%u.%u.%u", id, back->backend, back->devid);
    return set(store, path, token);
}

/* Watches the back ends that the domain's disks have now, and no others. */
static int sync_back_watches(struct xenstore *store, struct followed *domain)
{
    const struct xen_domain *now = domain->told;
    size_t kept = 0;

    for (size_t i = 0; i < domain->back_count; i++)
        domain->backs[i].wanted = false;
    for (size_t i = 0; i < now->disk_count; i++) {
        struct back_watch back = {now->disks[i].backend, now->disks[i].devid, false, true};
        size_t place = 0;
        int result;

        while (place < domain->back_count && (domain->backs[place].backend != back.backend ||
                                              domain->backs[place].devid != back.devid))
            place++;
        if (place < domain->back_count) {
            domain->backs[place].wanted = true;
            continue;
        }
        if (domain->back_count == ARRAY_SIZE(domain->backs))
            continue;
        result = set_back_watch(store, domain->id, &back, xenstore_watch);
        if (result)
            return result;
        domain->backs[domain->back_count++] = back;
    }
    for (size_t i = 0; i < domain->back_count; i++) {
        if (domain->backs[i].wanted)
            domain->backs[kept++] = domain->backs[i];
        else if (set_back_watch(store, domain->id, &domain->backs[i], xenstore_unwatch) ==
                 -ENOTCONN)
            return -ENOTCONN;
    }
    domain->back_count = kept;
    return 0;
}

/* Reads it; tells it if `tell` and it is another one now. */
static int look(struct domain_watch *watch, struct xenstore *store, struct followed *domain,
                bool tell)
{
    struct xen_domain *now = NULL;
    int result = domain_read(store, domain->id, domain->order, &domain->complaints, &now);

    if (result)
        return result;
    if (domain->told && xen_domain_equal(domain->told, now)) {
        xen_domain_unref(now);
        return 0;
    }
    xen_domain_unref(domain->told);
    domain->told = now;
    if (tell)
        watch->listener.xen_changed(watch->listener.cookie, xen_domain_ref(now));
    return sync_back_watches(store, domain);
}

static int add_domain(struct domain_watch *watch, struct xenstore *store, unsigned id, bool tell)
{
    struct followed *domain = calloc(1, sizeof(*domain));
    int result;

    if (!domain)
        return -ENOMEM;
    domain->id = id;
    domain->order = watch->next_order++;
    domain->seen = true;
    domain->next = watch->domains;
    watch->domains = domain;
    result = set_watches(store, id, xenstore_watch);
    return result ? result : look(watch, store, domain, tell);
}

static int remove_domain(struct domain_watch *watch, struct xenstore *store,
                         struct followed **place)
{
    struct followed *domain = *place;
    int result = set_watches(store, domain->id, xenstore_unwatch);

    for (size_t i = 0; i < domain->back_count && result != -ENOTCONN; i++)
        result = set_back_watch(store, domain->id, &domain->backs[i], xenstore_unwatch);
    *place = domain->next;
    watch->listener.xen_gone(watch->listener.cookie, domain->id);
    free_followed(domain);
    return result == -ENOTCONN ? result : 0;
}

/* Which domains there are now. */
static int list_domains(struct domain_watch *watch, struct xenstore *store, bool tell)
{
    struct xenstore_names names CLEANUP(xenstore_names_free);
    int result = xenstore_list(store, "/local/domain", &names);

    if (result && result != -ENOENT)
        return result;
    for (struct followed *domain = watch->domains; domain; domain = domain->next)
        domain->seen = false;
    for (size_t i = 0; i < names.count; i++) {
        char *end;
        unsigned long id = strtoul(names.names[i], &end, 10);
        struct followed *domain;
        int known;

        if (*end || id == DOMAIN_ZERO || id > 65535)
            continue;
        known = xenstore_is_introduced(store, (unsigned)id);
        if (known < 0)
            return known;
        domain = find(watch, (unsigned)id);
        if (known && domain)
            domain->seen = true;
        else if (known)
            result = add_domain(watch, store, (unsigned)id, tell);
        if (known && !domain && result)
            return result;
    }
    for (struct followed **place = &watch->domains; *place;) {
        if ((*place)->seen) {
            place = &(*place)->next;
            continue;
        }
        result = remove_domain(watch, store, place);
        if (result)
            return result;
    }
    return 0;
}

static void forget_all(struct domain_watch *watch)
{
    struct followed *domain;

    while ((domain = watch->domains) != NULL) {
        watch->domains = domain->next;
        free_followed(domain);
    }
}

static int connected(void *cookie, struct xenstore *store)
{
    struct domain_watch *watch = cookie;
    struct xen_domain **all;
    size_t count = 0;
    int result;

    forget_all(watch);
    watch->list_dirty = false;
    result = xenstore_watch(store, "@introduceDomain", "@");
    if (!result)
        result = xenstore_watch(store, "@releaseDomain", "@");
    if (!result)
        result = list_domains(watch, store, false);
    if (result)
        return result;
    for (struct followed *domain = watch->domains; domain; domain = domain->next)
        count++;
    all = calloc(count + 1, sizeof(*all));
    if (!all)
        return -ENOMEM;
    count = 0;
    for (struct followed *domain = watch->domains; domain; domain = domain->next)
        all[count++] = xen_domain_ref(domain->told);
    watch->listener.xen_all(watch->listener.cookie, all, count);
    return 0;
}

static int event(void *cookie, struct xenstore *store, const char *token)
{
    struct domain_watch *watch = cookie;
    unsigned id, backend, devid;
    struct followed *domain;

    (void)store;
    if (*token == '@') {
        watch->list_dirty = true;
    } else if (sscanf(token, "d%u", &id) == 1) {
        domain = find(watch, id);
        if (domain)
            domain->dirty = true;
    } else if (sscanf(token, "b%u.%u.%u", &id, &backend, &devid) == 3) {
        domain = find(watch, id);
        for (size_t i = 0; domain && i < domain->back_count; i++)
            if (domain->backs[i].backend == backend && domain->backs[i].devid == devid)
                domain->backs[i].dirty = true;
    }
    return 0;
}

/* When the domain may be looked at (again) at its own cost; 0: now. */
static uint64_t allowed_at(const struct followed *domain, uint64_t now)
{
    unsigned recent = 0, count = domain->look_count < LOOKS_MAX ? domain->look_count : LOOKS_MAX;
    uint64_t last, oldest;

    for (unsigned i = 0; i < count; i++)
        recent += domain->looks[i] + SECOND_NS > now;
    if (recent < LOOKS_FREE)
        return 0;
    last = domain->looks[(domain->look_count - 1) % LOOKS_MAX] + SECOND_NS / LOOKS_MAX;
    oldest = recent < LOOKS_MAX ? 0 : domain->looks[domain->look_count % LOOKS_MAX] + SECOND_NS;
    last = last > oldest ? last : oldest;
    return last > now ? last : 0;
}

static void note_look(struct followed *domain, uint64_t now)
{
    domain->looks[domain->look_count++ % LOOKS_MAX] = now;
}

/* True if the domain is to be looked at now; else `ret_next` is the earliest time, if it is dirty.
 */
static bool is_due(struct domain_watch *watch, struct followed *domain, uint64_t now,
                   uint64_t *ret_next)
{
    bool due = false;

    if (domain->dirty) {
        uint64_t at = allowed_at(domain, now);

        due = at == 0;
        if (due)
            note_look(domain, now);
        else if (at < *ret_next)
            *ret_next = at;
    }
    for (size_t i = 0; i < domain->back_count; i++) {
        struct back_watch *back = &domain->backs[i];
        struct followed *payer = back->dirty ? find(watch, back->backend) : NULL;
        uint64_t at = payer ? allowed_at(payer, now) : 0;

        if (!back->dirty)
            continue;
        if (at && at < *ret_next)
            *ret_next = at;
        if (at)
            continue;
        if (payer)
            note_look(payer, now);
        back->dirty = false;
        due = true;
    }
    return due;
}

static int settle(void *cookie, struct xenstore *store, int *ret_milliseconds)
{
    struct domain_watch *watch = cookie;
    uint64_t now = clock_monotonic_ns(), next = UINT64_MAX;
    int result = 0;

    if (watch->list_dirty) {
        watch->list_dirty = false;
        result = list_domains(watch, store, true);
    }
    for (struct followed *domain = watch->domains; domain && !result; domain = domain->next) {
        if (!is_due(watch, domain, now, &next))
            continue;
        domain->dirty = false;
        result = look(watch, store, domain, true);
    }
    *ret_milliseconds = next == UINT64_MAX ? -1 : (int)((next - now) / 1000000) + 1;
    return result;
}

static void disconnected(void *cookie, const struct error *error)
{
    struct domain_watch *watch = cookie;

    watch->listener.xen_lost(watch->listener.cookie, error);
}

int domain_watch_start(const char *socket, const struct devices_listener *listener,
                       struct domain_watch **ret_watch)
{
    struct domain_watch *watch = calloc(1, sizeof(*watch));
    const struct xenstore_listener follow = {watch, connected, event, settle, disconnected};
    int result;

    if (!watch)
        return -ENOMEM;
    watch->listener = *listener;
    result = xenstore_follow(socket, &follow, &watch->follower);
    if (result) {
        free(watch);
        return result;
    }
    *ret_watch = watch;
    return 0;
}

int domain_watch_refresh(struct domain_watch *watch, unsigned seconds, struct error *ret_error)
{
    return xenstore_follow_again(watch->follower, seconds, ret_error);
}

void domain_watch_stop(struct domain_watch *watch)
{
    if (!watch)
        return;
    xenstore_follow_stop(watch->follower);
    forget_all(watch);
    free(watch);
}
