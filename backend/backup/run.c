/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "qubesfs/log.h"
#include "stream.h"

struct run {
    /* in the service's list, under its lock; link is NULL outside of it */
    struct run *next, **link;
    struct backup_plan *plan;
    struct backup_service *service;
    struct backup_stream *stream;
    char *vm_name;  /* NULL: as the plan says */
    bool cancelled; /* by a command; guarded by the service's lock */

    /* the stream's thread alone uses what follows */
    bool active; /* guarded by the service's lock; counted in the service's `active` */
    struct job job;
    struct secret *passphrase;
    struct catalogue_mark *marks;
    size_t mark_count;
    uint64_t bound;                      /* the stream may not become longer: see run_write */
    const struct archive_output *output; /* the stream */
};

/* Lets go of what one attempt has gathered. */
static void clear(struct run *run)
{
    job_marks_free(run->marks, run->mark_count);
    run->marks = NULL;
    run->mark_count = 0;
    secret_unref(run->passphrase);
    run->passphrase = NULL;
    job_free(&run->job);
}

/* Once the service ends, nothing of the host may be used any more. */
static int enter(struct run *run)
{
    LOCK_SCOPE(&run->service->lock);
    if (run->service->closing)
        return -ECANCELED;
    run->active = true;
    run->service->active++;
    return 0;
}

static void leave(struct run *run)
{
    LOCK_SCOPE(&run->service->lock);
    run->active = false;
    if (--run->service->active == 0)
        pthread_cond_broadcast(&run->service->quiet);
}

static int run_begin(void *cookie, struct error *ret_error)
{
    struct run *run = cookie;
    int result = enter(run);

    if (result < 0)
        return error_set(ret_error, result, "qubesfs is ending");
    run->passphrase = plan_passphrase(run->plan);
    if (!run->passphrase)
        return error_set(ret_error, -ENOKEY,
                         "there is no passphrase yet: write one to backups/%s/passphrase",
                         run->plan->name);
    result = job_make(run->plan, run->vm_name, &run->job, ret_error);
    if (result == 0)
        result = job_refuse_running(&run->job, ret_error);
    for (size_t i = 0; result == 0 && i < run->job.count; i++)
        result = item_measure(&run->job, &run->job.items[i], ret_error);
    if (result < 0)
        return result;
    result = job_marks(&run->job, &run->marks, &run->mark_count);
    return result < 0 ? error_set(ret_error, result, "out of memory") : 0;
}

static int write_catalogue(struct run *run, struct archive_writer *writer, struct error *ret_error)
{
    char *document CLEANUP_FREE = NULL;
    size_t length;
    int result = catalogue_export(run->service->catalogue_path, CATALOGUE_R3, run->marks,
                                  run->mark_count, &document, &length, NULL, ret_error);

    if (result == -EOPNOTSUPP) /* it was replaced since begin */
        return error_set(ret_error, -EINVAL,
                         "backup format 3 needs a catalogue of R2 or R3, and %s is one of R4",
                         run->service->catalogue_path);
    return result < 0 ? result
                      : archive_write_data(writer, "qubes.xml", document, length, ret_error);
}

/* A VM that was started meanwhile may have written to what was read already. */
static int check_still_halted(const struct run *run, const struct item *item,
                              struct error *ret_error)
{
    const struct host_snapshot *now;
    const struct vm *vm;
    bool active;

    if (!item->vm)
        return 0;
    now = host_snapshot(run->service->host);
    vm = host_find_vm(now, item->vm->name);
    active = vm && vm_is_active(vm);
    host_snapshot_unref(now);
    if (!active)
        return 0;
    return error_set(ret_error, -EBUSY,
                     "%s was started while it was backed up: shut it down and begin again",
                     item->vm->name);
}

/*
 * The file's size was told as `bound` at most, and a tool that reads through the page cache takes
 * that for the end.  A home that has grown beyond all slack makes the read fail; it is never cut
 * short.
 */
static int run_write(void *cookie, const void *data, size_t length)
{
    struct run *run = cookie;

    if (length > run->bound)
        return -EFBIG;
    run->bound -= length;
    return run->output->write(run->output->cookie, data, length);
}

static bool run_cancelled(void *cookie)
{
    struct run *run = cookie;

    return run->output->cancelled(run->output->cookie);
}

static void cleanup_writer(struct archive_writer **writer)
{
    archive_writer_free(*writer);
}

