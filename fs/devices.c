/* SPDX-License-Identifier: GPL-2.0-or-later */
/* P/devices/: a file a block device; P/vms/NAME/devices/: links to those that a VM has. */
#include <errno.h>
#include <string.h>

#include "fs.h"
#include "qubesfs/log.h"

static const struct device *subject_device(const struct subject *subject)
{
    return device_list_find(subject->snapshot->devices, subject->name);
}

static int render_device(const struct subject *subject, struct text *content)
{
    const struct device *device = subject_device(subject);

    if (!device)
        return -ENOENT;
    device_render(device, content);
    return 0;
}

static struct timespec changed_device(const struct subject *subject)
{
    const struct device *device = subject_device(subject);

    return device ? device->changed : subject->fs->started;
}

static int run_device_command(const struct subject *subject, const char *untrusted_lines,
                              size_t length, void (*done)(void *cookie, int result), void *cookie)
{
    return host_device_command(subject->fs->host, subject->name, untrusted_lines, length, done,
                               cookie);
}

static const struct node_type device_type = {.kind = NODE_COMMAND,
                                             .mode = 0660,
                                             .field = NOT_TOLD,
                                             .render = render_device,
                                             .changed = changed_device,
                                             .command = run_device_command};

const struct node_type devices_type = {.kind = NODE_DIRECTORY, .mode = 0750, .field = NOT_TOLD};

/* The VM that has the device, as the same snapshot knows it; NULL: none. */
static const struct vm *holder(const struct host_snapshot *snapshot, const struct device *device)
{
    return device && device->attached[0] ? host_find_vm(snapshot, device->attached) : NULL;
}

static int render_link(const struct subject *subject, struct text *content)
{
    const struct device_list *list = subject->snapshot->devices;

    for (size_t i = 0; list && i < list->count; i++) {
        const struct device *device = list->devices[i];

        if (strcmp(device->frontend, subject->name) == 0 &&
            strcmp(device->attached, subject->vm->name) == 0) {
            text_printf(content, "../../../devices/%s", device->name);
            return 0;
        }
    }
    return -ENOENT;
}

static const struct node_type link_type = {
    .kind = NODE_LINK, .mode = 0777, .field = NOT_TOLD, .render = render_link};

static void fill_links(struct fs *fs, struct node *directory, const struct vm *vm,
                       const struct host_snapshot *snapshot)
{
    for (size_t i = 0; snapshot->devices && i < snapshot->devices->count; i++) {
        const struct device *device = snapshot->devices->devices[i];
        const struct vm *has = holder(snapshot, device);
        struct node *node;

        if (!has || has->identity != vm->identity)
            continue;
        node = node_new(&fs->tree, directory, &link_type, device->frontend);
        if (node && node_attach(node))
            node_unref(node);
    }
}

void vm_populate_devices(struct fs *fs, struct node *directory, const struct vm *vm)
{
    if (vm && fs->devices_shown)
        fill_links(fs, directory, vm, fs->devices_shown);
}

/* Takes the snapshot over as the one whose devices the tree has; the tree's lock is held. */
static const struct host_snapshot *show(struct fs *fs, const struct host_snapshot *snapshot)
{
    const struct host_snapshot *before = fs->devices_shown;

    fs->devices_shown = host_snapshot_ref(snapshot);
    return before;
}

void devices_keep(struct fs *fs, const struct host_snapshot *after)
{
    const struct host_snapshot *before;

    pthread_mutex_lock(&fs->tree.lock);
    before = show(fs, after);
    pthread_mutex_unlock(&fs->tree.lock);
    host_snapshot_unref(before);
}

int devices_populate(struct fs *fs, const struct host_snapshot *snapshot)
{
    int result = 0;

    LOCK_SCOPE(&fs->tree.lock);
    show(fs, snapshot);
    for (size_t i = 0; snapshot->devices && i < snapshot->devices->count && !result; i++) {
        struct node *node = node_new(&fs->tree, fs->tree.devices, &device_type,
                                     snapshot->devices->devices[i]->name);

        result = node ? node_attach(node) : -ENOMEM;
        if (node && result)
            node_unref(node);
    }
    return result;
}

static void remove_child(struct fs *fs, struct node *directory, const char *name)
{
    struct node *node = node_hidden(directory, name);

    if (!node)
        node = node_child(directory, name);
    if (node)
        node_vanished(fs, node);
}

