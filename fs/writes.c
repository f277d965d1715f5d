/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is written is taken as the node's kind says: a command, a value, or a list at the first
 * flush. */
#include <errno.h>
#include <string.h>

#include "handle.h"
#include "qubesfs/locked.h"
#include "qubesfs/log.h"

#define COMMAND_MAX 4096
#define VALUE_MAX   4096
#define LIST_MAX    (64 * 1024)

struct command {
    struct fs *fs;
    uint64_t number;
    size_t size;
};

static void command_done(void *cookie, int result)
{
    struct command *command = cookie;
    struct wait *wait;
    fuse_req_t request = waits_take(command->fs, command->number, &wait);

    if (request) {
        if (result < 0)
            fuse_reply_err(request, -result);
        else
            fuse_reply_write(request, command->size);
        waits_done(command->fs, wait);
    }
    free(command);
}

static void write_command(fuse_req_t request, struct handle *handle, const char *data, size_t size)
{
    const struct node_type *type = handle->node->type;
    struct command *command;
    struct subject subject;
    struct error error;
    int result;

    subject_take(handle->fs, handle->node, &subject);
    if (size > COMMAND_MAX) {
        error_set(&error, -EINVAL,
                  "%zu bytes are too long for \"%s\": at most %d are taken at once", size,
                  subject.name, COMMAND_MAX);
        result = refuse(&subject, type->kind == NODE_COMMAND ? "control" : subject.name, &error);
        subject_free(&subject);
        fuse_reply_err(request, -result);
        return;
    }
    command = malloc(sizeof(*command));
    if (!command) {
        subject_free(&subject);
        fuse_reply_err(request, ENOMEM);
        return;
    }
    *command = (struct command){.fs = handle->fs, .size = size};
    command->number = waits_add(handle->fs, request, handle->node, WAIT_WRITE, NULL);
    if (command->number == 0) {
        free(command);
    } else {
        /* from here on it may be answered by others, and the file be closed: `handle` may be gone
         */
        result = type->command(&subject, data, size, command_done, command);
        if (result)
            command_done(command, result);
    }
    subject_free(&subject);
}

/* Takes a new value, or a list; tells how it went. */
static int set_value(struct handle *handle, const char *value, size_t size)
{
    struct subject subject;
    struct error error = {0};
    int result;

    subject_take(handle->fs, handle->node, &subject);
    if (handle->node->type->kind == NODE_VALUE && size > VALUE_MAX)
        result = error_set(&error, -EINVAL, "%zu bytes are too long: at most %d are taken", size,
                           VALUE_MAX);
    else
        result = handle->node->type->set(&subject, value, size, &error);
    if (result)
        refuse(&subject, subject.name, &error);
    else
        refuse_no_more(&subject, subject.name);
    subject_free(&subject);
    return result;
}

static void write_taken(void *cookie, ssize_t result)
{
    struct fs *fs = the_mount();
    struct wait *wait;
    fuse_req_t request = waits_take(fs, (uintptr_t)cookie, &wait);

    if (!request)
        return;
    if (result < 0)
        fuse_reply_err(request, (int)-result);
    else
        fuse_reply_write(request, (size_t)result);
    waits_done(fs, wait);
}

static void flushed(void *cookie, ssize_t result)
{
    struct fs *fs = the_mount();
    struct wait *wait;
    fuse_req_t request = waits_take(fs, (uintptr_t)cookie, &wait);

    if (!request)
        return;
    fuse_reply_err(request, (int)-result);
    waits_done(fs, wait);
}

/* The bytes of a backup, to be restored: answered when there is room for more. */
static void write_stream(fuse_req_t request, struct handle *handle, const char *data, size_t size,
                         off_t offset)
{
    struct fs *fs = handle->fs;
    uint64_t number;

    handle_ref(handle); /* the answer may come, and the file be closed, before we are through */
    number = waits_add(fs, request, handle->node, WAIT_TAKE, handle);
    if (number) {
        backup_receiver_write(handle->receiver, offset, data, size, write_taken,
                              (void *)(uintptr_t)number);
        if (waits_interrupted(fs, number))
            handle_interrupt(handle, number);
    }
    handle_unref(handle);
}

static void flush_stream(fuse_req_t request, struct handle *handle, bool may_go_on)
{
    struct fs *fs = handle->fs;
    uint64_t number;

    handle_ref(handle);
    number = waits_add(fs, request, handle->node, WAIT_READ, handle);
    if (number) {
        backup_receiver_flush(handle->receiver, may_go_on, flushed,
                              (void *)(uintptr_t)number);
        if (waits_interrupted(fs, number))
            handle_interrupt(handle, number);
    }
    handle_unref(handle);
}

static int write_list(struct handle *handle, const char *data, size_t size, off_t offset)
{
    const size_t limit = handle->secret ? SECRET_MAX : LIST_MAX;
    struct text *content = &handle->content;

    LOCK_SCOPE(&handle->lock);
    if (offset < 0 || (uint64_t)offset > limit || size > limit - (size_t)offset)
        return -EFBIG;
    handle->dirty = true;
    if (handle->secret) {
        memcpy(handle->secret + offset, data, size);
        if ((size_t)offset + size > handle->secret_length)
            handle->secret_length = (size_t)offset + size;
        return 0;
    }
    while (content->length < (size_t)offset && !content->failed)
        text_append(content, "", 1);
    if ((size_t)offset < content->length && !content->failed) {
        size_t within = content->length - (size_t)offset;

        within = within < size ? within : size;
        memcpy(content->data + offset, data, within);
        data += within;
        size -= within;
    }
    text_append(content, data, size);
    return text_status(content);
}

