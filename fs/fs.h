/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of this folder share: the mount's state, and each part's few functions.
 *
 * Locks, in the order in which they may be taken:
 *   1. fs->waits.lock   guards the list of requests not yet answered
 *   2. fs->tree.lock    guards all nodes
 *   3. fs->notifier.lock guards the queue of what is to be told
 * None of them is held across a call to host, backup, libfuse's replies or the kernel.
 */
#ifndef QUBESFS_FS_H
#define QUBESFS_FS_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "notify.h"
#include "qubesfs/pool.h"
#include "qubesfs/storage.h"
#include "tree.h"
#include "waits.h"

#define CACHED_VOLUMES 256

/* What state of a volume is in the kernel's page cache: at the place of its number. */
struct cached_volume {
    uint64_t ino;
    struct storage_state state;
};

struct fs {
    struct host *host;
    struct backup_service *backups;
    struct pool *workers; /* for what may read the disk */
    struct pool *readers; /* for reads of volumes, which may be many */
    struct tree tree;
    struct notifier notifier;
    struct waits waits;
    struct fuse_session *session;
    struct timespec started;
    struct timespec debug_changed; /* guarded by the tree's lock */
    struct node **vm_nodes;        /* by the VM's identity; guarded by the tree's lock */
    size_t vm_node_count;
    const struct host_snapshot *devices_shown; /* whose devices the tree has; by the tree's lock */
    struct handle *handles;   /* all open files; guarded by the tree's lock */
    struct listing *listings; /* all open directories; guarded by the tree's lock */
    struct cached_volume cached_volumes[CACHED_VOLUMES]; /* guarded by the tree's lock */
};

/* root.c, vms.c, vm_files.c, backups.c: the tables */
extern const struct node_type root_type;
extern const struct node_type vms_type;
extern const struct node_type vm_type;
extern const struct node_type pref_type, settable_pref_type, service_type, feature_type, tag_type;
extern const struct node_type features_type, tags_type, firewall_type;
extern const struct node_type devices_type;
extern const struct node_type volume_types[VM_VOLUME_COUNT];
extern const struct node_type backups_type;

/* root.c */
/** Tells that the content of P/NAME is another now. */
void root_file_changed(struct fs *fs, const char *name);

/* backups.c */
/** The plan that a stream node reads by: its own, or for a VM's `backup` the default one. */
struct backup_plan *stream_plan(const struct subject *subject);
/** A user's own mkdir and rmdir of a plan: answered at once, from memory, since the kernel holds
 * the directory's lock meanwhile. */
void backups_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name);
void backups_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name);
/** Tells that the content of a plan's file is another now. */
void backups_file_changed(struct fs *fs, struct backup_plan *plan, const char *file_name);

/* vms.c */
/** Fill prefs/, services/, ... from the VM's entry; and what only some VMs have.  As
 * node_type.populate. */
void vm_populate_items(struct fs *fs, struct node *directory, const struct vm *vm);
void vm_populate_extra(struct fs *fs, struct node *directory, const struct vm *vm);
/** Makes the first directories from the snapshot, before the mount. */
int vms_populate(struct fs *fs, const struct host_snapshot *snapshot);
/** The host's listener: brings the tree up to date and queues what is to be told. */
void vms_changed(struct fs *fs, const struct host_change *changes, size_t change_count);

/** A new child of a directory that is populated now. */
void vms_add_child(struct fs *fs, struct node *directory, const struct node_type *type,
                   const char *name);

/* volumes.c */
/** As node_type.populate. */
void volumes_populate(struct fs *fs, struct node *directory, const struct vm *vm);
/** Its exact size in bytes, and how many blocks of 512 bytes it takes; reads the disk. */
uint64_t volume_size(const struct subject *subject, const struct node_type *type,
                     uint64_t *ret_blocks);
void volume_seek(fuse_req_t request, fuse_ino_t ino, off_t offset, int whence,
                 struct fuse_file_info *info);

/** True if the VM's entry has what this file of prefs/, services/, ... stands for.  With the tree's
 * lock held, as the next two. */
bool vm_has_item(const struct node *node);
/** Takes a node that stands for nothing any more out of users' sight, and tells it. */
void node_vanished(struct fs *fs, struct node *node);

/* items.c: services, features, tags and prefs, made and removed by users */
/** A user's own create and unlink, in a directory whose type has `made`. */
void items_create(fuse_req_t request, fuse_ino_t parent, const char *name,
                  const struct fuse_file_info *info);
