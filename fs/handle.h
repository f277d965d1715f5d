/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An open file: files.c opens, reads and lets go; writes.c takes what is written. */
#ifndef QUBESFS_FS_HANDLE_H
#define QUBESFS_FS_HANDLE_H

#include "fs.h"

#define SECRET_MAX 4096

struct handle {
    pthread_mutex_t lock; /* guards references and the content */
    unsigned references;
    struct handle *next, **link; /* in fs->handles; guarded by the tree's lock */
    struct fs *fs;
    struct node *node; /* one reference */
    bool ours;         /* opened by the notifier: what it writes means nothing */
    bool writable, dirty, emptied;
    struct text content;
    char *secret; /* SECRET_MAX bytes of locked memory in place of content, for a secret type */
    size_t secret_length;
    struct backup_stream *stream;     /* of a stream that may be read */
    struct backup_receiver *receiver; /* of one that may be written */
    struct open_volume *volume;       /* set under the tree's lock */
    bool flushed;                     /* closed at least once; guarded by the tree's lock */
};

/** A new open file of `node`, with one reference; NULL: out of memory. */
struct handle *handle_new(struct fs *fs, struct node *node);

/** writes.c: what is left to take when the file is closed for the last time. */
void writes_release(struct handle *handle);

/** volumes.c: opens the image, on a worker; 0 or -errno, which was told. */
int volume_open(struct handle *handle, const struct subject *subject);
/** Says whether its reads go through the kernel's cache, and whether that holds its state already.
 */
void volume_cache(struct handle *handle, struct fuse_file_info *info);
void volume_read(fuse_req_t request, struct handle *handle, size_t size, off_t offset,
                 const struct fuse_file_info *info);
/** NULL is fine. */
void volume_close(struct open_volume *volume);

#endif
