/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of applications in a VM's menu: R3 has a file with one name a line, R4 the feature
 * menu-items with spaces between them. */
#include "import.h"

#include <string.h>

#define ITEMS_BYTES_MAX (64u << 10)

/* The base name of a .desktop file: no path, no space, nothing that a shell or XML would mind. */
static bool item_ok(const char *untrusted_item, size_t length)
{
    if (length == 0 || length > 255 || untrusted_item[0] == '.' || untrusted_item[0] == '-')
        return false;
    for (size_t i = 0; i < length; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@:+-",
                    untrusted_item[i]) ||
            !untrusted_item[i])
            return false;
    return true;
}

/* Good items with `between` before all but the first; "" for none. */
static const char *respell(const char *untrusted_text, size_t length, const char *between,
                           const char *end, struct arena *arena)
{
    struct text text CLEANUP_TEXT = TEXT_INIT;

    for (size_t at = 0; at < length;) {
        size_t from = at;

        while (at < length && !strchr(" \t\r\n", untrusted_text[at]))
            at++;
        if (item_ok(untrusted_text + from, at - from) &&
            text.length + (at - from) < ITEMS_BYTES_MAX) {
            if (text.length > 0)
                text_string(&text, between);
            text_append(&text, untrusted_text + from, at - from);
        }
        at += at < length;
    }
    if (text.length > 0)
        text_string(&text, end);
    if (text_status(&text))
        arena->failed = true;
    return text.data ? arena_copy(arena, text.data, text.length) : "";
}

const char *import_menu_items(const char *untrusted_text, size_t length, struct arena *arena)
{
    return respell(untrusted_text, length, " ", "", arena);
}

const char *import_menu_list(const char *untrusted_items, struct arena *arena)
{
    return respell(untrusted_items, strlen(untrusted_items), "\n", "\n", arena);
}
