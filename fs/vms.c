/* SPDX-License-Identifier: GPL-2.0-or-later */
/* P/vms/: follows the host's snapshots.  Contents are new at once; names wait for the notifier. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs.h"
#include "qubesfs/clock.h"
#include "qubesfs/log.h"

const struct node_type vms_type = {.kind = NODE_DIRECTORY, .mode = 0750, .field = NOT_TOLD};

/* The lists of a catalogue entry, each a directory of files. */
struct item_list {
    const char *directory;
    const struct node_type *type;
    const struct name_value *items;
    size_t count;
};

static bool entry_list(const struct vm *vm, const char *directory, struct item_list *ret_list)
{
    const struct catalogue_entry *entry = vm->entry;

    *ret_list = (struct item_list){.directory = directory};
    if (strcmp(directory, "prefs") == 0) {
        ret_list->type = &pref_type;
        ret_list->items = entry ? entry->prefs : NULL;
        ret_list->count = entry ? entry->pref_count : 0;
    } else if (strcmp(directory, "services") == 0) {
        ret_list->type = &service_type;
        ret_list->items = entry ? entry->services : NULL;
        ret_list->count = entry ? entry->service_count : 0;
    } else if (strcmp(directory, "features") == 0) {
        ret_list->type = &feature_type;
        ret_list->items = entry ? entry->features : NULL;
        ret_list->count = entry ? entry->feature_count : 0;
    } else if (strcmp(directory, "tags") == 0) {
        ret_list->type = &tag_type;
        ret_list->items = entry ? entry->tags : NULL;
        ret_list->count = entry ? entry->tag_count : 0;
    } else {
        return false;
    }
    return true;
}

/* A property that may be set is a file that may be written. */
static const struct node_type *type_of_item(const struct item_list *list, const struct vm *vm,
                                            const struct name_value *item)
{
    return list->type == &pref_type && catalogue_pref_settable(vm->entry, item->name)
               ? &settable_pref_type
               : list->type;
}

void vms_add_child(struct fs *fs, struct node *directory, const struct node_type *type,
                   const char *name)
{
    struct node *node = node_new(&fs->tree, directory, type, name);

    if (node && node_attach(node))
        node_unref(node);
}

void vm_populate_items(struct fs *fs, struct node *directory, const struct vm *vm)
{
    struct item_list list;

    if (!vm || !entry_list(vm, directory->type->name, &list))
        return;
    for (size_t i = 0; i < list.count; i++)
        vms_add_child(fs, directory, type_of_item(&list, vm, &list.items[i]), list.items[i].name);
}

/* Features and tags are R4's. */
static bool has_features(const struct vm *vm)
{
    return vm->entry && vm->entry->form == CATALOGUE_R4;
}

void vm_populate_extra(struct fs *fs, struct node *directory, const struct vm *vm)
{
    if (vm && vm->has_firewall)
        vms_add_child(fs, directory, &firewall_type, firewall_type.name);
    if (vm && has_features(vm)) {
        vms_add_child(fs, directory, &features_type, features_type.name);
        vms_add_child(fs, directory, &tags_type, tags_type.name);
    }
}

/* The node of each VM by its identity, which are small numbers; each a reference, since one that
 * could not be shown is not in the tree.  Guarded by the tree's lock. */
