/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "notify.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "fs.h"
#include "qubesfs/log.h"

enum poke_kind { POKE_APPEARED, POKE_VANISHED, POKE_RENAMED, POKE_CHANGED };

struct poke {
    struct poke *next;
    enum poke_kind kind;
    struct node *node; /* one reference */
    char *name;        /* POKE_RENAMED: the new one */
};

/* Both tree's and notifier's lock order: tree first, as all callers of notify_* hold it. */
static void queue(struct fs *fs, enum poke_kind kind, struct node *node, const char *name)
{
    struct poke *poke = calloc(1, sizeof(*poke));

    /* without memory the change is there, only not told; a structural one is made at once */
    if (poke && name && !(poke->name = strdup(name))) {
        free(poke);
        poke = NULL;
    }
    if (!poke) {
        log_error("out of memory: a change is not told");
        if (kind == POKE_VANISHED)
            node_detach(&fs->tree, node);
        else if (kind == POKE_APPEARED && node->phase == NODE_HIDDEN)
            node_attach(node);
        return;
    }
    poke->kind = kind;
    poke->node = node_ref(node);
    pthread_mutex_lock(&fs->notifier.lock);
    *fs->notifier.last = poke;
    fs->notifier.last = &poke->next;
    pthread_cond_signal(&fs->notifier.moved);
    pthread_mutex_unlock(&fs->notifier.lock);
}

void notify_appeared(struct fs *fs, struct node *hidden)
{
    queue(fs, POKE_APPEARED, hidden, NULL);
}

void notify_vanished(struct fs *fs, struct node *leaving)
{
    queue(fs, POKE_VANISHED, leaving, NULL);
}

void notify_renamed(struct fs *fs, struct node *node, const char *name)
{
    queue(fs, POKE_RENAMED, node, name);
}

void notify_changed(struct fs *fs, struct node *node)
{
    if (node->phase != NODE_VISIBLE || node->change_queued || node->change_parked)
        return;
    /* nobody can watch what the kernel has not: neither the file nor its directory */
    if (!node_known(node) && !node_known(node->parent))
        return;
    /* a writer that waits holds the file's lock in the kernel: told when it has its answer */
    if (node->unanswered > 0) {
        node->change_parked = true;
        return;
    }
    node->change_queued = true;
    queue(fs, POKE_CHANGED, node, NULL);
}

#define PHASE(phase) (1u << (phase))

/* The node's path, and whether its phase is one of those expected; false: there is nothing to tell.
 */
static bool prepare(struct fs *fs, struct node *node, unsigned phases, char *ret_path)
{
    LOCK_SCOPE(&fs->tree.lock);
    return PHASE(node->phase) & phases && node->parent && node->parent->phase != NODE_GONE &&
           node_path(node, ret_path, PATH_MAX) == 0;
}

/* Read by the handlers of our own requests, under the tree's lock. */
static void set_current(struct fs *fs, struct node *node)
{
    LOCK_SCOPE(&fs->tree.lock);
    fs->notifier.current = node;
}

static void tell_changed(struct fs *fs, struct node *node)
{
    char path[PATH_MAX];
    int fd;

    pthread_mutex_lock(&fs->tree.lock);
    node->change_queued = false;
    if (node->unanswered > 0) {
        node->change_parked = true;
        pthread_mutex_unlock(&fs->tree.lock);
        return;
    }
    pthread_mutex_unlock(&fs->tree.lock);
    if (!prepare(fs, node, PHASE(NODE_VISIBLE), path))
        return;
    fd = openat(fs->notifier.root, path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || write(fd, "\n", 1) != 1)
        log_debug("cannot tell that %s has changed: %m", path);
    if (fd >= 0)
        close(fd);
}

