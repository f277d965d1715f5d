/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The second stage: what was authenticated is unpacked, inner archive by inner archive, and told to
 * the sink.  An archive ends where a chunk is shorter than the others (formats 3 and 4), where the
 * next one begins, or where a flush finds it whole.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "decode_side.h"
#include "qubesfs/archive.h"
#include "read_archive.h"
#include "read_cipher.h"
#include "read_collect.h"
#include "read_manifest.h"
#include "read_state.h"

/* headers and padding beside the one file */
#define ARCHIVE_OVERHEAD ((uint64_t)2 << 20)

enum content { CONTENT_SINK, CONTENT_CATALOGUE, CONTENT_MANIFEST };

struct unpacker {
    struct archive_reader *reader;
    struct read_header header;
    struct decode_side *side;

    char *name; /* of the archive at work, owned; NULL: none came yet */
    enum content content;
    struct read_archive *archive; /* NULL: not unpacked, or over */
    bool ended;                   /* it was, and that was told */
    bool ended_by_flush;          /* without knowing its content: more of it may come */
    struct archive_report report;
    struct collector collector;

    bool told; /* the header, to the sink */
    bool catalogue_came, manifest_came;
};

/* What went wrong in an archive, with its name before it. */
static int in_archive(const struct unpacker *unpacker, int result, struct error *ret_error)
{
    if (result >= 0)
        return result;
    if (!ret_error->text[0])
        return error_set(ret_error, result, "%s: %s", unpacker->name, strerror(-result));
    ret_error->code = result;
    return error_prefix(ret_error, "%s", unpacker->name);
}

/* A backup without a header: the first chunk shows how the rest is stored. */
static void guess(struct unpacker *unpacker, const struct piece *piece)
{
    struct read_header *header = &unpacker->header;
    const unsigned char *data = piece->data + piece->offset;

    *header = unpacker->reader->header;
    header->encrypted =
        piece->payload >= CIPHER_HEADER && !memcmp(data, CIPHER_MAGIC, strlen(CIPHER_MAGIC));
    if (!header->encrypted && decode_may_begin(FILTER_GZIP, data, piece->payload))
        header->filter = FILTER_GZIP;
}

static int tell_header(struct unpacker *unpacker, struct error *ret_error)
{
    static const char *const digests[] = {
        [MAC_SHA256] = "SHA256",
        [MAC_SHA512] = "SHA512",
        [MAC_SHA1] = "SHA1",
        [MAC_SHA384] = "SHA384",
    };
    const struct archive_reader *reader = unpacker->reader;
    const struct read_header *header = &unpacker->header;
    struct archive_header told = {
        .version = header->version,
        .absent = reader->headerless,
        .encrypted = header->encrypted,
        .compressed = header->filter != FILTER_NONE,
        .filter = read_filter_name(header->filter),
        .hmac = header->scrypt ? "scrypt" : digests[header->digest],
        .backup_id = header->backup_id,
        .manifest = header->manifest,
    };

    unpacker->told = true;
    return reader->sink.header(reader->sink.cookie, &told, ret_error);
}

/*
 * The archive's end.
 */

static int end_catalogue(struct unpacker *unpacker, struct error *ret_error)
{
    const struct archive_reader_sink *sink = &unpacker->reader->sink;
    const struct text *text = &unpacker->collector.text;
    const char *document = text->data ? text->data : "";

    unpacker->catalogue_came = true;
    if (unpacker->header.manifest &&
        manifest_catalogue(unpacker->reader->manifest, document, text->length) < 0)
        return -ENOMEM;
    return sink->catalogue(sink->cookie, document, text->length, ret_error);
}

static int end_manifest(struct unpacker *unpacker, struct error *ret_error)
{
    const struct archive_reader_sink *sink = &unpacker->reader->sink;
    const struct text *text = &unpacker->collector.text;
    int result = read_manifest_compare(unpacker->reader->manifest, unpacker->header.backup_id,
                                       text->data ? text->data : "", text->length, ret_error);

    unpacker->manifest_came = true;
    return result < 0 ? result : sink->manifest(sink->cookie, ret_error);
}

