/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manifest.h"
#include "outer.h"
#include "pipe.h"
#include "qubesfs/archive.h"
#include "qubesfs/text.h"
#include "sealer.h"
#include "tar_tree.h"

#define HEADER_NAME "backup-header"

struct archive_writer {
    struct archive_options options;
    struct archive_output output;
    struct sealer *sealer;
    struct pipe *pipe;
    unsigned char *buffer;         /* what small files are read into */
    struct archive_manifest *made; /* the writer's own manifest; NULL: the caller's is used */
};

static int write_header(struct archive_writer *writer)
{
    struct text text CLEANUP_TEXT = TEXT_INIT, proof CLEANUP_TEXT = TEXT_INIT;
    const struct archive_output *output = &writer->output;
    time_t when = writer->options.time;
    int result;

    format_header(&writer->options, &text);
    result = text_status(&text);
    if (result == 0)
        result = writer->sealer->operations->prove_header(writer->sealer, &text, &proof);
    if (result == 0 && output->begin)
        output->begin(output->cookie, HEADER_NAME);
    if (result == 0)
        result = outer_member(output, HEADER_NAME, when, text.data, text.length);
    if (result == 0)
        result = outer_member(output, HEADER_NAME ".hmac", when, proof.data, proof.length);
    return result;
}

/* What readers of backup-id take. */
static bool id_is_valid(const char *id)
{
    size_t length = strnlen(id, ARCHIVE_ID_SIZE);

    if (length == 0 || length == ARCHIVE_ID_SIZE || id[0] == '-')
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isascii(id[i]) || (!isalnum((unsigned char)id[i]) && id[i] != '-'))
            return false;
    return true;
}

static int check(const struct archive_options *options, struct error *ret_error)
{
    if (!format_find(options->format))
        return error_set(ret_error, -EINVAL, "format %u can't be written, 3 and 4 can",
                         options->format);
    if (!id_is_valid(options->backup_id))
        return error_set(ret_error, -EINVAL,
                         "a backup's id has letters, digits and, but for its first, dashes");
    if (options->continue_without_header && !options->manifest)
        return error_set(ret_error, -EINVAL, "nobody knows what was written before");
    if (options->format != 4)
        return 0;
    if (!options->encrypted)
        return error_set(ret_error, -EINVAL, "format 4 is always encrypted");
    if (options->kdf_log2_n < ARCHIVE_KDF_MIN || options->kdf_log2_n > ARCHIVE_KDF_MAX)
        return error_set(ret_error, -EINVAL, "log2 N of scrypt can't be %u, only %u to %u",
                         options->kdf_log2_n, ARCHIVE_KDF_MIN, ARCHIVE_KDF_MAX);
    return 0;
}

int archive_writer_new(const struct archive_options *options, const struct archive_output *output,
                       struct archive_writer **ret_writer, struct error *ret_error)
{
    struct archive_writer *writer;
    int result = check(options, ret_error);

    if (result < 0)
        return result;
    writer = calloc(1, sizeof(*writer));
    if (!writer)
        return error_set(ret_error, -ENOMEM, "can't begin the backup: out of memory");
    writer->options = *options;
    writer->output = *output;
    writer->buffer = malloc(TAR_BUFFER);
    result = writer->buffer ? format_find(options->format)->open(&writer->options, &writer->sealer)
                            : -ENOMEM;
    if (result == 0 && !options->manifest) {
        result = archive_manifest_new(&writer->made);
        writer->options.manifest = writer->made;
    }
    writer->options.salt_seed = NULL; /* copied by the sealer */
    if (result == 0 && !options->continue_without_header)
        result = write_header(writer);
    if (result == 0)
        result = pipe_new(&writer->options, &writer->output, writer->sealer, &writer->pipe);
    if (result < 0) {
        archive_writer_free(writer);
        return error_set(ret_error, result, "can't begin the backup: %s", strerror(-result));
    }
    *ret_writer = writer;
    return 0;
}

/* Ends the inner archive. */
static int finish(struct archive_writer *writer, struct tar_writer *tar)
{
    int result = tar_write_end(tar);

    return result < 0 ? result : pipe_end(writer->pipe);
}

