/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * R3 stores a VM's services as a Python dict literal, {'cups': True, u'meminfo-writer': False}, and
 * reads it back with eval.  Here it is a grammar of a few lines, and nothing else is taken:
 *
 *     dict  = "{" [ item *( "," item ) [ "," ] ] "}"
 *     item  = string ":" value
 *     value = "True" | "False" | "None" | digits        (true: "True" and a number that is not 0)
 *     string = ["u" | "b"] quote *( character | "\\" | "\'" | "\"" ) quote
 */
#include "internal.h"

#include <string.h>

static void skip_space(const char **at)
{
    *at += strspn(*at, " \t\r\n");
}

static bool take(const char **at, char c)
{
    skip_space(at);
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

static bool take_string(const char **at, struct arena *arena, const char **ret_string)
{
    char name[256], quote;
    size_t length = 0;

    skip_space(at);
    if ((**at == 'u' || **at == 'b') && ((*at)[1] == '\'' || (*at)[1] == '"'))
        (*at)++;
    quote = **at;
    if (quote != '\'' && quote != '"')
        return false;
    for ((*at)++; **at != quote; (*at)++) {
        if (**at == '\\') {
            (*at)++;
            if (!**at || !strchr("\\'\"", **at))
                return false;
        }
        if (!**at || length == sizeof(name))
            return false;
        name[length++] = **at;
    }
    (*at)++;
    *ret_string = arena_copy(arena, name, length);
    return true;
}

static bool take_value(const char **at, bool *ret_value)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"True", true}, {"False", false}, {"None", false}};
    size_t digits;

    skip_space(at);
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        size_t length = strlen(words[i].word);

        if (strncmp(*at, words[i].word, length) == 0) {
            *at += length;
            *ret_value = words[i].value;
            return true;
        }
    }
    digits = strspn(*at, "0123456789");
    if (digits == 0)
        return false;
    *ret_value = strspn(*at, "0") != digits;
    *at += digits;
    return true;
}

bool services_parse(const char *untrusted_literal, struct arena *arena, struct pairs *services)
{
    const char *at = untrusted_literal;
    struct pairs found = {NULL, 0, 0};

    if (!take(&at, '{'))
        return false;
    while (!take(&at, '}')) {
        const char *name;
        bool value;

        if (!take_string(&at, arena, &name) || !take(&at, ':') || !take_value(&at, &value))
            return false;
        if (file_name_ok(name))
            pairs_add(&found, arena, name, value ? "1" : "0");
        if (!take(&at, ',')) {
            if (!take(&at, '}'))
                return false;
            break;
        }
    }
    skip_space(&at);
    if (*at)
        return false;
    pairs_sort(&found, arena);
    *services = found;
    return true;
}
