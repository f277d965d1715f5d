/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chunks: the last stage of the chain.  Cuts a file's stream after every 100 MiB and writes each
 * piece as the outer member NAME.NNN with NAME.NNN.hmac behind it.  A stream whose length is a
 * multiple of 100 MiB gets one more, empty chunk, as Qubes' writer makes it.
 *
 * The length stands before the data in a tar, so one whole chunk is held in memory: pages of a
 * mapping that are only there once they were written to.
 */
#ifndef ARCHIVE_CHUNK_H
#define ARCHIVE_CHUNK_H

#include <stdint.h>

#include "hmac.h"
#include "qubesfs/archive.h"
#include "sink.h"

#define CHUNK_SIZE 104857600u

/** A stage that serves all files of an archive, one after the other.  `output` and `hmac` are
 * borrowed. 0 or -ENOMEM. */
int chunk_open(const struct archive_output *output, struct hmac *hmac, time_t when,
               struct sink **ret_sink);
/** Begins a file; its chunks are called `name`.000 and so on.  0 or -ENOMEM. */
int chunk_begin(struct sink *chunk, const char *name);

/** What a file's stream of `bytes` becomes in the outer archive. */
uint64_t chunk_outer_size(uint64_t bytes);

#endif
