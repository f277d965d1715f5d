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

struct chunk {
    unsigned char *data;
    size_t length;                  /* of what is in it */
    size_t payload;                 /* of this, bytes of the stream: at most CHUNK_SIZE */
    uint64_t source;                /* bytes of the inner archive, from its begin up to here */
    unsigned number;                /* within the file */
    char *name;                     /* NAME.NNN; owned */
    char *file;                     /* of the first chunk of a file: its NAME; else NULL; owned */
    char text[MAC_TEXT_LENGTH + 1]; /* format 3: its .hmac member */
};

#endif