void files_write(fuse_req_t request, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                 struct fuse_file_info *info)
{
    struct handle *handle = (struct handle *)(uintptr_t)info->fh;
    int result;

    (void)ino;
    if (handle->ours) {
        fuse_reply_write(request, size);
        return;
    }
    switch (handle->node->type->kind) {
    case NODE_COMMAND:
        write_command(request, handle, data, size);
        return;
    case NODE_VALUE:
        if (handle->node->type->command) {
            write_command(request, handle, data, size);
            return;
        }
        result = set_value(handle, data, size);
        break;
    case NODE_LIST:
        result = write_list(handle, data, size, offset);
        break;
    case NODE_STREAM:
        write_stream(request, handle, data, size, offset);
        return;
    default:
        result = -EACCES;
        break;
    }
    if (result)
        fuse_reply_err(request, -result);
    else
        fuse_reply_write(request, size);
}

static void wipe_secret(struct handle *handle)
{
    explicit_bzero(handle->secret, SECRET_MAX);
    handle->secret_length = 0;
}

/* What a secret's open file holds, which is empty then. */
static int flush_secret(struct handle *handle)
{
    char *secret = locked_alloc(SECRET_MAX);
    size_t length;
    int result;

    if (!secret)
        return -ENOMEM;
    pthread_mutex_lock(&handle->lock);
    length = handle->secret_length;
    memcpy(secret, handle->secret, length);
    wipe_secret(handle);
    pthread_mutex_unlock(&handle->lock);
    result = set_value(handle, secret, length);
    locked_free(secret, SECRET_MAX);
    return result;
}

/*
 * A list is taken at the first flush after a write: that is where an error can still be seen.  As a
 * copy, since somebody else who has the same open file may be writing at this moment.
 */
static int flush_list(struct handle *handle)
{
    struct text list CLEANUP_TEXT = TEXT_INIT;
    bool dirty;
    int result;

    pthread_mutex_lock(&handle->lock);
    dirty = handle->dirty;
    handle->dirty = false;
    if (dirty)
        handle->emptied = false;
    if (dirty && !handle->secret)
        text_append(&list, handle->content.data, handle->content.length);
    pthread_mutex_unlock(&handle->lock);
    if (!dirty)
        return 0;
    if (handle->secret)
        return flush_secret(handle);
    result = text_status(&list);
    return result ? result : set_value(handle, list.data, list.length);
}

void files_flush(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info)
{
    struct handle *handle = (struct handle *)(uintptr_t)info->fh;
    int result = 0;

    (void)ino;
    if (handle->volume) {
        LOCK_SCOPE(&handle->fs->tree.lock);
        handle->flushed = true;
    }
    if (!handle->ours && handle->receiver) {
        flush_stream(request, handle, false);
        return;
    }
    if (!handle->ours && handle->node->type->kind == NODE_LIST)
        result = flush_list(handle);
    fuse_reply_err(request, -result);
}

/* Only a restore can lose something that was written: there it asks what a flush asks, but that the
 * writer may be in the middle of it. */
void files_fsync(fuse_req_t request, fuse_ino_t ino, int data_only, struct fuse_file_info *info)
{
    struct handle *handle = (struct handle *)(uintptr_t)info->fh;

    (void)ino;
    (void)data_only;
    if (!handle->ours && handle->receiver)
        flush_stream(request, handle, true);
    else
        fuse_reply_err(request, 0);
}

void writes_release(struct handle *handle)
{
    /* `: > include`: emptied and never written; the flush before a write must not take that */
    if (!handle->ours && handle->node->type->kind == NODE_LIST && handle->emptied &&
        !handle->secret && set_value(handle, "", 0))
        log_warning("%s could not be emptied", handle->node->type->name);
}

int files_truncate(fuse_req_t request, struct node *node, off_t size, struct fuse_file_info *info)
{
    struct handle *handle = info ? (struct handle *)(uintptr_t)info->fh : NULL;
    struct handle *own = NULL;
    int result = 0;

    switch (node->type->kind) {
    case NODE_COMMAND:
    case NODE_VALUE:
        return 0;
    case NODE_STREAM: /* a restore has no old content */
        return node->type->mode & 0222 ? 0 : -EACCES;
    case NODE_LIST:
        break;
    default:
        return -EACCES;
    }
    if (size != 0)
        return -EINVAL;
    if (!handle && !(own = handle_new(request_fs(request), node)))
        return -ENOMEM;
    if (own) {
        result = node->type->secret ? 0 : set_value(own, "", 0);
        handle_unref(own);
        return result;
    }
    pthread_mutex_lock(&handle->lock);
    text_free(&handle->content);
    if (handle->secret)
        wipe_secret(handle);
    handle->emptied = true;
    pthread_mutex_unlock(&handle->lock);
    return 0;
}
