/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All that a backup holds, put together from the plan, the catalogue and the disk. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static int add_all(struct job *job, struct error *ret_error)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < job->selection.count; i++)
        result = layout_add_vm(job, job->selection.vms[i], ret_error);
    if (result < 0)
        return result;
    if (job->selection.home)
        result = layout_add_home(job);
    if (result == 0)
        result = text_status(&job->left_out);
    return result < 0 ? error_set(ret_error, result, "out of memory") : 0;
}

int job_make(struct backup_plan *plan, const char *vm_name, struct job *ret_job,
             struct error *ret_error)
{
    struct backup_service *service = plan->service;
    struct archive_options options = plan_options(plan);
    int result;

    *ret_job = (struct job){.service = service,
                            .snapshot = host_snapshot(service->host),
                            .format = options.format,
                            .encrypted = options.encrypted};
    if (!ret_job->snapshot->catalogue)
        return error_set(ret_error, -ENOENT, "there is no catalogue to back up: %s can't be read",
                         service->catalogue_path);
    result = selection_make(plan, vm_name, ret_job->snapshot, &ret_job->selection, ret_error);
    if (result < 0)
        return result;
    result = owners_new(service->host, &ret_job->owners);
    if (result < 0)
        return error_set(ret_error, result, "can't look up users and groups: %s",
                         strerror(-result));
    return add_all(ret_job, ret_error);
}

static void free_item(struct item *item)
{
    for (size_t i = 0; i < item->image_count; i++) {
        storage_close(&item->images[i].open);
        storage_place_free(&item->images[i].place);
    }
    free(item->images);
    free(item->name);
    free(item->path);
    free(item->text);
}

void job_free(struct job *job)
{
    for (size_t i = 0; i < job->count; i++)
        free_item(&job->items[i]);
    free(job->items);
    owners_free(job->owners);
    selection_free(&job->selection);
    text_free(&job->left_out);
    if (job->snapshot)
        host_snapshot_unref(job->snapshot);
    *job = (struct job){.service = NULL};
}

enum catalogue_form job_form(const struct job *job)
{
    return job->format == 4 ? CATALOGUE_R4 : CATALOGUE_R3;
}

struct archive_source job_source(const struct job *job, const struct item *item,
                                 struct archive_image *images)
{
    for (size_t i = 0; i < item->image_count; i++)
        images[i] = (struct archive_image){
            .fd = item->images[i].open.fd,
            .path = item->images[i].place.path,
            .base = item->images[i].base,
            .still = item->images[i].open.still,
        };
    return (struct archive_source){
        .name = item->name,
        .path = item->path,
        .root = job->service->root,
        .dereference = item->dereference,
        .live = item->live,
        .images = item->image_count > 0 ? images : NULL,
        .image_count = item->image_count,
        .owners = owners_functions(job->owners),
    };
}

/* Where the backup's own catalogue says that a VM is. */
static char *mark_path(const struct job *job, const struct item *item)
{
    char *prefix, *path;

    if (!item->vm)
        return strdup(item->name);
    prefix = layout_prefix(job, item->vm);
    if (!prefix || job->format != 4)
        return prefix;
    if (asprintf(&path, "%s/", prefix) < 0)
        path = NULL;
    free(prefix);
    return path;
}

int job_marks(const struct job *job, struct catalogue_mark **ret_marks, size_t *ret_count)
{
    struct catalogue_mark *marks = calloc(job->count + 1, sizeof(*marks));
    size_t count = 0;

    if (!marks)
        return -ENOMEM;
    for (size_t i = 0; i < job->count; i++) {
        const struct item *item = &job->items[i];
        int qid = item->vm ? item->vm->entry->qid : 0;

        /* a VM's items stand together */
        if (count == 0 || marks[count - 1].qid != qid) {
            char *path = mark_path(job, item);

            if (!path) {
                job_marks_free(marks, count);
                return -ENOMEM;
            }
            marks[count++] = (struct catalogue_mark){.qid = qid, .backup_path = path};
        }
        marks[count - 1].backup_size += item->size.disk_bytes;
    }
    *ret_marks = marks;
    *ret_count = count;
    return 0;
}

void job_marks_free(struct catalogue_mark *marks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((char *)marks[i].backup_path);
    free(marks);
}
