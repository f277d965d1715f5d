/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread of a stream: waits for the first read, makes bytes, waits where the ring is full. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "qubesfs/cleanup.h"
#include "stream_state.h"

/* the thread hands over its bytes in steps of this, so that nobody waits for more than they need */
#define STEP (256u << 10)
/* how long a read that comes before its time may be a kernel's read-ahead, the reads in front of
 * which are still on their way */
#define PATIENCE_MS 300

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
        stream_answer(stream);
    }
    return 0;
}

static bool stream_cancelled(void *cookie)
{
    return atomic_load(&((struct backup_stream *)cookie)->closed);
}

/* Waits for `wake`, at most PATIENCE_MS: -ETIMEDOUT then.  Called with the lock held. */
static int wait_a_moment(struct backup_stream *stream)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += PATIENCE_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return -pthread_cond_timedwait(&stream->wake, &stream->lock, &until);
}

/* Where the stream begins: at once if there is a read at 0, else where the foremost is once no
 * others have come for a moment.  False: they were all given up, or the stream is. */
static bool wait_for_first(struct backup_stream *stream, uint64_t *ret_offset)
{
    uint64_t foremost;

    LOCK_SCOPE(&stream->lock);
    while (!atomic_load(&stream->closed) && stream->pending) {
        foremost = stream->pending->offset;
        if (foremost > 0 && (wait_a_moment(stream) != -ETIMEDOUT || !stream->pending ||
                             stream->pending->offset != foremost))
            continue;
        *ret_offset = stream->first = stream->head = stream->reserved = stream->consumed = foremost;
        return true;
    }
    stream->state = IDLE; /* a read that comes now starts anew */
    return false;
}

static void go_back_to_idle(struct backup_stream *stream, int code)
{
    LOCK_SCOPE(&stream->lock);
    stream->state = IDLE;
    stream->first = stream->head = stream->reserved = stream->consumed = 0;
    stream_refuse_all(stream, atomic_load(&stream->closed) ? -ECANCELED : code);
}

/* Returns when all was read, or the reader has gone. */
static void drain(struct backup_stream *stream)
{
    LOCK_SCOPE(&stream->lock);
    stream->state = DRAINING;
    stream_answer(stream);
    while (stream->consumed < stream->head && !atomic_load(&stream->closed)) {
        /* a read beyond the end, and none of what is in front of it: it gets its answer, too */
        if (wait_a_moment(stream) == -ETIMEDOUT && stream->pending) {
            stream->impatient = true;
            stream_answer(stream);
        }
    }
}

/* How it ends, once `run` has returned this.  Who leaves after the last byte has it all; who was
 * refused a read since somebody cancelled has not. */
static int settle(struct backup_stream *stream, int result)
{
    LOCK_SCOPE(&stream->lock);
    stream->settled = true;
    if (!atomic_load(&stream->closed))
        return result;
    return result < 0 || stream->cancelled || stream->consumed < stream->head ? -ECANCELED : 0;
}

static void run(struct backup_stream *stream)
{
    struct archive_output output = {
        .cookie = stream, .write = stream_write, .cancelled = stream_cancelled};
    struct error error = {0};
    uint64_t offset;
    int result;

    if (!wait_for_first(stream, &offset))
        return;
    result = stream->work->begin(stream->cookie, offset, &error);
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
        drain(stream);
    result = settle(stream, result);
    stream->work->ended(stream->cookie, result, stream->head, &error);
    LOCK_SCOPE(&stream->lock);
    stream->state = result < 0 ? FAILED : ENDED;
    stream->code = result;
    stream_answer(stream);
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
int stream_start(struct backup_stream *stream)
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
