/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `mv vms/old vms/new`.  The kernel holds the lock of vms/ until it is answered and then makes the
 * two events with their cookie; so nothing is told of it by us, unless the answer had to be
 * EINPROGRESS.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs.h"

struct renaming {
    struct fs *fs;
    struct node *node; /* the VM's directory; one reference */
    uint64_t number;   /* of the wait */
    char name[256];    /* the new one */
};

/* The tree follows the catalogue, however the edit ended. */
static void renamed(void *cookie, int result)
{
    struct renaming *renaming = cookie;
    struct fs *fs = renaming->fs;
    struct node *node = renaming->node;
    struct wait *wait;
    fuse_req_t request = waits_take(fs, renaming->number, &wait);
    bool done = false;

    pthread_mutex_lock(&fs->tree.lock);
    node->user_naming = false;
    if (node->phase == NODE_VISIBLE && strcmp(node->name, node->object->vm->name) != 0) {
        const char *now = node->object->vm->name;

        done = request && result == 0 && strcmp(now, renaming->name) == 0 &&
               node_rename(node, now) == 0;
        if (!done)
            notify_renamed(fs, node, now);
    }
    pthread_mutex_unlock(&fs->tree.lock);
    if (request) {
        fuse_reply_err(request, done ? 0 : result ? -result : EINPROGRESS);
        waits_done(fs, wait);
    }
    pthread_mutex_lock(&fs->tree.lock);
    node_unref(node);
    pthread_mutex_unlock(&fs->tree.lock);
    free(renaming);
}

/* 0, or an errno; the node is marked then, and has one reference more. */
static int mark(struct fs *fs, const char *name, const char *new_name, struct node **ret_node)
{
    struct node *node, *other;

    LOCK_SCOPE(&fs->tree.lock);
    node = node_child(fs->tree.vms, name);
    other = node_child(fs->tree.vms, new_name);
    if (!node || node->phase != NODE_VISIBLE)
        return ENOENT;
    if (node->user_naming)
        return EINPROGRESS;
    if (other && other != node)
        return EEXIST;
    *ret_node = node_ref(node);
    node->user_naming = true;
    return 0;
}

/* Says in the VM's own `error` why not. */
static void refuse_rename(fuse_req_t request, const char *name, const char *new_name, int code)
{
    struct fs *fs = request_fs(request);
    struct node *node;
    struct subject subject;
    struct error error;

    pthread_mutex_lock(&fs->tree.lock);
    node = node_child(fs->tree.vms, name);
    node_ref(node ? node : fs->tree.vms);
    node = node ? node : fs->tree.vms;
    pthread_mutex_unlock(&fs->tree.lock);
    subject_take(fs, node, &subject);
    error_set(&error, -code, "\"%s\": there is a VM called \"%s\" already", name, new_name);
    refuse(&subject, "mv", &error);
    subject_free(&subject);
    pthread_mutex_lock(&fs->tree.lock);
    node_unref(node);
    pthread_mutex_unlock(&fs->tree.lock);
}

void vms_rename(fuse_req_t request, const char *name, const char *new_name)
{
    struct fs *fs = request_fs(request);
    struct renaming *renaming = calloc(1, sizeof(*renaming));
    struct subject subject;
    int result;

    if (!renaming) {
        fuse_reply_err(request, ENOMEM);
        return;
    }
    renaming->fs = fs;
    snprintf(renaming->name, sizeof(renaming->name), "%s", new_name);
    result = mark(fs, name, new_name, &renaming->node);
    if (result) {
        if (result == EEXIST)
            refuse_rename(request, name, new_name, result);
        fuse_reply_err(request, result);
        free(renaming);
        return;
    }
    subject_take(fs, renaming->node, &subject);
    renaming->number = waits_add(fs, request, fs->tree.vms, WAIT_NAME, NULL);
    if (renaming->number == 0) {
        renamed(renaming, -EINTR); /* answered already, and nothing begun */
    } else {
        result = host_edit(fs->host, subject.vm->identity, CATALOGUE_RENAME, renaming->name, "", 0,
                           renamed, renaming);
        if (result)
            renamed(renaming, result);
    }
    subject_free(&subject);
}
