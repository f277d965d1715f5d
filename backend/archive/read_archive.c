/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "read_archive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "qubesfs/cleanup.h"
#include "read_block.h"
#include "read_cipher.h"
#include "read_names.h"

struct read_archive {
    struct read_archive_options options;
    struct tar_reader *tar;
    struct decoder *decoder;
    struct read_cipher *cipher; /* NULL: none */
    bool cipher_ended;
    unsigned chunks;
};

static int to_tar(void *cookie, const void *data, size_t length, struct error *ret_error)
{
    return tar_reader_write(((struct read_archive *)cookie)->tar, data, length, ret_error);
}

static int to_decoder(void *cookie, const unsigned char *plain, size_t length,
                      struct error *ret_error)
{
    return decoder_write(((struct read_archive *)cookie)->decoder, plain, length, ret_error);
}

static bool judge(void *cookie, const unsigned char *plain, size_t length)
{
    const struct read_archive *archive = cookie;
    enum read_filter filter = archive->options.header->filter;

    if (filter != FILTER_NONE)
        return decode_may_begin(filter, plain, length);
    return length >= TAR_BLOCK && tar_may_begin(plain);
}

static int new_decoder(struct read_archive *archive)
{
    struct decode_sink sink = {archive, to_tar};

    decoder_free(archive->decoder);
    archive->decoder = NULL;
    return decoder_new(archive->options.header->filter, archive->options.side, &sink,
                       &archive->decoder);
}

int read_archive_new(const struct read_archive_options *options, const struct tar_events *events,
                     struct read_archive **ret_archive)
{
    struct read_archive *archive = calloc(1, sizeof(*archive));
    struct cipher_events cipher_events = {archive, judge, to_decoder};
    char *root CLEANUP_FREE = strdup(options->name);
    int result = archive && root ? 0 : -ENOMEM;

    if (result == 0) {
        archive->options = *options;
        archive->options.name = NULL;
        result = names_plain(root) ? 0 : -EINVAL;
    }
    if (result == 0)
        result = tar_reader_new(events, root, options->bytes_max, &archive->tar);
    if (result == 0)
        result = new_decoder(archive);
    if (result == 0 && options->header->encrypted && options->header->version < 4)
        result = read_cipher_new(options->passphrase, &cipher_events, &archive->cipher);
    if (result < 0)
        read_archive_free(archive);
    else
        *ret_archive = archive;
    return result;
}

void read_archive_free(struct read_archive *archive)
{
    if (!archive)
        return;
    read_cipher_free(archive->cipher);
    decoder_free(archive->decoder);
    tar_reader_free(archive->tar);
    free(archive);
}

/* Format 2: a chunk is a whole stream of cipher and filter, and a volume of the tar. */
static int take_volume(struct read_archive *archive, unsigned char *data, size_t length,
                       struct error *ret_error)
{
    int result = 0;

    if (archive->chunks > 0) {
        result = tar_reader_next_volume(archive->tar, ret_error);
        if (result == 0)
            result = new_decoder(archive);
    }
    if (result == 0 && archive->cipher) {
        read_cipher_begin(archive->cipher);
        result = read_cipher_next(archive->cipher, data, length, true, ret_error);
        archive->cipher_ended = true;
    } else if (result == 0) {
        result = decoder_write(archive->decoder, data, length, ret_error);
    }
    if (result == 0 && !decoder_is_whole(archive->decoder))
        return error_set(ret_error, -EBADMSG, "a part of it is cut");
    return result;
}

static int take_stream(struct read_archive *archive, unsigned char *data, size_t length,
                       struct error *ret_error)
{
    bool last = length < archive->options.chunk_size;

    if (!archive->cipher)
        return decoder_write(archive->decoder, data, length, ret_error);
    archive->cipher_ended = last;
    return read_cipher_next(archive->cipher, data, length, last, ret_error);
}

int read_archive_chunk(struct read_archive *archive, unsigned char *data, size_t length,
                       struct error *ret_error)
{
    int result = 0;

    /* the writers of format 3 added empty ones, sometimes many; a writer of format 2 might have */
    if (length > 0 || (archive->cipher && !archive->cipher_ended && archive->chunks > 0))
        result = archive->options.header->version == 2
                     ? take_volume(archive, data, length, ret_error)
                     : take_stream(archive, data, length, ret_error);
    archive->chunks++;
    return result;
}

int read_archive_end(struct read_archive *archive, struct error *ret_error)
{
    int result = 0;

    /* the last chunk was a full one */
    if (archive->cipher && !archive->cipher_ended) {
        result = read_cipher_last(archive->cipher, ret_error);
        archive->cipher_ended = true;
    }
    if (result == 0 && !(decoder_is_whole(archive->decoder) && tar_reader_is_whole(archive->tar)))
        return error_set(ret_error, -EBADMSG, "its end is missing");
    return result;
}

bool read_archive_is_whole(const struct read_archive *archive)
{
    return (!archive->cipher || archive->cipher_ended) && decoder_is_whole(archive->decoder) &&
           tar_reader_is_whole(archive->tar);
}

uint64_t read_archive_unpacked(const struct read_archive *archive)
{
    return tar_reader_taken(archive->tar);
}
