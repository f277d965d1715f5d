/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much disk each VM's own volumes use; measured at the start and by the sweep, on a worker. */
#include <string.h>
#include <sys/stat.h>

#include "internal.h"

uint64_t usage_measure(struct host *host, const struct catalogue *catalogue,
                       const struct catalogue_entry *entry)
{
    static const char *const volumes[] = {"root", "private", "volatile"};
    uint64_t bytes = 0;

    for (size_t i = 0; i < ARRAY_SIZE(volumes); i++) {
        char *path CLEANUP_FREE = NULL;
        struct stat attributes;

        if (i == 0 && !entry->updateable)
            continue; /* the template's */
        path = volume_path(host, catalogue, entry, volumes[i]);
        if (path && stat(path, &attributes) == 0 && S_ISREG(attributes.st_mode))
            bytes += (uint64_t)attributes.st_blocks * 512;
    }
    return bytes;
}

struct measured {
    struct message message;
    struct host *host;
    const struct host_snapshot *snapshot;
    uint64_t *bytes; /* in the order of the snapshot's VMs */
};

static void apply(struct host *host, struct message *message)
{
    struct measured *measured = (struct measured *)message;
    const struct host_snapshot *snapshot = measured->snapshot;

    /* both are sorted by name; a VM renamed meanwhile waits for the next sweep */
    for (size_t i = 0, r = 0; i < snapshot->vm_count && r < host->record_count;) {
        struct record *record = host->records[r];
        int order = strcmp(snapshot->vms[i]->name, record_name(record));

        if (order == 0 && record->identity == snapshot->vms[i]->identity &&
            record->disk_bytes != measured->bytes[i]) {
            record->disk_bytes = measured->bytes[i];
            record->dirty = true;
        }
        i += order <= 0;
        r += order >= 0;
    }
    host_snapshot_unref(snapshot);
    free(measured->bytes);
}

static void measure(void *cookie)
{
    struct measured *measured = cookie;
    const struct host_snapshot *snapshot = measured->snapshot;

    for (size_t i = 0; i < snapshot->vm_count; i++)
        if (snapshot->vms[i]->entry && snapshot->catalogue)
            measured->bytes[i] =
                usage_measure(measured->host, snapshot->catalogue, snapshot->vms[i]->entry);
    host_post(measured->host, &measured->message);
}

void usage_start(struct host *host)
{
    struct measured *measured = calloc(1, sizeof(*measured));

    if (!measured)
        return;
    measured->message.apply = apply;
    measured->host = host;
    measured->snapshot = host_snapshot(host);
    measured->bytes = calloc(measured->snapshot->vm_count + 1, sizeof(*measured->bytes));
    if (measured->bytes && pool_run(host->pool, measure, measured) == 0)
        return;
    host_snapshot_unref(measured->snapshot);
    free(measured->bytes);
    free(measured);
}
