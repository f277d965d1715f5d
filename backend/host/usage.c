/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is on each VM's disk; measured at the start and by the sweep, on a worker. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"
#include "qubesfs/clock.h"

#define FIREWALL_MAX (1024 * 1024)

/* An own volume's size and time; false where it has none. */
static bool volume_measure(struct host *host, const struct catalogue *catalogue,
                           const struct catalogue_entry *entry, enum vm_volume which,
                           struct storage_measure *ret_measure)
{
    struct storage_place place;
    bool found = volume_locate(host, catalogue, entry, which, &place, NULL) == 0 &&
                 storage_measure(&place, host->root, ret_measure) == 0;

    storage_place_free(&place);
    return found;
}

static char *firewall_path(const struct host *host, const struct catalogue_entry *entry)
{
    const char *file = name_value_find(entry->prefs, entry->pref_count, "firewall_conf");
    char *directory CLEANUP_FREE = entry_directory(host, entry), *path;

    if (!file || !*file || strchr(file, '/'))
        file = "firewall.xml";
    return directory && asprintf(&path, "%s/%s", directory, file) >= 0 ? path : NULL;
}

struct usage usage_measure(struct host *host, const struct catalogue *catalogue,
                           const struct catalogue_entry *entry)
{
    char *firewall CLEANUP_FREE = firewall_path(host, entry);
    struct usage usage = {0};
    struct storage_measure measure;
    struct stat attributes;

    for (size_t i = 0; i < VM_VOLUME_COUNT; i++) {
        if (!volume_measure(host, catalogue, entry, i, &measure))
            continue;
        usage.disk_bytes += measure.allocated;
        usage.has_volume[i] = true;
        usage.volume_changed[i] = measure.modified;
    }
    if (firewall && stat(firewall, &attributes) == 0 && S_ISREG(attributes.st_mode)) {
        usage.has_firewall = true;
        usage.firewall_changed = attributes.st_mtim;
    }
    return usage;
}

bool usage_equal(const struct usage *a, const struct usage *b)
{
    for (size_t i = 0; i < VM_VOLUME_COUNT; i++)
        if (a->has_volume[i] != b->has_volume[i] ||
            !clock_same(a->volume_changed[i], b->volume_changed[i]))
            return false;
    return a->disk_bytes == b->disk_bytes && a->has_firewall == b->has_firewall &&
           clock_same(a->firewall_changed, b->firewall_changed);
}

int host_vm_firewall(struct host *host, const struct vm *vm, char **ret_text, size_t *ret_length)
{
    char *path CLEANUP_FREE = vm->entry ? firewall_path(host, vm->entry) : NULL;
    struct text text CLEANUP_TEXT = TEXT_INIT;
    int fd CLEANUP_CLOSE = -1;
    char block[4096];
    ssize_t size;

    if (!path)
        return -ENOENT;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    while ((size = read(fd, block, sizeof(block))) > 0 && text.length < FIREWALL_MAX)
        text_append(&text, block, (size_t)size);
    return size < 0 ? -errno : text_take(&text, ret_text, ret_length);
}

static struct timespec newer(struct timespec a, struct timespec b)
{
    return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec) ? a : b;
}

struct timespec host_vm_last_change(struct host *host, const struct vm *vm)
{
    const struct host_snapshot *snapshot = host_snapshot(host);
    struct timespec newest = vm->entry_changed;
    struct storage_measure measure;

    if (vm_is_active(vm) && vm->vm_class != VM_CLASS_ADMIN)
        clock_gettime(CLOCK_REALTIME, &newest);
    for (size_t i = 0; vm->entry && snapshot->catalogue && i < VM_VOLUME_COUNT; i++)
        if (volume_measure(host, snapshot->catalogue, vm->entry, i, &measure))
            newest = newer(newest, measure.modified);
    host_snapshot_unref(snapshot);
    return newest;
}

struct measured {
    struct message message;
    struct host *host;
    const struct host_snapshot *snapshot;
    struct usage *usages; /* in the order of the snapshot's VMs */
};

/* Returns what it was. */
static bool set_measuring(struct host *host, bool measuring)
{
    bool before;

    LOCK_SCOPE(&host->lock);
    before = host->measuring;
    host->measuring = measuring;
    return before;
}

static void apply(struct host *host, struct message *message)
{
    struct measured *measured = (struct measured *)message;
    const struct host_snapshot *snapshot = measured->snapshot;

    /* both are sorted by name; a VM renamed meanwhile waits for the next sweep */
    for (size_t i = 0, r = 0; i < snapshot->vm_count && r < host->record_count;) {
        struct record *record = host->records[r];
        int order = strcmp(snapshot->vms[i]->name, record_name(record));

        if (order == 0 && record->identity == snapshot->vms[i]->identity &&
            !usage_equal(&record->usage, &measured->usages[i])) {
            record->usage = measured->usages[i];
            record->dirty = true;
        }
        i += order <= 0;
        r += order >= 0;
    }
    host_snapshot_unref(snapshot);
    free(measured->usages);
    set_measuring(host, false);
}

static void measure(void *cookie)
{
    struct measured *measured = cookie;
    const struct host_snapshot *snapshot = measured->snapshot;

    for (size_t i = 0; i < snapshot->vm_count; i++)
        if (snapshot->vms[i]->entry && snapshot->catalogue)
            measured->usages[i] =
                usage_measure(measured->host, snapshot->catalogue, snapshot->vms[i]->entry);
    host_post(measured->host, &measured->message);
}

bool usage_start(struct host *host)
{
    struct measured *measured;

    /* one at a time: a disk that hangs must not take one worker after the other */
    if (set_measuring(host, true))
        return false;
    measured = calloc(1, sizeof(*measured));
    if (!measured) {
        set_measuring(host, false);
        return false;
    }
    measured->message.apply = apply;
    measured->host = host;
    measured->snapshot = host_snapshot(host);
    measured->usages = calloc(measured->snapshot->vm_count + 1, sizeof(*measured->usages));
    if (measured->usages && pool_run(host->pool, measure, measured) == 0)
        return true;
    host_snapshot_unref(measured->snapshot);
    free(measured->usages);
    free(measured);
    set_measuring(host, false);
    return false;
}