static int remember(struct fs *fs, uint64_t identity, struct node *node)
{
    if (identity >= fs->vm_node_count) {
        size_t count = (size_t)identity * 2 + 64;
        struct node **grown = reallocarray(fs->vm_nodes, count, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        memset(grown + fs->vm_node_count, 0, (count - fs->vm_node_count) * sizeof(*grown));
        fs->vm_nodes = grown;
        fs->vm_node_count = count;
    }
    fs->vm_nodes[identity] = node_ref(node);
    return 0;
}

struct node *vm_node(struct fs *fs, const struct vm *vm)
{
    return vm->identity < fs->vm_node_count ? fs->vm_nodes[vm->identity] : NULL;
}

static struct node *vm_node_new(struct fs *fs, const struct vm *vm)
{
    struct node *node = node_new(&fs->tree, fs->tree.vms, &vm_type, vm->name);

    if (!node)
        return NULL;
    node->object = vm_object_new(vm);
    if (!node->object || remember(fs, vm->identity, node)) {
        node_unref(node);
        return NULL;
    }
    return node;
}

int vms_populate(struct fs *fs, const struct host_snapshot *snapshot)
{
    LOCK_SCOPE(&fs->tree.lock);
    for (size_t i = 0; i < snapshot->vm_count; i++) {
        struct node *node = vm_node_new(fs, snapshot->vms[i]);

        if (!node)
            return -ENOMEM;
        if (node_attach(node)) {
            node_unref(node);
            return -ENOMEM;
        }
    }
    return 0;
}

static void appeared(struct fs *fs, const struct vm *vm)
{
    struct node *node = vm_node_new(fs, vm);

    if (node)
        notify_appeared(fs, node);
    else
        log_error("out of memory: VM %s is not shown", vm->name);
}

bool vm_has_item(const struct node *node)
{
    const struct vm *vm = node->object ? node->object->vm : NULL;
    struct item_list list;

    return vm && node->parent && entry_list(vm, node->parent->type->name, &list) &&
           name_value_find(list.items, list.count, node->name);
}

void node_vanished(struct fs *fs, struct node *node)
{
    if (node->phase == NODE_HIDDEN) {
        node_detach(&fs->tree, node); /* nobody has seen it */
        return;
    }
    if (node->phase != NODE_VISIBLE)
        return;
    node->phase = NODE_LEAVING;
    notify_vanished(fs, node);
}

/* A user who removes it tells it by that; one who writes to it has his answer first: a removal
 * would wait for the file's lock, which the kernel holds for him. */
static void item_vanished(struct fs *fs, struct node *node)
{
    if (node->user_naming)
        return;
    if (node->unanswered > 0)
        node->leave_parked = true;
    else
        node_vanished(fs, node);
}

/* It may be there already: made by a user, who tells it by that, or by the write to a new file. */
static void item_appeared(struct fs *fs, struct node *directory, const struct node_type *type,
                          const char *name)
{
    struct node *node = node_hidden(directory, name);

    if (node && node->user_naming)
        return;
    node = node_child(directory, name);
    if (node && node->phase == NODE_VISIBLE) {
        notify_changed(fs, node);
        return;
    }
    node = node_new(&fs->tree, directory, type, name);
    if (node)
        notify_appeared(fs, node);
}

/* Both lists are sorted: items that came, went or have another value. */
static void compare_items(struct fs *fs, struct node *directory, const struct vm *vm,
                          const struct item_list *before, const struct item_list *after)
{
    size_t b = 0, a = 0;

    while (b < before->count || a < after->count) {
        int order = b == before->count  ? 1
                    : a == after->count ? -1
                                        : strcmp(before->items[b].name, after->items[a].name);
        struct node *node;

        if (order < 0) {
            node = node_hidden(directory, before->items[b].name);
            if (!node)
                node = node_child(directory, before->items[b].name);
            b++;
            if (node)
                item_vanished(fs, node);
        } else if (order > 0) {
            item_appeared(fs, directory, type_of_item(after, vm, &after->items[a]),
                          after->items[a].name);
            a++;
        } else {
            node = strcmp(before->items[b].value, after->items[a].value)
                       ? node_child(directory, after->items[a].name)
                       : NULL;
            a++;
            b++;
            if (node)
                notify_changed(fs, node);
        }
    }
}

/* A file that is there for some VMs only. */
static void compare_file(struct fs *fs, struct node *directory, const struct node_type *type,
                         bool before, bool after)
{
    struct node *node;

    if (before && !after) {
        node = node_hidden(directory, type->name);
        if (!node)
            node = node_child(directory, type->name);
        if (node)
            node_vanished(fs, node);
    } else if (!before && after) {
        node = node_new(&fs->tree, directory, type, type->name);
        if (node)
            notify_appeared(fs, node);
    }
}

/* The images that came, went or have another content. */
static void compare_volumes(struct fs *fs, struct node *directory, const struct vm *before,
                            const struct vm *after)
{
    for (size_t i = 0; i < VM_VOLUME_COUNT; i++) {
        struct node *node = node_child(directory, volume_types[i].name);

        compare_file(fs, directory, &volume_types[i], before->has_volume[i], after->has_volume[i]);
        if (node && before->has_volume[i] && after->has_volume[i] &&
            !clock_same(before->changed[VM_FIELD_VOLUME + i], after->changed[VM_FIELD_VOLUME + i]))
            notify_changed(fs, node);
    }
}

static bool is_volumes(const struct node *node)
{
    return node->type->populate == volumes_populate;
}

static void changed(struct fs *fs, struct node *node, const struct vm *before,
                    const struct vm *after)
{
    /* whoever watches the directory must have it; what was there before must be known to tell what
     * is new, and the new content must be in place before anything is told */
    if (node_known(node))
        node_populate(fs, node, before);
    for (size_t i = 0; i < node->child_count; i++)
        if ((before->entry != after->entry || is_volumes(node->children[i])) &&
            node_known(node->children[i]))
            node_populate(fs, node->children[i], before);
    vm_object_set(node->object, after);
    if (node->populated) {
        compare_file(fs, node, &firewall_type, before->has_firewall, after->has_firewall);
        compare_file(fs, node, &features_type, has_features(before), has_features(after));
        compare_file(fs, node, &tags_type, has_features(before), has_features(after));
    }
    for (size_t i = 0; i < node->child_count; i++) {
        struct node *child = node->children[i];
        struct item_list old, new;
        int field = child->type->field;

        if (field != NOT_TOLD && !clock_same(before->changed[field], after->changed[field]))
            notify_changed(fs, child);
        if (before->entry != after->entry && child->populated &&
            entry_list(before, child->type->name, &old) &&
            entry_list(after, child->type->name, &new))
            compare_items(fs, child, after, &old, &new);
        if (is_volumes(child) && child->populated)
            compare_volumes(fs, child, before, after);
    }
}

struct renaming {
    const struct host_change *change;
    bool begun;
};

static int by_old_name(const void *a, const void *b)
{
    const struct renaming *x = a, *y = b;

    return strcmp(x->change->before->name, y->change->before->name);
}

/* Which of them has the name that this one is to get; NULL: the name is free. */
static struct renaming *in_the_way(struct renaming *all, size_t count, const struct renaming *one)
{
    struct host_change wanted = {.before = one->change->after};
    struct renaming key = {.change = &wanted};

    return bsearch(&key, all, count, sizeof(*all), by_old_name);
}

static void renamed(struct fs *fs, const struct renaming *one)
{
    struct node *node = vm_node(fs, one->change->before);

    if (node && !node->user_naming) /* else the user's own rename tells it: rename.c */
        notify_renamed(fs, node, one->change->after->name);
}

/* Each after the one whose name it gets; those that go round in a circle are exchanged (notify.c).
 */
static void all_renamed(struct fs *fs, const struct host_change *changes, size_t change_count)
{
    struct renaming *all CLEANUP_FREE = calloc(change_count + 1, sizeof(*all));
    struct renaming **chain CLEANUP_FREE = calloc(change_count + 1, sizeof(struct renaming *));
    size_t count = 0;

    for (size_t i = 0; i < change_count; i++) {
        const struct vm *before = changes[i].before, *after = changes[i].after;
        struct renaming one = {.change = &changes[i]};

        if (!before || !after || strcmp(before->name, after->name) == 0)
            continue;
        if (all && chain)
            all[count++] = one;
        else
            renamed(fs, &one);
    }
    if (count > 1)
        qsort(all, count, sizeof(*all), by_old_name);
    for (size_t i = 0; i < count; i++) {
        struct renaming *next = &all[i];
        size_t length = 0;

        for (; next && !next->begun; next = in_the_way(all, count, next)) {
            next->begun = true;
            chain[length++] = next;
        }
        while (length > 0)
            renamed(fs, chain[--length]);
    }
}

/* What goes makes room first; then names change, then contents; what is new comes last, when each
 * name that it may have is free. */
void vms_changed(struct fs *fs, const struct host_change *changes, size_t change_count)
{
    LOCK_SCOPE(&fs->tree.lock);
    for (size_t i = 0; i < change_count; i++) {
        const struct vm *before = changes[i].before;
        struct node *node = before && !changes[i].after ? vm_node(fs, before) : NULL;

        if (!node)
            continue;
        fs->vm_nodes[before->identity] = NULL;
        node_vanished(fs, node);
        node_unref(node);
    }
    all_renamed(fs, changes, change_count);
    for (size_t i = 0; i < change_count; i++) {
        const struct vm *before = changes[i].before, *after = changes[i].after;
        struct node *node = before && after ? vm_node(fs, before) : NULL;

        if (node)
            changed(fs, node, before, after);
    }
    for (size_t i = 0; i < change_count; i++)
        if (!changes[i].before && changes[i].after)
            appeared(fs, changes[i].after);
}
