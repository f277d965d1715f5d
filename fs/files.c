/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Open files and what is read from them.  Each has its own copy of the content, taken at open, so
 * that two readers never mix.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "handle.h"
#include "qubesfs/locked.h"

struct handle *handle_ref(struct handle *handle)
{
    LOCK_SCOPE(&handle->lock);
    handle->references++;
    return handle;
}

void handle_unref(struct handle *handle)
{
    unsigned left;

    pthread_mutex_lock(&handle->lock);
    left = --handle->references;
    pthread_mutex_unlock(&handle->lock);
    if (left > 0)
        return;
    pthread_mutex_lock(&handle->fs->tree.lock);
    *handle->link = handle->next;
    if (handle->next)
        handle->next->link = handle->link;
    node_unref(handle->node);
    pthread_mutex_unlock(&handle->fs->tree.lock);
    backup_stream_free(handle->stream);
    backup_receiver_free(handle->receiver);
    volume_close(handle->volume);
    text_free(&handle->content);
    locked_free(handle->secret, SECRET_MAX);
    pthread_mutex_destroy(&handle->lock);
    free(handle);
}

void handle_interrupt(struct handle *handle, uint64_t number)
{
    if (handle->stream)
        backup_stream_interrupt(handle->stream, (void *)(uintptr_t)number);
    if (handle->receiver)
        backup_receiver_interrupt(handle->receiver, (void *)(uintptr_t)number);
}

struct handle *handle_new(struct fs *fs, struct node *node)
{
    struct handle *handle = calloc(1, sizeof(*handle));

    if (!handle)
        return NULL;
    pthread_mutex_init(&handle->lock, NULL);
    handle->references = 1;
    handle->fs = fs;
    pthread_mutex_lock(&fs->tree.lock);
    handle->node = node_ref(node);
    handle->next = fs->handles;
    handle->link = &fs->handles;
    if (handle->next)
        handle->next->link = &handle->next;
    fs->handles = handle;
    pthread_mutex_unlock(&fs->tree.lock);
    return handle;
}

/* What the mode and the kind allow; root passes the kernel's check, so it is made here as well. */
static int check_access(const struct node_type *type, int flags, const char **ret_why)
{
    bool reads = (flags & O_ACCMODE) != O_WRONLY;
    bool writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;

    *ret_why = "is only for reading";
    if (writes && !(type->mode & 0222))
        return -EACCES;
    *ret_why = "is only for writing";
    if (reads && !(type->mode & 0444))
        return -EACCES;
    return 0;
}

static int check_open(struct fs *fs, struct node *node, int flags)
{
    struct subject subject;
    struct error error;
    const char *why;
    int result = check_access(node->type, flags, &why);

    if (result == 0)
        return 0;
    subject_take(fs, node, &subject);
    error_set(&error, result, "\"%s\" %s", subject.name, why);
    refuse(&subject, "open", &error);
    subject_free(&subject);
    return result;
}

static int handle_fill(struct handle *handle, int flags)
{
    const struct node_type *type = handle->node->type;
    bool reads = (flags & O_ACCMODE) != O_WRONLY;
    struct subject subject;
    int result = 0;

    handle->writable = (flags & O_ACCMODE) != O_RDONLY;
    handle->emptied = handle->writable && flags & O_TRUNC;
    if (type->secret) {
        handle->secret = locked_alloc(SECRET_MAX);
        return handle->secret ? 0 : -ENOMEM;
    }
    subject_take(handle->fs, handle->node, &subject);
    if (type->kind == NODE_STREAM) {
        if (reads)
            result = backup_stream_new(stream_plan(&subject), subject.vm ? subject.vm->name : NULL,
                                       &handle->stream);
        if (result == 0 && handle->writable)
            result = backup_receiver_new(stream_plan(&subject), !(type->mode & 0444),
                                         flags & O_APPEND, &handle->receiver);
    } else if (type->kind == NODE_VOLUME) {
        result = volume_open(handle, &subject);
    } else if (type->render && (reads || type->kind == NODE_LIST) && !(flags & O_TRUNC)) {
        result = type->render(&subject, &handle->content);
    }
    subject_free(&subject);
    return result ? result : text_status(&handle->content);
}

static void fill_info(struct handle *handle, struct fuse_file_info *info)
{
    info->fh = (uintptr_t)handle;
    /* past the page cache: each open file has its own content, each write is one command */
    info->direct_io = 1;
    info->keep_cache = 0;
    if (handle->volume)
        volume_cache(handle, info);
    else if (handle->node->type->kind == NODE_VOLUME)
        info->keep_cache = 1; /* an event changes nothing in it */
}

static void reply_open(fuse_req_t request, struct handle *handle, struct fuse_file_info *info)
{
    fill_info(handle, info);
    if (fuse_reply_open(request, info))
        handle_unref(handle);
}

struct slow_open {
    struct handle *handle;
    uint64_t number;
    struct fuse_file_info info;
};

static void open_on_worker(void *cookie)
{
    struct slow_open *slow = cookie;
    struct fs *fs = slow->handle->fs;
    int result = handle_fill(slow->handle, slow->info.flags);
    struct wait *wait;
    fuse_req_t request = waits_take(fs, slow->number, &wait);

    if (request && result == 0) {
        reply_open(request, slow->handle, &slow->info);
    } else {
        if (request)
            fuse_reply_err(request, -result);
        handle_unref(slow->handle);
    }
    if (request)
        waits_done(fs, wait);
    free(slow);
}

