/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting a VM, as Qubes R3 does: what it needs is checked, its chain of netvms is started before it, its
 * scratch images are made, it is defined and started.  What fails takes back what was done before, but for
 * the netvms, which stay (as with Qubes: others may use them by then).
 */
#include <errno.h>
#include <string.h>

#include "entries.h"
#include "internal.h"
#include "prepare.h"
#include "qubesfs/clock.h"

#define NETVM_CHAIN_MAX 20
#define LOOK_SECONDS    5
#define START_SECONDS   60

/* Before the first of them is begun: in a circle each would wait for the next. */
static int check_chain(struct host *host, const struct vm *vm, struct error *ret_error)
{
    const struct host_snapshot *snapshot = host_snapshot(host);
    const struct vm *netvm = vm;
    unsigned length = 0;

    while (netvm && netvm->entry && netvm->entry->netvm_name && length <= NETVM_CHAIN_MAX) {
        netvm = host_find_vm(snapshot, netvm->entry->netvm_name);
        length++;
    }
    host_snapshot_unref(snapshot);
    if (length <= NETVM_CHAIN_MAX)
        return 0;
    return error_set(ret_error, -EINVAL, "the chain of netvms of \"%s\" goes in a circle", vm->name);
}

static int start_netvm(struct host *host, const struct vm *vm, unsigned depth,
                       struct error *ret_error)
{
    const struct host_snapshot *snapshot;
    const struct vm *netvm;
    int result = 0;

    if (!vm->entry->netvm_name)
        return 0;
    snapshot = host_snapshot(host);
    netvm = host_find_vm(snapshot, vm->entry->netvm_name);
    if (!netvm)
        result = error_set(ret_error, -ENOENT,
                           "the netvm \"%s\" of \"%s\" is not in the catalogue; set another one",
                           vm->entry->netvm_name, vm->name);
    else if (!vm_is_active(netvm) && netvm->vm_class != VM_CLASS_ADMIN)
        result = start_vm(host, netvm, depth + 1, ret_error);
    if (result == -EALREADY)
        result = 0; /* somebody else was faster */
    else if (result && netvm)
        error_prefix(ret_error, "the netvm of \"%s\"", vm->name);
    host_snapshot_unref(snapshot);
    return result;
}

/* Somebody else may have stopped it a moment ago, and nobody told us yet: the hypervisor is asked
 * before it is refused. */
static int start_if_stopped(struct host *host, const struct vm *vm, unsigned depth,
                            struct error *ret_error)
{
    const struct host_snapshot *snapshot;
    const struct vm *now;
    int result;

    hypervisor_look(host->hypervisor, vm->uuid, LOOK_SECONDS);
    host_settle(host);
    snapshot = host_snapshot(host);
    now = snapshot_by_identity(snapshot, vm->identity);
    if (now && !vm_is_active(now))
        result = start_vm(host, now, depth, ret_error);
    else
        result = error_set(ret_error, -EALREADY, "\"%s\" is %s already", vm->name,
                           vm_state_name(now ? now->state : vm->state));
    host_snapshot_unref(snapshot);
    return result;
}

/* A VM that is being started; one at a time starts it. */
struct starting {
    struct starting *next;
    uint64_t identity;
};

static bool is_starting(const struct host *host, uint64_t identity)
{
    const struct starting *at = host->starts;

    while (at && at->identity != identity)
        at = at->next;
    return at != NULL;
}

/* Waits for somebody else's start of the same VM.  -ETIMEDOUT: it does not end. */
static int begin(struct host *host, struct starting *starting)
{
    uint64_t end = clock_monotonic_ns() + START_SECONDS * 1000000000ull;
    const struct timespec until = {(time_t)(end / 1000000000), (long)(end % 1000000000)};
    int late = 0;

    LOCK_SCOPE(&host->jobs_lock);
    while (!late && is_starting(host, starting->identity))
        late = pthread_cond_timedwait(&host->started, &host->jobs_lock, &until);
    if (late)
        return -ETIMEDOUT;
    starting->next = host->starts;
    host->starts = starting;
    return 0;
}

static void end(struct host *host, struct starting *starting)
{
    struct starting **place;

    LOCK_SCOPE(&host->jobs_lock);
    for (place = &host->starts; *place != starting;)
        place = &(*place)->next;
    *place = starting->next;
    pthread_cond_broadcast(&host->started);
}

