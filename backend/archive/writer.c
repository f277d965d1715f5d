/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunk.h"
#include "cipher.h"
#include "codec.h"
#include "outer.h"
#include "qubesfs/archive.h"
#include "qubesfs/text.h"
#include "tar_tree.h"

#define HEADER_NAME "backup-header"

struct archive_writer {
    struct archive_options options;
    struct archive_output output;
    const struct codec *codec;
    struct hmac *hmac;
    struct sink *chunk;
    unsigned char *buffer; /* what files are read into */
};

/* The stages before the chunks, opened anew for each file. */
struct chain {
    struct sink *codec, *cipher;
};

static void chain_close(struct chain *chain)
{
    sink_free(chain->codec);
    sink_free(chain->cipher);
}

static int chain_open(struct archive_writer *writer, const char *name, struct chain *chain)
{
    struct sink *next = writer->chunk;
    int result = chunk_begin(writer->chunk, name);

    if (result == 0 && writer->options.encrypted) {
        result = cipher_open(writer->options.passphrase, NULL, next, &chain->cipher);
        next = chain->cipher;
    }
    return result < 0 ? result : writer->codec->open(writer->options.level, next, &chain->codec);
}

/* The text of backup-header, in the order of Qubes' writer. */
static void header_text(const struct archive_writer *writer, struct text *text)
{
    text_printf(text, "version=%u\n", writer->options.format);
    text_string(text, "hmac-algorithm=" HMAC_NAME "\n");
    text_string(text, "crypto-algorithm=" CIPHER_NAME "\n");
    text_printf(text, "encrypted=%s\n", writer->options.encrypted ? "True" : "False");
    text_printf(text, "compressed=%s\n", writer->codec->filter ? "True" : "False");
    if (writer->codec->filter)
        text_printf(text, "compression-filter=%s\n", writer->codec->filter);
}

static int write_header(struct archive_writer *writer)
{
    struct text text CLEANUP_TEXT = TEXT_INIT;
    char mac[HMAC_TEXT_LENGTH + 1];
    int result;

    header_text(writer, &text);
    result = text_status(&text);
    if (result == 0)
        result = hmac_update(writer->hmac, text.data, text.length);
    if (result == 0)
        result = hmac_end(writer->hmac, mac);
    if (result == 0)
        result = outer_member(&writer->output, HEADER_NAME, writer->options.time, text.data,
                              text.length);
    if (result == 0)
        result = outer_member(&writer->output, HEADER_NAME ".hmac", writer->options.time, mac,
                              HMAC_TEXT_LENGTH);
    return result;
}

int archive_writer_new(const struct archive_options *options, const struct archive_output *output,
                       struct archive_writer **ret_writer, struct error *ret_error)
{
    struct archive_writer *writer;
    int result;

    if (options->format != 3)
        return error_set(ret_error, -EINVAL, "format %u can't be written, 3 can", options->format);
    writer = calloc(1, sizeof(*writer));
    if (!writer)
        return error_set(ret_error, -ENOMEM, "can't begin the backup: out of memory");
    writer->options = *options;
    writer->output = *output;
    writer->codec = codec_find(options->compression);
    writer->buffer = malloc(TAR_BUFFER);
    result = writer->buffer ? hmac_new(options->passphrase, &writer->hmac) : -ENOMEM;
    if (result == 0)
        result = chunk_open(&writer->output, writer->hmac, options->time, &writer->chunk);
    if (result == 0)
        result = write_header(writer);
    if (result < 0) {
        archive_writer_free(writer);
        return error_set(ret_error, result, "can't begin the backup: %s", strerror(-result));
    }
    *ret_writer = writer;
    return 0;
}

/* Ends the inner archive and what it goes through. */
static int finish(struct tar_writer *tar, struct sink *codec)
{
    int result = tar_write_end(tar);

    return result < 0 ? result : sink_finish(codec);
}

int archive_write_data(struct archive_writer *writer, const char *name, const void *data,
                       size_t length, struct error *ret_error)
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
    struct chain chain CLEANUP(chain_close) = {NULL, NULL};
    struct tar_writer tar = {.output = &writer->output};
    int result = chain_open(writer, name, &chain);

    tar.sink = chain.codec;
    if (result == 0)
        result = tar_write_header(&tar, &member, NULL);
    if (result == 0)
        result = tar_write_bytes(&tar, data, length);
    if (result == 0)
        result = tar_write_padding(&tar);
    if (result == 0)
        result = finish(&tar, chain.codec);
    if (result < 0)
        return error_set(ret_error, result, "can't store %s: %s", name, strerror(-result));
    return 0;
}

int archive_write_source(struct archive_writer *writer, const struct archive_source *source,
                         struct error *ret_error)
{
    struct chain chain CLEANUP(chain_close) = {NULL, NULL};
    struct tar_writer tar = {.output = &writer->output, .buffer = writer->buffer};
    int result = chain_open(writer, source->name, &chain);

    if (result < 0)
        return error_set(ret_error, result, "can't store %s: %s", source->path, strerror(-result));
    tar.sink = chain.codec;
    result = tar_write_tree(&tar, source, ret_error);
    if (result < 0)
        return result;
    result = finish(&tar, chain.codec);
    if (result < 0)
        return error_set(ret_error, result, "can't store %s: %s", source->path, strerror(-result));
    return 0;
}

int archive_writer_finish(struct archive_writer *writer, struct error *ret_error)
{
    (void)writer, (void)ret_error;
    return 0;
}

void archive_writer_free(struct archive_writer *writer)
{
    if (!writer)
        return;
    sink_free(writer->chunk);
    hmac_free(writer->hmac);
    free(writer->buffer);
    free(writer);
}
