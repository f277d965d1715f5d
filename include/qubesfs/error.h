/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What went wrong, in words: made where the cause is known, shown in the nearest `error` file. */
#ifndef QUBESFS_ERROR_H
#define QUBESFS_ERROR_H

#include "qubesfs/cleanup.h"

/** An error for people: a negative errno and one line of UTF-8 without a newline. */
struct error {
    int code;
    char text[1000];
};

/**
 * Fills `ret_error` (which may be NULL) with `code`, a negative errno, and a line made as by
 * printf.  Bytes that would break the line or are no valid UTF-8 are written as \xNN, so that
 * untrusted names may be printed.  The line says what failed, on what, why, and what to do; no
 * "ERROR:" before it.  Returns `code`, so that `return error_set(...)` reads well.
 */
int error_set(struct error *ret_error, int code, const char *format, ...) PRINTF(3, 4);

/** Puts "PREFIX: " before the line that is there.  Returns the error's code. */
int error_prefix(struct error *error, const char *format, ...) PRINTF(2, 3);

#endif
