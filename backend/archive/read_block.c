/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "read_block.h"

#include <string.h>

#define NUMBER_MAX (((uint64_t)1 << 62) - 1)
#define SUM_AT     148u
#define SUM_SIZE   8u

bool block_is_zero(const unsigned char *untrusted_block)
{
    static const unsigned char zeros[TAR_BLOCK];

    return !memcmp(untrusted_block, zeros, TAR_BLOCK);
}

/* Octal: blanks, digits, then a blank or NUL or the field's end. */
static bool octal(const unsigned char *field, size_t size, uint64_t *ret)
{
    uint64_t number = 0;
    size_t at = 0;

    while (at < size && field[at] == ' ')
        at++;
    for (; at < size && field[at] >= '0' && field[at] <= '7'; at++) {
        if (number > NUMBER_MAX >> 3)
            return false;
        number = number << 3 | (uint64_t)(field[at] - '0');
    }
    if (at < size && field[at] != ' ' && field[at] != '\0')
        return false;
    *ret = number;
    return true;
}

bool block_is_header(const unsigned char *untrusted_block)
{
    uint64_t told, sum = SUM_SIZE * ' ';

    for (size_t i = 0; i < TAR_BLOCK; i++)
        if (i < SUM_AT || i >= SUM_AT + SUM_SIZE)
            sum += untrusted_block[i];
    return octal(untrusted_block + SUM_AT, SUM_SIZE, &told) && told == sum;
}

bool block_is_gnu(const unsigned char *untrusted_block)
{
    return !memcmp(untrusted_block + 257, "ustar  ", 8);
}

bool block_number(const unsigned char *untrusted_block, size_t at, size_t size, uint64_t *ret)
{
    const unsigned char *field = untrusted_block + at;
    uint64_t number = field[0] & 0x3f;

    if (!(field[0] & 0x80))
        return octal(field, size, ret);
    if (field[0] & 0x40) /* negative */
        return false;
    for (size_t i = 1; i < size; i++) {
        if (number > NUMBER_MAX >> 8)
            return false;
        number = number << 8 | field[i];
    }
    *ret = number;
    return true;
}

bool block_time(const unsigned char *untrusted_block, int64_t *ret)
{
    const unsigned char *field = untrusted_block + 136;
    uint64_t number;

    if (field[0] != 0xff) {
        if (!block_number(untrusted_block, BLOCK_MTIME, &number))
            return false;
        *ret = (int64_t)number;
        return true;
    }
    number = UINT64_MAX;
    for (size_t i = 1; i < 12; i++) {
        if (number >> 56 != 0xff)
            return false;
        number = number << 8 | field[i];
    }
    *ret = (int64_t)number;
    return *ret < 0;
}

void block_name(const unsigned char *untrusted_block, char *ret_name)
{
    size_t length = 0;

    if (!block_is_gnu(untrusted_block) && !memcmp(untrusted_block + 257, "ustar", 6)) {
        length = strnlen((const char *)untrusted_block + 345, 155);
        memcpy(ret_name, untrusted_block + 345, length);
        if (length > 0)
            ret_name[length++] = '/';
    }
    memcpy(ret_name + length, untrusted_block, 100);
    ret_name[length + 100] = '\0';
}

int pax_next(const char **untrusted_text, size_t *length, struct pax_record *ret_record)
{
    const char *text = *untrusted_text, *equals;
    size_t told = 0, at = 0;

    if (*length == 0)
        return 0;
    for (; at < *length && text[at] >= '0' && text[at] <= '9'; at++) {
        told = told * 10 + (size_t)(text[at] - '0');
        if (told > *length)
            return -1;
    }
    if (at == 0 || at >= told || text[at] != ' ' || text[told - 1] != '\n')
        return -1;
    at++;
    equals = memchr(text + at, '=', told - at);
    if (!equals)
        return -1;
    *ret_record = (struct pax_record){
        .key = text + at,
        .key_length = (size_t)(equals - text) - at,
        .value = equals + 1,
        .value_length = (size_t)(text + told - 1 - (equals + 1)),
    };
    *untrusted_text += told;
    *length -= told;
    return 1;
}

bool pax_is(const struct pax_record *record, const char *key)
{
    return record->key_length == strlen(key) && !memcmp(record->key, key, record->key_length);
}

bool pax_number(const char *untrusted_text, size_t length, uint64_t *ret)
{
    uint64_t number = 0;

    if (length == 0)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (untrusted_text[i] < '0' || untrusted_text[i] > '9' || number > NUMBER_MAX / 10 - 1)
            return false;
        number = number * 10 + (uint64_t)(untrusted_text[i] - '0');
    }
    *ret = number;
    return true;
}
