/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes of VMs that users write: kept in a queue, and brought to the catalogue by one worker at a
 * time, all that came meanwhile in one save.  Who asked is told when it is durable and shown.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "edits.h"
#include "qubesfs/log.h"

#define SHOWN_SECONDS 10
#define BATCH         256

struct edit_request {
    struct edit_request *next;
    enum catalogue_edit_kind kind;
    uint64_t identity;
    char *name, *value; /* value NULL: remove */
    void (*done)(void *cookie, int result);
    void *cookie;
};

int edits_init(struct edits *edits)
{
    pthread_mutex_init(&edits->lock, NULL);
    edits->last = &edits->first;
    edits->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return edits->cancel_fd < 0 ? -errno : 0;
}

void edits_cancel(struct edits *edits)
{
    const uint64_t one = 1;

    if (write(edits->cancel_fd, &one, sizeof(one)) < 0)
        log_debug("cannot cancel: %m");
}

void edits_free(struct edits *edits)
{
    if (edits->cancel_fd >= 0)
        close(edits->cancel_fd);
    pthread_mutex_destroy(&edits->lock);
}

static void request_free(struct edit_request *request)
{
    free(request->name);
    free(request->value);
    free(request);
}

/* Tells how it ended: the `error` file first, so that it is there when the writer has its answer.
 */
static void end(struct host *host, struct edit_request *request, const struct error *error)
{
    static const char *const directories[] = {
        [CATALOGUE_SET_PREF] = "prefs",
        [CATALOGUE_SET_SERVICE] = "services",
        [CATALOGUE_SET_FEATURE] = "features",
        [CATALOGUE_SET_TAG] = "tags",
    };
    char command[64];

    if (request->kind == CATALOGUE_RENAME)
        snprintf(command, sizeof(command), "mv");
    else
        snprintf(command, sizeof(command), "%s/%.40s", directories[request->kind], request->name);
    host_report(host, request->identity, command, error->code ? error : NULL);
    request->done(request->cookie, error->code);
    request_free(request);
}

/* Where nobody knows what runs, what needs a halted VM can't be done either. */
static void explain_busy(const struct host *host, const struct vm *vm, struct error *error)
{
    if (error->code == -EBUSY && vm->state == VM_NA && host->hypervisor)
        error_set(
            error, -ENOTCONN,
            "\"%s\": that needs a halted VM, and nobody knows whether it runs: the hypervisor "
            "does not answer",
            vm->name);
}

/* Fills in one edit; false: it is refused already, its error says why. */
static bool prepare(const struct host *host, const struct host_snapshot *snapshot,
                    const struct edit_request *request, struct catalogue_edit *ret_edit,
                    const struct vm **ret_vm)
{
    const struct vm *vm = snapshot_by_identity(snapshot, request->identity);

    *ret_edit = (struct catalogue_edit){
        .kind = request->kind, .name = request->name, .untrusted_value = request->value};
    *ret_vm = vm;
    if (!vm || !vm->entry) {
        error_set(&ret_edit->error, -ENOENT, "%s is not in the catalogue",
                  vm ? vm->name : "the VM");
        return false;
    }
    ret_edit->entry = vm->entry;
    ret_edit->active = vm_is_active(vm) || (vm->state == VM_NA && host->hypervisor);
    return true;
}

static void save(struct host *host, struct edit_request **requests, size_t count)
{
    const struct host_snapshot *snapshot = host_snapshot(host);
    struct catalogue_edit *edits CLEANUP_FREE = calloc(count, sizeof(*edits));
    const struct vm **vms CLEANUP_FREE = calloc(count, sizeof(const struct vm *));
    struct edit_request **taken CLEANUP_FREE = calloc(count, sizeof(struct edit_request *));
    struct error error = {0};
    size_t kept = 0;

    if (!edits || !vms || !taken)
        error_set(&error, -ENOMEM, "out of memory");
    else
        host_catalogue_is_owned(host, &error);
    for (size_t i = 0; i < count; i++) {
        if (error.code) {
            end(host, requests[i], &error);
        } else if (!prepare(host, snapshot, requests[i], &edits[kept], &vms[kept])) {
            end(host, requests[i], &edits[kept].error);
        } else {
            taken[kept++] = requests[i];
        }
    }
    if (kept == 1 && taken[0]->kind == CATALOGUE_RENAME)
        rename_vm(host, snapshot, vms[0], &edits[0]);
    else if (kept > 0 && catalogue_edit(host->catalogue_path, host->root, EDIT_LOCK_SECONDS,
                                        host->edits.cancel_fd, edits, kept, &error) == 0)
        edits_show(host);
    for (size_t i = 0; i < kept; i++) {
        if (!error.code)
            explain_busy(host, vms[i], &edits[i].error);
        end(host, taken[i], error.code ? &error : &edits[i].error);
    }
    host_snapshot_unref(snapshot);
}

