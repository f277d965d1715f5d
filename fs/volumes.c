/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * P/vms/NAME/volumes/: images, opened in a state that stays still, read by workers.
 *
 * The kernel has one page cache a file, whatever state an open file of it is in.  So:
 *   - who opens the state that is in the cache shares it, also when nobody had it open in between;
 *   - who opens another state empties the cache and fills it anew, if nobody reads through it;
 *   - else the reads of the new open file go past it.  What can only go through it (sendfile, a
 *     mapping) is refused where it is noticed: it has no owner in the kernel's read request.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "handle.h"
#include "qubesfs/volume.h"

struct open_volume {
    const struct vm *vm;
    enum vm_volume which;
    struct storage_image image;
    bool cached; /* its reads go through the kernel's page cache; guarded by the tree's lock */
};

static enum vm_volume which_of(const struct node_type *type)
{
    return (enum vm_volume)(type->field - VM_FIELD_VOLUME);
}

static int measure(const struct subject *subject, enum vm_volume which,
                   struct storage_measure *ret_measure)
{
    return host_volume_measure(subject->fs->host, subject->vm, which, ret_measure);
}

uint64_t volume_size(const struct subject *subject, const struct node_type *type,
                     uint64_t *ret_blocks)
{
    struct storage_measure found;

    if (measure(subject, which_of(type), &found))
        return 0;
    *ret_blocks = (found.allocated + 511) / 512;
    return found.size;
}

#define VOLUME_CHANGED(function, which)                                                            \
    static struct timespec function(const struct subject *subject)                                 \
    {                                                                                              \
        struct storage_measure found;                                                              \
                                                                                                   \
        return measure(subject, which, &found) ? subject->vm->changed[VM_FIELD_VOLUME + (which)]   \
                                               : found.modified;                                   \
    }
VOLUME_CHANGED(changed_root, VM_VOLUME_ROOT)
VOLUME_CHANGED(changed_private, VM_VOLUME_PRIVATE)
VOLUME_CHANGED(changed_volatile, VM_VOLUME_VOLATILE)

#define VOLUME(file, what, function)                                                               \
    {                                                                                              \
        .name = file, .kind = NODE_VOLUME, .mode = 0440, .field = VM_FIELD_VOLUME + (what),        \
        .changed = function, .slow = true                                                          \
    }
const struct node_type volume_types[VM_VOLUME_COUNT] = {
    VOLUME("root.img", VM_VOLUME_ROOT, changed_root),
    VOLUME("private.img", VM_VOLUME_PRIVATE, changed_private),
    VOLUME("volatile.img", VM_VOLUME_VOLATILE, changed_volatile),
};

/* What is said of it in `error`: "read private.img". */
static void command_name(const char *what, const struct subject *subject, char *ret, size_t size)
{
    snprintf(ret, size, "%s %s", what, subject->name);
}

static void tell(struct fs *fs, struct node *node, const char *what, const struct error *error)
{
    struct subject subject;
    char command[300];

    subject_take(fs, node, &subject);
    command_name(what, &subject, command, sizeof(command));
    /* a success is told only where there is something to take away: it costs a turn of the host */
    if (error)
        refuse(&subject, command, error);
    else if (subject.vm && subject.vm->error_lines && strstr(subject.vm->error_lines, command))
        refuse_no_more(&subject, command);
    subject_free(&subject);
}

int volume_open(struct handle *handle, const struct subject *subject)
{
    struct open_volume *volume = calloc(1, sizeof(*volume));
    struct error error;
    int result;

    if (!volume)
        return -ENOMEM;
    volume->which = which_of(handle->node->type);
    result = host_volume_open(handle->fs->host, subject->vm, volume->which, &volume->image, &error);
    tell(handle->fs, handle->node, "open", result ? &error : NULL);
    if (result) {
        free(volume);
        return result;
    }
    volume->vm = vm_ref(subject->vm);
    LOCK_SCOPE(&handle->fs->tree.lock);
    handle->volume = volume;
    return 0;
}

void volume_close(struct open_volume *volume)
{
    if (!volume)
        return;
    storage_close(&volume->image);
    vm_unref(volume->vm);
    free(volume);
}

/* Who reads another state of the node through the cache: NULL, nobody.  Called with the tree's
 * lock. */
static const struct handle *other_reader(const struct handle *handle)
{
    const struct storage_state *state = &handle->volume->image.state;

    for (const struct handle *other = handle->fs->handles; other; other = other->next)
        if (other != handle && other->node == handle->node && other->volume &&
            other->volume->cached && !storage_state_equal(&other->volume->image.state, state))
            return other;
    return NULL;
}

/* A file that was just closed is let go by the kernel a moment later. */
static void wait_for_release(struct handle *handle)
{
    const struct timespec moment = {.tv_nsec = 5000000};
    bool waits = true;

    for (int i = 0; waits && i < 60; i++) {
        const struct handle *other;

        pthread_mutex_lock(&handle->fs->tree.lock);
        other = other_reader(handle);
        waits = other && other->flushed;
        pthread_mutex_unlock(&handle->fs->tree.lock);
        if (waits)
            nanosleep(&moment, NULL);
    }
}

void volume_cache(struct handle *handle, struct fuse_file_info *info)
{
    const struct storage_state *state = &handle->volume->image.state;
    struct fs *fs = handle->fs;
    struct cached_volume *cached;

    wait_for_release(handle);
    LOCK_SCOPE(&fs->tree.lock);
    cached = &fs->cached_volumes[handle->node->ino % CACHED_VOLUMES];
    handle->volume->cached = other_reader(handle) == NULL;
    info->direct_io = !handle->volume->cached;
    info->keep_cache = info->direct_io || (cached->ino == handle->node->ino &&
                                           storage_state_equal(&cached->state, state));
    if (handle->volume->cached && !info->keep_cache)
        *cached = (struct cached_volume){handle->node->ino, *state};
}

