/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Services, features and tags that users make and remove, and prefs that the catalogue does not
 * hold yet.  The kernel holds the directory's lock until such a request is answered, and makes its
 * event then; so nothing is told of the name by us meanwhile (node.user_naming), unless the answer
 * had to be EINPROGRESS.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs.h"

/* One request that makes or removes a name. */
struct naming {
    struct fs *fs;
    struct node *node; /* one reference */
    uint64_t number;   /* of its wait */
    struct fuse_file_info info;
};

static void naming_free(struct naming *naming)
{
    pthread_mutex_lock(&naming->fs->tree.lock);
    node_unref(naming->node);
    pthread_mutex_unlock(&naming->fs->tree.lock);
    free(naming);
}

/* Tells why the name can't be made or removed. */
static void refuse_item(fuse_req_t request, struct node *directory, const char *what,
                        const char *name)
{
    struct subject subject;
    struct error error;

    subject_take(request_fs(request), directory, &subject);
    error_set(&error, -EPERM, "cannot %s \"%s\": no VM of this class has a property of that name",
              what, name);
    fuse_reply_err(request, -refuse(&subject, what, &error));
    subject_free(&subject);
}

/* A node of that name to be made by the kernel's request that is at work: `ret_new` says whether
 * there was none before.  NULL with an errno in `ret_error`. */
static struct node *node_to_make(struct fs *fs, struct node *directory, const char *name,
                                 bool *ret_new, int *ret_error)
{
    struct node *node = node_child(directory, name);

    *ret_new = false;
    *ret_error = EBUSY; /* the one before is still on its way out */
    if (node && node->phase == NODE_VISIBLE)
        return node_ref(node);
    if (node)
        return NULL;
    node = node_hidden(directory, name);
    if (node) {
        /* somebody else has made it, and its event is still to come: this request makes it */
        *ret_error = EINPROGRESS;
        return node->user_naming || node_attach(node) ? NULL : node_ref(node);
    }
    *ret_new = true;
    *ret_error = ENOMEM;
    node = node_new(&fs->tree, directory, directory->type->made, name);
    return node ? node_ref(node) : NULL;
}

/* Answers with an open file. */
static void reply_made(fuse_req_t request, struct node *node, const struct fuse_file_info *info)
{
    struct fs *fs = request_fs(request);

    pthread_mutex_lock(&fs->tree.lock);
    node_looked_up(node);
    pthread_mutex_unlock(&fs->tree.lock);
    files_created(request, node, info);
}

/* What the tree shows follows the catalogue, however the edit ended. */
static void made(void *cookie, int result)
{
    struct naming *naming = cookie;
    struct fs *fs = naming->fs;
    struct node *node = naming->node;
    struct wait *wait;
    fuse_req_t request = waits_take(fs, naming->number, &wait);
    bool shown = false;

    pthread_mutex_lock(&fs->tree.lock);
    node->user_naming = false;
    if (node->phase == NODE_HIDDEN && !vm_has_item(node))
        node_detach(&fs->tree, node);
    else if (node->phase == NODE_HIDDEN && request)
        shown = node_attach(node) == 0;
    else if (node->phase == NODE_HIDDEN)
        notify_appeared(fs, node);
    pthread_mutex_unlock(&fs->tree.lock);
    if (request && shown && result == 0)
        reply_made(request, node, &naming->info);
    else if (request)
        fuse_reply_err(request, result ? -result : ENOENT);
    if (request)
        waits_done(fs, wait);
    naming_free(naming);
}

