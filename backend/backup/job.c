/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which files a backup holds, in the order and under the names of Qubes' own writer (R3,
 * encrypted). */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"
#include "qubesfs/text.h"

/* Adds an item; takes `name` and `path`, either of which may be NULL: then memory ran out. */
static int add_item(struct job *job, struct item item)
{
    struct item *grown = NULL;

    if (item.name && item.path)
        grown = reallocarray(job->items, job->count + 1, sizeof(*grown));
    if (!grown) {
        free(item.name);
        free(item.path);
        return -ENOMEM;
    }
    grown[job->count++] = item;
    job->items = grown;
    return 0;
}

static PRINTF(1, 2) char *format(const char *pattern, ...)
{
    va_list arguments;
    char *made;

    va_start(arguments, pattern);
    if (vasprintf(&made, pattern, arguments) < 0)
        made = NULL;
    va_end(arguments);
    return made;
}

enum need {
    NEEDED,     /* there or not: it must be */
    IF_PRESENT, /* left out when it is not there */
};

/* One file or directory of a VM. */
static int add_file(struct job *job, const struct vm *vm, const char *directory, const char *base,
                    enum need need, bool image)
{
    struct item item = {.vm = vm, .dereference = true, .image = image};
    struct stat status;

    item.path = format("%s/%s", directory, base);
    item.name = format("vm%d/%s", vm->entry->qid, base);
    if (need == IF_PRESENT && item.path && lstat(item.path, &status) && errno == ENOENT) {
        free(item.path);
        free(item.name);
        return 0;
    }
    return add_item(job, item);
}

/* The base name of a file that an R2 catalogue may call otherwise. */
static const char *file_name(const struct vm *vm, const char *attribute, const char *usual)
{
    const char *name = name_value_find(vm->entry->prefs, vm->entry->pref_count, attribute);

    return name && *name && *name != '.' && !strchr(name, '/') ? name : usual;
}

static bool is_there(const char *directory, const char *base)
{
    char *path CLEANUP_FREE = format("%s/%s", directory, base);
    struct stat status;

    return path && lstat(path, &status) == 0;
}

/* The order is Qubes': see docs/FORMAT.md. */
static int add_vm(struct job *job, const struct vm *vm, const char *directory)
{
    bool has_icon = vm->vm_class == VM_CLASS_APP || vm->vm_class == VM_CLASS_STANDALONE ||
                    vm->vm_class == VM_CLASS_HVM;
    bool has_root = vm->entry->updateable;
    int result =
        add_file(job, vm, directory, file_name(vm, "private_img", "private.img"), NEEDED, true);

    if (result == 0 && has_icon)
        result = add_file(job, vm, directory, "icon.png", IF_PRESENT, false);
    if (result == 0 && has_root)
        result = add_file(job, vm, directory,
                          is_there(directory, "apps.templates") ? "apps.templates" : "apps",
                          IF_PRESENT, false);
    if (result == 0 && has_root)
        result = add_file(job, vm, directory, "kernels", IF_PRESENT, false);
    if (result == 0)
        result = add_file(job, vm, directory, file_name(vm, "firewall_conf", "firewall.xml"),
                          IF_PRESENT, false);
    if (result == 0)
        result = add_file(job, vm, directory, "whitelisted-appmenus.list", IF_PRESENT, false);
    if (result == 0 && has_root)
        result = add_file(job, vm, directory, file_name(vm, "root_img", "root.img"), NEEDED, true);
    return result;
}

/* A template is one archive of its whole directory, with members below `vmN/./`. */
static int add_template(struct job *job, const struct vm *vm, const char *directory)
{
    struct item item = {.vm = vm, .dereference = true};

    item.path = format("%s", directory);
    item.name = format("vm%d/.", vm->entry->qid);
    return add_item(job, item);
}

static int add_home(struct job *job)
{
    const char *home = owners_home(job->owners), *base;
    struct item item = {.live = true};
    struct stat status;

    if (!home)
        return 0;
    base = strrchr(home, '/') + 1;
    item.path = host_path(job->service->host, home);
    item.name = format("dom0-home/%s", base);
    if (!*base || (item.path && lstat(item.path, &status) && errno == ENOENT)) {
        free(item.path);
        free(item.name);
        return 0;
    }
    return add_item(job, item);
}

static int add_all(struct job *job)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < job->selection.count; i++) {
        const struct vm *vm = job->selection.vms[i];
        char *directory CLEANUP_FREE = host_vm_directory(job->service->host, vm);

        if (!directory)
            return -ENOMEM;
        if (vm->vm_class == VM_CLASS_TEMPLATE || vm->vm_class == VM_CLASS_TEMPLATE_HVM)
            result = add_template(job, vm, directory);
        else
            result = add_vm(job, vm, directory);
    }
    return result == 0 && job->selection.home ? add_home(job) : result;
}

int job_make(struct backup_plan *plan, const char *vm_name, struct job *ret_job,
             struct error *ret_error)
{
    struct backup_service *service = plan->service;
    int result;

    *ret_job = (struct job){.service = service, .snapshot = host_snapshot(service->host)};
    if (!ret_job->snapshot->catalogue)
        return error_set(ret_error, -ENOENT, "there is no catalogue to back up: %s can't be read",
                         service->catalogue_path);
    if (ret_job->snapshot->catalogue->form != CATALOGUE_R3)
        return error_set(ret_error, -EINVAL,
                         "backup format 3 needs a catalogue of R2 or R3, and %s is one of R4: the "
                         "next version of qubesfs converts it",
                         service->catalogue_path);
    result = selection_make(plan, vm_name, ret_job->snapshot, &ret_job->selection, ret_error);
    if (result < 0)
        return result;
    result = owners_new(service->host, &ret_job->owners);
    if (result == 0)
        result = add_all(ret_job);
    return result < 0 ? error_set(ret_error, result, "out of memory") : 0;
}

void job_free(struct job *job)
{
    for (size_t i = 0; i < job->count; i++) {
        free(job->items[i].name);
        free(job->items[i].path);
    }
    free(job->items);
    owners_free(job->owners);
    selection_free(&job->selection);
    if (job->snapshot)
        host_snapshot_unref(job->snapshot);
    *job = (struct job){.service = NULL};
}

int job_refuse_running(const struct job *job, struct error *ret_error)
{
    struct text names CLEANUP_TEXT = TEXT_INIT;
    const struct host_snapshot *now = host_snapshot(job->service->host);

    for (size_t i = 0; i < job->selection.count; i++) {
        const struct vm *vm = host_find_vm(now, job->selection.vms[i]->name);

        if (vm && vm_is_active(vm))
            text_printf(&names, "%s%s", names.length > 0 ? ", " : "", vm->name);
    }
    host_snapshot_unref(now);
    if (names.length == 0)
        return text_status(&names);
    return error_set(ret_error, -EBUSY,
                     "these VMs are running, and their images can't be read while they change: %s; "
                     "shut them down, or name them in `exclude`",
                     names.data);
}

struct archive_source job_source(const struct job *job, const struct item *item)
{
    return (struct archive_source){
        .name = item->name,
        .path = item->path,
        .root = job->service->root,
        .dereference = item->dereference,
        .live = item->live,
        .image = item->image,
        .owners = owners_functions(job->owners),
    };
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
            char *path = item->vm ? format("vm%d", qid) : format("%s", item->name);

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
