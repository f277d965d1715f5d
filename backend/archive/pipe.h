/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pipeline: what becomes of inner archives, on threads of its own.
 *
 *     caller --blocks--> packers (one a core) --blocks, in order--> sealer --chunks--> prover -->
 * output
 *
 * The caller fills blocks of 1 MiB; each packer compresses the next one; the sealer takes them in
 * order and encrypts them into a chunk; the prover authenticates it; the output notes its digest
 * and writes it once it is whole.  Prover and output follow the sealer through a chunk that is
 * still being filled.  Where blocks are cut depends on the stream alone, so the bytes don't depend
 * on the threads.
 *
 * Rings bound it: two blocks a packer and two more, each with its packed form, and two chunks.
 * There are no more packers than PACK_MEMORY is enough for, on however many cores.  Who finds no
 * room waits for the next stage.  The first error of any stage stays, and ends them all.
 */
#ifndef ARCHIVE_PIPE_H
#define ARCHIVE_PIPE_H

#include "codec.h"
#include "sealer.h"
#include "sink.h"

struct pipe;

/** `options`, `output` and `sealer` are borrowed; the sealer is the pipeline's to use from now on.
 * 0, -ENOMEM, or pthread_create's errno. */
int pipe_new(const struct archive_options *options, const struct archive_output *output,
             struct sealer *sealer, struct pipe **ret_pipe);
/** Ends and joins all threads, whatever they have left to do.  NULL is fine. */
void pipe_free(struct pipe *pipe);

/** A file's stream begins: what the sink gets until pipe_end, about `tar_bytes` (0: unknown).  0 or
 * -ENOMEM. */
int pipe_begin(struct pipe *pipe, const char *name, const char *next, uint64_t tar_bytes);
/** Takes the stream's bytes on the caller's thread; waits for room, -ECANCELED when the output is
 * given up meanwhile, or the error of another stage. */
struct sink *pipe_sink(struct pipe *pipe);
int pipe_end(struct pipe *pipe);
/** Waits until the output has taken all.  0 or the first error. */
int pipe_drain(struct pipe *pipe);

#endif
