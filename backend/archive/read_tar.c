/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "read_tar.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "read_sparse.h"
#include "read_tar_header.h"

/* long names; pax headers */
#define EXTENSION_MAX ((uint64_t)1 << 20)
/* zeros behind the end: GNU tar fills a record of up to so much */
#define TRAIL_MAX ((uint64_t)1 << 20)
/* a number of a pax map, with its newline */
#define MAP_LINE_MAX 24u

enum state {
    HEADER,
    EXTENSION, /* body of a long name or pax header */
    MAP_BLOCK, /* GNU's map goes on */
    MAP_TEXT,  /* pax 1.0: the map stands before the data */
    DATA,
    PADDING,
    VOLUME, /* the block that says how a member goes on in a new volume */
    ENDING, /* one zero block was there */
    ENDED,
};

struct tar_reader {
    struct tar_events events;
    char *root;
    uint64_t bytes_max, taken;
    enum state state;
    bool volume_begins; /* the next block is the first one of a volume */
    unsigned char block[TAR_BLOCK];
    size_t filled;

    char type; /* of the extension */
    char *extension;
    size_t extension_size, extension_filled;
    struct tar_extras extras;

    /* of the member at work */
    struct tar_head head;
    unsigned char field[TAR_NAME_SIZE]; /* its name as the header has it */
    uint64_t left;                      /* of its stored bytes */
    size_t padding;
    uint64_t offset;     /* where the next byte goes */
    uint64_t piece_left; /* sparse: of the piece at work */
    struct sparse_map map;
    /* pax map: lines still to come (0: the count is not known yet), number at work, offset before
     */
    bool map_counted, map_is_length;
    uint64_t map_lines, map_number, map_offset;
    unsigned map_digits;
    uint64_t trail;
};

int tar_reader_new(const struct tar_events *events, const char *root, uint64_t bytes_max,
                   struct tar_reader **ret_reader)
{
    struct tar_reader *reader = calloc(1, sizeof(*reader));

    if (!reader)
        return -ENOMEM;
    reader->root = strdup(root);
    if (!reader->root) {
        free(reader);
        return -ENOMEM;
    }
    reader->events = *events;
    reader->bytes_max = bytes_max;
    *ret_reader = reader;
    return 0;
}

void tar_reader_free(struct tar_reader *reader)
{
    if (!reader)
        return;
    tar_extras_clear(&reader->extras);
    tar_head_clear(&reader->head);
    sparse_free(&reader->map);
    free(reader->extension);
    free(reader->root);
    free(reader);
}

bool tar_reader_is_whole(const struct tar_reader *reader)
{
    return reader->state == ENDED && reader->filled == 0;
}

uint64_t tar_reader_taken(const struct tar_reader *reader)
{
    return reader->taken;
}

bool tar_may_begin(const unsigned char *block)
{
    return block_is_zero(block) || block_is_header(block);
}

static int end_member(struct tar_reader *reader, struct error *ret_error)
{
    tar_head_clear(&reader->head);
    reader->state = HEADER;
    return reader->events.end(reader->events.cookie, ret_error);
}

static int end_data(struct tar_reader *reader, struct error *ret_error)
{
    if (reader->padding > 0) {
        reader->state = PADDING;
        reader->left = reader->padding;
        return 0;
    }
    return end_member(reader, ret_error);
}

/* The map is whole: it must fit the file and what is stored. */
static int begin_sparse_data(struct tar_reader *reader, struct error *ret_error)
{
    if (reader->map.end > reader->head.member.size || reader->map.stored != reader->left)
        return error_set(ret_error, -EBADMSG, "the sparse map of %s does not fit the file",
                         reader->head.path);
    reader->state = DATA;
    return reader->left > 0 ? 0 : end_data(reader, ret_error);
}

static int bad_map(struct tar_reader *reader, int result, struct error *ret_error)
{
    if (result == -E2BIG)
        return error_set(ret_error, result, "%s has more holes than can be read",
                         reader->head.path);
    return result == -EBADMSG
               ? error_set(ret_error, result, "the sparse map of %s is broken", reader->head.path)
               : result;
}

/* Entries of GNU's map: offset and length; one that is all zero ends those of a block. */
static int take_entries(struct tar_reader *reader, const unsigned char *block, size_t at,
                        size_t count, struct error *ret_error)
{
    for (size_t i = 0; i < count; i++, at += 24) {
        uint64_t offset, length;
        int result;

        if (block[at] == '\0')
            break;
        if (!block_number(block, at, 12, &offset) || !block_number(block, at + 12, 12, &length))
            return bad_map(reader, -EBADMSG, ret_error);
        result = sparse_add(&reader->map, offset, length);
        if (result < 0)
            return bad_map(reader, result, ret_error);
    }
    return 0;
}

static int begin_member(struct tar_reader *reader, const unsigned char *block,
                        struct error *ret_error)
{
    struct tar_head *head = &reader->head;
    int result = tar_head_make(block, &reader->extras, reader->root, head, ret_error);

