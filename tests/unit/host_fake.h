/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host without a hypervisor for the tests of the backup room: a directory with a catalogue in it,
 * and VMs that run because the test says so.  It defines all of the host room that backups use.
 */
#ifndef HOST_FAKE_H
#define HOST_FAKE_H

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/host.h"
#include "qubesfs/text.h"

struct host {
    char *root;
    char *catalogue_path;
    pthread_mutex_t lock; /* guards what follows */
    const struct catalogue *catalogue;
    bool disconnected;
    char running[256]; /* names, each with a space before and behind it */
    struct text journal;
    char vm_error[2000]; /* what host_report was told last; "" for success */
    uint64_t vm_error_identity;
};

static inline void host_fake_load(struct host *host)
{
    struct error error;
    const struct catalogue *catalogue;

    if (catalogue_load(host->catalogue_path, 5, NULL, &catalogue, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(2);
    }
    LOCK_SCOPE(&host->lock);
    if (host->catalogue)
        catalogue_unref(host->catalogue);
    host->catalogue = catalogue;
}

static inline struct host *host_fake_new(const char *root)
{
    struct host *host = calloc(1, sizeof(*host));

    pthread_mutex_init(&host->lock, NULL);
    host->root = strdup(root);
    if (asprintf(&host->catalogue_path, "%s/var/lib/qubes/qubes.xml", root) < 0)
        abort();
    host_fake_load(host);
    return host;
}

static inline void host_fake_free(struct host *host)
{
    catalogue_unref(host->catalogue);
    text_free(&host->journal);
    free(host->catalogue_path);
    free(host->root);
    free(host);
}

static inline void host_fake_run(struct host *host, const char *names)
{
    LOCK_SCOPE(&host->lock);
    snprintf(host->running, sizeof(host->running), " %s ", names);
}

static inline struct vm *host_fake_vm(struct host *host, const struct catalogue_entry *entry,
                                      size_t index)
{
    struct vm *vm = calloc(1, sizeof(*vm));
    char key[VM_NAME_MAX + 3];

    vm->references = 1;
    vm->identity = index + 1;
    vm->entry = entry;
    vm->name = entry ? entry->name : "dom0";
    vm->vm_class = entry ? entry->vm_class : VM_CLASS_ADMIN;
    snprintf(key, sizeof(key), " %s ", vm->name);
    vm->state = strstr(host->running, key) || !entry ? VM_RUNNING : VM_HALTED;
    return vm;
}

const struct host_snapshot *host_snapshot(struct host *host)
{
    struct host_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    bool dom0 = false;

    LOCK_SCOPE(&host->lock);
    snapshot->catalogue = catalogue_ref(host->catalogue);
    snapshot->connected = !host->disconnected;
    snapshot->vms = calloc(host->catalogue->entry_count + 1, sizeof(*snapshot->vms));
    for (size_t i = 0; i < host->catalogue->entry_count; i++) {
        const struct catalogue_entry *entry = host->catalogue->entries[i];

        dom0 = dom0 || entry->vm_class == VM_CLASS_ADMIN;
        snapshot->vms[snapshot->vm_count++] = host_fake_vm(host, entry, i);
    }
    if (!dom0)
        snapshot->vms[snapshot->vm_count++] = host_fake_vm(host, NULL, 1000);
    return snapshot;
}

void host_snapshot_unref(const struct host_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->vm_count; i++)
        free((void *)snapshot->vms[i]);
    free(snapshot->vms);
    catalogue_unref(snapshot->catalogue);
    free((void *)snapshot);
}

const struct vm *host_find_vm(const struct host_snapshot *snapshot, const char *name)
{
    for (size_t i = 0; i < snapshot->vm_count; i++)
        if (strcmp(snapshot->vms[i]->name, name) == 0)
            return snapshot->vms[i];
    return NULL;
}

bool host_has_hypervisor(const struct host *host)
{
    (void)host;
    return true;
}

bool vm_is_active(const struct vm *vm)
{
    return vm->state != VM_HALTED;
}

char *host_path(struct host *host, const char *path)
{
    char *made;

    return asprintf(&made, "%s%s", host->root, path) < 0 ? NULL : made;
}

char *host_vm_directory(struct host *host, const struct vm *vm)
{
    char path[200];

    if (vm->vm_class == VM_CLASS_ADMIN)
        return NULL;
    if (vm->entry->dir_path)
        return host_path(host, vm->entry->dir_path);
    snprintf(path, sizeof(path), "/var/lib/qubes/%s/%s",
             vm->vm_class == VM_CLASS_TEMPLATE ? "vm-templates" : "appvms", vm->name);
    return host_path(host, path);
}

int host_vm_firewall(struct host *host, const struct vm *vm, char **ret_text, size_t *ret_length)
{
    char *directory CLEANUP_FREE = host_vm_directory(host, vm), *path CLEANUP_FREE = NULL;
    char *text = calloc(1, 65536);
    FILE *file;

    if (!directory || !text || asprintf(&path, "%s/firewall.xml", directory) < 0)
        abort();
    file = fopen(path, "r");
    if (!file) {
        free(text);
        return -ENOENT;
    }
    *ret_length = fread(text, 1, 65535, file);
    *ret_text = text;
    fclose(file);
    return 0;
}

void host_journal_add(struct host *host, const char *format, ...)
{
    va_list arguments;
    char line[2000];

    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    LOCK_SCOPE(&host->lock);
    text_printf(&host->journal, "%s\n", line);
}

void host_report(struct host *host, uint64_t vm_identity, const char *command,
                 const struct error *error)
{
    LOCK_SCOPE(&host->lock);
    host->vm_error_identity = vm_identity;
    snprintf(host->vm_error, sizeof(host->vm_error), "%s: %s", command, error ? error->text : "");
}

#endif