/* The archive is whole: tells it, or what was collected from it. */
static int tell_end(struct unpacker *unpacker, struct error *ret_error)
{
    const struct archive_reader_sink *sink = &unpacker->reader->sink;

    if (unpacker->content == CONTENT_SINK)
        return sink->archive_end(sink->cookie, &unpacker->report, ret_error);
    if (!unpacker->collector.any)
        return error_set(ret_error, -EBADMSG, "there is no file in it");
    return unpacker->content == CONTENT_CATALOGUE ? end_catalogue(unpacker, ret_error)
                                                  : end_manifest(unpacker, ret_error);
}

static int end_archive(struct unpacker *unpacker, struct error *ret_error)
{
    int result = 0;

    if (!unpacker->name || unpacker->ended)
        return 0;
    if (unpacker->archive) {
        result = read_archive_end(unpacker->archive, ret_error);
        unpacker->report.unpacked_bytes = read_archive_unpacked(unpacker->archive);
        read_archive_free(unpacker->archive);
        unpacker->archive = NULL;
    }
    unpacker->ended = true;
    if (result == 0)
        result = tell_end(unpacker, ret_error);
    text_free(&unpacker->collector.text);
    return in_archive(unpacker, result, ret_error);
}

/*
 * Its begin.
 */

static int sink_begin(void *cookie, const struct archive_member *member, struct error *ret_error)
{
    const struct archive_reader_sink *sink = cookie;

    return sink->member_begin(sink->cookie, member, ret_error);
}

static int sink_data(void *cookie, uint64_t offset, const void *data, size_t length,
                     struct error *ret_error)
{
    const struct archive_reader_sink *sink = cookie;

    return sink->member_data(sink->cookie, offset, data, length, ret_error);
}

static int sink_end(void *cookie, struct error *ret_error)
{
    const struct archive_reader_sink *sink = cookie;

    return sink->member_end(sink->cookie, ret_error);
}

/* Where its content goes, and whether it is unpacked at all. */
static int choose_content(struct unpacker *unpacker, struct archive_wish *wish,
                          struct tar_events *events, struct error *ret_error)
{
    struct archive_reader_sink *sink = &unpacker->reader->sink;
    struct archive_entry entry = {unpacker->name};

    *wish = (struct archive_wish){true, UINT64_MAX};
    *events = collector_events(&unpacker->collector);
    unpacker->collector = (struct collector){TEXT_INIT, ARCHIVE_CATALOGUE_MAX, false};
    if (!strcmp(unpacker->name, ARCHIVE_CATALOGUE)) {
        unpacker->content = CONTENT_CATALOGUE;
        wish->bytes_max = ARCHIVE_CATALOGUE_MAX + ARCHIVE_OVERHEAD;
        return 0;
    }
    if (!strcmp(unpacker->name, ARCHIVE_MANIFEST)) {
        if (!unpacker->header.manifest)
            return error_set(ret_error, -EBADMSG, "the header does not promise one");
        unpacker->content = CONTENT_MANIFEST;
        unpacker->collector.length_max = READ_MANIFEST_MAX;
        wish->bytes_max = READ_MANIFEST_MAX + ARCHIVE_OVERHEAD;
        return 0;
    }
    unpacker->content = CONTENT_SINK;
    *events = (struct tar_events){sink, sink_begin, sink_data, sink_end};
    return sink->archive_begin(sink->cookie, &entry, wish, ret_error);
}

static int begin_archive(struct unpacker *unpacker, const struct piece *piece,
                         struct error *ret_error)
{
    struct archive_reader *reader = unpacker->reader;
    struct read_archive_options options = {
        .header = &unpacker->header,
        .passphrase = reader->passphrase,
        .chunk_size = reader->chunk_size,
        .name = piece->name,
    };
    struct archive_wish wish;
    struct tar_events events;
    int result;

    free(unpacker->name);
    unpacker->name = strdup(piece->name);
    if (!unpacker->name)
        return -ENOMEM;
    unpacker->ended = false;
    unpacker->report = (struct archive_report){.chunks = 0};
    if (!unpacker->told) {
        guess(unpacker, piece);
        result = tell_header(unpacker, ret_error);
        if (result < 0)
            return result;
    }
    result = choose_content(unpacker, &wish, &events, ret_error);
    if (result == 0 && wish.unpack) {
        if (!unpacker->side && reader->threads > 1)
            result = decode_side_new(reader->threads, &unpacker->side);
        options.side = unpacker->side;
        options.bytes_max = wish.bytes_max;
        if (result == 0)
            result = read_archive_new(&options, &events, &unpacker->archive);
    }
    return in_archive(unpacker, result, ret_error);
}

