/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One domain as XenStore has it: its name, the devices that it offers, the disks that it uses. */
#include "domain.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/log.h"

struct xen_domain *xen_domain_ref(struct xen_domain *domain)
{
    __atomic_add_fetch(&domain->references, 1, __ATOMIC_RELAXED);
    return domain;
}

void xen_domain_unref(struct xen_domain *domain)
{
    if (!domain || __atomic_sub_fetch(&domain->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    free(domain->offers);
    free(domain->disks);
    free(domain);
}

static bool disk_equal(const struct xen_disk *a, const struct xen_disk *b)
{
    return a->devid == b->devid && a->backend == b->backend && a->backed == b->backed &&
           a->front_state == b->front_state && a->back_state == b->back_state &&
           a->major == b->major && a->minor == b->minor && a->numbered == b->numbered &&
           a->read_only == b->read_only && strcmp(a->source, b->source) == 0;
}

bool xen_domain_equal(const struct xen_domain *a, const struct xen_domain *b)
{
    bool same = a->id == b->id && a->order == b->order && strcmp(a->name, b->name) == 0 &&
                a->offer_count == b->offer_count && a->disk_count == b->disk_count;

    for (size_t i = 0; same && i < a->offer_count; i++)
        same = offer_equal(&a->offers[i], &b->offers[i]);
    for (size_t i = 0; same && i < a->disk_count; i++)
        same = disk_equal(&a->disks[i], &b->disks[i]);
    return same;
}

static bool is_broken(int result)
{
    return result == -ENOTCONN || result == -ETIMEDOUT || result == -ENOMEM;
}

/* Says so once, and not as often as a VM would like to. */
static void complain(struct complaints *complaints, const struct xen_domain *domain,
                     const char *untrusted_name, const char *why)
{
    uint64_t hash = 14695981039346656037u;

    for (const char *from = untrusted_name; *from; from++)
        hash = (hash ^ (unsigned char)*from) * 1099511628211u;
    hash ^= (uint64_t)(uintptr_t)why;
    for (size_t i = 0; i < complaints->count; i++)
        if (complaints->hashes[i] == hash)
            return;
    if (complaints->count < COMPLAINTS_MAX) {
        complaints->hashes[complaints->count++] = hash;
        log_warning("device \"%.40s\" of %s (domain %u) is left out: %s", untrusted_name,
                    domain->name, domain->id, why);
    } else if (!complaints->more) {
        complaints->more = true;
        log_warning("more devices of %s (domain %u) are left out, which is not said any more",
                    domain->name, domain->id);
    }
}

/* A value below `directory`: 0, -ENOENT, -EINVAL (no text, or too long), or a broken connection. */
static int PRINTF(4, 5) read_value(struct xenstore *store, char *ret_untrusted_value, size_t size,
                                   const char *format, ...)
{
    char path[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(path, sizeof(path), format, arguments);
    va_end(arguments);
    ret_untrusted_value[0] = '\0';
    return xenstore_read(store, path, ret_untrusted_value, size);
}

#define VALUE_SIZE 512 /* more than any that is right */

static int read_offer(struct xenstore *store, struct xen_domain *domain, const char *untrusted_name,
                      struct complaints *complaints)
{
    static const char *const keys[] = {"desc", "size", "mode", "device"};
    char values[ARRAY_SIZE(keys)][VALUE_SIZE];
    const char *given[ARRAY_SIZE(keys)] = {NULL}, *why = "its name is malformed";
    int result;

    if (!device_name_ok(untrusted_name)) {
        complain(complaints, domain, untrusted_name, why);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        result =
            read_value(store, values[i], VALUE_SIZE, "/local/domain/%u/qubes-block-devices/%s/%s",
                       domain->id, untrusted_name, keys[i]);
        if (is_broken(result))
            return result;
        if (result == -EINVAL)
            strcpy(values[i], "\n"); /* what no check lets pass */
        if (result == 0 || result == -EINVAL)
            given[i] = values[i];
    }
    result = offer_check(untrusted_name, given[0], given[1], given[2], given[3],
                         &domain->offers[domain->offer_count], &why);
    if (result == 0)
        domain->offer_count++;
    else if (result == -EINVAL)
        complain(complaints, domain, untrusted_name, why);
    return 0;
}

static int read_offers(struct xenstore *store, struct xen_domain *domain,
                       struct complaints *complaints)
{
    struct xenstore_names names CLEANUP(xenstore_names_free);
    char path[64];
    int result;

    snprintf(path, sizeof(path), "/local/domain/%u/qubes-block-devices", domain->id);
    result = xenstore_list(store, path, &names);
    if (result)
        return is_broken(result) ? result : 0;
    if (names.count > DEVICE_OFFERS_MAX)
        complain(complaints, domain, "", "there are too many");
    domain->offers = calloc(DEVICE_OFFERS_MAX, sizeof(*domain->offers));
    if (!domain->offers)
        return -ENOMEM;
    for (size_t i = 0; i < names.count && i < DEVICE_OFFERS_MAX && !result; i++)
        result = read_offer(store, domain, names.names[i], complaints);
    return result;
}

static unsigned state_number(const char *untrusted_value)
{
    return untrusted_value[0] >= '0' && untrusted_value[0] <= '9' && !untrusted_value[1]
               ? (unsigned)(untrusted_value[0] - '0')
               : 0;
}

/* The back end's side of a disk; it has to point back to the front end. */
static int read_back(struct xenstore *store, const struct xen_domain *domain, const char *path,
                     struct xen_disk *disk)
{
    char value[VALUE_SIZE], front[64];
    int result = read_value(store, value, sizeof(value), "%s/frontend", path);

    if (result)
        return is_broken(result) ? result : 0;
    snprintf(front, sizeof(front), "/local/domain/%u/device/vbd/%u", domain->id, disk->devid);
    if (strcmp(value, front) != 0)
        return 0;
    disk->backed = true;
    result = read_value(store, value, sizeof(value), "%s/state", path);
    if (is_broken(result))
        return result;
    disk->back_state = state_number(value);
    result = read_value(store, value, sizeof(value), "%s/mode", path);
    if (is_broken(result))
        return result;
    disk->read_only = value[0] == 'r';
    result = read_value(store, value, sizeof(value), "%s/physical-device", path);
    if (is_broken(result))
        return result;
    disk->numbered = sscanf(value, "%x:%x", &disk->major, &disk->minor) == 2;
    result = read_value(store, value, sizeof(value), "%s/params", path);
    if (is_broken(result))
        return result;
    if (strncmp(value, "phy:", 4) == 0)
        memmove(value, value + 4, strlen(value + 4) + 1);
    if (strncmp(value, "/dev/", 5) == 0 && strlen(value) < sizeof(disk->source))
        strcpy(disk->source, value);
    return 0;
}

static int read_disk(struct xenstore *store, struct xen_domain *domain, const char *untrusted_name)
{
    struct xen_disk *disk = &domain->disks[domain->disk_count];
    char path[VALUE_SIZE], value[VALUE_SIZE], *end;
    unsigned long devid = strtoul(untrusted_name, &end, 10);
    int result;

    if (*end || strlen(untrusted_name) > 10 || devid > UINT32_MAX / 2)
        return 0;
    disk->devid = (unsigned)devid;
    result = read_value(store, path, sizeof(path), "/local/domain/%u/device/vbd/%u/backend",
                        domain->id, disk->devid);
    if (is_broken(result))
        return result;
    if (result || backend_path_check(path, domain->id, disk->devid, &disk->backend))
        return 0;
    result = read_value(store, value, sizeof(value), "/local/domain/%u/device/vbd/%u/state",
                        domain->id, disk->devid);
    if (is_broken(result))
        return result;
    disk->front_state = state_number(value);
    domain->disk_count++;
    return read_back(store, domain, path, disk);
}

static int read_disks(struct xenstore *store, struct xen_domain *domain)
{
    struct xenstore_names names CLEANUP(xenstore_names_free);
    char path[64];
    int result;

    snprintf(path, sizeof(path), "/local/domain/%u/device/vbd", domain->id);
    result = xenstore_list(store, path, &names);
    if (result)
        return is_broken(result) ? result : 0;
    domain->disks = calloc(DEVICE_ATTACHED_MAX, sizeof(*domain->disks));
    if (!domain->disks)
        return -ENOMEM;
    for (size_t i = 0; i < names.count && i < DEVICE_ATTACHED_MAX && !result; i++) {
        result = read_disk(store, domain, names.names[i]);
        if (!result)
            memset(&domain->disks[domain->disk_count], 0,
                   domain->disk_count < DEVICE_ATTACHED_MAX ? sizeof(*domain->disks) : 0);
    }
    return result;
}

/* It is kept as long as nothing changes: without the room that was not needed. */
static void shrink(struct xen_domain *domain)
{
    struct offer *offers = reallocarray(domain->offers, domain->offer_count + 1, sizeof(*offers));
    struct xen_disk *disks = reallocarray(domain->disks, domain->disk_count + 1, sizeof(*disks));

    if (offers)
        domain->offers = offers;
    if (disks)
        domain->disks = disks;
}

int domain_read(struct xenstore *store, unsigned id, uint64_t order, struct complaints *complaints,
                struct xen_domain **ret_domain)
{
    struct xen_domain *domain = calloc(1, sizeof(*domain));
    int result;

    if (!domain)
        return -ENOMEM;
    domain->references = 1;
    domain->id = id;
    domain->order = order;
    result = read_value(store, domain->name, sizeof(domain->name), "/local/domain/%u/name", id);
    if (result || !device_owner_ok(domain->name) || strcmp(domain->name, "dom0") == 0)
        domain->name[0] = '\0';
    if (is_broken(result))
        goto err;
    result = domain->name[0] ? read_offers(store, domain, complaints) : 0;
    if (!result)
        result = read_disks(store, domain);
    if (result)
        goto err;
    shrink(domain);
    *ret_domain = domain;
    return 0;

err:
    xen_domain_unref(domain);
    return result;
}

int xen_domain_read(struct xenstore *store, unsigned id, struct xen_domain **ret_domain)
{
    struct complaints complaints = {.count = COMPLAINTS_MAX, .more = true}; /* said elsewhere */

    return domain_read(store, id, 0, &complaints, ret_domain);
}
