/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pipeline's beginning, on the caller's thread, and its end. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "pipe_state.h"
#include "qubesfs/cleanup.h"
#include "threads.h"

/* how often a caller that waits asks if the output was given up */
#define ASK_NS 50000000L

/* For blocks and what codecs keep beside them (some hundred KiB, zstd a MiB): with two chunks it
 * stays below 300 MiB. */
#define PACK_MEMORY   ((size_t)72 << 20)
#define PACKER_MEMORY (2 * (CODEC_BLOCK + CODEC_BLOCK) + CODEC_BLOCK)
#define PACKERS_MAX   (PACK_MEMORY / PACKER_MEMORY)

void pipe_fail(struct pipe *pipe, int code)
{
    if (pipe->failed == 0)
        pipe->failed = code;
    pthread_cond_broadcast(&pipe->block_free);
    pthread_cond_broadcast(&pipe->block_full);
    pthread_cond_broadcast(&pipe->block_done);
    pthread_cond_broadcast(&pipe->chunk_free);
    pthread_cond_broadcast(&pipe->bytes_sealed);
    pthread_cond_broadcast(&pipe->bytes_proven);
}

/* Waits a moment for the condition, then sees if anybody wants the bytes still.  Called with the
 * lock held, lets go of it meanwhile. */
static void wait_for_stages(struct pipe *pipe, pthread_cond_t *condition)
{
    struct timespec until;
    bool cancelled;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ASK_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (pthread_cond_timedwait(condition, &pipe->lock, &until) != ETIMEDOUT)
        return;
    pthread_mutex_unlock(&pipe->lock);
    cancelled = pipe->output->cancelled(pipe->output->cookie);
    pthread_mutex_lock(&pipe->lock);
    if (cancelled)
        pipe_fail(pipe, -ECANCELED);
}

/* The caller's block, once it is free. */
static int current(struct pipe *pipe, struct block **ret_block)
{
    LOCK_SCOPE(&pipe->lock);
    while (pipe->failed == 0 && pipe->filled - pipe->sealed == pipe->block_count)
        wait_for_stages(pipe, &pipe->block_free);
    *ret_block = &pipe->blocks[pipe->filled % pipe->block_count];
    return pipe->failed;
}

static void submit(struct pipe *pipe, struct block *block)
{
    LOCK_SCOPE(&pipe->lock);
    block->packed = pipe->packer_count == 0;
    if (block->packed) {
        block->packed_length = block->length;
        pthread_cond_signal(&pipe->block_done);
    }
    pipe->filled++;
    pthread_cond_signal(&pipe->block_full);
}

static int sink_room(struct sink *sink, void **ret_data, size_t *ret_length)
{
    struct pipe *pipe = (struct pipe *)sink;
    struct block *block;
    int result = current(pipe, &block);

    if (result < 0)
        return result;
    /* a full block was handed on, so there is room */
    *ret_data = block->data + block->length;
    *ret_length = CODEC_BLOCK - block->length;
    return 0;
}

static void sink_advance(struct sink *sink, size_t length)
{
    struct pipe *pipe = (struct pipe *)sink;
    /* the caller's own, without asking */
    struct block *block = &pipe->blocks[pipe->filled % pipe->block_count];

    block->length += length;
    if (block->length == CODEC_BLOCK)
        submit(pipe, block);
}

static int sink_take(struct sink *sink, const void *data, size_t length)
{
    const unsigned char *bytes = data;

    while (length > 0) {
        size_t piece;
        void *room;
        int result = sink_room(sink, &room, &piece);

        if (result < 0)
            return result;
        if (piece > length)
            piece = length;
        memcpy(room, bytes, piece);
        sink_advance(sink, piece);
        bytes += piece;
        length -= piece;
    }
    return 0;
}

struct sink *pipe_sink(struct pipe *pipe)
{
    return &pipe->sink;
}

int pipe_begin(struct pipe *pipe, const char *name, const char *next, uint64_t tar_bytes)
{
    struct block *block;
    int result = current(pipe, &block);

    if (result < 0)
        return result;
    block->tar_bytes = tar_bytes;
    block->name = strdup(name);
    block->next = next ? strdup(next) : NULL;
    return block->name && (block->next || !next) ? 0 : -ENOMEM;
}

int pipe_end(struct pipe *pipe)
{
    struct block *block;
    int result = current(pipe, &block);

    if (result < 0)
        return result;
    block->last = true;
    submit(pipe, block);
    return 0;
}

