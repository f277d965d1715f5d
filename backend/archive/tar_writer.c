/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tar_writer.h"

#include <errno.h>
#include <string.h>

static const unsigned char zeros[2 * TAR_RECORD];

int tar_write_bytes(struct tar_writer *writer, const void *data, uint64_t length)
{
    writer->written += length;
    if (!writer->sink || length == 0)
        return 0;
    return sink_write(writer->sink, data, (size_t)length);
}

int tar_write_padding(struct tar_writer *writer)
{
    return tar_write_bytes(writer, zeros, tar_padding(writer->written, TAR_BLOCK));
}

/* A name that does not fit goes before its member, as the data of one that GNU tar names like this.
 */
static int write_long(struct tar_writer *writer, enum tar_type type, const char *name)
{
    struct tar_member member = {
        .name = "././@LongLink",
        .type = type,
        .mode = 0644,
        .size = strlen(name) + 1,
        .user = "root",
        .group = "root",
    };
    unsigned char block[TAR_BLOCK];
    int result;

    tar_header_gnu(block, &member);
    result = tar_write_bytes(writer, block, TAR_BLOCK);
    if (result == 0)
        result = tar_write_bytes(writer, name, member.size);
    return result == 0 ? tar_write_padding(writer) : result;
}

int tar_write_header(struct tar_writer *writer, const struct tar_member *member,
                     const struct storage_map *map)
{
    unsigned char block[TAR_BLOCK];
    int result = 0;

    if (member->link_name && strlen(member->link_name) > TAR_NAME_SIZE)
        result = write_long(writer, TAR_LONG_LINK, member->link_name);
    if (result == 0 && strlen(member->name) > TAR_NAME_SIZE)
        result = write_long(writer, TAR_LONG_NAME, member->name);
    if (result < 0)
        return result;
    if (!map) {
        tar_header_gnu(block, member);
        return tar_write_bytes(writer, block, TAR_BLOCK);
    }
    tar_header_sparse(block, member, map);
    result = tar_write_bytes(writer, block, TAR_BLOCK);
    for (size_t i = 0; result == 0 && i < tar_sparse_blocks(map); i++) {
        tar_sparse_block(block, map, i);
        result = tar_write_bytes(writer, block, TAR_BLOCK);
    }
    return result;
}

int tar_write_end(struct tar_writer *writer)
{
    uint64_t end = 2 * TAR_BLOCK;

    end += tar_padding(writer->written + end, TAR_RECORD);
    return tar_write_bytes(writer, zeros, end);
}
