/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "produce.h"

#include <errno.h>
#include <string.h>

#include "qubesfs/log.h"

/* a slow reader's progress is told after so many bytes */
#define STEP (512u << 10)

/* The parts of a stream, as sent.h numbers them; behind the items comes the manifest. */
enum { PART_HEADER, PART_CATALOGUE, PART_FIRST_ITEM };

struct producer {
    struct making *making;
    struct backup_stream *stream;
    const struct archive_output *output;
    struct progress *progress;
    uint64_t offset; /* what is in front of it has been read already */

    /* used where the writer calls its output, one call at a time */
    size_t next_part;
    uint64_t made; /* place in the stream of the next byte */
    int failed;    /* what `begin` can't tell */

    const char *at_work; /* the file's name in the archive; the caller's thread has this one */
};

/* Only what the reader has not yet. */
static int send(void *cookie, uint64_t at, const void *data, size_t length)
{
    struct producer *producer = cookie;
    const unsigned char *bytes = data;

    if (at < producer->offset) {
        uint64_t skip = producer->offset - at;

        if (skip >= length)
            return 0;
        bytes += skip;
        length -= (size_t)skip;
    }
    while (length > 0) {
        size_t step = length < STEP ? length : STEP;
        int result = producer->output->write(producer->output->cookie, bytes, step);

        if (result < 0)
            return result;
        progress_look(producer->progress, stream_consumed(producer->stream));
        bytes += step;
        length -= step;
    }
    return 0;
}

/*
 * The file's size was told as `bound` at most, and a tool that reads through the page cache takes
 * that for the end.  A home that has grown beyond all slack makes the read fail; it is never cut
 * short.
 */
static int take(void *cookie, const void *data, size_t length)
{
    struct producer *producer = cookie;
    int result;

    if (producer->failed < 0)
        return producer->failed;
    if (length > producer->making->bound - producer->made)
        return -EFBIG;
    producer->made += length;
    result = sent_take(producer->making->sent, data, length, send, producer);
    return result == -EBUSY ? -ESTALE : result;
}

static bool cancelled(void *cookie)
{
    struct producer *producer = cookie;

    return producer->output->cancelled(producer->output->cookie);
}

/* "work private.img": the VM and its file. */
static void tell_part(struct producer *producer, size_t part, const char *name)
{
    const struct job *job = &producer->making->job;
    const struct item *item;
    const char *file;

    if (part < PART_FIRST_ITEM || part - PART_FIRST_ITEM >= job->count) {
        progress_item(producer->progress, "", name);
        return;
    }
    item = &job->items[part - PART_FIRST_ITEM];
    file = strrchr(item->name, '/');
    progress_item(producer->progress, item->vm ? item->vm->name : "dom0",
                  file ? file + 1 : item->name);
}

static void begin(void *cookie, const char *name)
{
    struct producer *producer = cookie;
    int result = sent_part(producer->making->sent);

    if (result < 0)
        producer->failed = result == -EBUSY ? -ESTALE : result;
    tell_part(producer, producer->next_part++, name);
}

static void piece(void *cookie, uint64_t tar_bytes, uint64_t length)
{
    struct producer *producer = cookie;

    progress_piece(producer->progress, tar_bytes, producer->made, length);
}

static int write_item(const struct producer *producer, struct archive_writer *writer, size_t index,
                      struct error *ret_error)
{
    const struct job *job = &producer->making->job;
    const struct item *item = &job->items[index];
    struct archive_image images[4];
    struct archive_source source = job_source(job, item, images);
    int result;

    if (item->text)
        return archive_write_data(writer, item->name, item->text, strlen(item->text), ret_error);
    source.tar_bytes = item->size.tar_bytes;
    if (index + 1 < job->count)
        source.next_name = job->items[index + 1].name;
    result = item_check(job, item, ret_error);
    if (result == 0)
        result = archive_write_source(writer, &source, ret_error);
    return result == 0 ? item_check(job, item, ret_error) : result;
}

static void cleanup_writer(struct archive_writer **writer)
{
    archive_writer_free(*writer);
}

static int write_all(struct producer *producer, const struct archive_output *output, size_t part,
                     struct error *ret_error)
{
    struct making *making = producer->making;
    struct archive_writer *writer CLEANUP(cleanup_writer) = NULL;
    struct archive_options options = making->options;
    int result;

    options.continue_without_header = part > PART_HEADER;
    result = archive_writer_new(&options, output, &writer, ret_error);
    if (result == 0 && part <= PART_CATALOGUE)
        result = archive_write_data(writer, ARCHIVE_CATALOGUE, making->document,
                                    making->document_length, ret_error);
    for (size_t i = part > PART_FIRST_ITEM ? part - PART_FIRST_ITEM : 0;
         result == 0 && i < making->job.count; i++) {
        producer->at_work = making->job.items[i].name;
        result = write_item(producer, writer, i, ret_error);
    }
    if (result < 0)
        return result;
    producer->at_work = ARCHIVE_MANIFEST;
    return archive_writer_finish(writer, ret_error);
}

/* Inner archives in front of that part. */
static uint64_t bytes_before(const struct making *making, size_t part)
{
    uint64_t bytes = part > PART_CATALOGUE ? archive_data_size(making->document_length) : 0;

    for (size_t i = PART_FIRST_ITEM; i < part; i++)
        bytes += making->job.items[i - PART_FIRST_ITEM].size.tar_bytes;
    return bytes;
}

int produce(struct making *making, struct backup_stream *stream, uint64_t offset,
            const struct archive_output *output, struct progress *progress, struct error *ret_error)
{
    struct producer producer = {.making = making,
                                .stream = stream,
                                .output = output,
                                .progress = progress,
                                .offset = offset,
                                .at_work = ARCHIVE_CATALOGUE};
    const struct archive_output checked = {&producer, take, cancelled, begin, piece};
    size_t part = 0;
    int result = 0;

    if (sent_length(making->sent) > 0)
        result = sent_rewind(making->sent, offset, &part, &producer.made);
    if (result < 0)
        return error_set(ret_error, result, "the backup can't be gone on with: %s",
                         strerror(-result));
    /* each part but the header is a file */
    archive_manifest_rewind(making->manifest, part > PART_CATALOGUE ? part - PART_CATALOGUE : 0);
    producer.next_part = part;
    progress_begin(progress, making->tar_bytes, bytes_before(making, part), producer.made, offset);
    result = write_all(&producer, &checked, part, ret_error);
    if (result == 0 && sent_finish(making->sent) < 0)
        result = -ESTALE;
    /* the read that has the error has no bytes, so those must be there that a whole read before it
     * takes; what can't be gone on with stays as it was cut before */
    making->spoiled =
        result == -ESTALE || (result < 0 && result != -ECANCELED && producer.made > offset);
    if (making->spoiled && result != -ESTALE)
        archive_write_cut(&making->options, output, producer.at_work, STREAM_READ_MAX);
    if (result == -ESTALE)
        return error_set(ret_error, -EBUSY,
                         "what is backed up has changed since a part of it was sent, so the copy "
                         "can't be gone on with: begin again");
    if (result == -EFBIG)
        return error_set(ret_error, -EBUSY,
                         "what is backed up has grown beyond the size that was told; begin again");
    return result;
}
