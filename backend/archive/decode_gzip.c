/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gzip (RFC 1952), member by member, with its CRC and length checked; ISA-L inflates. */
#include <errno.h>
#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>

#include "codec_gzip.h"
#include "decode.h"

enum part { FIXED, EXTRA_LENGTH, EXTRA, NAME, COMMENT, HEADER_SUM, DEFLATE, TRAILER };

enum { HAS_HEADER_SUM = 2, HAS_EXTRA = 4, HAS_NAME = 8, HAS_COMMENT = 16, RESERVED = 0xe0 };

struct gunzip {
    enum part part;
    unsigned char bytes[10]; /* of a part with a fixed length */
    unsigned filled;
    unsigned flags;
    unsigned extra;  /* bytes left of it */
    uint32_t sum;    /* CRC-32 of what came out */
    uint32_t length; /* of it, modulo 2^32 */
    struct inflate_state state;
};

static int gunzip_open(void **ret_context)
{
    struct gunzip *gunzip = NULL;

    /* vector instructions work on the struct's tables */
    if (posix_memalign((void **)&gunzip, 64, sizeof(*gunzip)))
        return -ENOMEM;
    memset(gunzip, 0, sizeof(*gunzip));
    *ret_context = gunzip;
    return 0;
}

static void gunzip_close(void *context)
{
    free(context);
}

static int gunzip_begin(void *context)
{
    struct gunzip *gunzip = context;

    gunzip->part = FIXED;
    gunzip->filled = 0;
    return 0;
}

/* Collects `count` bytes of input.  True when they are there. */
static bool collect(struct gunzip *gunzip, unsigned count, const unsigned char **in,
                    size_t *in_length)
{
    size_t more = count - gunzip->filled;

    if (more > *in_length)
        more = *in_length;
    if (more > 0)
        memcpy(gunzip->bytes + gunzip->filled, *in, more);
    *in += more;
    *in_length -= more;
    gunzip->filled += (unsigned)more;
    if (gunzip->filled < count)
        return false;
    gunzip->filled = 0;
    return true;
}

/* The part of the header that comes behind `part`. */
static void next_part(struct gunzip *gunzip, enum part part)
{
    if (part < EXTRA_LENGTH && gunzip->flags & HAS_EXTRA) {
        gunzip->part = EXTRA_LENGTH;
    } else if (part < NAME && gunzip->flags & HAS_NAME) {
        gunzip->part = NAME;
    } else if (part < COMMENT && gunzip->flags & HAS_COMMENT) {
        gunzip->part = COMMENT;
    } else if (part < HEADER_SUM && gunzip->flags & HAS_HEADER_SUM) {
        gunzip->part = HEADER_SUM;
    } else {
        gunzip->part = DEFLATE;
        gunzip->sum = gunzip->length = 0;
        isal_inflate_init(&gunzip->state);
    }
}

static void skip_text(struct gunzip *gunzip, const unsigned char **in, size_t *in_length)
{
    const unsigned char *end = memchr(*in, '\0', *in_length);
    size_t taken = end ? (size_t)(end - *in) + 1 : *in_length;

    *in += taken;
    *in_length -= taken;
    if (end)
        next_part(gunzip, gunzip->part);
}

/* Takes some of the header; needs input. */
static int take_header(struct gunzip *gunzip, const unsigned char **in, size_t *in_length)
{
    const unsigned char *bytes = gunzip->bytes;
    size_t taken;

    switch (gunzip->part) {
    case FIXED:
        if (!collect(gunzip, 10, in, in_length))
            return 0;
        gunzip->flags = bytes[3];
        if (bytes[0] != 0x1f || bytes[1] != 0x8b || bytes[2] != 8 || gunzip->flags & RESERVED)
            return -EBADMSG;
        next_part(gunzip, FIXED);
        return 0;
    case EXTRA_LENGTH:
        if (!collect(gunzip, 2, in, in_length))
            return 0;
        gunzip->extra = bytes[0] | (unsigned)bytes[1] << 8;
        gunzip->part = EXTRA;
        if (gunzip->extra == 0)
            next_part(gunzip, EXTRA);
        return 0;
    case EXTRA:
        taken = *in_length < gunzip->extra ? *in_length : gunzip->extra;
        *in += taken;
        *in_length -= taken;
        gunzip->extra -= (unsigned)taken;
        if (gunzip->extra == 0)
            next_part(gunzip, EXTRA);
        return 0;
    case HEADER_SUM: /* the member's own sum says enough */
        if (collect(gunzip, 2, in, in_length))
            next_part(gunzip, HEADER_SUM);
        return 0;
    default:
        skip_text(gunzip, in, in_length);
        return 0;
    }
}

