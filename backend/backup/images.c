/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The images of a job: opened at its beginning, in a state that stays still where there is one. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "internal.h"

/* VMs that can't be backed up as it is, by the reason. */
struct refused {
    struct text running, unknown;
};

/* An image a volume stays open: many VMs need more than the usual thousand of descriptors. */
static void raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void note(struct text *names, const char *name)
{
    size_t length = strlen(name);

    /* a VM's items stand together */
    if (names->length >= length && strcmp(names->data + names->length - length, name) == 0)
        return;
    text_printf(names, "%s%s", names->length > 0 ? ", " : "", name);
}

static int open_images(const struct job *job, struct item *item, bool active, bool unknown,
                       struct refused *refused, struct error *ret_error)
{
    for (size_t i = 0; i < item->image_count; i++) {
        struct item_image *image = &item->images[i];
        int result =
            storage_open(&image->place, job->service->root, active, false, &image->open, ret_error);

        if (result < 0)
            return result;
        if (active && !image->open.still)
            note(&refused->running, item->vm->name);
        else if (unknown && !image->open.still)
            note(&refused->unknown, item->vm->name);
    }
    return 0;
}

/* A directory is read as it is: a template's, with its images in it. */
static bool is_changing(const struct item *item)
{
    size_t length = strlen(item->name);

    return item->path && length > 2 && strcmp(item->name + length - 2, "/.") == 0;
}

int job_open_images(struct job *job, struct error *ret_error)
{
    const struct host_snapshot *now = host_snapshot(job->service->host);
    bool unknown = host_has_hypervisor(job->service->host) && !now->connected;
    struct refused refused = {TEXT_INIT, TEXT_INIT};
    int result = 0;

    raise_limit();
    for (size_t i = 0; result == 0 && i < job->count; i++) {
        struct item *item = &job->items[i];
        const struct vm *vm = item->vm ? host_find_vm(now, item->vm->name) : NULL;
        bool active = vm && vm_is_active(vm) && !unknown;

        if (!item->vm)
            continue;
        result = open_images(job, item, active, unknown, &refused, ret_error);
        if (active && is_changing(item))
            note(&refused.running, item->vm->name);
        else if (unknown && is_changing(item))
            note(&refused.unknown, item->vm->name);
    }
    host_snapshot_unref(now);
    if (result == 0 && (text_status(&refused.running) || text_status(&refused.unknown)))
        result = error_set(ret_error, -ENOMEM, "out of memory");
    if (result == 0 && refused.running.length > 0)
        result = error_set(ret_error, -EBUSY,
                           "these VMs are running, and their images can't be read while they "
                           "change: %s; shut them down, or name them in `exclude`",
                           refused.running.data);
    else if (result == 0 && refused.unknown.length > 0)
        result = error_set(ret_error, -ENOTCONN,
                           "the hypervisor does not answer, so nobody knows whether these VMs run "
                           "and change their images: %s",
                           refused.unknown.data);
    text_free(&refused.running);
    text_free(&refused.unknown);
    return result;
}

int item_check(const struct job *job, const struct item *item, struct error *ret_error)
{
    const struct host_snapshot *now;
    const struct vm *vm;
    bool changing = item->path != NULL, active;

    for (size_t i = 0; i < item->image_count; i++)
        changing = changing || !item->images[i].open.still;
    if (!item->vm || !changing)
        return 0;
    now = host_snapshot(job->service->host);
    vm = host_find_vm(now, item->vm->name);
    /* a file that is not the VM's to change is watched by itself */
    active = vm && vm_is_active(vm) && (item->image_count > 0 || is_changing(item));
    host_snapshot_unref(now);
    if (!active)
        return 0;
    return error_set(ret_error, -EBUSY,
                     "%s was started while it was backed up: shut it down and begin again",
                     item->vm->name);
}