static int run_run(void *cookie, const struct archive_output *output, struct error *ret_error)
{
    struct run *run = cookie;
    struct archive_options options = plan_options(run->plan);
    struct archive_output bounded = {
        .cookie = run, .write = run_write, .cancelled = run_cancelled};
    struct archive_writer *writer CLEANUP(cleanup_writer) = NULL;
    int result;

    run->output = output;
    run->bound = job_bound(&run->job, &options);
    options.passphrase = run->passphrase;
    options.time = time(NULL);
    result = archive_writer_new(&options, &bounded, &writer, ret_error);
    if (result == 0)
        result = write_catalogue(run, writer, ret_error);
    for (size_t i = 0; result == 0 && i < run->job.count; i++) {
        const struct item *item = &run->job.items[i];
        struct archive_source source = job_source(&run->job, item);

        result = archive_write_source(writer, &source, ret_error);
        if (result == 0)
            result = check_still_halted(run, item, ret_error);
    }
    if (result == 0)
        result = archive_writer_finish(writer, ret_error);
    if (result == -EFBIG)
        result =
            error_set(ret_error, -EBUSY,
                      "what is backed up has grown beyond the size that was told; begin again");
    return result;
}

/* Notes how it went, where the reader looks for it: beside the file that was read. */
static void report(struct run *run, const struct error *error)
{
    const struct host_snapshot *snapshot;
    const struct vm *vm;

    if (!run->vm_name) {
        backup_report(run->plan, "backup", error);
        return;
    }
    snapshot = host_snapshot(run->service->host);
    vm = host_find_vm(snapshot, run->vm_name);
    if (vm)
        host_report(run->service->host, vm->identity, "backup", error);
    else if (error)
        log_error("backup of %s: %s", run->vm_name, error->text);
    host_snapshot_unref(snapshot);
}

static void run_ended(void *cookie, int result, uint64_t bytes, const struct error *error)
{
    struct run *run = cookie;
    const char *what = run->vm_name ? run->vm_name : run->plan->name;
    bool entered = run->active || enter(run) == 0; /* the read may be refused before `begin` */

    if (!entered)
        return;
    if (result == 0) {
        report(run, NULL);
        host_journal_add(run->service->host, "backup %s done, %llu bytes", what,
                         (unsigned long long)bytes);
    } else if (result == -ECANCELED) {
        log_info("backup %s: given up by its reader after %llu bytes", what,
                 (unsigned long long)bytes);
    } else {
        report(run, error);
    }
    clear(run);
    leave(run);
}

static void run_free(void *cookie)
{
    struct run *run = cookie;
    struct backup_service *service = run->service;

    pthread_mutex_lock(&service->lock);
    if (run->link)
        *run->link = run->next;
    if (run->next)
        run->next->link = run->link;
    pthread_mutex_unlock(&service->lock);
    free(run->vm_name);
    free(run);
    service_unref(service);
}

static const struct stream_work work = {run_begin, run_run, run_ended, run_free};

int backup_stream_new(struct backup_plan *plan, const char *vm_name,
                      struct backup_stream **ret_stream)
{
    struct backup_service *service = plan->service;
    struct run *run = calloc(1, sizeof(*run));
    int result;

    if (!run)
        return -ENOMEM;
    run->plan = plan;
    run->service = service_ref(service);
    run->vm_name = vm_name ? strdup(vm_name) : NULL;
    result = vm_name && !run->vm_name ? -ENOMEM : stream_new(&work, run, &run->stream);
    if (result < 0) {
        run_free(run);
        return result;
    }
    *ret_stream = run->stream;
    LOCK_SCOPE(&service->lock);
    run->next = service->runs;
    run->link = &service->runs;
    if (run->next)
        run->next->link = &run->next;
    service->runs = run;
    if (service->closing)
        stream_shut(run->stream);
    return 0;
}

void runs_cancel(struct backup_plan *plan)
{
    struct backup_service *service = plan->service;

    LOCK_SCOPE(&service->lock);
    for (struct run *run = service->runs; run; run = run->next)
        if (run->plan == plan && !run->vm_name && run->active) {
            run->cancelled = true;
            stream_shut(run->stream);
        }
}

bool runs_reading(const struct backup_service *service, const struct backup_plan *plan)
{
    for (const struct run *run = service->runs; run; run = run->next)
        if (run->plan == plan && run->active)
            return true;
    return false;
}

void runs_shut(struct backup_service *service)
{
    for (struct run *run = service->runs; run; run = run->next)
        stream_shut(run->stream);
}
