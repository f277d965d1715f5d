/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "making.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qubesfs/locked.h"
#include "qubesfs/log.h"

/* When it began, in local time as in Qubes' own, and what no other backup has. */
int backup_name(char ret_id[ARCHIVE_ID_SIZE], time_t when)
{
    unsigned char random[16];
    struct tm local;
    char day[16] = "";
    size_t length;

    if (getentropy(random, sizeof(random)) != 0)
        return -EIO;
    if (localtime_r(&when, &local))
        strftime(day, sizeof(day), "%Y%m%dT%H%M%S", &local);
    length = (size_t)snprintf(ret_id, ARCHIVE_ID_SIZE, "%15s-", day);
    for (size_t i = 0; i < sizeof(random); i++)
        length += (size_t)snprintf(ret_id + length, ARCHIVE_ID_SIZE - length, "%02x", random[i]);
    return 0;
}

/* All that is random in it.  The kernel's: OpenSSL would keep a generator of its own for each
 * thread that asks. */
static int make_seed(struct making *making)
{
    making->seed = locked_alloc(ARCHIVE_SEED_SIZE);
    if (!making->seed)
        return -ENOMEM;
    making->options.salt_seed = making->seed;
    if (getentropy(making->seed, ARCHIVE_SEED_SIZE) != 0)
        return -EIO;
    return backup_name(making->options.backup_id, making->options.time);
}

/* What is noted of it while it is made. */
static int make_notes(struct making *making)
{
    int result = archive_manifest_new(&making->manifest);

    making->options.manifest = making->manifest;
    return result == 0 ? sent_new(&making->sent) : result;
}

static int make_document(struct making *making, struct error *ret_error)
{
    struct catalogue_mark *marks;
    size_t count;
    int result = job_marks(&making->job, &marks, &count);

    if (result < 0)
        return error_set(ret_error, result, "out of memory");
    result = catalogue_export(making->service->catalogue_path, job_form(&making->job), marks, count,
                              &making->document, &making->document_length, NULL, ret_error);
    job_marks_free(marks, count);
    return result;
}

static int settle(struct backup_plan *plan, struct making *making, struct error *ret_error)
{
    struct job *job = &making->job;
    int result = job_make(plan, making->vm_name, job, ret_error);

    if (result == 0)
        result = job_open_images(job, ret_error);
    for (size_t i = 0; result == 0 && i < job->count; i++)
        result = item_measure(job, &job->items[i], ret_error);
    if (result == 0)
        result = make_document(making, ret_error);
    if (result < 0)
        return result;
    result = make_seed(making);
    if (result == 0)
        result = make_notes(making);
    if (result < 0)
        return error_set(ret_error, result, "the backup can't begin: %s", strerror(-result));
    making->bound = job_bound(job, &making->options, making->document_length);
    making->tar_bytes = job_tar_bytes(job, making->document_length);
    return 0;
}

int making_new(struct backup_plan *plan, const char *vm_name, struct making **ret_making,
               struct error *ret_error)
{
    struct making *making = calloc(1, sizeof(*making));
    int result = -ENOMEM;

    if (making) {
        making->service = plan->service;
        making->vm_name = vm_name ? strdup(vm_name) : NULL;
        making->options = plan_options(plan);
        making->options.time = time(NULL);
        making->options.passphrase = making->passphrase = plan_passphrase(plan);
    }
    if (!making || (vm_name && !making->vm_name))
        error_set(ret_error, result, "out of memory");
    else if (!making->passphrase)
        result =
            error_set(ret_error, -ENOKEY,
                      "there is no passphrase yet: write one to backups/%s/passphrase", plan->name);
    else
        result = settle(plan, making, ret_error);
    if (result < 0) {
        making_free(making);
        return result;
    }
    *ret_making = making;
    return 0;
}

int making_resume(struct making *making, struct error *ret_error)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < making->job.count; i++)
        result = item_check(&making->job, &making->job.items[i], ret_error);
    return result;
}

/* A running qubesd refuses to save over what somebody else has written. */
static bool qubesd_runs(const struct making *making)
{
    char *path CLEANUP_FREE = host_path(making->service->host, "/var/run/qubesd.sock");

    return path && access(path, F_OK) == 0;
}

void making_mark(const struct making *making)
{
    const struct job *job = &making->job;
    int *qids CLEANUP_FREE = calloc(job->count + 1, sizeof(*qids));
    struct error error;
    size_t count = 0;

    for (size_t i = 0; qids && i < job->count; i++) {
        int qid = job->items[i].vm ? job->items[i].vm->entry->qid : 0;

        if (count == 0 || qids[count - 1] != qid)
            qids[count++] = qid;
    }
    if (count == 0 || qubesd_runs(making))
        return;
    if (catalogue_mark_backup(making->service->catalogue_path, qids, count, making->options.time,
                              &error) < 0) {
        log_warning("the time of the backup is not in the catalogue: %s", error.text);
        host_journal_add(making->service->host,
                         "warning: the time of the backup is not in the catalogue: %s", error.text);
    }
}

void making_free(struct making *making)
{
    if (!making)
        return;
    job_free(&making->job);
    secret_unref(making->passphrase);
    locked_free(making->seed, ARCHIVE_SEED_SIZE);
    sent_free(making->sent);
    archive_manifest_free(making->manifest);
    free(making->document);
    free(making->vm_name);
    free(making);
}