static void tell_appeared(struct fs *fs, struct node *node)
{
    char path[PATH_MAX];
    bool known;
    int result = 0;

    pthread_mutex_lock(&fs->tree.lock);
    known = node->phase == NODE_HIDDEN && node->parent->phase == NODE_VISIBLE &&
            node_known(node->parent);
    pthread_mutex_unlock(&fs->tree.lock);
    if (known && prepare(fs, node, PHASE(NODE_HIDDEN), path)) {
        if (node->type->kind == NODE_DIRECTORY)
            result = mkdirat(fs->notifier.root, path, node->type->mode);
        else if (node->type->kind == NODE_LINK)
            result = symlinkat(".", fs->notifier.root, path);
        else
            result = mknodat(fs->notifier.root, path, S_IFREG | node->type->mode, 0);
        if (result)
            log_debug("cannot tell that %s has appeared: %m", path);
    }
    /* where it could not be told, it is published all the same */
    pthread_mutex_lock(&fs->tree.lock);
    if (node->phase == NODE_HIDDEN) {
        int attached = node->parent->phase == NODE_VISIBLE ? node_attach(node) : 0;

        if (attached)
            log_error("%s cannot appear: %s", node->name, strerror(-attached));
        else if (node->phase == NODE_HIDDEN)
            node_detach(&fs->tree, node); /* its directory goes, and nobody else knows of it */
    }
    pthread_mutex_unlock(&fs->tree.lock);
}

/* One child that the kernel has, not yet told to be gone; with a reference. */
static struct node *known_child(struct fs *fs, struct node *directory)
{
    LOCK_SCOPE(&fs->tree.lock);
    for (size_t i = directory->child_count; i > 0; i--) {
        struct node *child = directory->children[i - 1];

        if (node_known(child))
            return node_ref(child);
        node_detach(&fs->tree, child);
    }
    return NULL;
}

/* What the deputy does. */
struct errand {
    struct fs *fs;
    struct node *node;
};

static void forget(void *cookie)
{
    struct errand *errand = cookie;
    struct fs *fs = errand->fs;
    char name[NAME_MAX + 1];
    fuse_ino_t parent = FUSE_ROOT_ID;

    pthread_mutex_lock(&fs->tree.lock);
    if (errand->node->parent != fs->tree.root)
        parent = (fuse_ino_t)(uintptr_t)errand->node->parent;
    snprintf(name, sizeof(name), "%s", errand->node->name);
    pthread_mutex_unlock(&fs->tree.lock);
    fuse_lowlevel_notify_inval_entry(fs->session, parent, name, strlen(name));
}

/* Makes the kernel forget the name, and so take away what is mounted on it. */
static void forget_name(struct fs *fs, struct node *node)
{
    deputy_do(&fs->notifier.deputy, forget, &(struct errand){.fs = fs, .node = node});
}

static void release(void *cookie)
{
    struct errand *errand = cookie;

    waits_release(errand->fs, errand->node, EINPROGRESS);
}

static int unlink_node(struct fs *fs, struct node *node, const char *path)
{
    int flags = node->type->kind == NODE_DIRECTORY ? AT_REMOVEDIR : 0;

    if (unlinkat(fs->notifier.root, path, flags) == 0)
        return 0;
    if (errno != EBUSY)
        return -1;
    /* something is mounted on it: that goes with it */
    forget_name(fs, node);
    return unlinkat(fs->notifier.root, path, flags);
}

/* Depth first, as `rm -r` would: an rmdir tells nothing to those who watch what is in it. */
static void tell_vanished(struct fs *fs, struct node *node)
{
    char path[PATH_MAX];
    struct node *child;
    bool told;

    pthread_mutex_lock(&fs->tree.lock);
    if (node->phase == NODE_VISIBLE)
        node->phase = NODE_LEAVING;
    pthread_mutex_unlock(&fs->tree.lock);
    /* from now on it takes no writer; the one that it has would block the removal */
    deputy_do(&fs->notifier.deputy, release, &(struct errand){.fs = fs, .node = node});
    while (node->type->kind == NODE_DIRECTORY && (child = known_child(fs, node)) != NULL) {
        tell_vanished(fs, child);
        pthread_mutex_lock(&fs->tree.lock);
        node_unref(child);
        pthread_mutex_unlock(&fs->tree.lock);
    }
    if (prepare(fs, node, PHASE(NODE_LEAVING), path)) {
        set_current(fs, node);
        if (unlink_node(fs, node, path))
            log_debug("cannot tell that %s has vanished: %m", path);
    }
    pthread_mutex_lock(&fs->tree.lock);
    told = node->phase == NODE_GONE;
    pthread_mutex_unlock(&fs->tree.lock);
    if (told)
        return;
    forget_name(fs, node);
    pthread_mutex_lock(&fs->tree.lock);
    node_detach(&fs->tree, node);
    pthread_mutex_unlock(&fs->tree.lock);
}

