/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qubesfs/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static bool reserve(struct text *text, size_t more)
{
    size_t wanted = text->capacity ? text->capacity : 64;
    char *grown;

    if (text->failed)
        return false;
    if (more > SIZE_MAX / 4 - text->length) {
        text->failed = true;
        return false;
    }
    while (wanted < text->length + more + 1)
        wanted *= 2;
    if (wanted == text->capacity)
        return true;
    grown = realloc(text->data, wanted);
    if (!grown) {
        text->failed = true;
        return false;
    }
    text->data = grown;
    text->capacity = wanted;
    return true;
}

void text_append(struct text *text, const void *data, size_t length)
{
    if (!reserve(text, length))
        return;
    if (length > 0)
        memcpy(text->data + text->length, data, length);
    text->length += length;
    text->data[text->length] = '\0';
}

void text_string(struct text *text, const char *string)
{
    text_append(text, string, strlen(string));
}

void text_printf(struct text *text, const char *format, ...)
{
    va_list arguments, again;
    int length;

    va_start(arguments, format);
    va_copy(again, arguments);
    length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0)
        text->failed = true;
    else if (reserve(text, (size_t)length)) {
        vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
}

/* The length of the valid UTF-8 character at `bytes`, 0 if there is none (Unicode 15, table 3-7). */
static size_t utf8_character(const unsigned char *bytes, size_t length)
{
    unsigned char first = bytes[0], low = 0x80, high = 0xbf;
    size_t more;

    if (first >= 0x01 && first <= 0x7f)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        more = 1;
    else if (first >= 0xe0 && first <= 0xef)
        more = 2;
    else if (first >= 0xf0 && first <= 0xf4)
        more = 3;
    else
        return 0;
    if (length <= more)
        return 0;
    if (first == 0xe0)
        low = 0xa0;
    else if (first == 0xed)
        high = 0x9f;
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f;
    if (bytes[1] < low || bytes[1] > high)
        return 0;
    for (size_t i = 2; i <= more; i++)
        if (bytes[i] < 0x80 || bytes[i] > 0xbf)
            return 0;
    return more + 1;
}

bool utf8_valid(const void *untrusted_data, size_t length)
{
    const unsigned char *bytes = untrusted_data;

    for (size_t at = 0; at < length;) {
        size_t size = utf8_character(bytes + at, length - at);

        if (size == 0)
            return false;
        at += size;
    }
    return true;
}

void text_escape(struct text *text, const void *untrusted_data, size_t length)
{
    const unsigned char *bytes = untrusted_data;

    for (size_t at = 0; at < length;) {
        size_t size = utf8_character(bytes + at, length - at);
        bool control = size == 1 && (bytes[at] < 0x20 || bytes[at] == 0x7f);

        /* C1 control characters steer some terminals as well */
        if (size == 2 && bytes[at] == 0xc2 && bytes[at + 1] < 0xa0)
            control = true;
        if (size == 0 || control) {
            size = size ? size : 1;
            for (size_t i = 0; i < size; i++)
                text_printf(text, "\\x%02x", bytes[at + i]);
        } else {
            text_append(text, bytes + at, size);
        }
        at += size;
    }
}

int text_status(const struct text *text)
{
    return text->failed ? -ENOMEM : 0;
}

int text_take(struct text *text, char **ret_data, size_t *ret_length)
{
    reserve(text, 0);
    if (text->failed)
        return -ENOMEM;
    text->data[text->length] = '\0';
    *ret_data = text->data;
    if (ret_length)
        *ret_length = text->length;
    *text = (struct text)TEXT_INIT;
    return 0;
}

char *text_format(const char *format, ...)
{
    va_list arguments;
    char *made;

    va_start(arguments, format);
    if (vasprintf(&made, format, arguments) < 0)
        made = NULL;
    va_end(arguments);
    return made;
}

void text_free(struct text *text)
{
    free(text->data);
    *text = (struct text)TEXT_INIT;
}