static void add_child(struct fs *fs, struct node *directory, const struct node_type *type,
                      const char *name)
{
    struct node *node = node_new(&fs->tree, directory, type, name);

    if (node)
        notify_appeared(fs, node);
    else
        log_error("out of memory: %s is not shown", name);
}

/* The VM's devices/ if it has, or is to have, entries: somebody may watch it.  It is filled with
 * what was there before, so that what is new can be told. */
static struct node *link_directory(struct fs *fs, const struct vm *vm,
                                   const struct host_snapshot *before)
{
    struct node *node = vm_node(fs, vm), *directory;

    directory = node && node->populated ? node_child(node, "devices") : NULL;
    if (!directory || (!directory->populated && !node_known(directory)))
        return NULL;
    if (!directory->populated) {
        directory->populated = true;
        fill_links(fs, directory, vm, before);
        directory->children_changed = directory->born;
    }
    return directory;
}

static bool same_link(const struct host_snapshot *before, const struct device *old,
                      const struct host_snapshot *after, const struct device *new)
{
    const struct vm *x = holder(before, old), *y = holder(after, new);

    if (!x || !y)
        return x == y;
    return x->identity == y->identity && strcmp(old->frontend, new->frontend) == 0;
}

/* Removed ones first, so that a front end may be another device's at once. */
static void change_links(struct fs *fs, const struct host_snapshot *before,
                         const struct host_snapshot *after, bool removing)
{
    const struct host_snapshot *from = removing ? before : after, *to = removing ? after : before;

    for (size_t i = 0; from->devices && i < from->devices->count; i++) {
        const struct device *device = from->devices->devices[i];
        const struct vm *vm = holder(from, device);
        struct node *directory;

        if (!vm || same_link(from, device, to, device_list_find(to->devices, device->name)))
            continue;
        directory = link_directory(fs, vm, before);
        if (directory && removing)
            remove_child(fs, directory, device->frontend);
        else if (directory)
            add_child(fs, directory, &link_type, device->frontend);
    }
}

/* Whoever wrote the command by which a stale one went is to have his answer first. */
static void remove_file(struct fs *fs, const char *name)
{
    struct node *node = node_child(fs->tree.devices, name);

    if (node && node->phase == NODE_VISIBLE && node->unanswered > 0)
        node->leave_parked = true;
    else
        remove_child(fs, fs->tree.devices, name);
}

static void add_file(struct fs *fs, const char *name)
{
    struct node *node = node_child(fs->tree.devices, name);

    if (node && node->leave_parked) {
        node->leave_parked = false; /* it is back before it was told to be gone */
        notify_changed(fs, node);
    } else {
        add_child(fs, fs->tree.devices, &device_type, name);
    }
}

static void change_files(struct fs *fs, const struct device_list *before,
                         const struct device_list *after)
{
    size_t b = 0, a = 0;

    while (b < before->count || a < after->count) {
        int order = b == before->count  ? 1
                    : a == after->count ? -1
                                        : strcmp(before->devices[b]->name, after->devices[a]->name);
        const struct device *old = order <= 0 ? before->devices[b] : NULL;
        const struct device *new = order >= 0 ? after->devices[a] : NULL;
        struct node *node;

        if (!new) {
            remove_file(fs, old->name);
        } else if (!old) {
            add_file(fs, new->name);
        } else if (old->identity != new->identity) {
            /* one was pulled out, and another one has its name */
            remove_file(fs, old->name);
            add_file(fs, new->name);
        } else if (old != new && memcmp(&old->changed, &new->changed, sizeof(old->changed)) != 0) {
            node = node_child(fs->tree.devices, new->name);
            if (node)
                notify_changed(fs, node);
        }
        b += order <= 0;
        a += order >= 0;
    }
}

void devices_changed(struct fs *fs, const struct host_snapshot *before,
                     const struct host_snapshot *after)
{
    static const struct device_list none;
    const struct host_snapshot *shown;

    pthread_mutex_lock(&fs->tree.lock);
    /* the device before the link to it, and after */
    change_links(fs, before, after, true);
    change_files(fs, before->devices ? before->devices : &none, after->devices);
    change_links(fs, before, after, false);
    shown = show(fs, after);
    pthread_mutex_unlock(&fs->tree.lock);
    host_snapshot_unref(shown);
}
