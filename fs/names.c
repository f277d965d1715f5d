/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations that make, remove or rename.  The notifier's thread publishes by them: what appears
 * becomes visible in the handler of its own mkdir, so that nobody can have looked it up before and
 * the kernel tells it.  Everybody else is refused.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs.h"

/* Refuses a user's operation: EPERM, with a line for people. */
static void refuse_name(fuse_req_t request, fuse_ino_t parent, const char *what, const char *name)
{
    struct fs *fs = request_fs(request);
    struct node *directory = request_node(request, parent);
    struct subject subject;
    struct error error;
    char command[64];

    subject_take(fs, directory, &subject);
    if (directory->type == &vms_type)
        error_set(
            &error, -EPERM,
            "cannot %s \"%s\": VMs are not made, removed or exchanged here; use the host's own tools "
            "(qvm-create, qvm-remove, ...)",
            what, name);
    else
        error_set(&error, -EPERM, "cannot %s \"%s\": the directory's names are fixed", what, name);
    snprintf(command, sizeof(command), "%s", what);
    refuse(&subject, command, &error);
    subject_free(&subject);
    fuse_reply_err(request, EPERM);
}

static void appear(fuse_req_t request, fuse_ino_t parent, const char *name, const char *what)
{
    struct fs *fs = request_fs(request);
    struct fuse_entry_param entry;
    struct node *node = NULL;

    if (!request_is_ours(request)) {
        refuse_name(request, parent, what, name);
        return;
    }
    pthread_mutex_lock(&fs->tree.lock);
    node = fs->notifier.current;
    if (node && node->phase == NODE_HIDDEN && node->parent == request_node(request, parent) &&
        strcmp(node->name, name) == 0 && node_attach(node) == 0) {
        /* the tree has its own reference now beside the queue's */
        node_looked_up(node);
    } else {
        node = NULL;
    }
    pthread_mutex_unlock(&fs->tree.lock);
    if (!node) {
        fuse_reply_err(request, EPERM);
        return;
    }
    entry_fill(fs, node, &entry);
    if (fuse_reply_entry(request, &entry)) {
        LOCK_SCOPE(&fs->tree.lock);
        node_forget(&fs->tree, node, 1);
    }
}

static void vanish(fuse_req_t request, fuse_ino_t parent, const char *name, const char *what)
{
    struct fs *fs = request_fs(request);
    struct node *node;
    bool gone = false;

    if (!request_is_ours(request)) {
        refuse_name(request, parent, what, name);
        return;
    }
    pthread_mutex_lock(&fs->tree.lock);
    node = fs->notifier.current;
    if (node && node->phase == NODE_LEAVING && strcmp(node->name, name) == 0) {
        node_detach(&fs->tree, node);
        gone = true;
    }
    pthread_mutex_unlock(&fs->tree.lock);
    fuse_reply_err(request, gone ? 0 : EPERM);
}

void names_mknod(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
    (void)mode;
    (void)device;
    appear(request, parent, name, "make");
}

void names_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode)
{
    (void)mode;
    if (!request_is_ours(request) && request_node(request, parent)->type == &backups_type)
        backups_mkdir(request, parent, name);
    else
        appear(request, parent, name, "mkdir");
}

void names_symlink(fuse_req_t request, const char *target, fuse_ino_t parent, const char *name)
{
    (void)target;
    appear(request, parent, name, "link");
}

void names_link(fuse_req_t request, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    (void)ino;
    refuse_name(request, parent, "link", name);
}

void names_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode,
                  struct fuse_file_info *info)
{
    (void)mode;
    if (!request_is_ours(request) && request_node(request, parent)->type->made)
        items_create(request, parent, name, info);
    else
        refuse_name(request, parent, "make", name);
}

void names_unlink(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    const struct node_type *type = request_node(request, parent)->type;

    if (!request_is_ours(request) && type->made && type->initial)
        items_unlink(request, parent, name);
    else
        vanish(request, parent, name, "rm");
}

void names_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    if (!request_is_ours(request) && request_node(request, parent)->type == &backups_type)
        backups_rmdir(request, parent, name);
    else
        vanish(request, parent, name, "rmdir");
}

void names_rename(fuse_req_t request, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                  const char *new_name, unsigned flags)
{
    struct fs *fs = request_fs(request);
    int result = -EPERM;
    struct node *node, *other;

    if (!request_is_ours(request)) {
        if (request_node(request, parent)->type == &vms_type && parent == new_parent &&
            !(flags & ~RENAME_NOREPLACE))
            vms_rename(request, name, new_name);
        else
            refuse_name(request, parent, "mv", name);
        return;
    }
    pthread_mutex_lock(&fs->tree.lock);
    node = fs->notifier.current;
    if (node && (node->phase == NODE_VISIBLE || node->phase == NODE_LEAVING) &&
        parent == new_parent && strcmp(node->name, name) == 0) {
        other = node_child(node->parent, new_name);
        if (flags == 0 && !other)
            result = node_rename(node, new_name);
        else if (flags == RENAME_EXCHANGE && other)
            result = 0;
        if (result == 0 && flags == RENAME_EXCHANGE)
            node_exchange(node, other);
    }
    pthread_mutex_unlock(&fs->tree.lock);
    fuse_reply_err(request, -result);
}
