/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "qubesfs/cleanup.h"

#define RING_SIZE ((uint64_t)STREAM_AHEAD + STREAM_BACK)
/* the thread hands over its bytes in steps of this, so that nobody waits for more than they need */
#define STEP (256u << 10)
/* how long a first read that is not at offset 0 may be a kernel's read-ahead that came too early */
#define FIRST_READ_WAIT_MS 300

enum state { IDLE, STARTING, RUNNING, DRAINING, ENDED, FAILED };

struct request {
    struct request *next;
    uint64_t offset;
    size_t size;
    void (*done)(void *cookie, ssize_t result, const void *data);
    void *cookie;
    ssize_t result; /* set when it is moved to `delivering` */
    const void *data;
    void *copy; /* of data that goes around the ring's end */
};

struct backup_stream {
    const struct stream_work *work;
    void *cookie;
    atomic_uint references; /* the owner's, the thread's, and one for each call under way */
    atomic_bool closed;     /* set under the lock, read by the thread without */

    pthread_mutex_t lock; /* guards everything below; taken after the service's */
    pthread_cond_t wake;  /* for the thread: a read came or was answered, or it is to end */
    enum state state;
    int code; /* of FAILED */
    unsigned char *ring;
    uint64_t head;     /* bytes made */
    uint64_t reserved; /* >= head: the thread is writing up to here */
    uint64_t consumed;
    struct request *pending; /* not answered */
    struct request
        *delivering; /* their data in the ring is being used: it must not be overwritten */
};

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

static void stream_unref(struct backup_stream *stream)
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
 * Answering.  The functions down to `answer` are called with the lock held.
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

static bool set_data(const struct backup_stream *stream, struct request *request, size_t length)
{
    uint64_t at = request->offset % RING_SIZE;
    size_t to_end = (size_t)(RING_SIZE - at);

    request->result = (ssize_t)length;
    request->data = stream->ring + at;
    if (length <= to_end)
        return true;
    request->copy = malloc(length);
    if (!request->copy) {
        request->result = -ENOMEM;
        return true;
    }
    memcpy(request->copy, stream->ring + at, to_end);
    memcpy((char *)request->copy + to_end, stream->ring, length - to_end);
    request->data = request->copy;
    return true;
}

/* Sets the request's result if there is one already. */
static bool decide(const struct backup_stream *stream, struct request *request)
{
    uint64_t oldest = stream->reserved > RING_SIZE ? stream->reserved - RING_SIZE : 0;
    uint64_t end = request->offset + request->size;
    bool complete = stream->state == DRAINING || stream->state == ENDED;

    request->result = 0;
    if (atomic_load(&stream->closed))
        request->result = -ECANCELED;
    else if (request->size == 0)
        return true;
    else if (request->offset < oldest)
        request->result = -ESPIPE;
    else if (end <= stream->head)
        return set_data(stream, request, request->size);
    else if (complete && request->offset < stream->head)
        return set_data(stream, request, (size_t)(stream->head - request->offset));
    else if (complete) /* the very end is told once `ended` was */
        return stream->state == ENDED || request->offset > stream->head ||
               stream->consumed < stream->head;
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
static void answer(struct backup_stream *stream)
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
static void refuse_all(struct backup_stream *stream, int code)
{
    while (stream->pending) {
        struct request *request = stream->pending;

        stream->pending = request->next;
        pthread_mutex_unlock(&stream->lock);
        request->done(request->cookie, code, NULL);
        free(request);
        pthread_mutex_lock(&stream->lock);
    }
}

/*
 * The thread.
 */

/* How many bytes may be made now.  Called with the lock held. */
static uint64_t room(const struct backup_stream *stream)
{
    uint64_t limit = stream->consumed + STREAM_AHEAD;

    for (const struct request *request = stream->delivering; request; request = request->next)
        if (request->result > 0 && !request->copy && limit > request->offset + RING_SIZE)
            limit = request->offset + RING_SIZE;
    return limit > stream->head ? limit - stream->head : 0;
}

static int stream_write(void *cookie, const void *data, size_t length)
{
    struct backup_stream *stream = cookie;
    const unsigned char *bytes = data;

    LOCK_SCOPE(&stream->lock);
    while (length > 0) {
        uint64_t at = stream->head % RING_SIZE, piece;

        while ((piece = room(stream)) == 0 && !atomic_load(&stream->closed))
            pthread_cond_wait(&stream->wake, &stream->lock);
        if (atomic_load(&stream->closed))
            return -ECANCELED;
        if (piece > RING_SIZE - at)
            piece = RING_SIZE - at;
        if (piece > STEP)
            piece = STEP;
        if (piece > length)
            piece = length;
        stream->reserved = stream->head + piece;
        pthread_mutex_unlock(&stream->lock);
        memcpy(stream->ring + at, bytes, (size_t)piece);
        pthread_mutex_lock(&stream->lock);
        stream->head = stream->reserved;
        bytes += piece;
        length -= (size_t)piece;
        answer(stream);
    }
    return 0;
}

static bool stream_cancelled(void *cookie)
{
    return atomic_load(&((struct backup_stream *)cookie)->closed);
}

/* True once there is a read at the very beginning; false if none comes. */
static bool wait_for_first(struct backup_stream *stream)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += FIRST_READ_WAIT_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    LOCK_SCOPE(&stream->lock);
    for (;;) {
        for (const struct request *request = stream->pending; request; request = request->next)
            if (request->offset == 0)
                return true;
        if (atomic_load(&stream->closed))
            return true; /* `begin` is not asked then */
        if (pthread_cond_timedwait(&stream->wake, &stream->lock, &until) == ETIMEDOUT)
            return false;
    }
}