int pipe_drain(struct pipe *pipe)
{
    LOCK_SCOPE(&pipe->lock);
    while (pipe->failed == 0 &&
           (pipe->sealed < pipe->filled || pipe->chunks_written < pipe->sealing.chunks))
        wait_for_stages(pipe, pipe->sealed < pipe->filled ? &pipe->block_free : &pipe->chunk_free);
    return pipe->failed;
}

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static int make_rings(struct pipe *pipe)
{
    size_t bound = pipe->packer_count > 0 ? pipe->codec->bound(CODEC_BLOCK) : 0;

    pipe->blocks = calloc(pipe->block_count, sizeof(*pipe->blocks));
    if (!pipe->blocks)
        return -ENOMEM;
    for (unsigned i = 0; i < pipe->block_count; i++) {
        struct block *block = &pipe->blocks[i];

        block->data = malloc(CODEC_BLOCK);
        block->packed_data = bound > 0 ? malloc(bound) : block->data;
        if (!block->data || !block->packed_data)
            return -ENOMEM;
    }
    for (unsigned i = 0; i < CHUNKS; i++) {
        pipe->chunks[i].slot = i;
        pipe->chunks[i].data = map(CHUNK_ROOM);
        if (!pipe->chunks[i].data)
            return -ENOMEM;
    }
    return 0;
}

static int start_threads(struct pipe *pipe)
{
    int result = thread_start(&pipe->output_thread, "backup-output", pipe_output_thread, pipe);

    pipe->output_started = result == 0;
    if (result == 0) {
        result = thread_start(&pipe->sealer_thread, "backup-seal", pipe_seal_thread, pipe);
        pipe->sealer_started = result == 0;
    }
    if (result == 0) {
        result = thread_start(&pipe->prover_thread, "backup-prove", pipe_prove_thread, pipe);
        pipe->prover_started = result == 0;
    }
    while (result == 0 && pipe->packers_started < pipe->packer_count) {
        result = thread_start(&pipe->packers[pipe->packers_started], "backup-pack",
                              pipe_pack_thread, pipe);
        if (result == 0)
            pipe->packers_started++;
    }
    return result;
}

static unsigned core_count(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set))
        return 1;
    return (unsigned)CPU_COUNT(&set);
}

int pipe_new(const struct archive_options *options, const struct archive_output *output,
             struct sealer *sealer, struct pipe **ret_pipe)
{
    static const struct sink_operations operations = {sink_take, sink_room, sink_advance};
    struct pipe *pipe = calloc(1, sizeof(*pipe));
    unsigned threads = options->threads > 0 ? options->threads : core_count();
    pthread_condattr_t monotonic;
    int result;

    if (!pipe)
        return -ENOMEM;
    if (threads > PACKERS_MAX)
        threads = PACKERS_MAX;
    pipe->sink.operations = &operations;
    pipe->options = options;
    pipe->output = output;
    pipe->sealer = sealer;
    pipe->codec = codec_find(options->compression);
    pipe->packer_count = pipe->codec->filter ? threads : 0;
    pipe->block_count = 2 * pipe->packer_count + 2;
    pthread_mutex_init(&pipe->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pipe->block_free, &monotonic);
    pthread_cond_init(&pipe->block_full, &monotonic);
    pthread_cond_init(&pipe->block_done, &monotonic);
    pthread_cond_init(&pipe->chunk_free, &monotonic);
    pthread_cond_init(&pipe->bytes_sealed, &monotonic);
    pthread_cond_init(&pipe->bytes_proven, &monotonic);
    pthread_condattr_destroy(&monotonic);
    result = make_rings(pipe);
    if (result == 0)
        result = start_threads(pipe);
    if (result < 0) {
        pipe_free(pipe);
        return result;
    }
    *ret_pipe = pipe;
    return 0;
}

static void free_rings(struct pipe *pipe)
{
    for (unsigned i = 0; pipe->blocks && i < pipe->block_count; i++) {
        struct block *block = &pipe->blocks[i];

        if (block->packed_data != block->data)
            free(block->packed_data);
        free(block->data);
        free(block->name);
        free(block->next);
    }
    free(pipe->blocks);
    for (unsigned i = 0; i < CHUNKS; i++) {
        if (pipe->chunks[i].data)
            munmap(pipe->chunks[i].data, CHUNK_ROOM);
        free(pipe->chunks[i].name);
        free(pipe->chunks[i].file);
    }
}

void pipe_free(struct pipe *pipe)
{
    if (!pipe)
        return;
    pthread_mutex_lock(&pipe->lock);
    pipe->closing = true;
    pipe_fail(pipe, -ECANCELED);
    pthread_mutex_unlock(&pipe->lock);
    pipe->sealer->operations->stop(pipe->sealer);
    for (unsigned i = 0; i < pipe->packers_started; i++)
        pthread_join(pipe->packers[i], NULL);
    if (pipe->sealer_started)
        pthread_join(pipe->sealer_thread, NULL);
    if (pipe->prover_started)
        pthread_join(pipe->prover_thread, NULL);
    if (pipe->output_started)
        pthread_join(pipe->output_thread, NULL);
    free_rings(pipe);
    pthread_mutex_destroy(&pipe->lock);
    pthread_cond_destroy(&pipe->block_free);
    pthread_cond_destroy(&pipe->block_full);
    pthread_cond_destroy(&pipe->block_done);
    pthread_cond_destroy(&pipe->chunk_free);
    pthread_cond_destroy(&pipe->bytes_sealed);
    pthread_cond_destroy(&pipe->bytes_proven);
    free(pipe);
}
