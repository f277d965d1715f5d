/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's life: made with a first snapshot, listened to, refreshed, stopped. */
#include "qubesfs/host.h"

#include <errno.h>
#include <string.h>

#include "edits.h"
#include "qubesfs/sorted.h"

#define COMMAND_THREADS 256
#define REFRESH_SECONDS 10

const struct host_snapshot *host_snapshot_ref(const struct host_snapshot *snapshot)
{
    __atomic_add_fetch(&((struct host_snapshot *)snapshot)->references, 1, __ATOMIC_RELAXED);
    return snapshot;
}

void host_snapshot_unref(const struct host_snapshot *snapshot)
{
    struct host_snapshot *own = (struct host_snapshot *)snapshot;

    if (!own || __atomic_sub_fetch(&own->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < own->vm_count; i++)
        vm_unref(own->vms[i]);
    free(own->vms);
    if (own->catalogue)
        catalogue_unref(own->catalogue);
    device_list_unref(own->devices);
    free(own->error_lines);
    free(own);
}

const struct host_snapshot *host_snapshot(struct host *host)
{
    LOCK_SCOPE(&host->lock);
    return host_snapshot_ref(host->snapshot);
}

static const char *vm_name(const void *list, size_t index)
{
    return ((const struct vm *const *)list)[index]->name;
}

const struct vm *host_find_vm(const struct host_snapshot *snapshot, const char *name)
{
    size_t index = sorted_find(snapshot->vms, snapshot->vm_count, name, vm_name);

    return index != SIZE_MAX ? snapshot->vms[index] : NULL;
}

bool host_has_hypervisor(const struct host *host)
{
    return host->hypervisor != NULL;
}

const struct vm *snapshot_by_identity(const struct host_snapshot *snapshot, uint64_t identity)
{
    for (size_t i = 0; i < snapshot->vm_count; i++)
        if (snapshot->vms[i]->identity == identity)
            return snapshot->vms[i];
    return NULL;
}

static char *copied(const char *string)
{
    return string ? strdup(string) : NULL;
}

static void free_host(struct host *host)
{
    if (!host)
        return;
    host_snapshot_unref(host->snapshot);
    for (size_t i = 0; i < host->record_count; i++)
        record_free(host->records[i]);
    for (size_t i = 0; i < host->removed_count; i++)
        record_free(host->removed[i]);
    free(host->records);
    free(host->removed);
    domains_clear(host);
    if (host->catalogue)
        catalogue_unref(host->catalogue);
    error_lines_free(&host->root_errors);
    pool_free(host->pool);
    edits_free(&host->edits);
    free(host->journal.data);
    free(host->root);
    free(host->catalogue_path);
    free(host->connect);
    free(host->templates);
    devices_free(host);
    free(host->state);
    free(host);
}

int host_new(const struct host_options *options, struct host **ret_host, struct error *ret_error)
{
    struct host *host = calloc(1, sizeof(*host));
    pthread_condattr_t monotonic;
    int result;

    if (!host)
        return error_set(ret_error, -ENOMEM, "out of memory");
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&host->lock, NULL);
    pthread_mutex_init(&host->jobs_lock, NULL);
    pthread_mutex_init(&host->journal.lock, NULL);
    pthread_cond_init(&host->moved, &monotonic);
    pthread_cond_init(&host->applied, &monotonic);
    pthread_cond_init(&host->started, &monotonic);
    pthread_condattr_destroy(&monotonic);
    host->last = &host->first;
    host->next_identity = 1;
    host->root = copied(options->root);
    host->catalogue_path = copied(options->catalogue_path);
    host->connect = copied(options->connect);
    host->templates = copied(options->templates);
    host->xenstore = copied(options->xenstore);
    host->without_xenstore = options->without_xenstore;
    host->next_device = 1;
    host->devices_dirty = true;
    host->state =
        options->state ? strdup(options->state) : text_format("%s/var/lib/qubesfs", options->root);
    if (edits_init(&host->edits) || !host->root || !host->catalogue_path || !host->state ||
        pool_new("qfs-command", COMMAND_THREADS, &host->pool))
        result = error_set(ret_error, -ENOMEM, "out of memory");
    else
        result = sources_start(host, options->catalogue_required, ret_error);
    if (result) {
        /* the hypervisor's threads may still post: only what nobody uses is freed */
        if (!host->hypervisor && !host->device_sources)
            free_host(host);
        return result;
    }
    host_drain(host);
    host_publish(host);
    if (!host->snapshot)
        return error_set(ret_error, -ENOMEM, "out of memory");
    result = sources_follow(host);
    if (result)
        return error_set(ret_error, result, "cannot watch %s: %s", host->catalogue_path,
                         strerror(-result));
    *ret_host = host;
    return 0;
}

int host_listen(struct host *host, const struct host_listener *listener)
{
    int result;

    pthread_mutex_lock(&host->lock);
    host->listener = *listener;
    pthread_mutex_unlock(&host->lock);
    host->running = true;
    result = -pthread_create(&host->thread, NULL, host_thread, host);
    if (result) {
        host->running = false;
        return result;
    }
    edits_redo_renames(host);
    return 0;
}

int host_refresh(struct host *host, struct error *ret_error)
{
    int result = catalogue_watch_refresh(host->watch, REFRESH_SECONDS);

    if (result)
        error_set(ret_error, result, "%s could not be read again in time: another program holds it",
                  host->catalogue_path);
    if (!result && host->hypervisor)
        result = hypervisor_refresh(host->hypervisor, REFRESH_SECONDS, ret_error);
    if (!result)
        result = devices_refresh(host->device_sources, REFRESH_SECONDS, ret_error);
    /* where there is no XenStore, and nobody said that there is to be one */
    if (result == -ENOTCONN && !host->xenstore && !host->xenstore_reached)
        result = 0;
    usage_start(host);
    host_settle(host);
    return result;
}

int host_stop(struct host *host, unsigned seconds)
{
    int result = 0;

    edits_cancel(&host->edits);
    pthread_mutex_lock(&host->lock);
    host->ending = true;
    pthread_cond_broadcast(&host->applied);
    pthread_mutex_unlock(&host->lock);
    /* commands may wait for the host's thread, which goes on until they have ended; and saves for
     * the watch */
    result = pool_stop(host->pool, seconds);
    if (!result)
        catalogue_watch_stop(host->watch);
    if (host->hypervisor && hypervisor_stop(host->hypervisor, seconds))
        result = -ETIMEDOUT;
    if (result)
        return result;
    devices_stop(host->device_sources);
    pthread_mutex_lock(&host->lock);
    host->finished = true;
    pthread_cond_broadcast(&host->moved);
    pthread_mutex_unlock(&host->lock);
    if (host->running)
        pthread_join(host->thread, NULL);
    host_drain(host);
    free_host(host);
    return 0;
}