/* A read (whence 0), or a search for data or a hole. */
struct volume_request {
    struct handle *handle; /* one reference */
    uint64_t number;
    off_t offset;
    size_t size;
    int whence;
};

static int read_image(int fd, void *data, size_t size, off_t offset, size_t *ret_length)
{
    size_t length = 0;

    while (length < size) {
        ssize_t got = pread(fd, (char *)data + length, size - length, offset + (off_t)length);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        length += (size_t)got;
    }
    *ret_length = length;
    return 0;
}

/* After a read of what may change: whether it still is what was opened. */
static int check(struct handle *handle)
{
    const struct open_volume *volume = handle->volume;
    struct error error;
    int result =
        host_volume_check(handle->fs->host, volume->vm, volume->which, &volume->image, &error);

    if (result)
        tell(handle->fs, handle->node, "read", &error);
    return result;
}

static void request_done(struct volume_request *volume_request)
{
    handle_unref(volume_request->handle);
    free(volume_request);
}

static void read_on_worker(void *cookie)
{
    struct volume_request *read = cookie;
    struct handle *handle = read->handle;
    const struct storage_image *image = &handle->volume->image;
    void *data CLEANUP_FREE = NULL;
    size_t length = read->size;
    struct wait *wait;
    fuse_req_t request;
    int result = 0;

    if ((uint64_t)read->offset >= image->size)
        length = 0;
    else if (length > image->size - (uint64_t)read->offset)
        length = (size_t)(image->size - (uint64_t)read->offset);
    /* copied: from page to page through a pipe (splice) took a quarter more of the processor here */
    data = malloc(length + 1);
    result = data ? read_image(image->fd, data, length, read->offset, &length) : -ENOMEM;
    if (result == 0)
        result = check(handle);
    request = waits_take(handle->fs, read->number, &wait);
    if (request) {
        if (result)
            fuse_reply_err(request, -result);
        else
            fuse_reply_buf(request, data, length);
        waits_done(handle->fs, wait);
    }
    request_done(read);
}

/* A block device has no holes. */
static off_t seek(const struct storage_image *image, off_t offset, int whence)
{
    if (!image->block)
        /* reads say where: the descriptor's own position means nothing, so it may be moved */
        return lseek(image->fd, offset, whence);
    if (offset < 0 || (uint64_t)offset >= image->size) {
        errno = ENXIO;
        return -1;
    }
    return whence == SEEK_DATA ? offset : (off_t)image->size;
}

static void seek_on_worker(void *cookie)
{
    struct volume_request *search = cookie;
    struct handle *handle = search->handle;
    off_t found = seek(&handle->volume->image, search->offset, search->whence);
    int result = found < 0 ? -errno : check(handle);
    struct wait *wait;
    fuse_req_t request = waits_take(handle->fs, search->number, &wait);

    if (request) {
        if (result)
            fuse_reply_err(request, -result);
        else
            fuse_reply_lseek(request, found);
        waits_done(handle->fs, wait);
    }
    request_done(search);
}

static void run(fuse_req_t request, const struct volume_request *what,
                void (*function)(void *cookie))
{
    struct fs *fs = what->handle->fs;
    struct volume_request *copy = malloc(sizeof(*copy));
    struct wait *wait;

    if (!copy) {
        fuse_reply_err(request, ENOMEM);
        return;
    }
    *copy = *what;
    handle_ref(copy->handle);
    copy->number = waits_add(fs, request, copy->handle->node, WAIT_OTHER, NULL);
    if (copy->number && pool_run(fs->readers, function, copy) == 0)
        return;
    if (copy->number && waits_take(fs, copy->number, &wait)) {
        fuse_reply_err(request, ENOMEM);
        waits_done(fs, wait);
    }
    request_done(copy);
}

/* A page of the cache is asked for by nobody in particular. */
static bool refuse_page(struct handle *handle, const struct fuse_file_info *info)
{
    struct error error;

    if (handle->volume->cached || info->lock_owner)
        return false;
    error_set(&error, -EBUSY,
              "an older state of it is being read by somebody else, so it can't be read by "
              "`sendfile` or through a mapping now: read it with `cat` or `dd`");
    tell(handle->fs, handle->node, "read", &error);
    return true;
}

void volume_read(fuse_req_t request, struct handle *handle, size_t size, off_t offset,
                 const struct fuse_file_info *info)
{
    const struct volume_request what = {.handle = handle, .offset = offset, .size = size};

    if (!handle->volume || refuse_page(handle, info))
        fuse_reply_err(request, EBUSY);
    else
        run(request, &what, read_on_worker);
}

void volume_seek(fuse_req_t request, fuse_ino_t ino, off_t offset, int whence,
                 struct fuse_file_info *info)
{
    struct handle *handle = (struct handle *)(uintptr_t)info->fh;
    const struct volume_request what = {.handle = handle, .offset = offset, .whence = whence};

    (void)ino;
    if (!handle->volume)
        fuse_reply_err(request, EINVAL);
    else
        run(request, &what, seek_on_worker);
}

void volumes_populate(struct fs *fs, struct node *directory, const struct vm *vm)
{
    for (size_t i = 0; vm && i < VM_VOLUME_COUNT; i++)
        if (vm->has_volume[i])
            vms_add_child(fs, directory, &volume_types[i], volume_types[i].name);
}
