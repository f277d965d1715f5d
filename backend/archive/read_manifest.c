/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "read_manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>

static void put_digest(struct text *text, const unsigned char digest[32])
{
    for (size_t i = 0; i < 32; i++)
        text_printf(text, "%02x", digest[i]);
    text_string(text, "\n");
}

/* The last file is over: its chunks are counted now. */
static void close_file(struct read_manifest *manifest)
{
    if (!manifest->name)
        return;
    text_printf(&manifest->files, "file %u %s\n", manifest->chunk_count, manifest->name);
    text_append(&manifest->files, manifest->chunks.data, manifest->chunks.length);
    manifest->files.failed |= manifest->chunks.failed;
    manifest->file_count++;
    text_free(&manifest->chunks);
    free(manifest->name);
    manifest->name = NULL;
    manifest->chunk_count = 0;
}

int read_manifest_file(struct read_manifest *manifest, const char *name)
{
    close_file(manifest);
    if (manifest->files.length > MANIFEST_MAX)
        return -E2BIG;
    manifest->name = strdup(name);
    return manifest->name ? text_status(&manifest->files) : -ENOMEM;
}

int read_manifest_chunk(struct read_manifest *manifest, size_t length,
                        const unsigned char digest[32])
{
    if (manifest->chunks.length > MANIFEST_MAX)
        return -E2BIG;
    text_printf(&manifest->chunks, "chunk %zu ", length);
    put_digest(&manifest->chunks, digest);
    manifest->chunk_count++;
    return text_status(&manifest->chunks);
}

int read_manifest_catalogue(struct read_manifest *manifest, const void *document, size_t length)
{
    return EVP_Digest(document, length, manifest->catalogue, NULL, EVP_sha256(), NULL) ? 0 : -EIO;
}

/* Tells the first line that differs. */
static int differs(const struct text *expected, const char *text, size_t length,
                   struct error *ret_error)
{
    size_t at = 0, line = 0, told, came;

    for (; at < expected->length && at < length && expected->data[at] == text[at]; at++)
        if (text[at] == '\n')
            line = at + 1;
    told = strcspn(expected->data + line, "\n");
    for (came = line; came < length && text[came] != '\n'; came++)
        ;
    return error_set(ret_error, -EBADMSG,
                     "the backup is not what its manifest says: that has \"%.*s\", but what came is "
                     "\"%.*s\"",
                     came - line < 200 ? (int)(came - line) : 200, text + line,
                     told < 200 ? (int)told : 200, expected->data + line);
}

int read_manifest_compare(struct read_manifest *manifest, const char *backup_id, const char *text,
                          size_t length, struct error *ret_error)
{
    struct text expected CLEANUP_TEXT = TEXT_INIT;
    int result;

    close_file(manifest);
    text_printf(&expected, MANIFEST_NAME " 1\nbackup-id %s\ncatalogue ", backup_id);
    put_digest(&expected, manifest->catalogue);
    text_printf(&expected, "files %" PRIu64 "\n", manifest->file_count);
    text_append(&expected, manifest->files.data, manifest->files.length);
    text_string(&expected, "end\n");
    result = manifest->files.failed ? -ENOMEM : text_status(&expected);
    if (result < 0)
        return result;
    if (expected.length == length && !memcmp(expected.data, text, length))
        return 0;
    return differs(&expected, text, length, ret_error);
}

void read_manifest_clear(struct read_manifest *manifest)
{
    text_free(&manifest->files);
    text_free(&manifest->chunks);
    free(manifest->name);
    manifest->name = NULL;
}
