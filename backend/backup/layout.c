/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which files of a VM a backup holds, in the order and under the names of Qubes' own writers: those
 * of R3 in format 3, of R4 in format 4 (docs/FORMAT.md).  Where the host is of the other release,
 * its files are stored as the reader expects to find them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "internal.h"

/* What is being added. */
struct adding {
    struct job *job;
    const struct vm *vm;
    char *directory; /* the VM's, with root */
    char *prefix;    /* of its names in the archive: `vm2`, `appvms/work` */
    size_t before;   /* items that there were */
    struct error *error;
};

static int out_of_memory(const struct adding *adding)
{
    return error_set(adding->error, -ENOMEM, "out of memory");
}

static void free_item(struct item *item)
{
    for (size_t i = 0; i < item->image_count; i++)
        storage_place_free(&item->images[i].place);
    free(item->images);
    free(item->name);
    free(item->path);
    free(item->text);
}

/* Takes the item over.  A name of NULL: memory has run out. */
static int add_item(struct job *job, struct item item)
{
    struct item *grown = NULL;

    if (item.name && (item.path || item.images || item.text))
        grown = reallocarray(job->items, job->count + 1, sizeof(*grown));
    if (!grown) {
        free_item(&item);
        return -ENOMEM;
    }
    grown[job->count++] = item;
    job->items = grown;
    return 0;
}

/* A file or directory of the VM, where it is there. */
static int add_file(const struct adding *adding, const char *base)
{
    struct item item = {.vm = adding->vm, .dereference = true};
    struct stat status;

    item.path = text_format("%s/%s", adding->directory, base);
    item.name = text_format("%s/%s", adding->prefix, base);
    if (item.path && lstat(item.path, &status) && errno == ENOENT) {
        free_item(&item);
        return 0;
    }
    return add_item(adding->job, item) ? out_of_memory(adding) : 0;
}

/* Images of these volumes: one as `VM/VOLUME.img`, or both in the directory `VM/.`. */
static int add_images(const struct adding *adding, const char *const *volumes, size_t count)
{
    struct job *job = adding->job;
    struct item item = {.vm = adding->vm, .images = calloc(count, sizeof(*item.images))};
    int result = item.images ? 0 : out_of_memory(adding);

    item.name = count == 1 ? text_format("%s/%s.img", adding->prefix, volumes[0])
                           : text_format("%s/.", adding->prefix);
    for (size_t i = 0; result == 0 && i < count; i++) {
        struct item_image *image = &item.images[item.image_count++];

        *image = (struct item_image){.open = STORAGE_IMAGE_INIT};
        if (count > 1)
            image->base = strcmp(volumes[i], "root") == 0 ? "root.img" : "private.img";
        result = storage_locate(job->service->root, adding->directory, job->snapshot->catalogue,
                                adding->vm->entry, volumes[i], &image->place, adding->error);
    }
    if (result < 0) {
        free_item(&item);
        return result;
    }
    return add_item(job, item) ? out_of_memory(adding) : 0;
}

static int add_image(const struct adding *adding, const char *volume)
{
    return add_images(adding, &volume, 1);
}

/* The base name of a file that an R2 catalogue may call otherwise. */
static const char *file_name(const struct vm *vm, const char *attribute, const char *usual)
{
    const char *name = name_value_find(vm->entry->prefs, vm->entry->pref_count, attribute);

    return name && *name && *name != '.' && !strchr(name, '/') ? name : usual;
}

static bool is_there(const char *directory, const char *base)
{
    char *path CLEANUP_FREE = text_format("%s/%s", directory, base);
    struct stat status;

    return path && lstat(path, &status) == 0;
}

/* What the backup's own release has no place for. */
static void leave_out(const struct adding *adding, const char *base, const char *what)
{
    if (is_there(adding->directory, base))
        text_printf(&adding->job->left_out, "%s\t%s\n", adding->vm->name, what);
}

/*
 * The rules as the backup's own release reads them.  A VM that comes back without any may reach
 * everything, so nothing is done in silence: what can't be read now is an error, and what can't be
 * said there is told.
 */
static int add_firewall(const struct adding *adding)
{
    struct item item = {.vm = adding->vm};
    char *rules CLEANUP_FREE = NULL, *left_out CLEANUP_FREE = NULL;
    struct job *job = adding->job;
    struct error error;
    size_t length;
    int result = host_vm_firewall(job->service->host, adding->vm, &rules, &length);

    if (result == -ENOENT)
        return 0;
    if (result < 0)
        return error_set(adding->error, result, "%s: can't read the firewall's rules: %s",
                         adding->vm->name, strerror(-result));
    result = firewall_convert("firewall.xml", rules, length, job_form(job), time(NULL), &item.text,
                              &left_out, &error);
    if (result == -ENOMEM)
        return out_of_memory(adding);
    if (result < 0) {
        text_printf(&job->left_out,
                    "%s\tfirewall.xml: ALL its rules, it may reach everything if restored: %s\n",
                    adding->vm->name, error.text);
        return 0;
    }
    for (const char *at = left_out; *at; at += strcspn(at, "\n") + 1)
        text_printf(&job->left_out, "%s\tfirewall.xml: %.*s\n", adding->vm->name,
                    (int)strcspn(at, "\n"), at);
    item.name = text_format("%s/firewall.xml", adding->prefix);
    return add_item(job, item) ? out_of_memory(adding) : 0;
}

