/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "chunk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "outer.h"
#include "qubesfs/cleanup.h"

struct chunker {
    struct sink sink;
    const struct archive_output *output;
    struct hmac *hmac;
    time_t when;
    char *name;      /* of the file at work */
    unsigned number; /* of the chunk at work */
    size_t length;   /* of what is in it */
    unsigned char *data;
};

/* Writes the chunk at work with its MAC and begins the next one. */
static int emit(struct chunker *chunker)
{
    char text[HMAC_TEXT_LENGTH + 1], *name CLEANUP_FREE = NULL, *mac_name CLEANUP_FREE = NULL;
    int result;

    if (asprintf(&name, "%s.%03u", chunker->name, chunker->number) < 0) {
        name = NULL;
        return -ENOMEM;
    }
    if (asprintf(&mac_name, "%s.hmac", name) < 0) {
        mac_name = NULL;
        return -ENOMEM;
    }
    result = hmac_end(chunker->hmac, text);
    if (result == 0)
        result = outer_member(chunker->output, name, chunker->when, chunker->data, chunker->length);
    if (result == 0)
        result = outer_member(chunker->output, mac_name, chunker->when, text, HMAC_TEXT_LENGTH);
    chunker->number++;
    chunker->length = 0;
    return result;
}

static int chunk_write(struct sink *sink, const void *data, size_t length)
{
    struct chunker *chunker = (struct chunker *)sink;
    const unsigned char *bytes = data;

    while (length > 0) {
        size_t piece = CHUNK_SIZE - chunker->length;
        int result;

        if (piece > length)
            piece = length;
        memcpy(chunker->data + chunker->length, bytes, piece);
        chunker->length += piece;
        bytes += piece;
        length -= piece;
        result = hmac_update(chunker->hmac, bytes - piece, piece);
        if (result == 0 && chunker->length == CHUNK_SIZE)
            result = emit(chunker);
        if (result < 0)
            return result;
    }
    return 0;
}

static int chunk_finish(struct sink *sink)
{
    return emit((struct chunker *)sink);
}

static void chunk_free(struct sink *sink)
{
    struct chunker *chunker = (struct chunker *)sink;

    munmap(chunker->data, CHUNK_SIZE);
    free(chunker->name);
    free(chunker);
}

int chunk_open(const struct archive_output *output, struct hmac *hmac, time_t when,
               struct sink **ret_sink)
{
    static const struct sink_operations operations = {chunk_write, chunk_finish, chunk_free};
    struct chunker *chunker = calloc(1, sizeof(*chunker));

    if (!chunker)
        return -ENOMEM;
    *chunker =
        (struct chunker){.sink = {&operations, NULL}, .output = output, .hmac = hmac, .when = when};
    chunker->data = mmap(NULL, CHUNK_SIZE, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (chunker->data == MAP_FAILED) {
        free(chunker);
        return -ENOMEM;
    }
    *ret_sink = &chunker->sink;
    return 0;
}

int chunk_begin(struct sink *sink, const char *name)
{
    struct chunker *chunker = (struct chunker *)sink;

    free(chunker->name);
    chunker->name = strdup(name);
    chunker->number = 0;
    chunker->length = 0;
    return chunker->name ? 0 : -ENOMEM;
}

uint64_t chunk_outer_size(uint64_t bytes)
{
    uint64_t full = bytes / CHUNK_SIZE;

    return full * outer_size(CHUNK_SIZE) + outer_size(bytes % CHUNK_SIZE) +
           (full + 1) * outer_size(HMAC_TEXT_LENGTH);
}
