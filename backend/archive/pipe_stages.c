/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pipeline's stages behind the caller: packers and sealer. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipe_state.h"
#include "qubesfs/cleanup.h"

static void fail(struct pipe *pipe, int code)
{
    LOCK_SCOPE(&pipe->lock);
    pipe_fail(pipe, code);
}

/*
 * Packers.
 */

/* The next block that nobody has taken; NULL: the end. */
static struct block *take_block(struct pipe *pipe)
{
    LOCK_SCOPE(&pipe->lock);
    while (!pipe_ended(pipe) && pipe->taken == pipe->filled)
        pthread_cond_wait(&pipe->block_full, &pipe->lock);
    return pipe_ended(pipe) ? NULL : &pipe->blocks[pipe->taken++ % pipe->block_count];
}

static void block_is_packed(struct pipe *pipe, struct block *block)
{
    LOCK_SCOPE(&pipe->lock);
    block->packed = true;
    if (block == &pipe->blocks[pipe->sealed % pipe->block_count])
        pthread_cond_signal(&pipe->block_done);
}

void *pipe_pack_thread(void *cookie)
{
    struct pipe *pipe = cookie;
    struct block *block;
    void *context;
    int result = pipe->codec->open(pipe->options->level, &context);

    if (result < 0) {
        fail(pipe, result);
        return NULL;
    }
    while (result == 0 && (block = take_block(pipe)) != NULL) {
        block->packed_length = 0;
        if (block->length > 0)
            result = pipe->codec->pack(context, block->data, block->length, block->packed_data,
                                       &block->packed_length);
        if (result < 0)
            fail(pipe, result);
        else
            block_is_packed(pipe, block);
    }
    pipe->codec->close(context);
    return NULL;
}

/*
 * The sealer.
 */

struct sealing {
    struct pipe *pipe;
    struct sealer *sealer;
    char *name;          /* of the file at work */
    uint64_t source;     /* bytes of its inner archive, before compression, that are in chunks */
    uint64_t tar_bytes;  /* what `source` will come to; 0: unknown */
    unsigned number;     /* of its next chunk */
    struct chunk *chunk; /* at work; NULL: none */
};

/* The next block, once it is packed; NULL: the end. */
static struct block *next_packed(struct pipe *pipe)
{
    struct block *block;

    LOCK_SCOPE(&pipe->lock);
    block = &pipe->blocks[pipe->sealed % pipe->block_count];
    while (!pipe_ended(pipe) && !(pipe->sealed < pipe->filled && block->packed))
        pthread_cond_wait(&pipe->block_done, &pipe->lock);
    return pipe_ended(pipe) ? NULL : block;
}

/* Gives the block back to the caller. */
static void release_block(struct pipe *pipe, struct block *block)
{
    free(block->name);
    free(block->next);
    block->name = block->next = NULL;
    block->last = false;
    block->length = 0;
    LOCK_SCOPE(&pipe->lock);
    block->packed = false;
    pipe->sealed++;
    pthread_cond_signal(&pipe->block_free);
}

static int open_chunk(struct sealing *sealing)
{
    struct pipe *pipe = sealing->pipe;
    struct chunk *chunk;

    pthread_mutex_lock(&pipe->lock);
    while (!pipe_ended(pipe) && pipe->sealing.chunks - pipe->chunks_written == CHUNKS)
        pthread_cond_wait(&pipe->chunk_free, &pipe->lock);
    chunk = pipe_ended(pipe) ? NULL : &pipe->chunks[pipe->sealing.chunks % CHUNKS];
    pthread_mutex_unlock(&pipe->lock);
    if (!chunk)
        return -ECANCELED;
    free(chunk->name);
    free(chunk->file);
    chunk->file = NULL;
    chunk->length = chunk->payload = 0;
    chunk->number = sealing->number++;
    if (asprintf(&chunk->name, "%s.%03u", sealing->name, chunk->number) < 0) {
        chunk->name = NULL;
        return -ENOMEM;
    }
    if (chunk->number == 0) {
        chunk->file = strdup(sealing->name);
        if (!chunk->file)
            return -ENOMEM;
    }
    sealing->chunk = chunk;
    return sealing->sealer->operations->open(sealing->sealer, chunk);
}

/* What is in the chunk may be read by the prover. */
static void hand_on(struct sealing *sealing)
{
    struct pipe *pipe = sealing->pipe;

    LOCK_SCOPE(&pipe->lock);
    pipe->sealing.begun = true;
    pipe->sealing.bytes = sealing->chunk->length;
    pthread_cond_signal(&pipe->bytes_sealed);
}

static void close_chunk(struct sealing *sealing)
{
    struct pipe *pipe = sealing->pipe;

    sealing->chunk->source = sealing->source;
    sealing->chunk = NULL;
    LOCK_SCOPE(&pipe->lock);
    pipe->sealing = (struct stage){.chunks = pipe->sealing.chunks + 1};
    pthread_cond_signal(&pipe->bytes_sealed);
}

/* A chunk that is full is followed by another one at once, be it an empty one. */
static int turn_if_full(struct sealing *sealing)
{
    if (sealing->chunk->payload < CHUNK_SIZE)
        return 0;
    close_chunk(sealing);
    return open_chunk(sealing);
}

static int seal_begin(struct sealing *sealing, const struct block *block)
{
    int result;

    free(sealing->name);
    sealing->name = strdup(block->name);
    sealing->number = 0;
    sealing->source = 0;
    sealing->tar_bytes = block->tar_bytes;
    if (!sealing->name)
        return -ENOMEM;
    result = sealing->sealer->operations->begin(sealing->sealer, block->name, block->next);
    return result < 0 ? result : open_chunk(sealing);
}

static int seal_end(struct sealing *sealing)
{
    int result = sealing->sealer->operations->end(sealing->sealer, sealing->chunk);

    if (result == 0)
        result = turn_if_full(sealing);
    if (result == 0)
        close_chunk(sealing);
    return result;
}

/* How long the stream will be, if it goes on as it has begun; 0: can't be told. */
static uint64_t expected(const struct sealing *sealing)
{
    double stream = (double)CHUNK_SIZE * sealing->chunk->number + (double)sealing->chunk->payload;

    if (sealing->source == 0)
        return 0;
    return (uint64_t)(stream * (double)sealing->tar_bytes / (double)sealing->source);
}

static int seal(struct sealing *sealing, const struct block *block)
{
    const unsigned char *data = block->packed_data;
    size_t length = block->packed_length;
    int result = block->name ? seal_begin(sealing, block) : 0;
    uint64_t before = sealing->source;

    while (result == 0 && length > 0) {
        size_t piece = CHUNK_SIZE - sealing->chunk->payload;

        if (piece > length)
            piece = length;
        sealing->chunk->expected = expected(sealing);
        result = sealing->sealer->operations->put(sealing->sealer, sealing->chunk, data, piece);
        data += piece;
        length -= piece;
        /* a block may be cut by the end of a chunk */
        sealing->source =
            before + block->length * (block->packed_length - length) / block->packed_length;
        if (result == 0) {
            hand_on(sealing);
            result = turn_if_full(sealing);
        }
    }
    return result == 0 && block->last ? seal_end(sealing) : result;
}

void *pipe_seal_thread(void *cookie)
{
    struct pipe *pipe = cookie;
    struct sealing sealing = {.pipe = pipe, .sealer = pipe->sealer};
    struct block *block;

    while ((block = next_packed(pipe)) != NULL) {
        int result = seal(&sealing, block);

        if (result < 0) {
            fail(pipe, result);
            break;
        }
        release_block(pipe, block);
    }
    free(sealing.name);
    return NULL;
}
