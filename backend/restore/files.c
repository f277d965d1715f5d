/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/disk.h"

/* at most so much waits to be written */
#define SLOTS       16
#define SLOT_SIZE   ((size_t)1 << 20)
/* the kernel is told to begin with the disk at every so many bytes, or all of it would wait for the
 * last moment */
#define FLUSH_BYTES ((uint64_t)16 << 20)

struct slot {
    int fd;
    uint64_t offset; /* of a close: the size */
    size_t length;
    unsigned char *data;
    bool close, durable;
    char *name;
    time_t mtime;
};

struct files {
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows; a slot's content is its side's until it is moved on */
    pthread_cond_t moved;
    struct slot slots[SLOTS];
    unsigned long given, done; /* counted from 0; slot number % SLOTS */
    bool ending;
    bool failed;
    struct error error;

    uint64_t unflushed; /* the thread's own */
};

static int write_slot(struct files *files, const struct slot *slot)
{
    int result = disk_write_at(slot->fd, slot->data, slot->length, slot->offset);

    files->unflushed += slot->length;
    if (result == 0 && files->unflushed >= FLUSH_BYTES) {
        files->unflushed = 0;
        /* a hint: where it isn't known, all goes as well */
        (void)!sync_file_range(slot->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    }
    return result;
}

static int close_slot(const struct slot *slot)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = slot->mtime}};

    if (ftruncate(slot->fd, (off_t)slot->offset) ||
        (slot->mtime > 0 && futimens(slot->fd, times)) || (slot->durable && fsync(slot->fd)))
        return -errno;
    return 0;
}

static void *thread(void *cookie)
{
    struct files *files = cookie;

    pthread_setname_np(pthread_self(), "restore-write");
    pthread_mutex_lock(&files->lock);
    for (;;) {
        struct slot *slot = &files->slots[files->done % SLOTS];
        bool skip = files->failed || files->ending;
        int result = 0;

        if (files->done == files->given) {
            if (files->ending)
                break;
            pthread_cond_wait(&files->moved, &files->lock);
            continue;
        }
        pthread_mutex_unlock(&files->lock);
        if (!skip)
            result = slot->close ? close_slot(slot) : write_slot(files, slot);
        if (slot->close)
            close(slot->fd);
        pthread_mutex_lock(&files->lock);
        if (result < 0) {
            files->failed = true;
            error_set(&files->error, result, "what was restored can't be written%s%s: %s",
                      slot->name ? " to " : "", slot->name ? slot->name : "", strerror(-result));
        }
        free(slot->name);
        slot->name = NULL;
        files->done++;
        pthread_cond_broadcast(&files->moved);
    }
    pthread_mutex_unlock(&files->lock);
    return NULL;
}

int files_new(struct files **ret_files)
{
    struct files *files = calloc(1, sizeof(*files));
    sigset_t all, before;
    int result;

    if (!files)
        return -ENOMEM;
    for (int i = 0; i < SLOTS; i++)
        if (!(files->slots[i].data = malloc(SLOT_SIZE))) {
            while (i-- > 0)
                free(files->slots[i].data);
            free(files);
            return -ENOMEM;
        }
    pthread_mutex_init(&files->lock, NULL);
    pthread_cond_init(&files->moved, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    result = pthread_create(&files->thread, NULL, thread, files);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result) {
        for (int i = 0; i < SLOTS; i++)
            free(files->slots[i].data);
        free(files);
        return -result;
    }
    *ret_files = files;
    return 0;
}

/* A free slot; NULL: it has failed.  Called with the lock held. */
static struct slot *next_slot(struct files *files, struct error *ret_error)
{
    while (files->given - files->done == SLOTS && !files->failed)
        pthread_cond_wait(&files->moved, &files->lock);
    if (files->failed) {
        *ret_error = files->error;
        return NULL;
    }
    return &files->slots[files->given % SLOTS];
}

int files_write(struct files *files, int fd, uint64_t offset, const void *data, size_t length,
                struct error *ret_error)
{
    const unsigned char *at = data;

    while (length > 0) {
        size_t piece = length < SLOT_SIZE ? length : SLOT_SIZE;
        struct slot *slot;

        pthread_mutex_lock(&files->lock);
        slot = next_slot(files, ret_error);
        pthread_mutex_unlock(&files->lock);
        if (!slot)
            return ret_error->code;
        memcpy(slot->data, at, piece);
        slot->fd = fd;
        slot->offset = offset;
        slot->length = piece;
        slot->close = false;
        pthread_mutex_lock(&files->lock);
        files->given++;
        pthread_cond_broadcast(&files->moved);
        pthread_mutex_unlock(&files->lock);
        at += piece;
        offset += piece;
        length -= piece;
    }
    return 0;
}

int files_close(struct files *files, int fd, char *name, uint64_t size, time_t mtime, bool durable,
                struct error *ret_error)
{
    struct slot *slot;

    LOCK_SCOPE(&files->lock);
    slot = next_slot(files, ret_error);
    if (!slot) {
        /* what is still to be skipped may name it */
        while (files->done < files->given)
            pthread_cond_wait(&files->moved, &files->lock);
        close(fd);
        free(name);
        return ret_error->code;
    }
    slot->fd = fd;
    slot->offset = size;
    slot->mtime = mtime;
    slot->durable = durable;
    slot->name = name;
    slot->close = true;
    files->given++;
    pthread_cond_broadcast(&files->moved);
    return 0;
}

int files_drain(struct files *files, struct error *ret_error)
{
    LOCK_SCOPE(&files->lock);
    while (files->done < files->given)
        pthread_cond_wait(&files->moved, &files->lock);
    if (files->failed)
        *ret_error = files->error;
    return files->failed ? files->error.code : 0;
}

void files_free(struct files *files)
{
    if (!files)
        return;
    pthread_mutex_lock(&files->lock);
    files->ending = true;
    pthread_cond_broadcast(&files->moved);
    pthread_mutex_unlock(&files->lock);
    pthread_join(files->thread, NULL);
    for (int i = 0; i < SLOTS; i++)
        free(files->slots[i].data);
    pthread_mutex_destroy(&files->lock);
    pthread_cond_destroy(&files->moved);
    free(files);
}
