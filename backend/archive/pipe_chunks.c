/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pipeline's stages that chunks go through: the prover, which authenticates them, and the
 * output, which notes their digest and writes them.  Both begin while a chunk is still being
 * filled.
 */
#include <errno.h>
#include <openssl/evp.h>

#include "manifest.h"
#include "pipe_state.h"
#include "qubesfs/cleanup.h"

/* bytes that are worth waking up for; small enough to be in the cache still */
#define STEP ((size_t)256 << 10)

static void fail(struct pipe *pipe, int code)
{
    LOCK_SCOPE(&pipe->lock);
    pipe_fail(pipe, code);
}

/* Waits until `stage` has more than `from` bytes of that chunk, or all of it.  False: the end. */
static bool wait_for_bytes(struct pipe *pipe, const struct stage *stage, pthread_cond_t *grown,
                           uint64_t number, size_t from, size_t *ret_length, bool *ret_whole)
{
    const struct chunk *chunk = &pipe->chunks[number % CHUNKS];

    LOCK_SCOPE(&pipe->lock);
    while (!pipe_ended(pipe) && stage->chunks <= number &&
           !(stage->begun && stage->bytes - from >= STEP))
        pthread_cond_wait(grown, &pipe->lock);
    *ret_whole = stage->chunks > number;
    *ret_length = (*ret_whole ? chunk->length : stage->bytes) - from;
    return !pipe_ended(pipe);
}

static void advance(struct pipe *pipe, size_t bytes, bool whole)
{
    LOCK_SCOPE(&pipe->lock);
    if (whole)
        pipe->proving = (struct stage){.chunks = pipe->proving.chunks + 1};
    else
        pipe->proving = (struct stage){pipe->proving.chunks, true, bytes};
    pthread_cond_signal(&pipe->bytes_proven);
}

/* 0 or an error; 1: the end. */
static int prove_chunk(struct pipe *pipe, uint64_t number)
{
    struct chunk *chunk = &pipe->chunks[number % CHUNKS];
    const struct sealer_operations *operations = pipe->sealer->operations;
    size_t from = 0, length;
    bool whole = false;
    int result;

    while (!whole) {
        if (!wait_for_bytes(pipe, &pipe->sealing, &pipe->bytes_sealed, number, from, &length,
                            &whole))
            return 1;
        result = operations->prove(pipe->sealer, chunk, from, length);
        if (result < 0)
            return result;
        from += length;
        if (!whole)
            advance(pipe, from, false);
    }
    result = operations->close(pipe->sealer, chunk);
    if (result == 0)
        advance(pipe, 0, true);
    return result;
}

void *pipe_prove_thread(void *cookie)
{
    struct pipe *pipe = cookie;
    int result = 0;

    for (uint64_t number = 0; result == 0; number++)
        result = prove_chunk(pipe, number);
    if (result < 0)
        fail(pipe, result);
    return NULL;
}

/* The digest is that of what readers see: with a container's MAC.  As prove_chunk. */
static int digest_chunk(struct pipe *pipe, uint64_t number, EVP_MD_CTX *context)
{
    struct chunk *chunk = &pipe->chunks[number % CHUNKS];
    bool good = EVP_DigestInit_ex(context, EVP_sha256(), NULL), whole = false;
    size_t from = 0, length;

    while (good && !whole) {
        if (!wait_for_bytes(pipe, &pipe->proving, &pipe->bytes_proven, number, from, &length,
                            &whole))
            return 1;
        good = EVP_DigestUpdate(context, chunk->data + from, length);
        from += length;
    }
    return good && EVP_DigestFinal_ex(context, chunk->digest, NULL) ? 0 : -EIO;
}

static int write_chunk(struct pipe *pipe, const struct chunk *chunk)
{
    const struct archive_output *output = pipe->output;
    int result;

    if (chunk->file && output->begin)
        output->begin(output->cookie, chunk->file);
    if (output->progress)
        output->progress(output->cookie, chunk->source, chunk->length);
    result = manifest_add(pipe->options->manifest, chunk);
    return result < 0 ? result
                      : pipe->sealer->operations->write(chunk, output, pipe->options->time);
}

/* Two threads may wait for it: the sealer for a chunk, the caller for the end. */
static void release_chunk(struct pipe *pipe)
{
    LOCK_SCOPE(&pipe->lock);
    pipe->chunks_written++;
    pthread_cond_broadcast(&pipe->chunk_free);
}

void *pipe_output_thread(void *cookie)
{
    struct pipe *pipe = cookie;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int result = context ? 0 : -ENOMEM;

    for (uint64_t number = 0; result == 0; number++) {
        result = digest_chunk(pipe, number, context);
        if (result == 0)
            result = write_chunk(pipe, &pipe->chunks[number % CHUNKS]);
        if (result == 0)
            release_chunk(pipe);
    }
    EVP_MD_CTX_free(context);
    if (result < 0)
        fail(pipe, result);
    return NULL;
}
