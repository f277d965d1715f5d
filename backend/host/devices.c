/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What kernel and XenStore tell of devices becomes messages to the host's thread, which joins it.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"
#include "qubesfs/log.h"

struct device_message {
    struct message message;
    struct kernel_devices *kernel;
    struct xen_domain **domains;
    size_t count;
    unsigned id;
    struct error error;
};

static struct device_message *message_new(void (*apply)(struct host *, struct message *))
{
    struct device_message *message = calloc(1, sizeof(*message));

    if (message)
        message->message.apply = apply;
    else
        log_error("out of memory: a change of devices waits for the next look");
    return message;
}

static void apply_kernel(struct host *host, struct message *message)
{
    kernel_devices_unref(host->kernel_devices);
    host->kernel_devices = ((struct device_message *)message)->kernel;
    host->devices_dirty = true;
}

static void kernel_told(void *cookie, struct kernel_devices *devices)
{
    struct device_message *message = message_new(apply_kernel);

    if (!message) {
        kernel_devices_unref(devices);
        return;
    }
    message->kernel = devices;
    host_post(cookie, &message->message);
}

static void clear_domains(struct host *host)
{
    for (size_t i = 0; i < host->xen_domain_count; i++)
        xen_domain_unref(host->xen_domains[i]);
    free(host->xen_domains);
    host->xen_domains = NULL;
    host->xen_domain_count = 0;
}

static void apply_xen_all(struct host *host, struct message *message)
{
    struct device_message *all = (struct device_message *)message;

    clear_domains(host);
    host->xen_domains = all->domains;
    host->xen_domain_count = all->count;
    host->xenstore_reached = true;
    host->devices_dirty = true;
    report_apply(host, 0, "xenstore", NULL);
}

static void xen_all(void *cookie, struct xen_domain **domains, size_t count)
{
    struct device_message *message = message_new(apply_xen_all);

    if (!message) {
        for (size_t i = 0; i < count; i++)
            xen_domain_unref(domains[i]);
        free(domains);
        return;
    }
    message->domains = domains;
    message->count = count;
    host_post(cookie, &message->message);
}

static void apply_xen_changed(struct host *host, struct message *message)
{
    struct xen_domain *domain = ((struct device_message *)message)->domains[0], **grown;
    size_t place = 0;

    free(((struct device_message *)message)->domains);
    while (place < host->xen_domain_count && host->xen_domains[place]->id != domain->id)
        place++;
    if (place == host->xen_domain_count) {
        grown = reallocarray(host->xen_domains, place + 1, sizeof(*grown));
        if (!grown) {
            log_error("out of memory: devices of %s are not shown", domain->name);
            xen_domain_unref(domain);
            return;
        }
        host->xen_domains = grown;
        host->xen_domain_count++;
    } else {
        xen_domain_unref(host->xen_domains[place]);
    }
    host->xen_domains[place] = domain;
    host->devices_dirty = true;
}

static void xen_changed(void *cookie, struct xen_domain *domain)
{
    struct device_message *message = message_new(apply_xen_changed);

    if (message)
        message->domains = malloc(sizeof(struct xen_domain *));
    if (!message || !message->domains) {
        free(message);
        xen_domain_unref(domain);
        return;
    }
    message->domains[0] = domain;
    host_post(cookie, &message->message);
}

static void apply_xen_gone(struct host *host, struct message *message)
{
    unsigned id = ((struct device_message *)message)->id;

    for (size_t i = 0; i < host->xen_domain_count; i++) {
        if (host->xen_domains[i]->id != id)
            continue;
        xen_domain_unref(host->xen_domains[i]);
        host->xen_domains[i] = host->xen_domains[--host->xen_domain_count];
        host->devices_dirty = true;
        return;
    }
}

static void xen_gone(void *cookie, unsigned id)
{
    struct device_message *message = message_new(apply_xen_gone);

    if (!message)
        return;
    message->id = id;
    host_post(cookie, &message->message);
}