static void open_slowly(fuse_req_t request, struct handle *handle, struct fuse_file_info *info)
{
    struct slow_open *slow = malloc(sizeof(*slow));
    struct fs *fs = handle->fs;
    struct wait *wait;

    if (!slow) {
        handle_unref(handle);
        fuse_reply_err(request, ENOMEM);
        return;
    }
    *slow = (struct slow_open){.handle = handle, .info = *info};
    slow->number = waits_add(fs, request, handle->node, WAIT_OTHER, NULL);
    if (slow->number && pool_run(fs->workers, open_on_worker, slow) == 0)
        return;
    if (slow->number && waits_take(fs, slow->number, &wait)) {
        fuse_reply_err(request, ENOMEM);
        waits_done(fs, wait);
    }
    handle_unref(handle);
    free(slow);
}

void files_open(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info)
{
    struct fs *fs = request_fs(request);
    struct node *node = request_node(request, ino);
    bool ours = request_is_ours(request);
    struct handle *handle;
    int result;
    bool shown;

    pthread_mutex_lock(&fs->tree.lock);
    shown = node_is_shown(node);
    pthread_mutex_unlock(&fs->tree.lock);
    result = ours ? 0 : !shown ? -ENOENT : check_open(fs, node, info->flags);
    if (result) {
        fuse_reply_err(request, -result);
        return;
    }
    handle = handle_new(fs, node);
    if (!handle) {
        fuse_reply_err(request, ENOMEM);
        return;
    }
    handle->ours = ours;
    if (!ours && node->type->slow && node->type->kind != NODE_STREAM) {
        open_slowly(request, handle, info);
        return;
    }
    result = ours ? 0 : handle_fill(handle, info->flags);
    if (result) {
        handle_unref(handle);
        fuse_reply_err(request, -result);
        return;
    }
    reply_open(request, handle, info);
}

void files_created(fuse_req_t request, struct node *node, const struct fuse_file_info *info)
{
    struct fs *fs = request_fs(request);
    struct handle *handle = handle_new(fs, node);
    struct fuse_file_info answer = *info;
    struct fuse_entry_param entry;
    int result = -ENOMEM;

    if (handle) {
        handle->writable = (info->flags & O_ACCMODE) != O_RDONLY;
        fill_info(handle, &answer);
        entry_fill(fs, node, &entry);
        result = fuse_reply_create(request, &entry, &answer);
    } else {
        fuse_reply_err(request, ENOMEM);
    }
    if (result == 0)
        return;
    if (handle)
        handle_unref(handle);
    LOCK_SCOPE(&fs->tree.lock);
    node_forget(&fs->tree, node, 1);
}

/* backup.h knows a read by one pointer: the mount and the wait's number are both needed back. */
static struct fs *the_fs;

void handles_init(struct fs *fs)
{
    the_fs = fs;
}

struct fs *the_mount(void)
{
    return the_fs;
}

void handles_close(struct fs *fs)
{
    while (fs->handles)
        handle_unref(fs->handles);
    directories_close(fs);
}

static void stream_read_done(void *cookie, ssize_t result, const void *data)
{
    struct wait *wait;
    fuse_req_t request = waits_take(the_fs, (uintptr_t)cookie, &wait);

    if (!request)
        return;
    if (result < 0)
        fuse_reply_err(request, (int)-result);
    else
        fuse_reply_buf(request, data, (size_t)result);
    waits_done(the_fs, wait);
}

static void read_stream(fuse_req_t request, struct handle *handle, size_t size, off_t offset)
{
    struct fs *fs = handle->fs;
    uint64_t number;

    handle_ref(handle); /* the answer may come, and the file be closed, before we are through */
    number = waits_add(fs, request, handle->node, WAIT_READ, handle);
    if (number) {
        backup_stream_read(handle->stream, offset, size, stream_read_done,
                           (void *)(uintptr_t)number);
        if (waits_interrupted(fs, number))
            handle_interrupt(handle, number);
    }
    handle_unref(handle);
}

void files_read(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                struct fuse_file_info *info)
{
    struct handle *handle = (struct handle *)(uintptr_t)info->fh;
    char *lines CLEANUP_FREE = NULL;

    (void)ino;
    switch (handle->node->type->kind) {
    case NODE_STREAM:
        if (!handle->stream) { /* opened by the notifier, or only to be written */
            fuse_reply_buf(request, NULL, 0);
            return;
        }
        read_stream(request, handle, size, offset);
        return;
    case NODE_VOLUME:
        volume_read(request, handle, size, offset, info);
        return;
    case NODE_LOG:
        lines = malloc(size);
        if (!lines)
            fuse_reply_err(request, ENOMEM);
        else
            fuse_reply_buf(request, lines,
                           host_journal_read(handle->fs->host, (uint64_t)offset, lines, size));
        return;
    default:
        break;
    }
    pthread_mutex_lock(&handle->lock);
    if ((uint64_t)offset >= handle->content.length)
        size = 0;
    else if (size > handle->content.length - (size_t)offset)
        size = handle->content.length - (size_t)offset;
    fuse_reply_buf(request, size ? handle->content.data + offset : NULL, size);
    pthread_mutex_unlock(&handle->lock);
}

void files_release(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info)
{
    struct handle *handle = (struct handle *)(uintptr_t)info->fh;

    (void)ino;
    writes_release(handle);
    if (!handle->ours)
        item_closed(handle->fs, handle->node);
    handle_unref(handle);
    fuse_reply_err(request, 0);
}
