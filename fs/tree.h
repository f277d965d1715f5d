/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tree that the kernel sees: nodes of a few kinds, put together from tables.
 *
 * A node is HIDDEN until its appearance was told, VISIBLE, LEAVING from the moment that its object
 * has gone (its name is then ENOENT to all but the notifier), and GONE once that was told.
 * Directories get their children when somebody first looks into them; what nobody has looked into
 * costs nothing.
 */
#ifndef QUBESFS_FS_TREE_H
#define QUBESFS_FS_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "qubesfs/backup.h"
#include "qubesfs/host.h"
#include "qubesfs/text.h"

struct fs;
struct node;

enum node_kind {
    NODE_DIRECTORY,
    NODE_TEXT,    /* rendered when opened, kept for that open file */
    NODE_LOG,     /* the journal: an open file sees what is added later */
    NODE_COMMAND, /* a write is a command, answered when it is finished */
    NODE_VALUE,   /* a write is the whole new value */
    NODE_LIST,    /* collected from the open, taken at the first flush after a write */
    NODE_STREAM,  /* a backup */
    NODE_VOLUME,  /* an image: kept still while it is open (volumes.c) */
    NODE_LINK,
};

/** What a node is about, taken for the time of one call. */
struct subject {
    struct fs *fs;
    char name[256];
    const struct host_snapshot *snapshot;
    const struct vm *vm;      /* NULL outside of vms/ */
    struct backup_plan *plan; /* NULL outside of backups/ */
};

/** A kind of file or directory: one line in a table. */
struct node_type {
    const char *name; /* NULL: named by its object */
    enum node_kind kind;
    mode_t mode; /* permissions only */
    /* the vm_field whose change is told on it by inotify, or NOT_TOLD */
    int field;
    /* the content; may read the disk if `slow`, else makes no call that waits */
    int (*render)(const struct subject *subject, struct text *content);
    struct timespec (*changed)(const struct subject *subject);
    /* NODE_VALUE, NODE_LIST: takes a new value, quickly; -errno with the reason */
    int (*set)(const struct subject *subject, const char *untrusted_value, size_t length,
               struct error *ret_error);
    /* NODE_COMMAND: as host_command */
    int (*command)(const struct subject *subject, const char *untrusted_lines, size_t length,
                   void (*done)(void *cookie, int result), void *cookie);
    /* NODE_DIRECTORY: its fixed children, and a function that adds the others from a VM (of before
     * a change), called once, with the tree's lock held */
    const struct node_type *children;
    size_t child_count;
    void (*populate)(struct fs *fs, struct node *directory, const struct vm *vm);
    /* NODE_VALUE may have `command` in place of `set`: one that takes its time.  With NULL for the
     * lines it removes what the file stands for. */
    /* NODE_DIRECTORY: what users may make and remove in it; NULL: nothing */
    const struct node_type *made;
    const char *initial;                             /* ... its value when it is made; NULL: it is
                                                        made by the first write, and not removed */
    bool (*may_make)(const struct subject *subject); /* ... with the name in question */
    bool touch;                                      /* its times may be set, to no effect */
    bool slow;   /* its size or content may need the disk: asked for on a worker */
    bool secret; /* its open file's buffer is locked and wiped */
};

#define NOT_TOLD (-1)

enum node_phase { NODE_HIDDEN, NODE_VISIBLE, NODE_LEAVING, NODE_GONE };

/** The VM that the nodes of one directory share.  `vm` is guarded by the tree's lock. */
struct vm_object {
    unsigned references; /* guarded by the tree's lock */
    const struct vm *vm;
};

/**
 * All fields are guarded by the tree's lock, but for ino and type, which never change.
 *
 * There are half a million of them when somebody has listed ten thousand VMs to the last file: so
 * they are packed, a fixed name is the table's own, and one that is no directory ends before
 * `children` (node_new): nothing from there on may be touched of it.
 */