void edits_show(struct host *host)
{
    /* somebody who holds the lock now may keep us from reading what is saved: it shows later */
    if (host->watch && catalogue_watch_refresh(host->watch, SHOWN_SECONDS))
        log_warning("%s is saved, but could not be read again yet", host->catalogue_path);
    host_settle(host);
}

/* Takes what is there, up to a limit and a rename alone; false: nothing, and the worker may end. */
static bool take(struct edits *edits, struct edit_request **ret_requests, size_t *ret_count,
                 bool *ret_redo)
{
    size_t count = 0;

    LOCK_SCOPE(&edits->lock);
    while (edits->first && count < BATCH) {
        bool alone = edits->first->kind == CATALOGUE_RENAME;

        if (alone && count > 0)
            break;
        ret_requests[count++] = edits->first;
        edits->first = edits->first->next;
        if (alone)
            break;
    }
    if (!edits->first)
        edits->last = &edits->first;
    edits->busy = count > 0 || edits->redo;
    *ret_redo = edits->redo;
    edits->redo = false;
    *ret_count = count;
    return edits->busy;
}

static void work(void *cookie)
{
    struct edit_request *requests[BATCH];
    struct host *host = cookie;
    size_t count;
    bool redo;

    while (take(&host->edits, requests, &count, &redo)) {
        if (redo)
            renames_redo(host);
        if (count > 0)
            save(host, requests, count);
    }
}

/* Adds it to the queue; true: nobody is at work there. */
static bool enqueue(struct edits *edits, struct edit_request *request)
{
    bool idle;

    LOCK_SCOPE(&edits->lock);
    *edits->last = request;
    edits->last = &request->next;
    idle = !edits->busy;
    edits->busy = true;
    return idle;
}

/* No worker could be had: what is in the queue is refused. */
static void refuse_all(struct host *host)
{
    struct edit_request *requests[BATCH];
    struct error error;
    size_t count;
    bool redo;

    error_set(&error, -ENOMEM, "no worker is free to save it");
    while (take(&host->edits, requests, &count, &redo))
        for (size_t i = 0; i < count; i++)
            end(host, requests[i], &error);
}

void edits_redo_renames(struct host *host)
{
    bool idle;

    pthread_mutex_lock(&host->edits.lock);
    host->edits.redo = true;
    idle = !host->edits.busy;
    host->edits.busy = true;
    pthread_mutex_unlock(&host->edits.lock);
    if (idle && pool_run(host->pool, work, host))
        refuse_all(host);
}

/* Without the final newline, and with nothing in it that would hide what follows. */
static char *value_copy(const char *untrusted_value, size_t length)
{
    char *copy;

    if (length > 0 && untrusted_value[length - 1] == '\n')
        length--;
    copy = malloc(length + 1);
    if (!copy)
        return NULL;
    for (size_t i = 0; i < length; i++)
        copy[i] = untrusted_value[i] ? untrusted_value[i] : '\x01';
    copy[length] = '\0';
    return copy;
}

int host_edit(struct host *host, uint64_t vm_identity, enum catalogue_edit_kind kind,
              const char *name, const char *untrusted_value, size_t length,
              void (*done)(void *cookie, int result), void *cookie)
{
    struct edit_request *request = calloc(1, sizeof(*request));

    if (!request)
        return -ENOMEM;
    *request = (struct edit_request){
        .kind = kind, .identity = vm_identity, .done = done, .cookie = cookie};
    request->name = strdup(name);
    request->value = untrusted_value ? value_copy(untrusted_value, length) : NULL;
    if (!request->name || (untrusted_value && !request->value)) {
        request_free(request);
        return -ENOMEM;
    }
    if (enqueue(&host->edits, request) && pool_run(host->pool, work, host))
        refuse_all(host);
    return 0;
}
