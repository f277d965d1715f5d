/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long things will be, without writing them: the same walk, with nothing behind it. */
#include "chunk.h"
#include "cipher.h"
#include "codec.h"
#include "outer.h"
#include "qubesfs/archive.h"
#include "tar_tree.h"

/* longer than any text of a backup-header */
#define HEADER_TEXT_MAX 1024u

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
    uint64_t bytes = codec_find(options->compression)->bound(tar_bytes);

    return chunk_outer_size(options->encrypted ? cipher_size(bytes) : bytes);
}

uint64_t archive_bound_header(const struct archive_options *options)
{
    (void)options;
    return outer_size(HEADER_TEXT_MAX) + outer_size(HMAC_TEXT_LENGTH);
}
