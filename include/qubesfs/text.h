/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A growing buffer of bytes.  Its first failure is remembered and told once, at the end. */
#ifndef QUBESFS_TEXT_H
#define QUBESFS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "qubesfs/cleanup.h"

struct text {
    char *data; /* always NUL-terminated when not NULL; owned */
    size_t length;
    size_t capacity;
    bool failed; /* memory ran out: the content is not to be used */
};

#define TEXT_INIT {NULL, 0, 0, false}

void text_append(struct text *text, const void *data, size_t length);
void text_string(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...) PRINTF(2, 3);

/** Appends untrusted bytes so that they stay one line of valid UTF-8: control characters, DEL and
 * bytes that are no UTF-8 become \xNN. */
void text_escape(struct text *text, const void *untrusted_data, size_t length);

/** 0, or -ENOMEM when any of the calls before has failed. */
int text_status(const struct text *text);

/** Hands out the content (never NULL on success), to be freed by the caller; `text` is empty
 * afterwards.  `ret_length` may be NULL.  Returns 0 or -ENOMEM. */
int text_take(struct text *text, char **ret_data, size_t *ret_length);

/** A new string made as by printf, to be freed; NULL: out of memory. */
char *text_format(const char *format, ...) PRINTF(1, 2);

/** Frees the content.  Fine on an empty one. */
void text_free(struct text *text);

#define CLEANUP_TEXT CLEANUP(text_free)

/** True if the bytes are valid UTF-8 without overlong forms, surrogates or NUL. */
bool utf8_valid(const void *untrusted_data, size_t length);

#endif
