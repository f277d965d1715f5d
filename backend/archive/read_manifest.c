/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "read_manifest.h"

#include <errno.h>
#include <string.h>

#define SHOWN_MAX 200u

/* How much of the line at `at` is shown. */
static int line_length(const char *text, size_t length, size_t at)
{
    size_t end = at;

    while (end < length && text[end] != '\n' && end - at < SHOWN_MAX)
        end++;
    return (int)(end - at);
}

int read_manifest_compare(const struct archive_manifest *manifest, const char *backup_id,
                          const char *text, size_t length, struct error *ret_error)
{
    struct text expected CLEANUP_TEXT = TEXT_INIT;
    size_t line = 0;
    int result;

    manifest_text(manifest, backup_id, &expected);
    result = text_status(&expected);
    if (result < 0)
        return result;
    if (expected.length == length && !memcmp(expected.data, text, length))
        return 0;
    for (size_t at = 0; at < expected.length && at < length && expected.data[at] == text[at]; at++)
        if (text[at] == '\n')
            line = at + 1;
    return error_set(ret_error, -EBADMSG,
                     "the backup is not what its manifest says: \"%.*s\"; what came is \"%.*s\"",
                     line_length(text, length, line), text + line,
                     line_length(expected.data, expected.length, line), expected.data + line);
}
