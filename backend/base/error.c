/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qubesfs/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "qubesfs/text.h"

/* Keeps the line whole: the cut never falls inside a UTF-8 sequence or an escape's backslash. */
static void set_line(struct error *error, const char *raw)
{
    struct text line CLEANUP_TEXT = TEXT_INIT;
    size_t length;

    text_escape(&line, raw, strlen(raw));
    if (text_status(&line)) {
        strcpy(error->text, "out of memory");
        return;
    }
    length = line.length;
    if (length >= sizeof(error->text)) {
        length = sizeof(error->text) - 4;
        while (length > 0 && ((unsigned char)line.data[length] & 0xc0) == 0x80)
            length--;
        memcpy(error->text, line.data, length);
        strcpy(error->text + length, "...");
        return;
    }
    memcpy(error->text, line.data ? line.data : "", length);
    error->text[length] = '\0';
}

int error_set(struct error *ret_error, int code, const char *format, ...)
{
    char raw[4 * sizeof(ret_error->text)];
    va_list arguments;

    if (!ret_error)
        return code;
    va_start(arguments, format);
    vsnprintf(raw, sizeof(raw), format, arguments);
    va_end(arguments);
    ret_error->code = code;
    set_line(ret_error, raw);
    return code;
}

int error_prefix(struct error *error, const char *format, ...)
{
    char raw[2 * sizeof(error->text)];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(raw, sizeof(error->text), format, arguments);
    va_end(arguments);
    if (length < 0)
        return error->code;
    if ((size_t)length >= sizeof(error->text))
        length = sizeof(error->text) - 1;
    snprintf(raw + length, sizeof(raw) - (size_t)length, ": %s", error->text);
    set_line(error, raw);
    return error->code;
}
