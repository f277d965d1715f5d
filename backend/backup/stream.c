/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "qubesfs/cleanup.h"
#include "stream_state.h"

int stream_new(const struct stream_work *work, void *cookie, struct backup_stream **ret_stream)
{
    struct backup_stream *stream = calloc(1, sizeof(*stream));
    pthread_condattr_t monotonic;

    if (!stream)
        return -ENOMEM;
    stream->ring = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stream->ring == MAP_FAILED) {
        free(stream);
        return -ENOMEM;
    }
    stream->work = work;
    stream->cookie = cookie;
    atomic_init(&stream->references, 1);
    atomic_init(&stream->closed, false);
    pthread_mutex_init(&stream->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&stream->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *ret_stream = stream;
    return 0;
}

void stream_unref(struct backup_stream *stream)
{
    if (atomic_fetch_sub(&stream->references, 1) != 1)
        return;
    stream->work->free(stream->cookie);
    munmap(stream->ring, RING_SIZE);
    pthread_mutex_destroy(&stream->lock);
    pthread_cond_destroy(&stream->wake);
    free(stream);
}

/*
 * Answering.  The functions down to stream_refuse_all are called with the lock held.
 */

/* Takes the request out of `list`; false if it is not in it. */
static bool unlink_request(struct request **list, const struct request *request)
{
    for (; *list; list = &(*list)->next)
        if (*list == request) {
            *list = request->next;
            return true;
        }
    return false;
}

/* `pending` is sorted by offset, so that what comes first is answered first. */
static void link_request(struct backup_stream *stream, struct request *request)
{
    struct request **at = &stream->pending;

    while (*at && (*at)->offset <= request->offset)
        at = &(*at)->next;
    request->next = *at;
    *at = request;
}

static void set_data(const struct backup_stream *stream, struct request *request, size_t length)
{
    uint64_t at = request->offset % RING_SIZE;
    size_t to_end = (size_t)(RING_SIZE - at);

    request->result = (ssize_t)length;
    request->data = stream->ring + at;
    if (length <= to_end)
        return;
    request->copy = malloc(length);
    if (!request->copy) {
        request->result = -ENOMEM;
        return;
    }
    memcpy(request->copy, stream->ring + at, to_end);
    memcpy((char *)request->copy + to_end, stream->ring, length - to_end);
    request->data = request->copy;
}

/*
 * May a read at or beyond the end be told so?  Only after `ended` was called, and never before a
 * read of what is in front of it is answered: the kernel takes the first short answer of its
 * read-ahead for the file's end, and would fill up with zeros to there.
 */
static bool may_tell_end(const struct backup_stream *stream, const struct request *request)
{
    if (stream->state != ENDED && !stream->impatient)
        return false;
    for (const struct request *other = stream->delivering; other; other = other->next)
        if (other->offset < request->offset)
            return false;
    return true; /* pending ones in front of it were looked at before */
}

/* Sets the request's result if there is one already. */
static bool decide(const struct backup_stream *stream, struct request *request)
{
    uint64_t oldest =
        stream->reserved > stream->first + RING_SIZE ? stream->reserved - RING_SIZE : stream->first;
    uint64_t end = request->offset + request->size;
    bool complete = stream->state == DRAINING || stream->state == ENDED;

    request->result = 0;
    if (atomic_load(&stream->closed))
        request->result = -ECANCELED;
    else if (request->size == 0)
        return true;
    else if (stream->state == IDLE || stream->state == STARTING)
        return false; /* where it begins is not settled */
    else if (request->offset < oldest)
        request->result = -ESPIPE;
    else if (end <= stream->head)
        set_data(stream, request, request->size);
    else if (complete && request->offset < stream->head)
        set_data(stream, request, (size_t)(stream->head - request->offset));
    else if (complete)
        return may_tell_end(stream, request);
    else if (stream->state == FAILED)
        request->result = stream->code;
    else if (end > stream->consumed + STREAM_AHEAD)
        request->result = -ESPIPE;
    else
        return false;
    return true;
}

