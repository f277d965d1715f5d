/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All sources joined: who offers what, and who has it.
 *
 * XenStore knows best what is attached: others attach behind libvirt's back.  Where it does not
 * know a VM (no Xen), the hypervisor's definition does.  A disk whose back end's domain or device
 * has gone is shown as stale as long as a VM still holds it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qubesfs/clock.h"
#include "qubesfs/devices.h"

#define CONNECTED 4 /* XenbusStateConnected */

struct joining {
    const struct join *join;
    struct device *devices; /* plain structs until the end; sorted by name after offers() */
    size_t count, capacity;
    bool failed;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct device *)a)->name, ((const struct device *)b)->name);
}

static struct device *add(struct joining *joining)
{
    if (joining->count == joining->capacity) {
        size_t capacity = joining->capacity ? 2 * joining->capacity : 64;
        struct device *grown = reallocarray(joining->devices, capacity, sizeof(*grown));

        if (!grown) {
            joining->failed = true;
            return NULL;
        }
        joining->devices = grown;
        joining->capacity = capacity;
    }
    memset(&joining->devices[joining->count], 0, sizeof(struct device));
    return &joining->devices[joining->count++];
}

static void name_device(struct device *device, const char *backend)
{
    snprintf(device->backend, sizeof(device->backend), "%s", backend);
    snprintf(device->name, sizeof(device->name), "%s:%s", device->backend, device->offer.name);
}

static void add_offers(struct joining *joining, const char *backend, const struct offer *offers,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct device *device = add(joining);

        if (!device)
            return;
        device->offer = offers[i];
        device->known = true;
        name_device(device, backend);
    }
}

/* The VM's name now, which may have changed since it was started. */
static const char *domain_name(const struct join *join, const struct xen_domain *domain)
{
    for (size_t i = 0; i < join->vm_count; i++)
        if (join->vms[i].xid == (int)domain->id)
            return join->vms[i].name;
    return domain->name;
}

static const struct xen_domain *domain_by_id(const struct join *join, unsigned id)
{
    for (size_t i = 0; i < join->domain_count; i++)
        if (join->domains[i]->id == id)
            return join->domains[i];
    return NULL;
}

/* Of two domains of one name, as while a VM reboots, the newer one offers. */
static bool is_newest(const struct join *join, const struct xen_domain *domain)
{
    const char *name = domain_name(join, domain);

    for (size_t i = 0; i < join->domain_count; i++)
        if (join->domains[i]->order > domain->order &&
            strcmp(domain_name(join, join->domains[i]), name) == 0)
            return false;
    return true;
}

static struct device *find(struct joining *joining, const char *backend, const char *name)
{
    for (size_t i = 0; i < joining->count; i++)
        if (strcmp(joining->devices[i].backend, backend) == 0 &&
            strcmp(joining->devices[i].offer.name, name) == 0)
            return &joining->devices[i];
    return NULL;
}

/* By its number where that is known for certain, else by its path. */
static struct device *find_source(struct joining *joining, const char *backend, const char *source,
                                  bool numbered, unsigned major, unsigned minor)
{
    for (size_t i = 0; i < joining->count; i++) {
        struct device *device = &joining->devices[i];
        const struct offer *offer = &device->offer;

        if (strcmp(device->backend, backend) != 0)
            continue;
        if (numbered && offer->numbered && strcmp(backend, "dom0") == 0) {
            if (offer->major == major && offer->minor == minor)
                return device;
        } else if (*source && strcmp(offer->path, source) == 0) {
            return device;
        }
    }
    return NULL;
}

static const struct device *held_before(const struct join *join, const char *vm,
                                        const char *frontend)
{
    for (size_t i = 0; join->before && i < join->before->count; i++) {
        const struct device *device = join->before->devices[i];

        if (strcmp(device->attached, vm) == 0 && strcmp(device->frontend, frontend) == 0)
            return device;
    }
    return NULL;
}

static void attach(struct device *device, const char *vm, const char *frontend, bool read_only,
                   bool connected, bool stale)
{
    if (device->attached[0])
        return; /* by several, read-only: the first is shown */
    snprintf(device->attached, sizeof(device->attached), "%s", vm);
    snprintf(device->frontend, sizeof(device->frontend), "%s", frontend);
    device->attached_read_only = read_only;
    device->connected = connected;
    device->state = stale ? DEVICE_STALE : DEVICE_ATTACHED;
}

/* What nobody offers (any more), while a VM holds it. */
static struct device *add_stale(struct joining *joining, const char *backend, const char *source,
                                const struct device *before)
{
    const char *name = strncmp(source, "/dev/", 5) == 0 ? source + 5 : "";
    struct device *device;

    if (before) {
        backend = before->backend;
        name = before->offer.name;
    } else if (strcmp(backend, "dom0") == 0 || !device_owner_ok(backend) || !device_name_ok(name)) {
        return NULL; /* a VM's own volume */
    }
    device = find(joining, backend, name);
    if (device)
        return device;
    device = add(joining);
    if (!device)
        return NULL;
    if (before) {
        device->offer = before->offer;
        device->known = before->known;
    } else {
        snprintf(device->offer.name, sizeof(device->offer.name), "%s", name);
        snprintf(device->offer.path, sizeof(device->offer.path), "/dev/%s", name);
        device->offer.numbered =
            block_name_number(name, &device->offer.major, &device->offer.minor);
    }
    name_device(device, backend);
    return device;
}

static const struct domain_disk *defined_disk(const struct join *join, const char *vm,
                                              const char *frontend)
{
    for (size_t i = 0; i < join->vm_count; i++)
        for (size_t d = 0; strcmp(join->vms[i].name, vm) == 0 && d < join->vms[i].disk_count; d++)
            if (strcmp(join->vms[i].disks[d].target, frontend) == 0)
                return &join->vms[i].disks[d];
    return NULL;
}