    tar_extras_clear(&reader->extras);
    if (result < 0)
        return result;
    memcpy(reader->field, block, sizeof(reader->field));
    reader->left = head->stored;
    reader->padding = (size_t)tar_padding(head->stored, TAR_BLOCK);
    reader->offset = reader->piece_left = 0;
    sparse_clear(&reader->map);
    result = reader->events.begin(reader->events.cookie, &head->member, ret_error);
    if (result < 0)
        return result;
    if (head->pax_sparse) {
        reader->map_counted = reader->map_is_length = false;
        reader->map_lines = reader->map_number = reader->map_digits = 0;
        reader->state = MAP_TEXT;
        return 0;
    }
    if (head->old_sparse) {
        result = take_entries(reader, block, BLOCK_SPARSE_AT, TAR_SPARSE_IN_HEADER, ret_error);
        reader->state = MAP_BLOCK;
        return result < 0 || block[BLOCK_EXTENDED_AT] ? result
                                                      : begin_sparse_data(reader, ret_error);
    }
    reader->state = DATA;
    return reader->left > 0 ? 0 : end_data(reader, ret_error);
}

static int begin_extension(struct tar_reader *reader, const unsigned char *block,
                           struct error *ret_error)
{
    uint64_t size;

    if (!block_number(block, BLOCK_SIZE, &size) || size == 0 || size > EXTENSION_MAX)
        return error_set(ret_error, -EBADMSG, "a long name or pax header in it is broken");
    reader->type = (char)block[BLOCK_TYPE_AT];
    free(reader->extension);
    reader->extension_size = (size_t)size;
    reader->extension_filled = 0;
    reader->extension = malloc(reader->extension_size + tar_padding(size, TAR_BLOCK));
    reader->state = EXTENSION;
    return reader->extension ? 0 : -ENOMEM;
}

static int take_header(struct tar_reader *reader, const unsigned char *block,
                       struct error *ret_error)
{
    const struct tar_extras *extras = &reader->extras;

    if (block_is_zero(block)) {
        if (extras->name || extras->link || extras->sparse || extras->has_size)
            return error_set(ret_error, -EBADMSG, "a member of it is missing");
        reader->state = ENDING;
        return 0;
    }
    if (!block_is_header(block))
        return error_set(ret_error, -EBADMSG, "the archive in it is damaged");
    switch (block[BLOCK_TYPE_AT]) {
    case 'L':
    case 'K':
    case 'x':
        return begin_extension(reader, block, ret_error);
    default:
        return begin_member(reader, block, ret_error);
    }
}

static int take_extension(struct tar_reader *reader, const unsigned char *block,
                          struct error *ret_error)
{
    int result;

    memcpy(reader->extension + reader->extension_filled, block, TAR_BLOCK);
    reader->extension_filled += TAR_BLOCK;
    if (reader->extension_filled < reader->extension_size)
        return 0;
    reader->state = HEADER;
    result = tar_extras_take(&reader->extras, reader->type, reader->extension,
                             reader->extension_size, ret_error);
    free(reader->extension);
    reader->extension = NULL;
    return result;
}

static int take_map_block(struct tar_reader *reader, const unsigned char *block,
                          struct error *ret_error)
{
    int result = take_entries(reader, block, 0, TAR_SPARSE_IN_BLOCK, ret_error);

    return result < 0 || block[BLOCK_MAP_EXTENDS_AT] ? result
                                                     : begin_sparse_data(reader, ret_error);
}

/* A line of the map is whole: the count of pieces, or an offset, or a length. */
static int take_map_number(struct tar_reader *reader)
{
    uint64_t number = reader->map_number;

    if (reader->map_digits == 0)
        return -EBADMSG;
    reader->map_number = reader->map_digits = 0;
    if (!reader->map_counted) {
        reader->map_counted = true;
        reader->map_lines = 2 * number;
        return number > UINT32_MAX ? -E2BIG : 0;
    }
    reader->map_lines--;
    reader->map_is_length = !reader->map_is_length;
    if (reader->map_is_length) {
        reader->map_offset = number;
        return 0;
    }
    return sparse_add(&reader->map, reader->map_offset, number);
}

static int take_map_text(struct tar_reader *reader, const unsigned char *block,
                         struct error *ret_error)
{
    int result = 0;

    if (reader->left < TAR_BLOCK)
        return bad_map(reader, -EBADMSG, ret_error);
    reader->left -= TAR_BLOCK;
    for (size_t i = 0; i < TAR_BLOCK && !(reader->map_counted && reader->map_lines == 0); i++) {
        if (block[i] == '\n') {
            result = take_map_number(reader);
            if (result < 0)
                return bad_map(reader, result, ret_error);
        } else if (block[i] < '0' || block[i] > '9' || ++reader->map_digits > 18) {
            return bad_map(reader, -EBADMSG, ret_error);
        } else {
            reader->map_number = reader->map_number * 10 + (uint64_t)(block[i] - '0');
        }
    }
    if (!reader->map_counted || reader->map_lines > 0)
        return 0;
    return begin_sparse_data(reader, ret_error);
}

