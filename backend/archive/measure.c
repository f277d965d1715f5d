/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long things will be, without writing them: the same walk, with nothing behind it. */
#include "codec.h"
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

uint64_t archive_bound_file(const struct archive_options *options, uint64_t tar_bytes)
{
    const struct format *format = format_find(options->format);
    uint64_t bytes = codec_bound(codec_find(options->compression), tar_bytes);

    return format ? format->file_size(options, bytes) : 0;
}

uint64_t archive_bound_header(const struct archive_options *options)
{
    const struct format *format = format_find(options->format);
    struct text text CLEANUP_TEXT = TEXT_INIT;

    if (!format)
        return 0;
    format->header(options, codec_find(options->compression)->filter, &text);
    return outer_size(text.length) + format->proof_size(options, &text);
}