struct node {
    uint64_t ino;
    const struct node_type *type;
    unsigned
        references; /* being in the tree is one, each waiting request and told change another */
    uint16_t unanswered; /* users' writes not yet answered: the kernel holds the file's lock */
    enum node_phase phase : 8;
    bool populated : 1;
    bool change_queued : 1; /* a poke for its content waits in the notifier's queue */
    bool change_parked : 1; /* ... waits for the answer to a user's write */
    bool user_naming : 1;  /* a user makes, renames or removes it: items.c and vms.c tell nothing */
    bool leave_parked : 1; /* it goes when the user's write is answered */
    uint64_t lookups;      /* how often the kernel has it; more than 0 is one reference */
    struct node *parent;   /* NULL: not in the tree (root, HIDDEN nodes keep it as where to go) */
    char *name;            /* type->name, or its own */
    /* of a HIDDEN node: the next one to appear there; of a GONE one: the next that the kernel still
     * has */
    struct node *hidden_next;
    struct vm_object *object;
    struct backup_plan *plan;
    struct timespec born;

    /* directories only */
    struct node **children; /* sorted by name (strcmp) */
    size_t child_count, child_capacity;
    struct node *hidden; /* those to appear here, a list without references */
    struct timespec children_changed;
};

struct tree {
    pthread_mutex_t lock; /* guards the nodes; held for moments only, never across any call out */
    struct node *root;
    struct node
        *departed; /* GONE, but the kernel has not forgotten them yet: a list without references */
    struct node *vms, *devices;
    uint64_t next_ino;
    unsigned owner, group; /* of every file */
};

/** Makes the tree with the given root type.  Returns 0 or -ENOMEM. */
int tree_init(struct fs *fs, struct tree *tree, const struct node_type *root_type);

/* All functions from here on are called with the tree's lock held. */

/** A new node below `parent`, HIDDEN, with one reference; shares the parent's object and plan.
 * NULL: out of memory. */
struct node *node_new(struct tree *tree, struct node *parent, const struct node_type *type,
                      const char *name);
struct node *node_ref(struct node *node);
void node_unref(struct node *node);
/** Puts a HIDDEN node into its parent, VISIBLE; takes over the reference.  -ENOMEM leaves it as it
 * was. */
int node_attach(struct node *node);
/** Takes a node and all below it out of the tree (GONE). */
void node_detach(struct tree *tree, struct node *node);
/** Gives the node (which may be in the tree) another name.  -ENOMEM leaves it as it was. */
int node_rename(struct node *node, const char *name);
/** Two nodes in the same directory of the tree change their names and places. */
void node_exchange(struct node *node, struct node *other);
struct node *node_child(const struct node *directory, const char *name);
/** The HIDDEN node of that name, still to appear in the directory. */
struct node *node_hidden(const struct node *directory, const char *name);
/** Adds the children of a directory that nobody has looked into before; from `vm`, or the object's
 * own when NULL. */
void node_populate(struct fs *fs, struct node *directory, const struct vm *vm);
/** Counts one more or `count` fewer lookups by the kernel. */
void node_looked_up(struct node *node);
void node_forget(struct tree *tree, struct node *node, uint64_t count);
/** True if somebody may watch it: the kernel has it. */
static inline bool node_known(const struct node *node)
{
    return node->lookups > 0;
}
/** True if users see it: neither it nor a directory above it is on its way out. */
bool node_is_shown(const struct node *node);
/** Writes the path from the root, without a leading slash, into `ret_path`; -ENAMETOOLONG. */
int node_path(const struct node *node, char *ret_path, size_t size);

struct vm_object *vm_object_new(const struct vm *vm);
void vm_object_set(struct vm_object *object, const struct vm *vm);
void vm_object_unref(struct vm_object *object);

/* Called without the lock. */

/** Takes what is needed to render or change the node; let go with subject_free. */
void subject_take(struct fs *fs, struct node *node, struct subject *ret_subject);
void subject_free(struct subject *subject);

#endif
