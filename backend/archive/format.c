/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "outer.h"
#include "sealer.h"

const struct format *format_find(unsigned number)
{
    return number == 3 ? &format_3 : number == 4 ? &format_4 : NULL;
}

void format_header(const struct archive_options *options, struct text *text)
{
    format_find(options->format)->header(options, codec_find(options->compression)->filter, text);
    /* Qubes' readers pass over a key that they don't know */
    text_string(text, "qubesfs-manifest=1\n");
}

uint64_t format_file_size(const struct format *format, uint64_t stream_size)
{
    uint64_t full = stream_size / CHUNK_SIZE;
    uint64_t size = full * outer_size((uint64_t)CHUNK_SIZE + format->chunk_overhead) +
                    outer_size(stream_size % CHUNK_SIZE + format->chunk_overhead);

    return size + (format->chunk_proof > 0 ? (full + 1) * outer_size(format->chunk_proof) : 0);
}