/* The node that has this name beside `node` and is to get another one after it; with a reference.
 */
static struct node *occupant(struct fs *fs, struct node *node, const char *name)
{
    struct node *other;

    LOCK_SCOPE(&fs->tree.lock);
    other = node_child(node->parent, name);
    return other && other != node ? node_ref(other) : NULL;
}

/* One that is leaving already is moved too: its old name may be the next one's.
 *
 * Names that go round in a circle (a swap) are exchanged: no name is missing in between, and none
 * is seen that is nobody's. */
static void tell_renamed(struct fs *fs, struct node *node, const char *name)
{
    char path[PATH_MAX], new_path[PATH_MAX], *slash;
    struct node *other = occupant(fs, node, name);
    unsigned flags = other ? RENAME_EXCHANGE : 0;

    if (prepare(fs, node, PHASE(NODE_VISIBLE) | PHASE(NODE_LEAVING), path)) {
        int root = fs->notifier.root, result = 0;

        slash = strrchr(path, '/');
        if (snprintf(new_path, sizeof(new_path), "%.*s%s", slash ? (int)(slash - path) + 1 : 0,
                     path, name) < (int)sizeof(new_path) &&
            strcmp(path, new_path) != 0)
            result = renameat2(root, path, root, new_path, flags);
        if (result && errno == EBUSY) {
            /* something is mounted on it, or on the other: the mount goes */
            forget_name(fs, node);
            if (other)
                forget_name(fs, other);
            result = renameat2(root, path, root, new_path, flags);
        }
        if (result)
            log_debug("cannot tell that %s is now %s: %m", path, name);
    }
    pthread_mutex_lock(&fs->tree.lock);
    if (node->phase != NODE_GONE && strcmp(node->name, name) != 0) {
        if (other && other->phase != NODE_GONE && node->phase != NODE_HIDDEN)
            node_exchange(node, other);
        else
            node_rename(node, name);
    }
    if (other)
        node_unref(other);
    pthread_mutex_unlock(&fs->tree.lock);
}

static void tell(struct fs *fs, struct poke *poke)
{
    set_current(fs, poke->node);
    switch (poke->kind) {
    case POKE_APPEARED:
        tell_appeared(fs, poke->node);
        break;
    case POKE_VANISHED:
        tell_vanished(fs, poke->node);
        break;
    case POKE_RENAMED:
        tell_renamed(fs, poke->node, poke->name);
        break;
    case POKE_CHANGED:
        tell_changed(fs, poke->node);
        break;
    }
    set_current(fs, NULL);
}

/*
 * A private clone of the mount, so that our own descriptor does not make it busy (umount would be
 * refused) and so that nothing mounted over it hides it from us.  Without the right to make one
 * (the daemon of an ordinary user) the directory itself, opened for each poke only: between two of
 * them it can be unmounted; while it is hidden, changes are published untold.
 */
static int open_root(struct notifier *notifier, const char *mountpoint)
{
    struct stat attributes;
    int fd = open_tree(AT_FDCWD, mountpoint, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (fd >= 0)
        return fd;
    fd = open(mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &attributes)) {
        int error = -errno;

        if (fd >= 0)
            close(fd);
        return error;
    }
    notifier->mountpoint = mountpoint;
    notifier->device = attributes.st_dev;
    return fd;
}

