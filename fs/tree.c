/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tree.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "fs.h"
#include "qubesfs/clock.h"

struct node *node_new(struct tree *tree, struct node *parent, const struct node_type *type,
                      const char *name)
{
    bool directory = type->kind == NODE_DIRECTORY;
    struct node *node = calloc(1, directory ? sizeof(*node) : offsetof(struct node, children));

    if (!node)
        return NULL;
    node->name = type->name && strcmp(type->name, name) == 0 ? (char *)type->name : strdup(name);
    if (!node->name) {
        free(node);
        return NULL;
    }
    node->ino = tree->next_ino++;
    node->type = type;
    node->references = 1;
    node->phase = NODE_HIDDEN;
    node->born = clock_wall_unique();
    if (directory)
        node->children_changed = node->born;
    if (parent) {
        node->parent = node_ref(parent);
        node->plan = parent->plan;
        node->object = parent->object;
        if (node->object)
            node->object->references++;
        node->hidden_next = parent->hidden;
        parent->hidden = node;
    }
    return node;
}

static void free_name(struct node *node)
{
    if (node->name != node->type->name)
        free(node->name);
}

struct node *node_hidden(const struct node *directory, const char *name)
{
    struct node *node = directory->hidden;

    while (node && strcmp(node->name, name) != 0)
        node = node->hidden_next;
    return node;
}

static void unhide(struct node *node)
{
    struct node **place = node->parent ? &node->parent->hidden : NULL;

    while (place && *place && *place != node)
        place = &(*place)->hidden_next;
    if (place && *place)
        *place = node->hidden_next;
}

struct node *node_ref(struct node *node)
{
    node->references++;
    return node;
}

void node_unref(struct node *node)
{
    /* a loop and no recursion: letting go a child may let go its parents */
    while (node && --node->references == 0) {
        struct node *parent = node->parent;

        if (node->phase == NODE_HIDDEN)
            unhide(node);
        vm_object_unref(node->object);
        if (node->type->kind == NODE_DIRECTORY)
            free(node->children);
        free_name(node);
        free(node);
        node = parent;
    }
}

