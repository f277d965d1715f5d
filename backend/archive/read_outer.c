/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "read_outer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "read_block.h"

/* long names and pax headers */
#define EXTENSION_MAX ((size_t)1 << 16)

enum state { BLOCK, DATA, EXTENSION, PADDING };

struct outer_reader {
    struct outer_events events;
    enum state state;
    uint64_t offset;   /* in the stream: of what follows */
    uint64_t left;     /* of DATA, EXTENSION, PADDING */
    size_t padding;    /* that follows DATA and EXTENSION */
    unsigned char *at; /* where DATA goes */
    unsigned char block[TAR_BLOCK];
    size_t filled; /* of the block, or of the extension */
    bool any;      /* a header was seen */

    char type; /* of the extension */
    char *extension;
    /* for the next member, from its extensions; name "" and size UINT64_MAX: not said */
    char name[OUTER_NAME_MAX + 1];
    uint64_t size;
    bool extended;
};

int outer_reader_new(const struct outer_events *events, struct outer_reader **ret_reader)
{
    struct outer_reader *reader = calloc(1, sizeof(*reader));

    if (!reader)
        return -ENOMEM;
    reader->extension = malloc(EXTENSION_MAX);
    if (!reader->extension) {
        free(reader);
        return -ENOMEM;
    }
    reader->events = *events;
    reader->size = UINT64_MAX;
    *ret_reader = reader;
    return 0;
}

void outer_reader_free(struct outer_reader *reader)
{
    if (!reader)
        return;
    free(reader->extension);
    free(reader);
}

bool outer_reader_is_between(const struct outer_reader *reader)
{
    static const unsigned char zeros[TAR_BLOCK];

    if (reader->extended || reader->state == DATA || reader->state == EXTENSION)
        return false;
    /* the zeros at the end need not be whole blocks */
    return reader->state == PADDING || !memcmp(reader->block, zeros, reader->filled);
}

static int damaged(const struct outer_reader *reader, struct error *ret_error, const char *what)
{
    if (!reader->any)
        return error_set(ret_error, -EINVAL,
                         "this is no Qubes backup: it does not begin with a tar header");
    return error_set(ret_error, -EBADMSG, "the backup is damaged: before byte %" PRIu64 " %s",
                     reader->offset, what);
}

static int set_name(struct outer_reader *reader, const char *untrusted_name, size_t length,
                    struct error *ret_error)
{
    if (length == 0 || length > OUTER_NAME_MAX || memchr(untrusted_name, '\0', length))
        return damaged(reader, ret_error, "stands a name that no backup has");
    memcpy(reader->name, untrusted_name, length);
    reader->name[length] = '\0';
    return 0;
}

/* A pax header's body: only path and size matter. */
static int take_pax(struct outer_reader *reader, struct error *ret_error)
{
    const char *text = reader->extension;
    size_t length = reader->filled;
    struct pax_record record;
    int more, result = 0;

    while (result == 0 && (more = pax_next(&text, &length, &record)) != 0) {
        if (more < 0)
            return damaged(reader, ret_error, "is a pax header that can't be understood");
        if (pax_is(&record, "path"))
            result = set_name(reader, record.value, record.value_length, ret_error);
        else if (pax_is(&record, "size") &&
                 !pax_number(record.value, record.value_length, &reader->size))
            return damaged(reader, ret_error, "is a size that can't be understood");
        else if (record.key_length > 10 && !memcmp(record.key, "GNU.sparse", 10))
            return damaged(reader, ret_error, "is a file with holes, which no backup has here");
    }
    return result;
}

static int take_extension(struct outer_reader *reader, struct error *ret_error)
{
    if (reader->type == 'L')
        return set_name(reader, reader->extension, strnlen(reader->extension, reader->filled),
                        ret_error);
    return reader->type == 'x' ? take_pax(reader, ret_error) : 0;
}

static void set_data(struct outer_reader *reader, enum state state, uint64_t size)
{
    reader->state = state;
    reader->left = size;
    reader->padding = (size_t)tar_padding(size, TAR_BLOCK);
}