/* False: the mount cannot be reached. */
static bool take_root(struct notifier *notifier)
{
    struct stat attributes;

    if (!notifier->mountpoint || notifier->root >= 0)
        return notifier->root >= 0;
    notifier->root = open(notifier->mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (notifier->root >= 0 &&
        (fstat(notifier->root, &attributes) || attributes.st_dev != notifier->device)) {
        close(notifier->root);
        notifier->root = -1;
    }
    return notifier->root >= 0;
}

static void release_root(struct notifier *notifier, bool at_the_end)
{
    if (notifier->root < 0 || (!notifier->mountpoint && !at_the_end))
        return;
    close(notifier->root);
    notifier->root = -1;
}

struct start {
    struct fs *fs;
    const char *mountpoint;
};

/*
 * A table of files of its own, without the daemon's.  While this thread waits for an answer it can't
 * be ended; were the device that answers open in its table as well, the kernel would not see that a
 * killed daemon has gone, and both would wait for ever: the daemon would never end, and its mount
 * neither answer nor fail.  What must be told on that device is the deputy's.  (What this thread says goes to stderr, in the background to nowhere: the
 * socket of the log is not its own either.)
 */
static void part_from_files(void)
{
    bool background = log_thread_to_stderr();

    if (close_range(background ? 0 : 3, ~0u, CLOSE_RANGE_UNSHARE)) {
        log_debug("the notifier shares the daemon's files: %m");
        return;
    }
    /* 0, 1 and 2 are to be no files of the mount's */
    for (int fd = 0; background && fd < 3; fd++)
        if (open("/dev/null", O_RDWR) < 0)
            log_debug("the notifier has no /dev/null: %m");
}

static void *poke_thread(void *cookie)
{
    struct start *start = cookie;
    struct fs *fs = start->fs;
    struct notifier *notifier = &fs->notifier;
    struct stat attributes;
    int root;

    pthread_setname_np(pthread_self(), "qfs-notify");
    part_from_files();
    atomic_store(&notifier->tid, gettid());
    root = open_root(notifier, start->mountpoint);
    /* the mount answers when this returns */
    if (root >= 0 && fstatat(root, "README", &attributes, 0)) {
        int error = -errno;

        close(root);
        root = error;
    }
    notifier->root = root >= 0 ? root : -1;
    release_root(notifier, false);
    pthread_mutex_lock(&notifier->lock);
    notifier->failed = root >= 0 ? 0 : root;
    notifier->ready = true;
    pthread_cond_broadcast(&notifier->moved); /* `start` is not ours from here on */
    for (;;) {
        struct poke *poke;
        bool tell_it;

        while (!notifier->first && !notifier->ending)
            pthread_cond_wait(&notifier->moved, &notifier->lock);
        poke = notifier->first;
        if (!poke)
            break;
        notifier->first = poke->next;
        if (!notifier->first)
            notifier->last = &notifier->first;
        tell_it = !notifier->ending && !notifier->failed;
        pthread_mutex_unlock(&notifier->lock);
        if (tell_it) {
            if (!take_root(notifier))
                log_debug("the mount is hidden: a change is not told");
            tell(fs, poke);
            release_root(notifier, false);
        }
        pthread_mutex_lock(&fs->tree.lock);
        node_unref(poke->node);
        pthread_mutex_unlock(&fs->tree.lock);
        free(poke->name);
        free(poke);
        pthread_mutex_lock(&notifier->lock);
    }
    release_root(notifier, true);
    /* the number may be another's soon */
    atomic_store(&notifier->tid, 0);
    pthread_mutex_unlock(&notifier->lock);
    return NULL;
}

int notifier_start(struct fs *fs, const char *mountpoint)
{
    struct notifier *notifier = &fs->notifier;
    struct start start = {.fs = fs, .mountpoint = mountpoint};
    int result;

    result = deputy_start(&notifier->deputy);
    if (result)
        return result;
    result = -pthread_create(&notifier->thread, NULL, poke_thread, &start);
    if (result) {
        deputy_stop(&notifier->deputy);
        return result;
    }
    notifier->running = true;
    pthread_mutex_lock(&notifier->lock);
    while (!notifier->ready)
        pthread_cond_wait(&notifier->moved, &notifier->lock);
    result = notifier->failed;
    pthread_mutex_unlock(&notifier->lock);
    return result;
}

void notifier_init(struct fs *fs)
{
    pthread_mutex_init(&fs->notifier.lock, NULL);
    pthread_cond_init(&fs->notifier.moved, NULL);
    fs->notifier.last = &fs->notifier.first;
    fs->notifier.root = -1;
}

void notifier_stop(struct fs *fs)
{
    if (!fs->notifier.running)
        return;
    pthread_mutex_lock(&fs->notifier.lock);
    fs->notifier.ending = true;
    pthread_cond_signal(&fs->notifier.moved);
    pthread_mutex_unlock(&fs->notifier.lock);
    pthread_join(fs->notifier.thread, NULL);
    fs->notifier.running = false;
    deputy_stop(&fs->notifier.deputy);
}
