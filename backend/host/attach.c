/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attach and detach.  What is refused is refused from the snapshot; whether it was done is seen in
 * the snapshot too: an attach has succeeded when the front end is connected, a detach when nobody
 * has the device any more.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "device_commands.h"
#include "qubesfs/clock.h"
#include "qubesfs/log.h"

#define ATTACH_SECONDS 60 /* then it is taken back */
#define DETACH_SECONDS 30
#define XEN_PREFIX     "xvd"

static bool on_xen(struct host *host)
{
    const char *driver = host->hypervisor ? hypervisor_driver(host->hypervisor) : NULL;

    return driver && strcasecmp(driver, "xen") == 0;
}

static bool is_connected_to(const struct device *device, const char *vm)
{
    return device && device->state == DEVICE_ATTACHED && device->connected &&
           strcmp(device->attached, vm) == 0;
}

static bool is_let_go(const struct device *device, const char *vm)
{
    return !device || strcmp(device->attached, vm) != 0;
}

/* Waits for snapshots until the device is as it should be. */
static int wait_device(struct host *host, const char *name, const char *vm, unsigned seconds,
                       bool (*reached)(const struct device *device, const char *vm))
{
    uint64_t end = clock_monotonic_ns() + seconds * 1000000000ull;
    struct timespec until = {(time_t)(end / 1000000000), (long)(end % 1000000000)};

    host_settle(host);
    for (;;) {
        const struct host_snapshot *snapshot = host_snapshot(host);
        bool done = reached(device_list_find(snapshot->devices, name), vm);
        bool late = false, ending;

        pthread_mutex_lock(&host->lock);
        if (!done && !host->ending && snapshot == host->snapshot)
            late = pthread_cond_timedwait(&host->applied, &host->lock, &until) == ETIMEDOUT;
        ending = host->ending;
        pthread_mutex_unlock(&host->lock);
        host_snapshot_unref(snapshot);
        if (done)
            return 0;
        if (ending)
            return -ECANCELED;
        if (late)
            return -ETIMEDOUT;
    }
}

/* Others who watch XenStore are to see it too. */
static void tell_others(struct host *host, const struct vm *vm)
{
    struct error error;

    if (host->without_xenstore || !host->xenstore_reached || vm->xid <= 0)
        return;
    if (xen_disk_tell(host->xenstore, (unsigned)vm->xid, &error))
        log_warning("%s: %s", vm->name, error.text);
}

/* What XenStore has of the disk that the VM has at that front end; false: nothing. */
static bool find_xen_disk(struct host *host, const struct vm *vm, const char *frontend,
                          struct xen_disk *ret_disk)
{
    struct xenstore *store = NULL;
    struct xen_domain *domain = NULL;
    unsigned devid;
    bool found = false;

    if (host->without_xenstore || vm->xid <= 0 || !frontend_to_devid(frontend, &devid) ||
        xenstore_open(host->xenstore, &store, NULL))
        return false;
    if (xen_domain_read(store, (unsigned)vm->xid, &domain) == 0)
        for (size_t i = 0; i < domain->disk_count && !found; i++) {
            found = domain->disks[i].devid == devid;
            if (found)
                *ret_disk = domain->disks[i];
        }
    xen_domain_unref(domain);
    xenstore_close(store);
    return found;
}

/* --- attach --- */

static int check_state(const struct device *device, const struct vm *vm, struct error *ret_error)
{
    if (device->state == DEVICE_STALE)
        return error_set(ret_error, -EBUSY,
                         "it has gone, but \"%s\" still holds it as %s; detach it first",
                         device->attached, device->frontend);
    if (device->state == DEVICE_ATTACHED && strcmp(device->attached, vm->name) == 0)
        return error_set(ret_error, -EALREADY, "\"%s\" has it already, as %s", vm->name,
                         device->frontend);
    if (device->state == DEVICE_ATTACHED)
        return error_set(ret_error, -EBUSY, "\"%s\" has it, as %s; detach it first",
                         device->attached, device->frontend);
    return 0;
}