static int take_chunk(struct unpacker *unpacker, const struct piece *piece, struct error *ret_error)
{
    unsigned char *data = piece->data + piece->offset;
    int result = 0;

    if (piece->number == 0) {
        unpacker->ended_by_flush = false;
        result = end_archive(unpacker, ret_error);
        if (result == 0)
            result = begin_archive(unpacker, piece, ret_error);
        if (result < 0)
            return result;
    }
    /* a flush could not see that more of what is not unpacked would come */
    if (unpacker->ended_by_flush)
        unpacker->ended = unpacker->ended_by_flush = false;
    if (unpacker->ended)
        return piece->payload == 0
                   ? 0
                   : in_archive(unpacker,
                                error_set(ret_error, -EBADMSG, "something follows its end"),
                                ret_error);
    unpacker->report.chunks++;
    unpacker->report.stored_bytes += piece->payload;
    if (unpacker->archive)
        result = read_archive_chunk(unpacker->archive, data, piece->payload, ret_error);
    if (result < 0)
        return in_archive(unpacker, result, ret_error);
    if (unpacker->header.version > 2 && piece->payload < unpacker->reader->chunk_size)
        return end_archive(unpacker, ret_error);
    return 0;
}

/* What is missing, in words; NULL: nothing. */
static const char *missing(const struct unpacker *unpacker, const struct piece *piece)
{
    if (!unpacker->told)
        return "its header did not come";
    if (piece->incomplete)
        return "it ends within a part";
    if (!unpacker->catalogue_came)
        return "its catalogue did not come";
    if (!unpacker->ended)
        return "its last file is cut";
    if (unpacker->header.manifest && !unpacker->manifest_came)
        return "its closing manifest did not come";
    return NULL;
}

static int flush(struct unpacker *unpacker, const struct piece *piece, struct error *ret_error)
{
    struct archive_reader *reader = unpacker->reader;
    struct error told = {.code = 0};
    const char *what;
    int result = 0;

    if (unpacker->name && !unpacker->ended && !piece->incomplete &&
        (!unpacker->archive || read_archive_is_whole(unpacker->archive))) {
        bool blind = !unpacker->archive;

        result = end_archive(unpacker, ret_error);
        unpacker->ended_by_flush = blind;
    }
    if (result < 0)
        return result;
    what = missing(unpacker, piece);
    if (what)
        error_set(&told, -EIO, "the backup is not complete: %s", what);
    pthread_mutex_lock(&reader->lock);
    reader->flushed = told;
    reader->flushing = false;
    pthread_cond_broadcast(&reader->changed);
    pthread_mutex_unlock(&reader->lock);
    return 0;
}

static int take(struct unpacker *unpacker, const struct piece *piece, struct error *ret_error)
{
    switch (piece->kind) {
    case PIECE_HEADER:
        /* without one, check has yet to find out the digest */
        if (unpacker->reader->headerless)
            return 0;
        unpacker->header = unpacker->reader->header;
        return tell_header(unpacker, ret_error);
    case PIECE_FLUSH:
        return flush(unpacker, piece, ret_error);
    default:
        return take_chunk(unpacker, piece, ret_error);
    }
}

void *read_unpack_thread(void *cookie)
{
    struct archive_reader *reader = cookie;
    struct unpacker unpacker = {.reader = reader};
    struct error error = {.code = 0};
    struct piece *piece;
    int result = 0;

    while (result == 0 && (piece = reader_take(reader, &reader->to_unpack)) != NULL) {
        result = take(&unpacker, piece, &error);
        reader_drop(reader, piece);
    }
    if (result < 0)
        reader_fail(reader, result, &error);
    read_archive_free(unpacker.archive);
    decode_side_free(unpacker.side);
    text_free(&unpacker.collector.text);
    free(unpacker.name);
    return NULL;
}