/* The member goes on: the same name, and so much of it as was missing. */
static int take_volume(struct tar_reader *reader, const unsigned char *block,
                       struct error *ret_error)
{
    uint64_t size, offset;

    if (!block_is_header(block) || block[BLOCK_TYPE_AT] != 'M' ||
        memcmp(block, reader->field, sizeof(reader->field)) != 0 ||
        !block_number(block, BLOCK_SIZE, &size) ||
        !block_number(block, BLOCK_VOLUME_OFFSET, &offset) || size != reader->left ||
        (offset != reader->head.stored - reader->left &&
         /* of a sparse file GNU tar counts so */
         offset != reader->head.member.size - reader->left))
        return error_set(ret_error, -EBADMSG, "%s does not go on where the part before it ended",
                         reader->head.path);
    reader->state = DATA;
    return 0;
}

/* GNU tar may begin a volume so although nothing goes on there: the member itself follows. */
static bool is_idle_continuation(const unsigned char *block)
{
    uint64_t offset;

    return block_is_header(block) && block[BLOCK_TYPE_AT] == 'M' &&
           block_number(block, BLOCK_VOLUME_OFFSET, &offset) && offset == 0;
}

static int take_block(struct tar_reader *reader, const unsigned char *block,
                      struct error *ret_error)
{
    bool first = reader->volume_begins;

    reader->volume_begins = false;
    if (first && reader->state != VOLUME && is_idle_continuation(block))
        return 0;
    switch (reader->state) {
    case HEADER:
        return take_header(reader, block, ret_error);
    case EXTENSION:
        return take_extension(reader, block, ret_error);
    case MAP_BLOCK:
        return take_map_block(reader, block, ret_error);
    case MAP_TEXT:
        return take_map_text(reader, block, ret_error);
    case VOLUME:
        return take_volume(reader, block, ret_error);
    default: /* ENDING, ENDED */
        if (!block_is_zero(block))
            return error_set(ret_error, -EBADMSG, "something follows the end of the archive in it");
        reader->trail += TAR_BLOCK;
        reader->state = ENDED;
        if (reader->trail > TRAIL_MAX)
            return error_set(ret_error, -EBADMSG, "zeros without end follow the archive in it");
        return 0;
    }
}

/* Up to `length` bytes of a file's data; `*ret_taken` are gone. */
static int take_data(struct tar_reader *reader, const unsigned char *data, size_t length,
                     size_t *ret_taken, struct error *ret_error)
{
    int result;

    if (length > reader->left)
        length = (size_t)reader->left;
    if (reader->head.member.sparse) {
        if (reader->piece_left == 0)
            sparse_next(&reader->map, &reader->offset, &reader->piece_left);
        if (length > reader->piece_left)
            length = (size_t)reader->piece_left;
        reader->piece_left -= length;
    }
    result = reader->events.data(reader->events.cookie, reader->offset, data, length, ret_error);
    reader->offset += length;
    reader->left -= length;
    *ret_taken = length;
    return result < 0 || reader->left > 0 ? result : end_data(reader, ret_error);
}

int tar_reader_write(struct tar_reader *reader, const void *untrusted_data, size_t length,
                     struct error *ret_error)
{
    const unsigned char *data = untrusted_data;
    int result = 0;

    if (length > reader->bytes_max - reader->taken)
        return error_set(ret_error, -EBADMSG, "it unpacks to more than was promised");
    reader->taken += length;
    while (result == 0 && length > 0) {
        size_t taken = length;

        if (reader->state == DATA) {
            result = take_data(reader, data, length, &taken, ret_error);
        } else if (reader->state == PADDING) {
            taken = length < reader->left ? length : (size_t)reader->left;
            reader->left -= taken;
            if (reader->left == 0)
                result = end_member(reader, ret_error);
        } else if (reader->filled == 0 && length >= TAR_BLOCK) {
            taken = TAR_BLOCK;
            result = take_block(reader, data, ret_error);
        } else {
            if (taken > TAR_BLOCK - reader->filled)
                taken = TAR_BLOCK - reader->filled;
            memcpy(reader->block + reader->filled, data, taken);
            reader->filled += taken;
            if (reader->filled == TAR_BLOCK) {
                reader->filled = 0;
                result = take_block(reader, reader->block, ret_error);
            }
        }
        data += taken;
        length -= taken;
    }
    return result;
}

int tar_reader_next_volume(struct tar_reader *reader, struct error *ret_error)
{
    if (reader->filled > 0 || reader->state == PADDING)
        return error_set(ret_error, -EBADMSG, "a part of it ends within a block");
    if (reader->state == DATA)
        reader->state = VOLUME;
    reader->volume_begins = true;
    return 0;
}