/* A disk and a partition of it must not be in two hands. */
static int check_overlap(const struct host_snapshot *snapshot, const struct device *device,
                         struct error *ret_error)
{
    for (size_t i = 0; i < snapshot->devices->count; i++) {
        const struct device *other = snapshot->devices->devices[i];

        if (other->attached[0] && strcmp(other->backend, device->backend) == 0 &&
            block_name_overlap(other->offer.name, device->offer.name))
            return error_set(ret_error, -EBUSY,
                             "\"%s\" has %s, which overlaps it; detach that first", other->attached,
                             other->name);
    }
    return 0;
}

static int check_vm(struct host *host, const struct vm *vm, const struct device *device,
                    struct error *ret_error)
{
    if (vm->vm_class == VM_CLASS_ADMIN)
        return error_set(ret_error, -EINVAL, "dom0 is given no devices");
    if (strcmp(vm->name, device->backend) == 0)
        return error_set(ret_error, -EINVAL, "it is \"%s\"'s own", vm->name);
    if (!host->hypervisor)
        return error_set(ret_error, -ENODEV, "there is no hypervisor here (--connect none)");
    if (vm->state == VM_NA)
        return error_set(ret_error, -ENOTCONN,
                         "the hypervisor cannot be reached; it is connected again by itself");
    if (!vm_is_active(vm) || vm->xid < 0)
        return error_set(ret_error, -ENODEV, "\"%s\" does not run; start it first", vm->name);
    return 0;
}

/* True if the VM has a disk of that name. */
static bool is_taken(const struct host_snapshot *snapshot, const struct vm *vm, const char *target)
{
    for (size_t i = 0; vm->domain && i < vm->domain->disk_count; i++)
        if (strcmp(vm->domain->disks[i].target, target) == 0)
            return true;
    for (size_t i = 0; i < snapshot->devices->count; i++)
        if (strcmp(snapshot->devices->devices[i]->attached, vm->name) == 0 &&
            strcmp(snapshot->devices->devices[i]->frontend, target) == 0)
            return true;
    return false;
}

static int choose_frontend(struct host *host, const struct host_snapshot *snapshot,
                           const struct vm *vm, const char *untrusted_wanted, char *ret_target,
                           struct error *ret_error)
{
    bool xen = on_xen(host);
    const char *prefix = xen ? XEN_PREFIX : "vd";
    struct block_name parts;
    struct xen_disk disk;

    if (untrusted_wanted) {
        if (strlen(untrusted_wanted) >= DEVICE_FRONTEND_MAX ||
            block_name_parse(untrusted_wanted, &parts) || parts.disk >= 26 ||
            (strcmp(parts.prefix, prefix) != 0 && (xen || strcmp(parts.prefix, "sd") != 0)) ||
            (!xen && parts.partition >= 0))
            return error_set(ret_error, -EINVAL,
                             "\"%.40s\" is no front end here; they are called %sa to %sz%s",
                             untrusted_wanted, prefix, prefix, xen ? "" : ", or sda to sdz");
        strcpy(ret_target, untrusted_wanted);
        if (is_taken(snapshot, vm, ret_target) || find_xen_disk(host, vm, ret_target, &disk))
            return error_set(ret_error, -EBUSY, "\"%s\" has another disk as %s; name another one",
                             vm->name, ret_target);
        return 0;
    }
    for (unsigned i = 0; frontend_candidate(prefix, i, ret_target); i++)
        if (!is_taken(snapshot, vm, ret_target) && !find_xen_disk(host, vm, ret_target, &disk))
            return 0;
    return error_set(ret_error, -EBUSY, "\"%s\" has no front end free", vm->name);
}

static int detach_from(struct host *host, const struct device *device, const struct vm *vm,
                       const char *frontend, bool force, struct error *ret_error);