/* A file's stream begins. */
static int begin(struct archive_writer *writer, const char *name, const char *next,
                 uint64_t tar_bytes)
{
    /* the manifest has one name a line */
    return strchr(name, '\n') ? -EINVAL : pipe_begin(writer->pipe, name, next, tar_bytes);
}

static int write_data(struct archive_writer *writer, const char *name, const void *data,
                      size_t length)
{
    struct tar_member member = {
        .name = name,
        .type = TAR_FILE,
        .mode = 0600,
        .size = length,
        .time = writer->options.time,
        .user = "root",
        .group = "root",
    };
    struct tar_writer tar = {.sink = pipe_sink(writer->pipe), .output = &writer->output};
    int result = begin(writer, name, NULL, archive_data_size(length));

    if (result == 0)
        result = tar_write_header(&tar, &member, NULL);
    if (result == 0)
        result = tar_write_bytes(&tar, data, length);
    if (result == 0)
        result = tar_write_padding(&tar);
    return result == 0 ? finish(writer, &tar) : result;
}

int archive_write_data(struct archive_writer *writer, const char *name, const void *data,
                       size_t length, struct error *ret_error)
{
    int result = 0;

    if (strcmp(name, ARCHIVE_CATALOGUE) == 0)
        result = manifest_catalogue(writer->options.manifest, data, length);
    if (result == 0)
        result = write_data(writer, name, data, length);
    if (result < 0)
        return error_set(ret_error, result, "can't store %s: %s", name, strerror(-result));
    return 0;
}

int archive_write_source(struct archive_writer *writer, const struct archive_source *source,
                         struct error *ret_error)
{
    struct tar_writer tar = {
        .sink = pipe_sink(writer->pipe), .output = &writer->output, .buffer = writer->buffer};
    int result = begin(writer, source->name,
                       source->next_name ? source->next_name : ARCHIVE_MANIFEST, source->tar_bytes);

    if (result < 0)
        return error_set(ret_error, result, "can't store %s: %s", source->name, strerror(-result));
    result = tar_write_tree(&tar, source, ret_error);
    if (result < 0)
        return result;
    result = finish(writer, &tar);
    if (result < 0)
        return error_set(ret_error, result, "can't store %s: %s", source->name, strerror(-result));
    return 0;
}

/* Once all files are written, and so noted. */
static int write_manifest(struct archive_writer *writer)
{
    struct text text CLEANUP_TEXT = TEXT_INIT;
    int result = pipe_drain(writer->pipe);

    if (result < 0)
        return result;
    manifest_text(writer->options.manifest, writer->options.backup_id, &text);
    result = text_status(&text);
    return result < 0 ? result : write_data(writer, ARCHIVE_MANIFEST, text.data, text.length);
}

int archive_writer_finish(struct archive_writer *writer, struct error *ret_error)
{
    int result = write_manifest(writer);

    if (result == 0)
        result = pipe_drain(writer->pipe);

    if (result < 0)
        return error_set(ret_error, result, "can't end the backup: %s", strerror(-result));
    return 0;
}

int archive_write_cut(const struct archive_options *options, const struct archive_output *output,
                      const char *name, size_t length)
{
    static const unsigned char zeros[16384];
    unsigned char header[TAR_BLOCK];
    char *member_name CLEANUP_FREE = NULL;
    struct tar_member member = {
        .type = TAR_FILE, .mode = 0644, .size = CHUNK_SIZE, .time = options->time};
    int result;

    if (asprintf(&member_name, "%s.000%s", name, options->format == 4 ? ".enc" : "") < 0) {
        member_name = NULL;
        return -ENOMEM;
    }
    member.name = member_name;
    result = tar_header_ustar(header, &member);
    if (result == 0)
        result = output->write(output->cookie, header, sizeof(header));
    while (result == 0 && length > 0) {
        size_t piece = length < sizeof(zeros) ? length : sizeof(zeros);

        result = output->write(output->cookie, zeros, piece);
        length -= piece;
    }
    return result;
}

void archive_writer_free(struct archive_writer *writer)
{
    if (!writer)
        return;
    pipe_free(writer->pipe); /* its threads use the sealer */
    if (writer->sealer)
        writer->sealer->operations->free(writer->sealer);
    archive_manifest_free(writer->made);
    free(writer->buffer);
    free(writer);
}