/* Begins the edit behind a request; `done` is called whatever happens. */
static void begin(fuse_req_t request, struct node *directory, struct node *node, const char *value,
                  void (*done)(void *cookie, int result), const struct fuse_file_info *info)
{
    struct fs *fs = request_fs(request);
    struct naming *naming = calloc(1, sizeof(*naming));
    struct subject subject;
    int result;

    if (!naming) {
        pthread_mutex_lock(&fs->tree.lock);
        node->user_naming = false;
        if (node->phase == NODE_HIDDEN)
            node_detach(&fs->tree, node);
        node_unref(node);
        pthread_mutex_unlock(&fs->tree.lock);
        fuse_reply_err(request, ENOMEM);
        return;
    }
    *naming = (struct naming){.fs = fs, .node = node};
    if (info)
        naming->info = *info;
    subject_take(fs, node, &subject);
    naming->number = waits_add(fs, request, directory, WAIT_NAME, NULL);
    if (naming->number == 0) {
        done(naming, -EINTR); /* answered already, and nothing begun */
    } else {
        result = node->type->command(&subject, value, value ? strlen(value) : 0, done, naming);
        if (result)
            done(naming, result);
    }
    subject_free(&subject);
}

void items_create(fuse_req_t request, fuse_ino_t parent, const char *name,
                  const struct fuse_file_info *info)
{
    struct fs *fs = request_fs(request);
    struct node *directory = request_node(request, parent), *node;
    const struct node_type *type = directory->type;
    struct subject subject;
    bool allowed, is_new;
    int error = 0;

    subject_take(fs, directory, &subject);
    snprintf(subject.name, sizeof(subject.name), "%s", name);
    allowed = !type->may_make || type->may_make(&subject);
    subject_free(&subject);
    if (!allowed) {
        refuse_item(request, directory, "make", name);
        return;
    }
    pthread_mutex_lock(&fs->tree.lock);
    node_populate(fs, directory, NULL); /* the new one is not to be among those */
    node = node_to_make(fs, directory, name, &is_new, &error);
    if (node && is_new && type->initial) {
        node->user_naming = true;
    } else if (node && is_new && node_attach(node)) {
        node_detach(&fs->tree, node);
        node_unref(node);
        node = NULL;
    }
    pthread_mutex_unlock(&fs->tree.lock);
    if (!node) {
        fuse_reply_err(request, error);
        return;
    }
    if (is_new && type->initial) {
        begin(request, directory, node, type->initial, made, info);
        return;
    }
    reply_made(request, node, info);
    pthread_mutex_lock(&fs->tree.lock);
    node_unref(node);
    pthread_mutex_unlock(&fs->tree.lock);
}

static void removed(void *cookie, int result)
{
    struct naming *naming = cookie;
    struct fs *fs = naming->fs;
    struct node *node = naming->node;
    struct wait *wait;
    fuse_req_t request = waits_take(fs, naming->number, &wait);

    pthread_mutex_lock(&fs->tree.lock);
    node->user_naming = false;
    if (node->phase == NODE_VISIBLE && !vm_has_item(node)) {
        if (request && result == 0)
            node_detach(&fs->tree, node);
        else
            node_vanished(fs, node);
    }
    pthread_mutex_unlock(&fs->tree.lock);
    if (request) {
        fuse_reply_err(request, -result);
        waits_done(fs, wait);
    }
    naming_free(naming);
}

void items_unlink(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    struct fs *fs = request_fs(request);
    struct node *directory = request_node(request, parent), *node;
    int error = 0;

    pthread_mutex_lock(&fs->tree.lock);
    node = node_child(directory, name);
    if (!node || node->phase != NODE_VISIBLE)
        error = ENOENT;
    else if (node->user_naming)
        error = EINPROGRESS;
    else
        node_ref(node)->user_naming = true;
    pthread_mutex_unlock(&fs->tree.lock);
    if (error)
        fuse_reply_err(request, error);
    else
        begin(request, directory, node, NULL, removed, NULL);
}

void item_answered(struct fs *fs, struct node *node)
{
    if (!node->leave_parked)
        return;
    node->leave_parked = false;
    if (!node->user_naming && !vm_has_item(node))
        node_vanished(fs, node);
}

/* A property's file that nothing was written to, or nothing that was taken, is none. */
void item_closed(struct fs *fs, struct node *node)
{
    if (node->type != &settable_pref_type)
        return;
    LOCK_SCOPE(&fs->tree.lock);
    if (node->phase == NODE_VISIBLE && node->unanswered == 0 && !vm_has_item(node))
        node_vanished(fs, node);
}
