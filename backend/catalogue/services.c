/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * R3 stores a VM's services as a Python dict literal, {'cups': True, u'meminfo-writer': False}, its
 * PCI devices as a list, and reads them back with eval.  Here it is a grammar of a few lines, and
 * nothing else is taken:
 *
 *     dict  = "{" [ item *( "," item ) [ "," ] ] "}"
 *     item  = string ":" value
 *     value = "True" | "False" | "None" | digits        (true: "True" and a number that is not 0)
 *     list  = [ "[" ] [ string *( "," string ) [ "," ] ] [ "]" ]              (R2: without
 * brackets) string = ["u" | "b"] quote *( character | "\\" | "\'" | "\"" ) quote
 */
#include "internal.h"

#include <string.h>

#include "qubesfs/text.h"

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

bool strings_parse(const char *untrusted_literal, struct arena *arena, struct pairs *strings)
{
    const char *at = untrusted_literal, *string;
    bool bracket = take(&at, '[');

    skip_space(&at);
    while (*at && *at != ']') {
        if (!take_string(&at, arena, &string))
            return false;
        pairs_add(strings, arena, string, "");
        if (!take(&at, ','))
            break;
        skip_space(&at);
    }
    if (bracket && !take(&at, ']'))
        return false;
    skip_space(&at);
    return !*at;
}

bool services_name_ok(const char *untrusted_name)
{
    for (const char *at = untrusted_name; *at; at++)
        if (*at < ' ' || *at > '~')
            return false;
    return *untrusted_name && strlen(untrusted_name) <= 255;
}

/* Where an item of a dict literal is: from its name to behind its value, and the comma behind it.
 */
struct item {
    const char *begin, *value, *end, *behind;
};

/* The items' first one of that name, in `ret_item`; its `begin` is NULL when there is none, `end`
 * then behind the last item, or the brace.  False: malformed. */
static bool find_item(const char *literal, struct arena *arena, const char *wanted,
                      struct item *ret_item)
{
    const char *at = literal;
    struct item item = {0};

    if (!take(&at, '{'))
        return false;
    item.end = at;
    while (!take(&at, '}')) {
        struct item this = {.begin = at};
        const char *name;
        bool value;

        if (!take_string(&at, arena, &name) || !take(&at, ':'))
            return false;
        skip_space(&at);
        this.value = at;
        if (!take_value(&at, &value))
            return false;
        this.end = this.behind = at;
        if (take(&at, ','))
            this.behind = at;
        if (!item.begin)
            item = strcmp(name, wanted) == 0 ? this : (struct item){.end = this.end};
    }
    *ret_item = item;
    return true;
}

static void print_name(struct text *text, const char *name)
{
    text_string(text, "'");
    for (const char *at = name; *at; at++) {
        if (*at == '\\' || *at == '\'')
            text_string(text, "\\");
        text_append(text, at, 1);
    }
    text_string(text, "'");
}

const char *services_edit(const char *literal, const char *name, const char *value,
                          struct arena *arena)
{
    const char *word = value && strcmp(value, "1") == 0 ? "True" : "False";
    struct text text CLEANUP_TEXT = TEXT_INIT;
    struct item item;

    if (!find_item(literal, arena, name, &item))
        return NULL;
    if (!item.begin && !value)
        return literal;
    if (item.begin && value) {
        text_append(&text, literal, (size_t)(item.value - literal));
        text_string(&text, word);
        text_string(&text, item.end);
    } else if (value) {
        bool first = item.end[-1] == '{';

        text_append(&text, literal, (size_t)(item.end - literal));
        text_string(&text, first ? "" : ", ");
        print_name(&text, name);
        text_printf(&text, ": %s", word);
        text_string(&text, item.end);
    } else {
        const char *begin = item.begin;

        /* the last one goes with the comma before it, the others with the one behind them */
        if (item.behind == item.end) {
            while (begin > literal && strchr(" \t\r\n", begin[-1]))
                begin--;
            if (begin > literal && begin[-1] == ',')
                begin--;
        } else {
            item.behind += strspn(item.behind, " \t\r\n");
        }
        text_append(&text, literal, (size_t)(begin - literal));
        text_string(&text, item.behind);
    }
    if (text_status(&text)) {
        arena->failed = true;
        return literal;
    }
    return arena_copy(arena, text.data, text.length);
}

const char *services_print(const struct pairs *services, struct arena *arena)
{
    struct text text CLEANUP_TEXT = TEXT_INIT;

    text_string(&text, "{");
    for (size_t i = 0; i < services->count; i++) {
        text_string(&text, i ? ", " : "");
        print_name(&text, services->items[i].name);
        text_printf(&text, ": %s", strcmp(services->items[i].value, "1") == 0 ? "True" : "False");
    }
    text_string(&text, "}");
    if (text_status(&text)) {
        arena->failed = true;
        return "{}";
    }
    return arena_copy(arena, text.data, text.length);
}