static void apply_xen_lost(struct host *host, struct message *message)
{
    const struct error *error = &((struct device_message *)message)->error;

    /* what was known stays readable; it is made good when XenStore is back */
    if (host->xenstore || host->xenstore_reached)
        report_apply(host, 0, "xenstore", error);
    else
        log_debug("%s", error->text);
}

static void xen_lost(void *cookie, const struct error *error)
{
    struct device_message *message = message_new(apply_xen_lost);

    if (!message)
        return;
    message->error = *error;
    host_post(cookie, &message->message);
}

int devices_follow(struct host *host)
{
    const struct devices_listener listener = {host,        kernel_told, xen_all,
                                              xen_changed, xen_gone,    xen_lost};
    char *images CLEANUP_FREE = host_path(host, "/var/lib/qubes");

    if (!images)
        return -ENOMEM;
    return devices_start(images, host->xenstore, host->without_xenstore, &listener,
                         &host->device_sources);
}

void devices_note_change(struct host *host, const struct vm *before, const struct vm *after)
{
    static const struct domain none = {.id = -1};
    const struct domain *old = before && before->domain ? before->domain : &none;
    const struct domain *new = after && after->domain ? after->domain : &none;

    if (!before || !after || strcmp(before->name, after->name) != 0 || before->xid != after->xid ||
        !domain_disks_equal(old, new))
        host->devices_dirty = true;
}

bool devices_update(struct host *host)
{
    struct join_vm *vms;
    struct join join = {.kernel = host->kernel_devices,
                        .domains = host->xen_domains,
                        .domain_count = host->xen_domain_count,
                        .before = host->devices,
                        .next_identity = &host->next_device};
    const struct device_list *list;
    bool differ;

    if (!host->devices_dirty)
        return false;
    vms = calloc(host->record_count + 1, sizeof(*vms));
    if (!vms)
        return false; /* it stays dirty, for the next time */
    join.vms = vms;
    for (size_t i = 0; i < host->record_count; i++) {
        const struct vm *vm = host->records[i]->vm;

        if (vm && vm->xid > 0 && vm->domain)
            vms[join.vm_count++] = (struct join_vm){.name = vm->name,
                                                    .xid = vm->xid,
                                                    .disks = vm->domain->disks,
                                                    .disk_count = vm->domain->disk_count};
    }
    if (devices_join(&join, &list)) {
        free(vms);
        return false;
    }
    free(vms);
    host->devices_dirty = false;
    differ = list != host->devices;
    device_list_unref(host->devices);
    host->devices = list;
    return differ;
}

static void journal_one(struct host *host, const struct device *before, const struct device *after)
{
    if (!before)
        host_journal_add(host, "device %s added", after->name);
    else if (!after)
        host_journal_add(host, "device %s removed", before->name);
    if (after && after->attached[0] &&
        (!before || strcmp(before->attached, after->attached) != 0 ||
         strcmp(before->frontend, after->frontend) != 0))
        host_journal_add(host, "device %s attached %s %s", after->name, after->attached,
                         after->frontend);
    else if (after && before && before->attached[0] && !after->attached[0])
        host_journal_add(host, "device %s detached %s %s", after->name, before->attached,
                         before->frontend);
    if (before && after && after->state == DEVICE_STALE && before->state != DEVICE_STALE)
        host_journal_add(host, "device %s stale", after->name);
}

void devices_journal(struct host *host, const struct device_list *before,
                     const struct device_list *after)
{
    size_t b = 0, a = 0, before_count = before ? before->count : 0;

    while (b < before_count || a < after->count) {
        int order = b == before_count   ? 1
                    : a == after->count ? -1
                                        : strcmp(before->devices[b]->name, after->devices[a]->name);

        const struct device *old = order <= 0 ? before->devices[b] : NULL;
        const struct device *new = order >= 0 ? after->devices[a] : NULL;

        if (old && new && old->identity != new->identity) {
            journal_one(host, old, NULL);
            old = NULL;
        }
        journal_one(host, old, new);
        b += order <= 0;
        a += order >= 0;
    }
}

void devices_free(struct host *host)
{
    clear_domains(host);
    kernel_devices_unref(host->kernel_devices);
    device_list_unref(host->devices);
    free(host->xenstore);
}
