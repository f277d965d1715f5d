/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "disk_queue.h"

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
#define SLOTS     16
#define SLOT_SIZE ((size_t)1 << 20)
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

struct disk_queue {
    pthread_t thread;
    pthread_mutex_t
        lock; /* guards what follows; a slot's content is its side's until it is moved on */
    pthread_cond_t moved;
    struct slot slots[SLOTS];
    unsigned long given, done; /* counted from 0; slot number % SLOTS */
    bool ending;
    bool failed;
    struct error error;

    uint64_t unflushed; /* the thread's own */
};

static int write_slot(struct disk_queue *queue, const struct slot *slot)
{
    int result = disk_write_at(slot->fd, slot->data, slot->length, slot->offset);

    queue->unflushed += slot->length;
    if (result == 0 && queue->unflushed >= FLUSH_BYTES) {
        queue->unflushed = 0;
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
    struct disk_queue *queue = cookie;

    pthread_setname_np(pthread_self(), "restore-write");
    pthread_mutex_lock(&queue->lock);
    for (;;) {
        struct slot *slot = &queue->slots[queue->done % SLOTS];
        bool skip = queue->failed || queue->ending;
        int result = 0;

        if (queue->done == queue->given) {
            if (queue->ending)
                break;
            pthread_cond_wait(&queue->moved, &queue->lock);
            continue;
        }
        pthread_mutex_unlock(&queue->lock);
        if (!skip)
            result = slot->close ? close_slot(slot) : write_slot(queue, slot);
        if (slot->close)
            close(slot->fd);
        pthread_mutex_lock(&queue->lock);
        if (result < 0) {
            queue->failed = true;
            error_set(&queue->error, result, "what was restored can't be written%s%s: %s",
                      slot->name ? " to " : "", slot->name ? slot->name : "", strerror(-result));
        }
        free(slot->name);
        slot->name = NULL;
        queue->done++;
        pthread_cond_broadcast(&queue->moved);
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

int disk_queue_new(struct disk_queue **ret_queue)
{
    struct disk_queue *queue = calloc(1, sizeof(*queue));
    sigset_t all, before;
    int result;

    if (!queue)
        return -ENOMEM;
    for (int i = 0; i < SLOTS; i++)
        if (!(queue->slots[i].data = malloc(SLOT_SIZE))) {
            while (i-- > 0)
                free(queue->slots[i].data);
            free(queue);
            return -ENOMEM;
        }
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->moved, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    result = pthread_create(&queue->thread, NULL, thread, queue);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result) {
        for (int i = 0; i < SLOTS; i++)
            free(queue->slots[i].data);
        free(queue);
        return -result;
    }
    *ret_queue = queue;
    return 0;
}

/* A free slot; NULL: it has failed.  Called with the lock held. */
static struct slot *next_slot(struct disk_queue *queue, struct error *ret_error)
{
    while (queue->given - queue->done == SLOTS && !queue->failed)
        pthread_cond_wait(&queue->moved, &queue->lock);
    if (queue->failed) {
        *ret_error = queue->error;
        return NULL;
    }
    return &queue->slots[queue->given % SLOTS];
}

int disk_queue_write(struct disk_queue *queue, int fd, uint64_t offset, const void *data,
                     size_t length, struct error *ret_error)
{
    const unsigned char *at = data;

    while (length > 0) {
        size_t piece = length < SLOT_SIZE ? length : SLOT_SIZE;
        struct slot *slot;

        pthread_mutex_lock(&queue->lock);
        slot = next_slot(queue, ret_error);
        pthread_mutex_unlock(&queue->lock);
        if (!slot)
            return ret_error->code;
        memcpy(slot->data, at, piece);
        slot->fd = fd;
        slot->offset = offset;
        slot->length = piece;
        slot->close = false;
        pthread_mutex_lock(&queue->lock);
        queue->given++;
        pthread_cond_broadcast(&queue->moved);
        pthread_mutex_unlock(&queue->lock);
        at += piece;
        offset += piece;
        length -= piece;
    }
    return 0;
}

int disk_queue_close(struct disk_queue *queue, int fd, char *name, uint64_t size, time_t mtime,
                     bool durable, struct error *ret_error)
{
    struct slot *slot;

    LOCK_SCOPE(&queue->lock);
    slot = next_slot(queue, ret_error);
    if (!slot) {
        /* what is still to be skipped may name it */
        while (queue->done < queue->given)
            pthread_cond_wait(&queue->moved, &queue->lock);
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
    queue->given++;
    pthread_cond_broadcast(&queue->moved);
    return 0;
}

int disk_queue_drain(struct disk_queue *queue, struct error *ret_error)
{
    LOCK_SCOPE(&queue->lock);
    while (queue->done < queue->given)
        pthread_cond_wait(&queue->moved, &queue->lock);
    if (queue->failed)
        *ret_error = queue->error;
    return queue->failed ? queue->error.code : 0;
}

void disk_queue_free(struct disk_queue *queue)
{
    if (!queue)
        return;
    pthread_mutex_lock(&queue->lock);
    queue->ending = true;
    pthread_cond_broadcast(&queue->moved);
    pthread_mutex_unlock(&queue->lock);
    pthread_join(queue->thread, NULL);
    for (int i = 0; i < SLOTS; i++)
        free(queue->slots[i].data);
    pthread_mutex_destroy(&queue->lock);
    pthread_cond_destroy(&queue->moved);
    free(queue);
}