static void join_xen_disk(struct joining *joining, const struct xen_domain *domain,
                          const struct xen_disk *disk)
{
    const struct join *join = joining->join;
    const struct xen_domain *backend = disk->backend ? domain_by_id(join, disk->backend) : NULL;
    const char *vm = domain_name(join, domain), *owner = NULL;
    char frontend[DEVICE_FRONTEND_MAX];
    struct device *device = NULL;
    bool there;
    bool connected = disk->front_state == CONNECTED && disk->back_state == CONNECTED;

    if (!*vm || !frontend_from_devid(disk->devid, frontend))
        return;
    if (disk->backend == 0)
        owner = "dom0";
    else if (backend && *domain_name(join, backend))
        owner = domain_name(join, backend); /* without a name it is on its way out */
    there = owner && disk->backed;
    if (there)
        device =
            find_source(joining, owner, disk->source, disk->numbered, disk->major, disk->minor);
    if (!device) {
        const struct device *before = held_before(join, vm, frontend);
        const struct domain_disk *defined = owner ? NULL : defined_disk(join, vm, frontend);

        if (before && owner && strcmp(before->backend, owner) != 0)
            before = NULL;
        device = add_stale(joining,
                           defined ? defined->backend
                           : owner ? owner
                                   : "",
                           defined ? defined->source : disk->source, before);
        there = false;
    }
    if (device)
        attach(device, vm, frontend, disk->read_only, connected, !there);
}

static bool known_to_xenstore(const struct join *join, const struct join_vm *vm)
{
    return vm->xid >= 0 && domain_by_id(join, (unsigned)vm->xid);
}

static void join_defined_disk(struct joining *joining, const struct join_vm *vm,
                              const struct domain_disk *disk)
{
    struct device *device = find_source(joining, disk->backend, disk->source, false, 0, 0);
    bool stale = !device;

    if (!device) {
        const struct device *before = held_before(joining->join, vm->name, disk->target);

        if (before && strcmp(before->offer.path, disk->source) != 0)
            before = NULL;
        device = add_stale(joining, disk->backend, disk->source, before);
    }
    if (device)
        attach(device, vm->name, disk->target, disk->read_only, true, stale);
}

static bool same_device(const struct device *a, const struct device *b)
{
    return offer_equal(&a->offer, &b->offer) && a->known == b->known && a->state == b->state &&
           strcmp(a->attached, b->attached) == 0 && strcmp(a->frontend, b->frontend) == 0 &&
           a->attached_read_only == b->attached_read_only && a->connected == b->connected;
}

/* True if its file reads otherwise now. */
static bool same_content(const struct device *a, const struct device *b)
{
    return offer_equal(&a->offer, &b->offer) && a->known == b->known && a->state == b->state &&
           strcmp(a->attached, b->attached) == 0 && strcmp(a->frontend, b->frontend) == 0;
}

/* The immutable list of what was joined. */
static int finish(struct joining *joining, const struct device_list **ret_list)
{
    const struct device_list *before = joining->join->before;
    struct device_list *list = calloc(1, sizeof(*list));
    bool same = before && before->count == joining->count;

    if (list)
        list->devices = calloc(joining->count + 1, sizeof(*list->devices));
    if (!list || !list->devices) {
        free(list);
        return -ENOMEM;
    }
    list->references = 1;
    for (size_t i = 0; i < joining->count; i++) {
        struct device *one = &joining->devices[i], *copy;
        const struct device *old = before ? device_list_find(before, one->name) : NULL;

        if (i > 0 && strcmp(list->devices[list->count - 1]->name, one->name) == 0)
            continue; /* cannot be: names of devices are an owner's own */
        if (old && same_device(old, one)) {
            list->devices[list->count++] = device_ref(old);
            continue;
        }
        same = false;
        copy = malloc(sizeof(*copy));
        if (!copy) {
            device_list_unref(list);
            return -ENOMEM;
        }
        *copy = *one;
        copy->references = 1;
        if (old && old->offer.sequence != one->offer.sequence)
            old = NULL; /* pulled out, and another one plugged in at once */
        copy->identity = old ? old->identity : (*joining->join->next_identity)++;
        copy->changed = old && same_content(old, one) ? old->changed : clock_wall_unique();
        list->devices[list->count++] = copy;
    }
    if (same && list->count == before->count) {
        device_list_unref(list);
        *ret_list = device_list_ref(before);
    } else {
        *ret_list = list;
    }
    return 0;
}

int devices_join(const struct join *join, const struct device_list **ret_list)
{
    struct joining joining = {.join = join};
    int result;

    if (join->kernel)
        add_offers(&joining, "dom0", join->kernel->offers, join->kernel->count);
    for (size_t i = 0; i < join->domain_count; i++) {
        const struct xen_domain *domain = join->domains[i];

        if (domain->name[0] && is_newest(join, domain))
            add_offers(&joining, domain_name(join, domain), domain->offers, domain->offer_count);
    }
    for (size_t i = 0; i < join->domain_count; i++)
        for (size_t d = 0; d < join->domains[i]->disk_count; d++)
            join_xen_disk(&joining, join->domains[i], &join->domains[i]->disks[d]);
    for (size_t i = 0; i < join->vm_count; i++)
        for (size_t d = 0; !known_to_xenstore(join, &join->vms[i]) && d < join->vms[i].disk_count;
             d++)
            join_defined_disk(&joining, &join->vms[i], &join->vms[i].disks[d]);
    if (joining.count)
        qsort(joining.devices, joining.count, sizeof(*joining.devices), by_name);
    result = joining.failed ? -ENOMEM : finish(&joining, ret_list);
    free(joining.devices);
    return result;
}