/* Behind the deflate stream: what ISA-L has read too much comes first. */
static void begin_trailer(struct gunzip *gunzip)
{
    struct inflate_state *state = &gunzip->state;
    unsigned bits = (unsigned)state->read_in_length;
    uint64_t rest = state->read_in >> bits % 8;

    gunzip->part = TRAILER;
    gunzip->filled = 0;
    for (bits /= 8; bits > 0; bits--, rest >>= 8)
        gunzip->bytes[gunzip->filled++] = (unsigned char)rest;
    state->read_in_length = 0;
}

static int take_deflate(struct gunzip *gunzip, const unsigned char **in, size_t *in_length,
                        unsigned char *out, size_t room, size_t *ret_made)
{
    struct inflate_state *state = &gunzip->state;
    uint32_t given = *in_length < UINT32_MAX ? (uint32_t)*in_length : UINT32_MAX;
    int result;

    state->next_in = (unsigned char *)*in; /* ISA-L doesn't write to it */
    state->avail_in = given;
    state->next_out = out;
    state->avail_out = (uint32_t)room;
    result = isal_inflate(state);
    *in += given - state->avail_in;
    *in_length -= given - state->avail_in;
    *ret_made = room - state->avail_out;
    gunzip->sum = crc32_gzip_refl(gunzip->sum, out, *ret_made);
    gunzip->length += (uint32_t)*ret_made;
    if (result < 0)
        return -EBADMSG;
    if (state->block_state == ISAL_BLOCK_FINISH)
        begin_trailer(gunzip);
    return 0;
}

static uint32_t get_little_endian(const unsigned char *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static int gunzip_step(void *context, const unsigned char **in, size_t *in_length,
                       unsigned char *out, size_t room, size_t *ret_made)
{
    struct gunzip *gunzip = context;
    int result = 0;

    *ret_made = 0;
    while (result == 0 && gunzip->part<DEFLATE && * in_length> 0)
        result = take_header(gunzip, in, in_length);
    if (result == 0 && gunzip->part == DEFLATE)
        result = take_deflate(gunzip, in, in_length, out, room, ret_made);
    if (result < 0 || gunzip->part != TRAILER)
        return result;
    if (!collect(gunzip, 8, in, in_length))
        return 0;
    if (get_little_endian(gunzip->bytes) != gunzip->sum ||
        get_little_endian(gunzip->bytes + 4) != gunzip->length)
        return -EBADMSG;
    return 1;
}

/* Our own writer's members tell their length. */
static size_t gunzip_alone(const unsigned char *data, size_t length)
{
    size_t told;

    if (length < GZIP_HEADER_SIZE + GZIP_TRAILER_SIZE ||
        memcmp(data, gzip_head, sizeof(gzip_head)) != 0)
        return 0;
    told = get_little_endian(data + sizeof(gzip_head));
    if (told < GZIP_HEADER_SIZE + GZIP_TRAILER_SIZE || told > length ||
        get_little_endian(data + told - 4) > DECODE_ALONE)
        return 0;
    return told;
}

const struct decode_codec decode_gzip = {
    .open = gunzip_open,
    .close = gunzip_close,
    .begin = gunzip_begin,
    .step = gunzip_step,
    .alone = gunzip_alone,
};
