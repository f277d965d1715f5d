/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "outer.h"

#include "tar_header.h"

uint64_t outer_size(uint64_t length)
{
    uint64_t used = TAR_BLOCK + length + tar_padding(length, TAR_BLOCK) + 2 * TAR_BLOCK;

    return used + tar_padding(used, TAR_RECORD);
}

int outer_member(const struct archive_output *output, const char *name, time_t when,
                 const void *data, size_t length)
{
    static const unsigned char zeros[TAR_RECORD + TAR_RECORD];
    struct tar_member member = {
        .name = name,
        .type = TAR_FILE,
        .mode = 0644,
        .size = length,
        .time = when,
        .user = "root",
        .group = "root",
    };
    unsigned char header[TAR_BLOCK];
    int result = tar_header_ustar(header, &member);

    if (result == 0)
        result = output->write(output->cookie, header, sizeof(header));
    if (result == 0 && length > 0)
        result = output->write(output->cookie, data, length);
    if (result == 0)
        result =
            output->write(output->cookie, zeros, (size_t)(outer_size(length) - TAR_BLOCK - length));
    return result;
}
