/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "manifest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION     1
#define DIGEST_SIZE 32u

struct entry {
    uint64_t size;
    unsigned char digest[DIGEST_SIZE];
};

struct file {
    char *name;
    size_t first; /* of its chunks; they end where the next file's begin */
};

struct archive_manifest {
    bool has_catalogue;
    unsigned char catalogue[DIGEST_SIZE];
    struct file *files;
    size_t file_count, file_room;
    struct entry *chunks;
    size_t chunk_count, chunk_room;
};

int archive_manifest_new(struct archive_manifest **ret_manifest)
{
    struct archive_manifest *manifest = calloc(1, sizeof(*manifest));

    if (!manifest)
        return -ENOMEM;
    *ret_manifest = manifest;
    return 0;
}

void archive_manifest_rewind(struct archive_manifest *manifest, size_t files)
{
    if (files >= manifest->file_count)
        return;
    manifest->chunk_count = manifest->files[files].first;
    while (manifest->file_count > files)
        free(manifest->files[--manifest->file_count].name);
    manifest->has_catalogue = manifest->has_catalogue && files > 0;
}

void archive_manifest_free(struct archive_manifest *manifest)
{
    if (!manifest)
        return;
    archive_manifest_rewind(manifest, 0);
    free(manifest->files);
    free(manifest->chunks);
    free(manifest);
}

static int digest_of(const void *data, size_t length, unsigned char ret_digest[DIGEST_SIZE])
{
    return EVP_Digest(data, length, ret_digest, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

int manifest_catalogue(struct archive_manifest *manifest, const void *document, size_t length)
{
    manifest->has_catalogue = true;
    return digest_of(document, length, manifest->catalogue);
}

int manifest_digest(struct chunk *chunk)
{
    return digest_of(chunk->data, chunk->length, chunk->digest);
}

/* Makes room for one more of `size` bytes. */
static int grow(void **array, size_t *room, size_t count, size_t size)
{
    size_t wanted = *room ? 2 * *room : 16;
    void *grown;

    if (count < *room)
        return 0;
    grown = reallocarray(*array, wanted, size);
    if (!grown)
        return -ENOMEM;
    *array = grown;
    *room = wanted;
    return 0;
}

static int add_file(struct archive_manifest *manifest, const char *name)
{
    void *array = manifest->files;
    int result = grow(&array, &manifest->file_room, manifest->file_count, sizeof(struct file));
    char *copy;

    manifest->files = array;
    if (result < 0)
        return result;
    copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    manifest->files[manifest->file_count++] = (struct file){copy, manifest->chunk_count};
    return 0;
}

int manifest_add(struct archive_manifest *manifest, const struct chunk *chunk)
{
    void *array = manifest->chunks;
    int result = grow(&array, &manifest->chunk_room, manifest->chunk_count, sizeof(struct entry));
    struct entry entry = {.size = chunk->length};

    manifest->chunks = array;
    memcpy(entry.digest, chunk->digest, DIGEST_SIZE);
    if (result == 0 && chunk->file)
        result = add_file(manifest, chunk->file);
    if (result == 0)
        manifest->chunks[manifest->chunk_count++] = entry;
    return result;
}

static void put_digest(struct text *text, const unsigned char digest[DIGEST_SIZE])
{
    for (unsigned i = 0; i < DIGEST_SIZE; i++)
        text_printf(text, "%02x", digest[i]);
    text_string(text, "\n");
}

static void put_catalogue(struct text *text, const unsigned char digest[DIGEST_SIZE])
{
    text_string(text, "catalogue ");
    put_digest(text, digest);
}

static void put_chunk(struct text *text, const struct entry *entry)
{
    text_printf(text, "chunk %llu ", (unsigned long long)entry->size);
    put_digest(text, entry->digest);
}

static void put_begin(struct text *text, const char *backup_id)
{
    text_printf(text, "qubesfs-manifest %u\nbackup-id %s\n", VERSION, backup_id);
}

static void put_file(struct text *text, const char *name, uint64_t chunks)
{
    text_printf(text, "file %llu %s\n", (unsigned long long)chunks, name);
}

void manifest_text(const struct archive_manifest *manifest, const char *backup_id,
                   struct text *text)
{
    put_begin(text, backup_id);
    if (manifest->has_catalogue)
        put_catalogue(text, manifest->catalogue);
    text_printf(text, "files %zu\n", manifest->file_count);
    for (size_t i = 0; i < manifest->file_count; i++) {
        const struct file *file = &manifest->files[i];
        size_t end = i + 1 < manifest->file_count ? file[1].first : manifest->chunk_count;

        put_file(text, file->name, end - file->first);
        for (size_t j = file->first; j < end; j++)
            put_chunk(text, &manifest->chunks[j]);
    }
    text_string(text, "end\n");
}

/*
 * Lengths.
 */

/* Of "WORD NUMBER\n". */
static uint64_t line_length(const char *word, uint64_t number)
{
    return (uint64_t)snprintf(NULL, 0, "%s %llu\n", word, (unsigned long long)number);
}

uint64_t manifest_frame_length(const char *backup_id, uint64_t files)
{
    return line_length("qubesfs-manifest", VERSION) + strlen("backup-id \n") + strlen(backup_id) +
           line_length("files", files) + strlen("end\n");
}

uint64_t manifest_catalogue_length(void)
{
    return strlen("catalogue \n") + (uint64_t)2 * DIGEST_SIZE;
}

uint64_t manifest_file_length(const char *name, uint64_t stream, unsigned overhead)
{
    uint64_t full = stream / CHUNK_SIZE, rest = stream % CHUNK_SIZE, digest = 1 + 2 * DIGEST_SIZE;

    return line_length("file", full + 1) + 1 + strlen(name) +
           full * (line_length("chunk", (uint64_t)CHUNK_SIZE + overhead) + digest) +
           line_length("chunk", rest + overhead) + digest;
}
