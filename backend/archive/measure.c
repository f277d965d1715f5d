/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long things will be, without writing them: the same walk, with nothing behind it. */
#include <string.h>

#include "codec.h"
#include "manifest.h"
#include "outer.h"
#include "qubesfs/archive.h"
#include "sealer.h"
#include "tar_tree.h"

int archive_measure(const struct archive_source *source, struct archive_size *ret_size,
                    struct error *ret_error)
{
    struct tar_writer counter = {.sink = NULL};
    int result = tar_write_tree(&counter, source, ret_error);

    if (result == 0)
        result = tar_write_end(&counter);
    if (result == 0)
        *ret_size = (struct archive_size){counter.written, counter.disk_bytes};
    return result;
}

uint64_t archive_data_size(size_t length)
{
    struct tar_member member = {.name = "", .type = TAR_FILE};
    struct tar_writer counter = {.sink = NULL};

    tar_write_header(&counter, &member, NULL);
    tar_write_bytes(&counter, NULL, length);
    tar_write_padding(&counter);
    tar_write_end(&counter);
    return counter.written;
}

static uint64_t header_size(const struct archive_options *options, const struct format *format)
{
    struct text text CLEANUP_TEXT = TEXT_INIT;

    format_header(options, &text);
    return outer_size(text.length) + format->proof_size(options, &text);
}

static uint64_t stream_size(const struct archive_options *options, const struct format *format,
                            uint64_t tar_bytes)
{
    return format->stream_size(options, codec_bound(codec_find(options->compression), tar_bytes));
}

void archive_bound_begin(struct archive_bound *bound, const struct archive_options *options)
{
    const struct format *format = format_find(options->format);

    *bound = (struct archive_bound){.options = options,
                                    .bytes = format ? header_size(options, format) : 0};
}

void archive_bound_add(struct archive_bound *bound, const char *name, uint64_t tar_bytes)
{
    const struct format *format = format_find(bound->options->format);
    uint64_t stream = format ? stream_size(bound->options, format, tar_bytes) : 0;

    if (!format)
        return;
    bound->bytes += format_file_size(format, stream);
    bound->files++;
    bound->manifest_length += manifest_file_length(name, stream, format->chunk_overhead);
    if (strcmp(name, ARCHIVE_CATALOGUE) == 0)
        bound->manifest_length += manifest_catalogue_length();
}

uint64_t archive_bound_end(const struct archive_bound *bound)
{
    const struct format *format = format_find(bound->options->format);
    uint64_t length =
        bound->manifest_length + manifest_frame_length(bound->options->backup_id, bound->files);

    if (!format)
        return 0;
    length = archive_data_size((size_t)length);
    return bound->bytes + format_file_size(format, stream_size(bound->options, format, length));
}
