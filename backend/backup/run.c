/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A run: an open file's stream, and the backup in the making that it is fed from. */
#include "run.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "making.h"
#include "produce.h"
#include "progress.h"
#include "qubesfs/log.h"
#include "stream.h"

/* how long a read that goes on waits for the reader before it to be gone: the kernel lets go of a
 * closed file when it comes to it */
#define TAKE_ATTEMPTS   40
#define TAKE_ATTEMPT_NS 50000000L

struct run {
    /* in the service's list, under its lock; link is NULL outside of it */
    struct run *next, **link;
    struct backup_plan *plan;
    struct backup_service *service;
    struct backup_stream *stream;
    char *vm_name;  /* NULL: as the plan says */
    bool cancelled; /* by a command; guarded by the service's lock */
    bool active;    /* guarded by the service's lock; counted in its `active` */

    /* the stream's thread alone uses what follows */
    struct making *making;
    uint64_t offset; /* where the stream begins */
    struct progress progress;
    bool told; /* `status` knows of it */
};

/* Once the service ends, nothing of the host may be used any more. */
static int enter(struct run *run)
{
    LOCK_SCOPE(&run->service->lock);
    if (run->service->closing)
        return -ECANCELED;
    if (!run->active)
        run->service->active++;
    run->active = true;
    return 0;
}

static void leave(struct run *run)
{
    /* what OpenSSL keeps for this thread goes now: the process may end before the thread does */
    OPENSSL_thread_stop();
    LOCK_SCOPE(&run->service->lock);
    run->active = run->cancelled = false;
    if (--run->service->active == 0)
        pthread_cond_broadcast(&run->service->quiet);
}

static bool is_removed(struct run *run)
{
    LOCK_SCOPE(&run->service->lock);
    return run->plan->removed;
}

/* True if another run of the same kind is there, whose backup may be kept soon.  `ret_near`: one
 * that has come as far as this one begins, so that this may be its copy's rest. */
static bool others_run(struct run *run, bool *ret_near)
{
    bool any = false;

    *ret_near = false;
    LOCK_SCOPE(&run->service->lock);
    for (const struct run *other = run->service->runs; other; other = other->next)
        if (other != run && other->plan == run->plan && other->active) {
            any = true;
            *ret_near = *ret_near || kept_near(stream_consumed(other->stream), run->offset) ||
                        kept_near(run->offset, stream_consumed(other->stream));
        }
    return any;
}

static int go_on(struct run *run, struct error *ret_error)
{
    static const struct timespec moment = {0, TAKE_ATTEMPT_NS};
    bool gone = false;

    for (int i = 0; i < TAKE_ATTEMPTS; i++) {
        bool near, others = others_run(run, &near);

        /* the reader that was there is perhaps on its way out */
        if (!near || i + 1 == TAKE_ATTEMPTS)
            run->making = kept_take(run->plan, run->vm_name, run->offset, &gone);
        if (run->making)
            return making_resume(run->making, ret_error);
        if (!others)
            break;
        nanosleep(&moment, NULL);
    }
    if (gone)
        return error_set(ret_error, -ESPIPE,
                         "the copy that was cut off about byte %llu is of a backup that was given "
                         "up, since a newer one had begun: begin again",
                         (unsigned long long)run->offset);
    return error_set(
        ret_error, -ESPIPE,
        "a backup is read from its beginning: there is none to go on with at byte %llu",
        (unsigned long long)run->offset);
}

static int run_begin(void *cookie, uint64_t offset, struct error *ret_error)
{
    struct run *run = cookie;
    int result = enter(run);

    run->told = false;
    run->offset = offset;
    if (result < 0)
        return error_set(ret_error, result, "qubesfs is ending");
    if (is_removed(run))
        return error_set(ret_error, -ENOENT, "the plan \"%s\" was removed", run->plan->name);
    if (offset > 0)
        return go_on(run, ret_error);
    result = making_new(run->plan, run->vm_name, &run->making, ret_error);
    if (result == 0)
        kept_begin(run->plan, run->making);
    return result;
}

static int run_run(void *cookie, const struct archive_output *output, struct error *ret_error)
{
    struct run *run = cookie;

    run->told = true;
    return produce(run->making, run->stream, run->offset, output, &run->progress, ret_error);
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

static bool was_cancelled(struct run *run)
{
    LOCK_SCOPE(&run->service->lock);
    return run->cancelled;
}

static void report_end(struct run *run, int result, uint64_t bytes, const struct error *error)
{
    const char *what = run->vm_name ? run->vm_name : run->plan->name;
    struct error cancelled;

    if (result == 0) {
        report(run, NULL);
        host_journal_add(run->service->host, "backup %s done, %llu bytes", what,
                         (unsigned long long)bytes);
        progress_end(&run->progress, STATUS_DONE, NULL);
    } else if (result == -ECANCELED && was_cancelled(run)) {
        error_set(&cancelled, result, "cancelled after %llu bytes", (unsigned long long)bytes);
        report(run, &cancelled);
        progress_end(&run->progress, STATUS_CANCELLED, cancelled.text);
    } else if (result == -ECANCELED) {
        error_set(&cancelled, result,
                  "given up by its reader after %llu bytes: for an hour, unless another one "
                  "begins, a copy "
                  "can go on from where it was cut off",
                  (unsigned long long)bytes);
        log_info("backup %s: %s", what, cancelled.text);
        if (run->told)
            progress_end(&run->progress, STATUS_FAILED, cancelled.text);
    } else {
        report(run, error);
        /* who only looked at it changes no status */
        if (run->told || (result != -ENOKEY && result != -ESPIPE))
            progress_end(&run->progress, STATUS_FAILED, error->text);
    }
}

/* Keeps it for who goes on, where that can be. */
static void put_away(struct run *run, struct making *making, int result)
{
    bool left = result == -ECANCELED && !was_cancelled(run);
    /* what was gone on with and can't be now may be later */
    bool refused = run->offset > 0 && (result == -EBUSY || result == -ENOTCONN);

    if (making && (result == 0 || left)) {
        making->finished = result == 0;
        kept_put(run->plan, making);
    } else if (making && refused && !making->spoiled) {
        kept_put_back(run->plan, making);
    } else {
        making_free(making);
    }
}

static void run_ended(void *cookie, int result, uint64_t bytes, const struct error *error)
{
    struct run *run = cookie;
    struct making *making = MOVE_POINTER(run->making);

    if (!run->active) /* refused since the service ends */
        return;
    if (result == 0)
        making_mark(making);
    report_end(run, result, bytes, error);
    put_away(run, making, result);
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
    progress_destroy(&run->progress);
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
    progress_init(&run->progress, vm_name ? NULL : plan);
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
