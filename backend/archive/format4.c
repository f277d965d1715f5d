/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Format 4: each chunk is cut first and then becomes a container of its own, with a passphrase made
 * of the backup's id, the member's name and the user's passphrase, so that no chunk can stand for
 * another one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container.h"
#include "keys.h"
#include "outer.h"
#include "qubesfs/cleanup.h"
#include "qubesfs/locked.h"
#include "salts.h"
#include "sealer.h"

#define HEADER_NAME "backup-header"

/* How long a stream will be shows when that much of it is there: soon enough for the next key, late
 * enough not to derive one in vain for every small file. */
#define NEXT_KEY_AT (CHUNK_SIZE / 32)
/* Of a stream that nothing is known of, a further chunk is likely when it has come this far. */
#define UNKNOWN_KEY_AT (CHUNK_SIZE / 8)
/* Keys derived ahead: with the next one alone, none would be at work between two chunks. */
#define AHEAD 2u

struct sealer4 {
    struct sealer sealer;
    const struct archive_options *options;
    struct salts *salts;
    struct keys *keys;
    struct container *containers[CHUNKS];
    struct container_key *key; /* of the chunk that is begun; locked */
    char *name;                /* of the file at work */
    unsigned wanted;           /* keys of its chunks, below this, were */
};

static char *chunk_name(const char *name, unsigned number)
{
    char *full;

    return asprintf(&full, "%s.%03u", name, number) < 0 ? NULL : full;
}

static void want(struct sealer4 *sealer, const char *name, unsigned number)
{
    char *full CLEANUP_FREE = chunk_name(name, number);

    if (full)
        keys_want(sealer->keys, full);
}

static int prove_header(struct sealer *base, const struct text *header, struct text *proof)
{
    struct sealer4 *sealer = (struct sealer4 *)base;
    struct container *with = sealer->containers[0];
    unsigned char *container CLEANUP_FREE = malloc(CONTAINER_OVERHEAD + header->length);
    int result = container ? 0 : -ENOMEM;

    keys_want(sealer->keys, HEADER_NAME);
    want(sealer, ARCHIVE_CATALOGUE, 0);
    if (result == 0)
        result = keys_get(sealer->keys, HEADER_NAME, sealer->key);
    if (result == 0)
        result = container_begin(with, sealer->key, sealer->options->kdf_log2_n, container);
    if (result == 0)
        result =
            container_encrypt(with, header->data, header->length, container + CONTAINER_HEADER);
    if (result == 0)
        result = container_prove(with, container, CONTAINER_HEADER + header->length);
    if (result == 0)
        result = container_end(with, container + CONTAINER_HEADER + header->length);
    if (result < 0)
        return result;
    text_append(proof, container, CONTAINER_OVERHEAD + header->length);
    return text_status(proof);
}

static int begin(struct sealer *base, const char *name, const char *next)
{
    struct sealer4 *sealer = (struct sealer4 *)base;

    free(sealer->name);
    sealer->name = strdup(name);
    if (!sealer->name)
        return -ENOMEM;
    want(sealer, name, 0);
    sealer->wanted = 1;
    if (next)
        want(sealer, next, 0);
    return 0;
}

static int open_chunk(struct sealer *base, struct chunk *chunk)
{
    struct sealer4 *sealer = (struct sealer4 *)base;
    int result = keys_get(sealer->keys, chunk->name, sealer->key);

    if (result == 0)
        result = container_begin(sealer->containers[chunk->slot], sealer->key,
                                 sealer->options->kdf_log2_n, chunk->data);
    explicit_bzero(sealer->key, sizeof(*sealer->key));
    chunk->length = CONTAINER_HEADER;
    return result;
}

static bool is_likely(const struct chunk *chunk, unsigned number)
{
    if (chunk->expected == 0)
        return chunk->payload >= UNKNOWN_KEY_AT && number == chunk->number + 1;
    return chunk->payload >= NEXT_KEY_AT && chunk->expected > (uint64_t)number * CHUNK_SIZE;
}