void items_unlink(fuse_req_t request, fuse_ino_t parent, const char *name);
/** The last of the writes to this node was answered (with the tree's lock held). */
void item_answered(struct fs *fs, struct node *node);
/** An open file of this node was closed. */
void item_closed(struct fs *fs, struct node *node);

/** The node of that VM, or NULL.  With the tree's lock held. */
struct node *vm_node(struct fs *fs, const struct vm *vm);

/* devices.c */
/** As node_type.populate: the links to a VM's attached devices. */
void vm_populate_devices(struct fs *fs, struct node *directory, const struct vm *vm);
/** Makes the first devices, before the mount. */
int devices_populate(struct fs *fs, const struct host_snapshot *snapshot);
/** A new snapshot; its devices may be others. */
void devices_changed(struct fs *fs, const struct host_snapshot *before,
                     const struct host_snapshot *after);
/** A new snapshot whose devices are the same. */
void devices_keep(struct fs *fs, const struct host_snapshot *after);

/* rename.c */
/** A user's own rename of a VM's directory. */
void vms_rename(fuse_req_t request, const char *name, const char *new_name);

/* refuse.c */
/** Tells people why `what` (a command or "mkdir NAME") was refused, in the error file nearest to
 * the subject, and returns error->code. */
int refuse(const struct subject *subject, const char *what, const struct error *error);
/** Takes away the line of an earlier refusal: `what` succeeded. */
void refuse_no_more(const struct subject *subject, const char *what);

/* attributes.c */
/** S_IFDIR, S_IFLNK or S_IFREG. */
mode_t kind_bits(enum node_kind kind);
/** Fills in what stat shows; renders the content for its size unless `quick` and the type is slow.
 */
void attributes_fill(struct fs *fs, struct node *node, bool quick, struct stat *ret_attributes);

/* operations.c, files.c, directories.c */
extern const struct fuse_lowlevel_ops operations;
struct fs *request_fs(fuse_req_t request);
/** True if the notifier's own thread makes this request. */
bool request_is_ours(fuse_req_t request);
struct node *request_node(fuse_req_t request, fuse_ino_t ino);
/** Fills in an entry for a node (lock not held); the caller has counted the lookup. */
void entry_fill(struct fs *fs, struct node *node, struct fuse_entry_param *ret_entry);

/* files.c: open files, reference-counted since a read may be interrupted while it is let go */
struct handle *handle_ref(struct handle *handle);
void handle_unref(struct handle *handle);
/** Makes streams' answers find their way back to this mount; before the first. */
void handles_init(struct fs *fs);
struct fs *the_mount(void);
/** Closes what is still open when the mount has gone. */
void handles_close(struct fs *fs);
/** Gives up the read, write or flush of a stream that has that number. */
void handle_interrupt(struct handle *handle, uint64_t number);

void files_open(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info);
/** Answers a create with an open file of the node, whose lookup was counted. */
void files_created(fuse_req_t request, struct node *node, const struct fuse_file_info *info);
void files_read(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                struct fuse_file_info *info);
void files_write(fuse_req_t request, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                 struct fuse_file_info *info);
/** Truncation of a node to `size`, of the open file `info` where it is given.  0 or -errno. */
int files_truncate(fuse_req_t request, struct node *node, off_t size, struct fuse_file_info *info);
void files_flush(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info);
void files_fsync(fuse_req_t request, fuse_ino_t ino, int data_only, struct fuse_file_info *info);
void files_release(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info);

/** Closes the directories that are still open when nobody answers any more. */
void directories_close(struct fs *fs);
void directories_open(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info);
void directories_read(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                      struct fuse_file_info *info);
void directories_readplus(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                          struct fuse_file_info *info);
void directories_release(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info);

/* names.c: mkdir, rmdir, unlink, rename, mknod, ... by the notifier, and refused to everybody else
 */
void names_mknod(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode,
                 dev_t device);
void names_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode);
void names_symlink(fuse_req_t request, const char *target, fuse_ino_t parent, const char *name);
void names_link(fuse_req_t request, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void names_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode,
                  struct fuse_file_info *info);
void names_unlink(fuse_req_t request, fuse_ino_t parent, const char *name);
void names_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name);
void names_rename(fuse_req_t request, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                  const char *new_name, unsigned flags);

#endif
