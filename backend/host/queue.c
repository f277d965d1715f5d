/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one thread that makes the truth: applies what the sources post, swaps snapshots, tells
 * changes. */
#include <errno.h>
#include <string.h>

#include "internal.h"
#include "qubesfs/clock.h"
#include "qubesfs/log.h"

#define SWEEP_SECONDS 30

static void enqueue(struct host *host, struct message *message)
{
    LOCK_SCOPE(&host->lock);
    message->next = NULL;
    *host->last = message;
    host->last = &message->next;
    pthread_cond_signal(&host->moved);
}

void host_post(struct host *host, struct message *message)
{
    message->waited_for = false;
    enqueue(host, message);
}

void host_post_and_wait(struct host *host, struct message *message)
{
    message->waited_for = true;
    message->applied = false;
    enqueue(host, message);
    LOCK_SCOPE(&host->lock);
    while (!message->applied)
        pthread_cond_wait(&host->applied, &host->lock);
}

static void apply_nothing(struct host *host, struct message *message)
{
    (void)host;
    (void)message;
}

void host_settle(struct host *host)
{
    struct message barrier = {.apply = apply_nothing};

    host_post_and_wait(host, &barrier);
}

static const struct host_snapshot *snapshot_new(struct host *host)
{
    struct host_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    const struct host_snapshot *before = host->snapshot;

    if (!snapshot)
        return NULL;
    snapshot->references = 1;
    snapshot->vms = calloc(host->record_count + 1, sizeof(*snapshot->vms));
    if (!snapshot->vms) {
        free(snapshot);
        return NULL;
    }
    for (size_t i = 0; i < host->record_count; i++)
        if (host->records[i]->vm)
            snapshot->vms[snapshot->vm_count++] = vm_ref(host->records[i]->vm);
    snapshot->catalogue = host->catalogue ? catalogue_ref(host->catalogue) : NULL;
    snapshot->connected = host->connected;
    snapshot->devices = host->devices ? device_list_ref(host->devices) : NULL;
    snapshot->error_lines = error_lines_text(&host->root_errors);
    snapshot->error_changed =
        before && !host->root_errors_changed ? before->error_changed : clock_wall_unique();
    return snapshot;
}

static void journal_change(struct host *host, const struct host_change *change)
{
    const struct vm *before = change->before, *after = change->after;

    if (!before)
        host_journal_add(host, "vm %s added", after->name);
    else if (!after)
        host_journal_add(host, "vm %s removed", before->name);
    if (!before || !after)
        return;
    if (strcmp(before->name, after->name) != 0)
        host_journal_add(host, "vm %s renamed %s", before->name, after->name);
    if (before->state != after->state)
        host_journal_add(host, "vm %s state %s %s", after->name, vm_state_name(before->state),
                         vm_state_name(after->state));
    else if (before->xid != after->xid)
        host_journal_add(host, "vm %s xid %d %d", after->name, before->xid, after->xid);
    if (before->entry != after->entry)
        host_journal_add(host, "vm %s changed in the catalogue", after->name);
}

/* Builds the VMs of dirty records; fills in what changed, with the references of the old ones. */
static size_t collect_changes(struct host *host, struct host_change *changes)
{
    size_t count = 0;

    for (size_t i = 0; i < host->removed_count; i++) {
        if (host->removed[i]->vm) {
            devices_note_change(host, host->removed[i]->vm, NULL);
            changes[count++].before = vm_ref(host->removed[i]->vm);
        }
        record_free(host->removed[i]);
    }
    host->removed_count = 0;
    for (size_t i = 0; i < host->record_count; i++) {
        struct record *record = host->records[i];
        const struct vm *vm;

        if (!record->dirty)
            continue;
        vm = vm_build(host, record);
        if (!vm)
            continue; /* out of memory: it stays dirty, for the next time */
        record->dirty = false;
        if (vm == record->vm) {
            vm_unref(vm);
            continue;
        }
        devices_note_change(host, record->vm, vm);
        changes[count].before = record->vm;
        changes[count++].after = vm_ref(vm);
        record->vm = vm;
    }
    return count;
}

void host_publish(struct host *host)
{
    size_t limit = host->record_count + host->removed_count, count;
    struct host_change *changes = calloc(limit + 1, sizeof(*changes));
    const struct host_snapshot *before, *after;
    struct host_listener listener;
    bool devices_differ;

    if (!changes) {
        log_error("out of memory: changes wait");
        return;
    }
    count = collect_changes(host, changes);
    devices_differ = devices_update(host);
    after = count || devices_differ || host->root_errors_changed || host->catalogue_changed || !host->snapshot ||
                    host->snapshot->connected != host->connected
                ? snapshot_new(host)
                : NULL;
    if (after) {
        host->root_errors_changed = host->catalogue_changed = false;
        pthread_mutex_lock(&host->lock);
        before = host->snapshot;
        host->snapshot = after;
        listener = host->listener;
        pthread_cond_broadcast(&host->applied);
        pthread_mutex_unlock(&host->lock);
        /* the journal first, so that who is told of a change finds it there */
        for (size_t i = 0; before && i < count; i++)
            journal_change(host, &changes[i]);
        if (before && devices_differ)
            devices_journal(host, before->devices, after->devices);
        if (listener.changed && before)
            listener.changed(listener.cookie, before, after, changes, count);
        if (listener.devices_changed && before && devices_differ)
            listener.devices_changed(listener.cookie, before, after);
        host_snapshot_unref(before);
    }
    for (size_t i = 0; i < count; i++) {
        vm_unref(changes[i].before);
        vm_unref(changes[i].after);
    }
    free(changes);
}

/* Takes one message and applies it; false: there was none. */
static bool apply_next(struct host *host)
{
    struct message *message;

    pthread_mutex_lock(&host->lock);
    message = host->first;
    if (message) {
        host->first = message->next;
        if (!host->first)
            host->last = &host->first;
    }
    pthread_mutex_unlock(&host->lock);
    if (!message)
        return false;
    message->apply(host, message);
    /* one by one, so that changes that come fast are told each, as far as they are made each;
     * before the thread runs nobody listens, and the first snapshot is of all */
    if (host->running)
        host_publish(host);
    if (host->measure_next && usage_start(host))
        host->measure_next = false;
    if (message->waited_for) {
        LOCK_SCOPE(&host->lock);
        message->applied = true;
        pthread_cond_broadcast(&host->applied);
    } else {
        free(message);
    }
    return true;
}

void host_drain(struct host *host)
{
    while (apply_next(host))
        ;
}

void *host_thread(void *cookie)
{
    struct host *host = cookie;
    uint64_t sweep = clock_monotonic_ns() + SWEEP_SECONDS * 1000000000ull;

    pthread_setname_np(pthread_self(), "qfs-host");
    for (;;) {
        struct timespec until = {(time_t)(sweep / 1000000000), (long)(sweep % 1000000000)};
        bool ending;

        host_drain(host);
        pthread_mutex_lock(&host->lock);
        if (!host->first && !host->finished)
            pthread_cond_timedwait(&host->moved, &host->lock, &until);
        ending = host->finished && !host->first;
        pthread_mutex_unlock(&host->lock);
        if (ending)
            return NULL;
        if (clock_monotonic_ns() >= sweep) {
            usage_start(host);
            sweep = clock_monotonic_ns() + SWEEP_SECONDS * 1000000000ull;
        }
    }
}