/* An R3 host's VM in format 3, but for a template. */
static int add_r3(const struct adding *adding)
{
    const struct vm *vm = adding->vm;
    bool has_icon = vm->vm_class == VM_CLASS_APP || vm->vm_class == VM_CLASS_STANDALONE ||
                    vm->vm_class == VM_CLASS_HVM;
    bool has_root = vm->entry->updateable;
    int result = add_image(adding, "private");

    if (result == 0 && has_icon)
        result = add_file(adding, "icon.png");
    if (result == 0 && has_root)
        result = add_file(adding, is_there(adding->directory, "apps.templates") ? "apps.templates"
                                                                                : "apps");
    if (result == 0 && has_root)
        result = add_file(adding, "kernels");
    if (result == 0)
        result = add_file(adding, file_name(vm, "firewall_conf", "firewall.xml"));
    if (result == 0)
        result = add_file(adding, "whitelisted-appmenus.list");
    return result == 0 && has_root ? add_image(adding, "root") : result;
}

/* A template is one archive of its whole directory, with members below `vmN/./`. */
static int add_template(const struct adding *adding)
{
    struct item item = {.vm = adding->vm, .dereference = true};

    item.path = strdup(adding->directory);
    item.name = text_format("%s/.", adding->prefix);
    return add_item(adding->job, item) ? out_of_memory(adding) : 0;
}

/* An R4 host's VM in format 3: its volumes, as R3 would have them. */
static int add_r4_as_r3(const struct adding *adding, bool is_template)
{
    static const char *const both[] = {"root", "private"};
    int result;

    leave_out(adding, "notes.txt", "notes.txt");
    if (is_template) {
        leave_out(adding, "firewall.xml", "firewall.xml: a template's rules");
        return add_images(adding, both, ARRAY_SIZE(both));
    }
    result = add_image(adding, "private");
    if (result == 0)
        result = add_firewall(adding);
    return result == 0 && adding->vm->entry->updateable ? add_image(adding, "root") : result;
}

/* An R4 host's VM in format 4: what outlives a stop. */
static int add_r4_volumes(const struct adding *adding)
{
    const struct catalogue_entry *entry = adding->vm->entry;
    int result = 0;

    for (size_t i = 0; result == 0 && i < entry->volume_count; i++)
        if (entry->volumes[i].save_on_stop)
            result = add_image(adding, entry->volumes[i].name);
    if (entry->volume_count == 0 && entry->updateable)
        result = add_image(adding, "root");
    if (result == 0 && entry->volume_count == 0)
        result = add_image(adding, "private");
    return result;
}

static int add_r4(const struct adding *adding)
{
    bool from_r3 = adding->job->snapshot->catalogue->form == CATALOGUE_R3;
    int result = 0;

    if (!from_r3) {
        result = add_r4_volumes(adding);
    } else {
        if (adding->vm->entry->updateable)
            result = add_image(adding, "root");
        if (result == 0)
            result = add_image(adding, "private");
        if (result == 0)
            result = add_firewall(adding);
        leave_out(adding, "whitelisted-appmenus.list", "whitelisted-appmenus.list");
    }
    if (result == 0 && !from_r3)
        result = add_file(adding, "firewall.xml");
    if (result == 0 && !from_r3)
        result = add_file(adding, "notes.txt");
    if (result == 0 && adding->job->count == adding->before) {
        struct item item = {.vm = adding->vm, .text = strdup("")};

        item.name = text_format("%s/empty", adding->prefix);
        result = add_item(adding->job, item) ? out_of_memory(adding) : 0;
    }
    return result;
}

char *layout_prefix(const struct job *job, const struct vm *vm)
{
    int qid = catalogue_export_qid(job->snapshot->catalogue, job_form(job), vm->entry->qid);

    if (job->encrypted)
        return text_format("vm%d", qid >= 0 ? qid : vm->entry->qid);
    return text_format("%s/%s", vm_class_directory(vm->vm_class), vm->name);
}

int layout_add_vm(struct job *job, const struct vm *vm, struct error *ret_error)
{
    char *directory CLEANUP_FREE = host_vm_directory(job->service->host, vm);
    char *prefix CLEANUP_FREE = layout_prefix(job, vm);
    struct adding adding = {job, vm, directory, prefix, job->count, ret_error};
    bool is_template = vm->vm_class == VM_CLASS_TEMPLATE || vm->vm_class == VM_CLASS_TEMPLATE_HVM;

    if (!directory || !prefix)
        return out_of_memory(&adding);
    if (job->format == 4)
        return add_r4(&adding);
    if (job->snapshot->catalogue->form == CATALOGUE_R4)
        return add_r4_as_r3(&adding, is_template);
    return is_template ? add_template(&adding) : add_r3(&adding);
}

int layout_add_home(struct job *job)
{
    const char *home = owners_home(job->owners), *base;
    char *trimmed CLEANUP_FREE = home ? strdup(home) : NULL;
    struct item item = {.live = true};
    struct stat status;

    if (!home)
        return 0;
    if (!trimmed)
        return -ENOMEM;
    for (size_t end = strlen(trimmed); end > 0 && trimmed[end - 1] == '/'; end--)
        trimmed[end - 1] = '\0';
    base = strrchr(trimmed, '/');
    if (!base)
        return 0; /* "/" is nobody's home alone */
    item.path = host_path(job->service->host, trimmed);
    item.name = text_format("dom0-home/%s", base + 1);
    if (item.path && lstat(item.path, &status) && errno == ENOENT) {
        free_item(&item);
        return 0;
    }
    return add_item(job, item);
}
