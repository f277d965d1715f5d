/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "decode_side.h"

#include <errno.h>
#include <stdlib.h>

#include "qubesfs/cleanup.h"
#include "threads.h"

#define THREADS_MAX 16u

enum state { FREE, TO_DO, AT_WORK, DONE };

struct slot {
    enum state state;
    const unsigned char *data;
    size_t length;
    unsigned char *out; /* DECODE_ALONE bytes; AT_WORK: its thread's, DONE: the caller's */
    size_t made;
    bool good;
};

struct decode_side {
    unsigned threads, slot_count;
    pthread_t running[THREADS_MAX];
    unsigned running_count;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t to_do, done;
    struct slot slots[2 * THREADS_MAX]; /* a ring, in the stream's order */
    unsigned first, used;               /* the oldest one; how many are not FREE */
    const struct decode_codec *codec;
    bool closing;
};

int decode_side_new(unsigned threads, struct decode_side **ret_side)
{
    struct decode_side *side = calloc(1, sizeof(*side));

    if (!side)
        return -ENOMEM;
    side->threads = threads < THREADS_MAX ? threads : THREADS_MAX;
    side->slot_count = 2 * side->threads;
    pthread_mutex_init(&side->lock, NULL);
    pthread_cond_init(&side->to_do, NULL);
    pthread_cond_init(&side->done, NULL);
    *ret_side = side;
    return 0;
}

void decode_side_free(struct decode_side *side)
{
    if (!side)
        return;
    pthread_mutex_lock(&side->lock);
    side->closing = true;
    pthread_cond_broadcast(&side->to_do);
    pthread_mutex_unlock(&side->lock);
    for (unsigned i = 0; i < side->running_count; i++)
        pthread_join(side->running[i], NULL);
    for (unsigned i = 0; i < side->slot_count; i++)
        free(side->slots[i].out);
    pthread_mutex_destroy(&side->lock);
    pthread_cond_destroy(&side->to_do);
    pthread_cond_destroy(&side->done);
    free(side);
}

/* Called with the lock held. */
static struct slot *find_work(struct decode_side *side)
{
    for (unsigned i = 0; i < side->used; i++) {
        struct slot *slot = &side->slots[(side->first + i) % side->slot_count];

        if (slot->state == TO_DO)
            return slot;
    }
    return NULL;
}

static void *run_thread(void *cookie)
{
    struct decode_side *side = cookie;
    const struct decode_codec *opened = NULL;
    void *context = NULL;

    pthread_mutex_lock(&side->lock);
    while (!side->closing) {
        struct slot *slot = find_work(side);
        const struct decode_codec *codec = side->codec;

        if (!slot) {
            pthread_cond_wait(&side->to_do, &side->lock);
            continue;
        }
        slot->state = AT_WORK;
        pthread_mutex_unlock(&side->lock);
        if (opened != codec) {
            if (context)
                opened->close(context);
            context = NULL;
            opened = codec->open(&context) == 0 ? codec : NULL;
        }
        slot->good = opened && decode_alone(codec, context, slot->data, slot->length, slot->out,
                                            &slot->made) == 0;
        pthread_mutex_lock(&side->lock);
        slot->state = DONE;
        pthread_cond_signal(&side->done);
    }
    pthread_mutex_unlock(&side->lock);
    if (context)
        opened->close(context);
    return NULL;
}

/* Threads and buffers for it; none are there before the first piece. */
static int prepare(struct decode_side *side)
{
    for (unsigned i = 0; i < side->slot_count; i++) {
        if (!side->slots[i].out)
            side->slots[i].out = malloc(DECODE_ALONE);
        if (!side->slots[i].out)
            return -ENOMEM;
    }
    while (side->running_count < side->threads) {
        int result =
            thread_start(&side->running[side->running_count], "restore-unpack", run_thread, side);

        if (result < 0)
            return side->running_count > 0 ? 0 : result;
        side->running_count++;
    }
    return 0;
}

/* Puts pieces from the front of `data` into free slots; returns how many bytes. */
static size_t fill(struct decode_side *side, const unsigned char *data, size_t length)
{
    size_t taken = 0;

    while (side->used < side->slot_count) {
        struct slot *slot = &side->slots[(side->first + side->used) % side->slot_count];
        size_t piece = side->codec->alone(data + taken, length - taken);

        if (piece == 0)
            break;
        LOCK_SCOPE(&side->lock);
        slot->data = data + taken;
        slot->length = piece;
        slot->state = TO_DO;
        side->used++;
        taken += piece;
        pthread_cond_signal(&side->to_do);
    }
    return taken;
}

/* Waits for the oldest one. */
static struct slot *wait_for_first(struct decode_side *side)
{
    struct slot *slot = &side->slots[side->first];

    LOCK_SCOPE(&side->lock);
    while (slot->state != DONE)
        pthread_cond_wait(&side->done, &side->lock);
    return slot;
}

static void release_first(struct decode_side *side)
{
    LOCK_SCOPE(&side->lock);
    side->slots[side->first].state = FREE;
    side->first = (side->first + 1) % side->slot_count;
    side->used--;
}

/* What is left in the ring is of no use: takes back what has not begun, waits for the rest. */
static void give_up(struct decode_side *side)
{
    LOCK_SCOPE(&side->lock);
    for (unsigned i = 0; i < side->slot_count; i++) {
        if (side->slots[i].state == TO_DO)
            side->slots[i].state = FREE;
        while (side->slots[i].state == AT_WORK)
            pthread_cond_wait(&side->done, &side->lock);
        side->slots[i].state = FREE;
    }
    side->used = 0;
}

int decode_side_run(struct decode_side *side, const struct decode_codec *codec,
                    const struct decode_sink *sink, const unsigned char *data, size_t length,
                    size_t *ret_taken, struct error *ret_error)
{
    size_t ahead = 0, done = 0;
    int result;

    *ret_taken = 0;
    if (codec->alone(data, length) == 0)
        return 0;
    result = prepare(side);
    if (result < 0)
        return result;
    pthread_mutex_lock(&side->lock);
    side->codec = codec;
    pthread_mutex_unlock(&side->lock);
    for (;;) {
        struct slot *slot;

        ahead += fill(side, data + ahead, length - ahead);
        if (side->used == 0)
            break;
        slot = wait_for_first(side);
        if (!slot->good)
            break;
        if (slot->made > 0)
            result = sink->write(sink->cookie, slot->out, slot->made, ret_error);
        done += slot->length;
        release_first(side);
        if (result < 0)
            break;
    }
    give_up(side);
    *ret_taken = done;
    return result;
}