/* Where `name` is or would be among the children. */
static size_t child_place(const struct node *directory, const char *name, bool *ret_found)
{
    size_t low = 0, high = directory->child_count;

    /* what comes sorted goes to the end */
    if (high > 0 && strcmp(directory->children[high - 1]->name, name) < 0) {
        *ret_found = false;
        return high;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(directory->children[middle]->name, name);

        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = false;
    return low;
}

struct node *node_child(const struct node *directory, const char *name)
{
    bool found;
    size_t place = child_place(directory, name, &found);

    return found ? directory->children[place] : NULL;
}

static int insert(struct node *directory, struct node *node)
{
    bool found;
    size_t place;

    if (directory->child_count == directory->child_capacity) {
        size_t capacity = directory->child_capacity ? 2 * directory->child_capacity : 8;
        struct node **grown = reallocarray(directory->children, capacity, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        directory->children = grown;
        directory->child_capacity = capacity;
    }
    place = child_place(directory, node->name, &found);
    if (found)
        return -EEXIST;
    memmove(directory->children + place + 1, directory->children + place,
            (directory->child_count - place) * sizeof(*directory->children));
    directory->children[place] = node;
    directory->child_count++;
    directory->children_changed = clock_wall_unique();
    return 0;
}

static void take_out(struct node *node)
{
    struct node *directory = node->parent;
    bool found;
    size_t place = child_place(directory, node->name, &found);

    if (!found || directory->children[place] != node)
        return;
    directory->child_count--;
    memmove(directory->children + place, directory->children + place + 1,
            (directory->child_count - place) * sizeof(*directory->children));
    directory->children_changed = clock_wall_unique();
}

int node_attach(struct node *node)
{
    int result = insert(node->parent, node);

    if (result)
        return result;
    unhide(node);
    node->phase = NODE_VISIBLE;
    return 0;
}

void node_detach(struct tree *tree, struct node *node)
{
    if (node->phase == NODE_GONE)
        return;
    while (node->type->kind == NODE_DIRECTORY && node->child_count > 0)
        node_detach(tree, node->children[node->child_count - 1]);
    if (node->phase == NODE_HIDDEN)
        unhide(node);
    else
        take_out(node);
    node->phase = NODE_GONE;
    if (node_known(node)) {
        node->hidden_next = tree->departed;
        tree->departed = node;
    }
    node_unref(node);
}

int node_rename(struct node *node, const char *name)
{
    char *copy = strdup(name);
    bool in_tree = node->phase == NODE_VISIBLE || node->phase == NODE_LEAVING;

    if (!copy)
        return -ENOMEM;
    if (in_tree && node_child(node->parent, name)) {
        free(copy);
        return -EEXIST;
    }
    if (in_tree)
        take_out(node);
    free_name(node);
    node->name = copy;
    /* cannot fail: the place that was just left is free */
    return in_tree ? insert(node->parent, node) : 0;
}

void node_exchange(struct node *node, struct node *other)
{
    struct node *directory = node->parent;
    bool found;
    size_t place = child_place(directory, node->name, &found);
    size_t other_place = child_place(directory, other->name, &found);
    char *name = node->name;

    directory->children[place] = other;
    directory->children[other_place] = node;
    node->name = other->name;
    other->name = name;
    directory->children_changed = clock_wall_unique();
}

void node_populate(struct fs *fs, struct node *directory, const struct vm *vm)
{
    const struct node_type *type = directory->type;

    if (directory->populated || type->kind != NODE_DIRECTORY)
        return;
    directory->populated = true;
    for (size_t i = 0; i < type->child_count; i++) {
        struct node *child =
            node_new(&fs->tree, directory, &type->children[i], type->children[i].name);

        if (child && node_attach(child))
            node_unref(child);
    }
    if (type->populate)
        type->populate(fs, directory, vm ? vm : directory->object ? directory->object->vm : NULL);
    directory->children_changed = directory->born;
}

void node_looked_up(struct node *node)
{
    if (node->lookups++ == 0)
        node_ref(node);
}

static void drop_departed(struct tree *tree, struct node *node)
{
    struct node **place = &tree->departed;

    while (*place && *place != node)
        place = &(*place)->hidden_next;
    if (*place)
        *place = node->hidden_next;
}

void node_forget(struct tree *tree, struct node *node, uint64_t count)
{
    if (node->lookups == 0)
        return;
    node->lookups -= count < node->lookups ? count : node->lookups;
    if (node->lookups > 0)
        return;
    if (node->phase == NODE_GONE)
        drop_departed(tree, node);
    node_unref(node);
}

bool node_is_shown(const struct node *node)
{
    while (node && node->phase == NODE_VISIBLE)
        node = node->parent;
    return node == NULL;
}

int node_path(const struct node *node, char *ret_path, size_t size)
{
    size_t place = size - 1, length;

    ret_path[place] = '\0';
    for (; node->parent; node = node->parent) {
        length = strlen(node->name);
        if (length + 1 > place)
            return -ENAMETOOLONG;
        if (ret_path[place] != '\0')
            ret_path[--place] = '/';
        place -= length;
        memcpy(ret_path + place, node->name, length);
    }
    memmove(ret_path, ret_path + place, size - place);
    return 0;
}

struct vm_object *vm_object_new(const struct vm *vm)
{
    struct vm_object *object = malloc(sizeof(*object));

    if (object)
        *object = (struct vm_object){.references = 1, .vm = vm_ref(vm)};
    return object;
}

void vm_object_set(struct vm_object *object, const struct vm *vm)
{
    const struct vm *before = object->vm;

    object->vm = vm_ref(vm);
    vm_unref(before);
}

void vm_object_unref(struct vm_object *object)
{
    if (!object || --object->references > 0)
        return;
    vm_unref(object->vm);
    free(object);
}

int tree_init(struct fs *fs, struct tree *tree, const struct node_type *root_type_)
{
    pthread_mutex_init(&tree->lock, NULL);
    LOCK_SCOPE(&tree->lock);
    tree->next_ino = FUSE_ROOT_ID;
    tree->root = node_new(tree, NULL, root_type_, "");
    if (!tree->root)
        return -ENOMEM;
    tree->root->phase = NODE_VISIBLE;
    node_looked_up(tree->root); /* the kernel has it from the mount on, and never forgets it */
    node_populate(fs, tree->root, NULL);
    return 0;
}

void subject_take(struct fs *fs, struct node *node, struct subject *ret_subject)
{
    *ret_subject = (struct subject){.fs = fs, .snapshot = host_snapshot(fs->host)};
    LOCK_SCOPE(&fs->tree.lock);
    snprintf(ret_subject->name, sizeof(ret_subject->name), "%s", node->name);
    ret_subject->plan = node->plan;
    if (node->object)
        ret_subject->vm = vm_ref(node->object->vm);
}

void subject_free(struct subject *subject)
{
    host_snapshot_unref(subject->snapshot);
    vm_unref(subject->vm);
}