/* After a failure: whether it is certain that the domain does not run, with what was made for it. */
static bool is_halted(struct host *host, const struct vm *vm)
{
    const struct host_snapshot *snapshot;
    const struct vm *now;
    bool halted;

    hypervisor_look(host->hypervisor, vm->uuid, LOOK_SECONDS);
    host_settle(host);
    snapshot = host_snapshot(host);
    now = snapshot_by_identity(snapshot, vm->identity);
    halted = !now || (now->state != VM_NA && !vm_is_active(now));
    host_snapshot_unref(snapshot);
    return halted;
}

/* XenStore is there on Xen, and where the user says so. */
static bool has_xenstore(const struct host *host)
{
    const char *driver = hypervisor_driver(host->hypervisor);

    return !host->without_xenstore && (host->xenstore || (driver && strcasecmp(driver, "xen") == 0));
}

struct guest {
    const struct host *host;
    const struct host_snapshot *snapshot;
    const struct catalogue_entry *entry;
};

/* The domain is there and does not run yet. */
static int write_entries(void *cookie, unsigned id, struct error *ret_error)
{
    const struct guest *guest = cookie;

    return entries_write(guest->host->xenstore, guest->host->root, guest->snapshot->catalogue,
                         guest->entry, id, ret_error);
}

/* With all that it takes collected; no other start of this VM is at work. */
static int start_collected(struct host *host, const struct host_snapshot *snapshot,
                           const struct vm *vm, unsigned depth,
                           const struct definition_parts *parts, struct error *ret_error)
{
    struct guest guest = {host, snapshot, vm->entry};
    const struct hypervisor_created created = {&guest, write_entries};
    const struct domain_key key = {vm->uuid, vm->name};
    struct preparation preparation = {0};
    char *xml CLEANUP_FREE = NULL;
    int result = 0;

    /* libvirt's test driver opens no files */
    if (parts && !parts->test)
        result = prepare_check(parts, ret_error);
    if (!result && parts)
        result = hypervisor_definition(host->hypervisor, &parts->definition, &xml, ret_error);
    /* late, so that a VM that cannot start has not started others */
    if (!result)
        result = start_netvm(host, vm, depth, ret_error);
    if (!result && parts && !parts->test)
        result = prepare_start(host, parts, &preparation, ret_error);
    if (!result)
        result = hypervisor_start_domain(host->hypervisor, &key, xml,
                                         has_xenstore(host) && snapshot->catalogue ? &created : NULL,
                                         ret_error);
    if (result && preparation.made && is_halted(host, vm))
        prepare_undo(&preparation);
    else
        prepare_done(&preparation);
    return result;
}

/* A domain that somebody else defined is started as it is; the others from what the catalogue says. */
static int start_alone(struct host *host, const struct vm *vm, unsigned depth,
                       struct error *ret_error)
{
    const struct host_snapshot *snapshot;
    struct definition_parts parts;
    int result;

    snapshot = host_snapshot(host);
    if (vm->domain && vm->domain->persistent && !vm->domain->managed) {
        result = start_collected(host, snapshot, vm, depth, NULL, ret_error);
    } else {
        result =
            definition_collect(host, snapshot->catalogue, vm->entry, vm->uuid, &parts, ret_error);
        if (!result)
            result = start_collected(host, snapshot, vm, depth, &parts, ret_error);
        definition_release(&parts);
    }
    host_snapshot_unref(snapshot);
    return result;
}

int start_vm(struct host *host, const struct vm *vm, unsigned depth, struct error *ret_error)
{
    struct starting starting = {.identity = vm->identity};
    const struct host_snapshot *snapshot;
    const struct vm *now;
    int result;

    if (vm_is_active(vm))
        return start_if_stopped(host, vm, depth, ret_error);
    result = depth == 0 ? check_chain(host, vm, ret_error) : 0;
    if (result)
        return result;
    /* what runs is not known: a VM that does must not get other images */
    if (vm->state == VM_NA) {
        result = hypervisor_refresh(host->hypervisor, LOOK_SECONDS, ret_error);
        if (result)
            return result;
        host_settle(host);
    }
    if (begin(host, &starting))
        return error_set(ret_error, -ETIMEDOUT,
                         "\"%s\" is being started by somebody else for %d s now", vm->name,
                         START_SECONDS);
    snapshot = host_snapshot(host);
    now = snapshot_by_identity(snapshot, vm->identity);
    if (!now)
        result = error_set(ret_error, -ENOENT, "\"%s\" has been removed meanwhile", vm->name);
    else if (vm_is_active(now))
        result = error_set(ret_error, -EALREADY, "\"%s\" is %s already", vm->name,
                           vm_state_name(now->state));
    else
        result = start_alone(host, now, depth, ret_error);
    host_snapshot_unref(snapshot);
    end(host, &starting);
    return result;
}
