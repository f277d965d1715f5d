/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pipeline from inside: what its stages share. */
#ifndef ARCHIVE_PIPE_STATE_H
#define ARCHIVE_PIPE_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "pipe.h"

/*
 * Block number n lives in blocks[n % block_count].  Who may touch it:
 *
 *     n == filled             the caller
 *     taken <= n < filled     nobody
 *     n < taken, not packed   the packer that took it
 *     sealed <= n, packed     the sealer
 */
struct block {
    unsigned char *data;
    size_t length;
    unsigned char *packed_data; /* `data` without a codec */
    size_t packed_length;
    char *name, *next;  /* of the file that begins here; NULL: none does */
    uint64_t tar_bytes; /* of that file, about; 0: unknown */
    bool last;          /* the file ends here */
    bool packed;        /* under the lock */
};

/* How far a stage has come: `chunks` of them whole, and of the next one so many bytes, if that is
 * begun.  Up to there a chunk is the next stage's to read. */
struct stage {
    uint64_t chunks;
    bool begun;
    size_t bytes;
};

struct pipe {
    struct sink sink;
    const struct archive_options *options;
    const struct archive_output *output;
    const struct codec *codec;
    struct sealer *sealer; /* used by the sealer's thread */
    unsigned packer_count; /* 0 without a codec: the caller marks blocks as packed */
    unsigned block_count;
    pthread_t packers[ARCHIVE_THREADS_MAX], sealer_thread, prover_thread, output_thread;
    unsigned packers_started;
    bool sealer_started, prover_started, output_started;
    struct block *blocks;
    struct chunk chunks[CHUNKS]; /* chunk n lives in chunks[n % CHUNKS] */

    pthread_mutex_t lock;        /* guards what follows, and `packed` of all blocks */
    pthread_cond_t block_free;   /* `sealed` grew */
    pthread_cond_t block_full;   /* `filled` grew */
    pthread_cond_t block_done;   /* the next block to be sealed may be packed now */
    pthread_cond_t chunk_free;   /* `chunks_written` grew */
    pthread_cond_t bytes_sealed; /* of the chunk that the prover is at */
    pthread_cond_t bytes_proven; /* of the one that the output is at */
    uint64_t filled, taken, sealed;
    struct stage sealing, proving;
    uint64_t chunks_written;
    int failed;   /* the first error; every wait ends */
    bool closing; /* as well */
};

/** All of these with the lock held. */
static inline bool pipe_ended(const struct pipe *pipe)
{
    return pipe->closing || pipe->failed < 0;
}

/** Ends all stages with this error, if it is the first one. */
void pipe_fail(struct pipe *pipe, int code);

/** The threads; each gets the pipe. */
void *pipe_pack_thread(void *cookie);
void *pipe_seal_thread(void *cookie);
void *pipe_prove_thread(void *cookie);
void *pipe_output_thread(void *cookie);

#endif