static void go_back_to_idle(struct backup_stream *stream, int code)
{
    LOCK_SCOPE(&stream->lock);
    stream->state = IDLE;
    refuse_all(stream, atomic_load(&stream->closed) ? -ECANCELED : code);
}

/* Returns when all was read, or the reader has gone. */
static int drain(struct backup_stream *stream)
{
    LOCK_SCOPE(&stream->lock);
    stream->state = DRAINING;
    answer(stream);
    while (stream->consumed < stream->head && !atomic_load(&stream->closed))
        pthread_cond_wait(&stream->wake, &stream->lock);
    return stream->consumed < stream->head ? -ECANCELED : 0;
}

static void run(struct backup_stream *stream)
{
    struct archive_output output = {stream, stream_write, stream_cancelled};
    struct error error = {0};
    int result;

    if (!wait_for_first(stream)) {
        error_set(&error, -ESPIPE,
                  "a backup is read from its beginning: there is no unfinished one to go on with");
        stream->work->ended(stream->cookie, -ESPIPE, 0, &error);
        go_back_to_idle(stream, -ESPIPE);
        return;
    }
    if (atomic_load(&stream->closed))
        return;
    result = stream->work->begin(stream->cookie, &error);
    if (result < 0) {
        stream->work->ended(stream->cookie, result, 0, &error);
        go_back_to_idle(stream, result);
        return;
    }
    pthread_mutex_lock(&stream->lock);
    stream->state = RUNNING;
    pthread_mutex_unlock(&stream->lock);
    result = stream->work->run(stream->cookie, &output, &error);
    if (result == 0)
        result = drain(stream);
    if (atomic_load(&stream->closed) && result < 0)
        result = -ECANCELED;
    stream->work->ended(stream->cookie, result, stream->head, &error);
    LOCK_SCOPE(&stream->lock);
    stream->state = result < 0 ? FAILED : ENDED;
    stream->code = result;
    answer(stream);
}

static void *thread(void *cookie)
{
    struct backup_stream *stream = cookie;

    pthread_setname_np(pthread_self(), "backup");
    run(stream);
    stream_unref(stream);
    return NULL;
}

/* Starts the thread, detached and deaf to signals.  Called with the lock held. */
static int start(struct backup_stream *stream)
{
    sigset_t all, before;
    pthread_attr_t detached;
    pthread_t id;
    int result;

    sigfillset(&all);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    atomic_fetch_add(&stream->references, 1);
    stream->state = STARTING;
    pthread_sigmask(SIG_SETMASK, &all, &before);
    result = pthread_create(&id, &detached, thread, stream);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&detached);
    if (result) {
        stream->state = IDLE;
        atomic_fetch_sub(&stream->references, 1); /* the caller has one as well */
    }
    return -result;
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
    request->next = stream->pending;
    stream->pending = request;
    answer(stream);
    if (stream->pending && stream->state == IDLE)
        result = start(stream);
    if (result < 0)
        refuse_all(stream, result);
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

void stream_shut(struct backup_stream *stream)
{
    LOCK_SCOPE(&stream->lock);
    atomic_store(&stream->closed, true);
    pthread_cond_signal(&stream->wake);
    refuse_all(stream, -ECANCELED);
}

void backup_stream_free(struct backup_stream *stream)
{
    if (!stream)
        return;
    stream_shut(stream);
    stream_unref(stream);
}