static int end_data(struct outer_reader *reader, struct error *ret_error)
{
    int result = reader->state == DATA ? reader->events.end(reader->events.cookie, ret_error)
                                       : take_extension(reader, ret_error);

    reader->filled = 0;
    reader->left = reader->padding;
    reader->state = reader->left > 0 ? PADDING : BLOCK;
    return result;
}

static int begin_member(struct outer_reader *reader, struct error *ret_error)
{
    char name[257];
    uint64_t size;
    int result;

    if (!block_number(reader->block, BLOCK_SIZE, &size))
        return damaged(reader, ret_error, "is a size that can't be understood");
    if (reader->size != UINT64_MAX)
        size = reader->size;
    if (!reader->name[0]) {
        block_name(reader->block, name);
        result = set_name(reader, name, strlen(name), ret_error);
        if (result < 0)
            return result;
    }
    result =
        reader->events.begin(reader->events.cookie, reader->name, size, &reader->at, ret_error);
    reader->name[0] = '\0';
    reader->size = UINT64_MAX;
    reader->extended = false;
    if (result < 0)
        return result;
    set_data(reader, DATA, size);
    return size == 0 ? end_data(reader, ret_error) : 0;
}

static int begin_extension(struct outer_reader *reader, struct error *ret_error)
{
    uint64_t size;

    if (!block_number(reader->block, BLOCK_SIZE, &size) || size > EXTENSION_MAX)
        return damaged(reader, ret_error, "is a header that is too big");
    reader->type = (char)reader->block[BLOCK_TYPE_AT];
    reader->extended = reader->type != 'g';
    set_data(reader, EXTENSION, size);
    return size == 0 ? end_data(reader, ret_error) : 0;
}

static int take_block(struct outer_reader *reader, struct error *ret_error)
{
    uint64_t size;

    reader->filled = 0;
    if (!reader->extended && block_is_zero(reader->block))
        return 0;
    if (!block_is_header(reader->block))
        return damaged(reader, ret_error, "there should be a tar header, or zeros");
    reader->any = true;
    switch (reader->block[BLOCK_TYPE_AT]) {
    case '\0':
    case '0':
    case '7':
        return begin_member(reader, ret_error);
    case 'x':
    case 'L':
    case 'g':
        return begin_extension(reader, ret_error);
    case '5':
        if (!block_number(reader->block, BLOCK_SIZE, &size) || size > 0)
            break;
        reader->extended = false;
        reader->name[0] = '\0';
        reader->size = UINT64_MAX;
        return 0;
    }
    return error_set(ret_error, -EINVAL,
                     "the archive has something before byte %" PRIu64
                     " that is no regular file: this is no Qubes backup",
                     reader->offset);
}

int outer_reader_write(struct outer_reader *reader, const void *untrusted_data, size_t length,
                       struct error *ret_error)
{
    const unsigned char *data = untrusted_data;
    int result = 0;

    while (result == 0 && length > 0) {
        size_t want = reader->state == BLOCK ? TAR_BLOCK - reader->filled : SIZE_MAX;

        if (reader->state != BLOCK && want > reader->left)
            want = (size_t)reader->left;
        if (want > length)
            want = length;
        if (reader->state == BLOCK) {
            memcpy(reader->block + reader->filled, data, want);
            reader->filled += want;
        } else if (reader->state == DATA) {
            memcpy(reader->at, data, want);
            reader->at += want;
        } else if (reader->state == EXTENSION) {
            memcpy(reader->extension + reader->filled, data, want);
            reader->filled += want;
        }
        data += want;
        length -= want;
        reader->offset += want;
        if (reader->state == BLOCK) {
            if (reader->filled == TAR_BLOCK)
                result = take_block(reader, ret_error);
        } else {
            reader->left -= want;
            if (reader->left == 0 && reader->state == PADDING)
                reader->state = BLOCK;
            else if (reader->left == 0)
                result = end_data(reader, ret_error);
        }
    }
    return result;
}