static int put(struct sealer *base, struct chunk *chunk, const unsigned char *data, size_t length)
{
    struct sealer4 *sealer = (struct sealer4 *)base;
    int result = container_encrypt(sealer->containers[chunk->slot], data, length,
                                   chunk->data + chunk->length);

    chunk->length += length;
    chunk->payload += length;
    if (sealer->wanted <= chunk->number)
        sealer->wanted = chunk->number + 1;
    while (sealer->wanted <= chunk->number + AHEAD && is_likely(chunk, sealer->wanted))
        want(sealer, sealer->name, sealer->wanted++);
    return result;
}

/* What was expected and does not come any more. */
static int end(struct sealer *base, struct chunk *chunk)
{
    struct sealer4 *sealer = (struct sealer4 *)base;
    unsigned next = chunk->number + 1 + (chunk->payload == CHUNK_SIZE);

    for (; next < sealer->wanted; next++) {
        char *full CLEANUP_FREE = chunk_name(sealer->name, next);

        if (full)
            keys_forget(sealer->keys, full);
    }
    return 0;
}

static int prove(struct sealer *base, const struct chunk *chunk, size_t from, size_t length)
{
    struct sealer4 *sealer = (struct sealer4 *)base;

    return container_prove(sealer->containers[chunk->slot], chunk->data + from, length);
}

static int close_chunk(struct sealer *base, struct chunk *chunk)
{
    struct sealer4 *sealer = (struct sealer4 *)base;
    int result = container_end(sealer->containers[chunk->slot], chunk->data + chunk->length);

    chunk->length += CONTAINER_MAC;
    return result;
}

static int write_chunk(const struct chunk *chunk, const struct archive_output *output, time_t when)
{
    char *name CLEANUP_FREE = NULL;

    if (asprintf(&name, "%s.enc", chunk->name) < 0) {
        name = NULL;
        return -ENOMEM;
    }
    return outer_member(output, name, when, chunk->data, chunk->length);
}

static void stop(struct sealer *base)
{
    keys_stop(((struct sealer4 *)base)->keys);
}

static void free_sealer(struct sealer *base)
{
    struct sealer4 *sealer = (struct sealer4 *)base;

    keys_free(sealer->keys); /* its threads use the salts */
    for (unsigned i = 0; i < CHUNKS; i++)
        container_free(sealer->containers[i]);
    locked_free(sealer->key, sizeof(*sealer->key));
    salts_free(sealer->salts);
    free(sealer->name);
    free(sealer);
}

static int open_sealer(const struct archive_options *options, struct sealer **ret_sealer)
{
    static const struct sealer_operations operations = {
        prove_header, begin,       open_chunk,  put,  end,
        prove,        close_chunk, write_chunk, stop, free_sealer};
    struct sealer4 *sealer = calloc(1, sizeof(*sealer));
    int result;

    if (!sealer)
        return -ENOMEM;
    sealer->sealer.operations = &operations;
    sealer->options = options;
    sealer->key = locked_alloc(sizeof(*sealer->key));
    result = sealer->key ? salts_new(options->salt_seed, &sealer->salts) : -ENOMEM;
    for (unsigned i = 0; result == 0 && i < CHUNKS; i++)
        result = container_new(&sealer->containers[i]);
    if (result == 0)
        result = keys_new(options, sealer->salts, &sealer->keys);
    if (result < 0) {
        free_sealer(&sealer->sealer);
        return result;
    }
    *ret_sealer = &sealer->sealer;
    return 0;
}

static void header(const struct archive_options *options, const char *filter, struct text *text)
{
    text_string(text, "version=4\n"
                      "encrypted=True\n");
    text_printf(text, "compressed=%s\n", filter ? "True" : "False");
    /* Qubes' writer names one even then */
    text_printf(text, "compression-filter=%s\n", filter ? filter : "gzip");
    text_string(text, "hmac-algorithm=scrypt\n");
    text_printf(text, "backup-id=%s\n", options->backup_id);
}

static uint64_t proof_size(const struct archive_options *options, const struct text *text)
{
    (void)options;
    return outer_size(CONTAINER_OVERHEAD + text->length);
}

static uint64_t stream_size(const struct archive_options *options, uint64_t bytes)
{
    (void)options;
    return bytes;
}

const struct format format_4 = {open_sealer,        header, proof_size, stream_size,
                                CONTAINER_OVERHEAD, 0};