static int attach_to(struct host *host, const struct device *device, const struct vm *vm,
                     const char *target, bool read_only, struct error *ret_error)
{
    const struct domain_key key = {vm->uuid, vm->name};
    const struct disk_request request = {device->backend, device->offer.path, target, read_only};
    struct error ignored;
    int result = hypervisor_attach_disk(host->hypervisor, &key, &request, ret_error);

    if (result)
        return result;
    result = wait_device(host, device->name, vm->name, ATTACH_SECONDS, is_connected_to);
    tell_others(host, vm);
    if (!result)
        return 0;
    /* a disk that never works is not left in the way */
    detach_from(host, device, vm, target, true, &ignored);
    return error_set(ret_error, result,
                     "\"%s\" has not connected %s within %d s: it was taken back; does the VM run, "
                     "and not pause?",
                     vm->name, target, ATTACH_SECONDS);
}

int device_attach(struct host *host, const struct device_command *command, struct error *ret_error)
{
    const struct host_snapshot *snapshot = host_snapshot(host);
    const struct device *device = device_list_find(snapshot->devices, command->device);
    const struct vm *vm = host_find_vm(snapshot, command->vm);
    char target[DEVICE_FRONTEND_MAX];
    int result = 0;

    if (!device)
        result = error_set(ret_error, -ENOENT, "the device has gone");
    else if (!vm)
        result = error_set(ret_error, -ENOENT, "there is no VM \"%.100s\"", command->vm);
    if (!result)
        result = check_vm(host, vm, device, ret_error);
    if (!result)
        result = check_state(device, vm, ret_error);
    if (!result)
        result = check_overlap(snapshot, device, ret_error);
    if (!result && device->offer.read_only && !command->read_only)
        result =
            error_set(ret_error, -EINVAL, "it is read-only: attach %s %s%sro", vm->name,
                      command->frontend ? command->frontend : "", command->frontend ? " " : "");
    if (!result)
        result = choose_frontend(host, snapshot, vm, command->frontend, target, ret_error);
    if (!result)
        result = attach_to(host, device, vm, target, command->read_only, ret_error);
    host_snapshot_unref(snapshot);
    return result;
}

/* --- detach --- */

/* By the hypervisor, or in XenStore what the hypervisor does not know or cannot do. */
static int detach_from(struct host *host, const struct device *device, const struct vm *vm,
                       const char *frontend, bool force, struct error *ret_error)
{
    const struct domain_key key = {vm->uuid, vm->name};
    const struct disk_request request = {device->backend, device->offer.path, frontend, false};
    struct xen_disk disk;
    int result = host->hypervisor
                     ? hypervisor_detach_disk(host->hypervisor, &key, &request, ret_error)
                     : -ENODEV;

    if (find_xen_disk(host, vm, frontend, &disk)) {
        if (result)
            log_debug("%s: not detached by the hypervisor: %s", device->name, ret_error->text);
        if (result || force)
            result = xen_disk_detach(host->xenstore, (unsigned)vm->xid, disk.devid, disk.backend,
                                     force || !disk.backed, DETACH_SECONDS, ret_error);
    }
    return result;
}

int device_detach(struct host *host, const struct device_command *command, struct error *ret_error)
{
    const struct host_snapshot *snapshot = host_snapshot(host);
    const struct device *device = device_list_find(snapshot->devices, command->device);
    const struct vm *vm =
        device && device->attached[0] ? host_find_vm(snapshot, device->attached) : NULL;
    int result = 0;

    if (!device)
        result = error_set(ret_error, -ENOENT, "the device has gone");
    else if (!device->attached[0])
        result = error_set(ret_error, -EALREADY, "no VM has it");
    else if (!vm)
        result =
            error_set(ret_error, -ENOENT,
                      "\"%s\", which has it, is not in the catalogue: use the host's own tools",
                      device->attached);
    if (!result)
        result = detach_from(host, device, vm, device->frontend, command->force, ret_error);
    if (!result && wait_device(host, device->name, vm->name, DETACH_SECONDS, is_let_go))
        result = error_set(ret_error, -ETIMEDOUT,
                           "\"%s\" does not let go of %s within %d s: it may use it; it is let go "
                           "when it does",
                           vm->name, device->frontend, DETACH_SECONDS);
    if (vm && result != -EALREADY)
        tell_others(host, vm);
    host_snapshot_unref(snapshot);
    return result;
}
