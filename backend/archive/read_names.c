/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "read_names.h"

#include <string.h>

static bool ends_in(const char *name, size_t *length, const char *suffix)
{
    size_t size = strlen(suffix);

    if (*length <= size || memcmp(name + *length - size, suffix, size) != 0)
        return false;
    *length -= size;
    return true;
}

/* What stands before the number: a relative path of plain parts, the last of which may be `.`,
 * without control characters. */
static bool is_base(const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == 127)
            return false;
    for (size_t at = 0, end; at <= length; at = end + 1) {
        const char *slash = memchr(name + at, '/', length - at);

        end = slash ? (size_t)(slash - name) : length;
        if (end == at || (end - at == 2 && !memcmp(name + at, "..", 2)))
            return false;
        if (end - at == 1 && name[at] == '.' && (at == 0 || end < length))
            return false;
    }
    return true;
}

bool names_split(const char *untrusted_name, struct names_parts *ret_parts)
{
    size_t length = strlen(untrusted_name), digits = 0;
    struct names_parts parts = {.kind = NAMES_CHUNK};

    if (ends_in(untrusted_name, &length, ".hmac"))
        parts.kind = NAMES_HMAC;
    else if (ends_in(untrusted_name, &length, ".enc"))
        parts.kind = NAMES_CONTAINER;
    parts.chunk_length = length;
    while (digits < length && untrusted_name[length - digits - 1] >= '0' &&
           untrusted_name[length - digits - 1] <= '9')
        digits++;
    if (digits < 3 || digits > 7 || digits + 1 >= length ||
        untrusted_name[length - digits - 1] != '.')
        return false;
    parts.base_length = length - digits - 1;
    for (size_t at = length - digits; at < length; at++)
        parts.number = parts.number * 10 + (unsigned)(untrusted_name[at] - '0');
    /* as %03u writes it */
    if (digits > 3 && untrusted_name[length - digits] == '0')
        return false;
    if (!is_base(untrusted_name, parts.base_length))
        return false;
    *ret_parts = parts;
    return true;
}

bool names_plain(char *untrusted_path)
{
    const char *from = untrusted_path;
    char *to = untrusted_path;

    if (*from == '/')
        return false;
    while (*from) {
        size_t length = strcspn(from, "/");

        if (length == 2 && !memcmp(from, "..", 2))
            return false;
        if (length > 0 && !(length == 1 && *from == '.')) {
            if (to > untrusted_path)
                *to++ = '/';
            memmove(to, from, length);
            to += length;
        }
        from += length;
        from += *from == '/';
    }
    *to = '\0';
    return to > untrusted_path;
}

bool names_is_below(const char *path, const char *root)
{
    size_t length = strlen(root);

    return !strncmp(path, root, length) && (path[length] == '\0' || path[length] == '/');
}
