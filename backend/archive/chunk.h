/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chunks: a file's stream, cut after every 100 MiB, each piece an outer member NAME.NNN (and what
 * authenticates it).  A stream whose length is a multiple of 100 MiB gets one more, empty chunk, as
 * Qubes' writer makes it.
 *
 * The length stands before the data in a tar, so one whole chunk is held in memory: pages of a
 * mapping that are only there once they were written to.
 */
#ifndef ARCHIVE_CHUNK_H
#define ARCHIVE_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#include "mac.h"

#define CHUNK_SIZE 104857600u
/* beside the stream's bytes: a container's header and MAC */
#define CHUNK_ROOM (CHUNK_SIZE + 256u)

#define CHUNKS 2u

/* A chunk goes through the sealer, the prover and the output; each follows the one before through
 * what is there of it. */
struct chunk {
    unsigned slot; /* which of CHUNKS it is made in */
    unsigned char *data;
    size_t length;                  /* of what is in it: the sealer's, until it is full */
    size_t payload;                 /* of this, bytes of the stream: at most CHUNK_SIZE */
    uint64_t source;                /* bytes of the inner archive, from its begin up to here */
    uint64_t expected;              /* about how long the whole stream will be; 0: unknown */
    unsigned number;                /* within the file */
    char *name;                     /* NAME.NNN; owned */
    char *file;                     /* of the first chunk of a file: its NAME; else NULL; owned */
    char text[MAC_TEXT_LENGTH + 1]; /* format 3: its .hmac member; the prover's */
    unsigned char digest[32];       /* SHA-256 of all that is in it; the output's */
};

#endif