/* Moves the next request that can be answered to `delivering`; NULL: none. */
static struct request *next_ready(struct backup_stream *stream)
{
    struct request *request;

    for (request = stream->pending; request; request = request->next)
        if (decide(stream, request))
            break;
    if (!request)
        return NULL;
    unlink_request(&stream->pending, request);
    request->next = stream->delivering;
    stream->delivering = request;
    if (request->result > 0 && request->offset + (size_t)request->result > stream->consumed) {
        stream->consumed = request->offset + (size_t)request->result;
        pthread_cond_signal(&stream->wake);
    }
    return request;
}

/* Answers all that can be answered; lets go of the lock while it does. */
void stream_answer(struct backup_stream *stream)
{
    struct request *request;

    while ((request = next_ready(stream)) != NULL) {
        pthread_mutex_unlock(&stream->lock);
        request->done(request->cookie, request->result, request->result > 0 ? request->data : NULL);
        pthread_mutex_lock(&stream->lock);
        unlink_request(&stream->delivering, request);
        pthread_cond_signal(&stream->wake);
        free(request->copy);
        free(request);
    }
}

/* Answers all that wait with `code`, whatever there is. */
void stream_refuse_all(struct backup_stream *stream, int code)
{
    struct request *refused = stream->pending;

    /* those that come while this goes on are for the next attempt */
    stream->pending = NULL;
    pthread_mutex_unlock(&stream->lock);
    while (refused) {
        struct request *next = refused->next;

        refused->done(refused->cookie, code, NULL);
        free(refused);
        refused = next;
    }
    pthread_mutex_lock(&stream->lock);
}

/*
 * What readers call.
 */

void backup_stream_read(struct backup_stream *stream, off_t offset, size_t size,
                        void (*done)(void *cookie, ssize_t result, const void *data), void *cookie)
{
    struct request *request = malloc(sizeof(*request));
    int result = 0;

    if (!request || offset < 0) {
        free(request);
        done(cookie, offset < 0 ? -EINVAL : -ENOMEM, NULL);
        return;
    }
    *request = (struct request){.offset = (uint64_t)offset,
                                .size = size < STREAM_READ_MAX ? size : STREAM_READ_MAX,
                                .done = done,
                                .cookie = cookie};
    atomic_fetch_add(&stream->references, 1); /* an answer may make the owner free the stream */
    pthread_mutex_lock(&stream->lock);
    link_request(stream, request);
    stream_answer(stream);
    if (stream->pending && stream->state == IDLE)
        result = stream_start(stream);
    if (result < 0)
        stream_refuse_all(stream, result);
    pthread_cond_signal(&stream->wake);
    pthread_mutex_unlock(&stream->lock);
    stream_unref(stream);
}

void backup_stream_interrupt(struct backup_stream *stream, void *cookie)
{
    struct request *request;

    pthread_mutex_lock(&stream->lock);
    for (request = stream->pending; request; request = request->next)
        if (request->cookie == cookie)
            break;
    if (request)
        unlink_request(&stream->pending, request);
    pthread_mutex_unlock(&stream->lock);
    if (request)
        request->done(request->cookie, -EINTR, NULL);
    free(request);
}

uint64_t stream_consumed(struct backup_stream *stream)
{
    LOCK_SCOPE(&stream->lock);
    return stream->consumed;
}

void stream_shut(struct backup_stream *stream)
{
    LOCK_SCOPE(&stream->lock);
    if (stream->settled || (stream->state == DRAINING && stream->consumed == stream->head))
        return;
    stream->cancelled = true;
    atomic_store(&stream->closed, true);
    pthread_cond_signal(&stream->wake);
    stream_refuse_all(stream, -ECANCELED);
}

void backup_stream_free(struct backup_stream *stream)
{
    if (!stream)
        return;
    pthread_mutex_lock(&stream->lock);
    atomic_store(&stream->closed, true);
    pthread_cond_signal(&stream->wake);
    stream_refuse_all(stream, -ECANCELED);
    pthread_mutex_unlock(&stream->lock);
    stream_unref(stream);
}
