/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "splice.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "qubesfs/text.h"

/* At `at`, `removed` bytes give way to `added`. */
struct splice {
    struct splice *next;
    size_t at, removed;
    const char *added;
};

static int splice(struct splicing *splicing, size_t at, size_t removed, const char *added)
{
    struct splice *made = arena_alloc(splicing->arena, sizeof(*made)), **place = &splicing->splices;

    if (!made || arena_status(splicing->arena))
        return -ENOMEM;
    *made = (struct splice){.at = at, .removed = removed, .added = added};
    /* behind those at the same place */
    while (*place && (*place)->at <= at)
        place = &(*place)->next;
    made->next = *place;
    *place = made;
    return 0;
}

int splice_apply(const struct splicing *splicing, char **ret_data, size_t *ret_length)
{
    struct text text CLEANUP_TEXT = TEXT_INIT;
    size_t at = 0;

    for (const struct splice *one = splicing->splices; one; one = one->next) {
        if (one->at < at || one->at + one->removed > splicing->length)
            return -EINVAL; /* two edits of one thing */
        text_append(&text, splicing->data + at, one->at - at);
        text_string(&text, one->added);
        at = one->at + one->removed;
    }
    text_append(&text, splicing->data + at, splicing->length - at);
    return text_take(&text, ret_data, ret_length);
}

/*
 * A walk over the tags of a document that libxml2 has taken already: so it is well-formed and holds
 * no DTD.  Elements are counted in the order of their start tags, as in the tree.
 */
enum tag_kind { TAG_NONE, TAG_START, TAG_EMPTY, TAG_END };

struct tag {
    enum tag_kind kind;
    size_t begin, end; /* from '<' to behind '>' */
};

static size_t behind(const char *data, size_t length, size_t at, const char *mark)
{
    const char *found = memmem(data + at, length - at, mark, strlen(mark));

    return found ? (size_t)(found - data) + strlen(mark) : length;
}

static bool begins(const char *data, size_t length, size_t at, const char *word)
{
    size_t size = strlen(word);

    return length - at >= size && memcmp(data + at, word, size) == 0;
}

/* The first tag from `at` on. */
static struct tag next_tag(const char *data, size_t length, size_t at)
{
    for (;;) {
        const char *found = at < length ? memchr(data + at, '<', length - at) : NULL;
        struct tag tag = {TAG_NONE, length, length};
        char quote = '\0';

        if (!found)
            return tag;
        at = (size_t)(found - data);
        if (begins(data, length, at, "<!--")) {
            at = behind(data, length, at + 4, "-->");
            continue;
        }
        if (begins(data, length, at, "<![CDATA[")) {
            at = behind(data, length, at, "]]>");
            continue;
        }
        if (begins(data, length, at, "<?")) {
            at = behind(data, length, at, "?>");
            continue;
        }
        tag.begin = at;
        tag.kind = begins(data, length, at, "</") ? TAG_END : TAG_START;
        for (at++; at < length && (quote || data[at] != '>'); at++) {
            if (quote)
                quote = data[at] == quote ? '\0' : quote;
            else if (data[at] == '"' || data[at] == '\'')
                quote = data[at];
        }
        if (at >= length)
            return (struct tag){TAG_NONE, length, length};
        if (tag.kind == TAG_START && data[at - 1] == '/')
            tag.kind = TAG_EMPTY;
        tag.end = at + 1;
        return tag;
    }
}

/* Where an element is: its start tag, and its end tag (the same one when it is empty). */
struct place {
    const xmlNode *element;
    struct tag start, end;
};

static int by_element(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    return (x->element > y->element) - (x->element < y->element);
}

/* The element after this one in the order of their start tags; NULL at the end. */
static const xmlNode *following(const xmlNode *element)
{
    const xmlNode *next = element_at(element->children);

    while (!next && element->parent && element->parent->type == XML_ELEMENT_NODE) {
        next = element_at(element->next);
        element = element->parent;
    }
    return next;
}

/* Finds the places of all elements at once: a VM that is renamed may be named in thousands. */
static int find_places(struct splicing *splicing)
{
    const xmlNode *root = xmlDocGetRootElement(splicing->document), *at = root;
    const char *encoding = (const char *)splicing->document->encoding;
    struct tag tag = {TAG_NONE, 0, 0};
    size_t count = 0, *open, depth = 0;
    struct place *places;

    if (encoding && strcasecmp(encoding, "UTF-8") != 0 && strcasecmp(encoding, "ASCII") != 0 &&
        strcasecmp(encoding, "US-ASCII") != 0)
        return -EINVAL;
    for (const xmlNode *one = root; one; one = following(one))
        count++;
    places = arena_alloc(splicing->arena, count * sizeof(*places));
    open = arena_alloc(splicing->arena, count * sizeof(*open));
    if (!places || !open)
        return -ENOMEM;
    for (size_t begun = 0; begun < count || depth > 0;) {
        tag = next_tag(splicing->data, splicing->length, tag.end);
        if (tag.kind == TAG_NONE || (tag.kind == TAG_END && depth == 0) ||
            (tag.kind != TAG_END && begun == count))
            return -EINVAL;
        if (tag.kind == TAG_END) {
            places[open[--depth]].end = tag;
            continue;
        }
        if (!(at->ns && at->ns->prefix) &&
            !begins(splicing->data, splicing->length, tag.begin + 1, (const char *)at->name))
            return -EINVAL;
        places[begun] = (struct place){at, tag, tag};
        if (tag.kind == TAG_START)
            open[depth++] = begun;
        begun++;
        at = following(at);
    }
    qsort(places, count, sizeof(*places), by_element);
    splicing->places = places;
    splicing->place_count = count;
    return 0;
}

static int locate(struct splicing *splicing, const xmlNode *element, struct place *ret_place)
{
    const struct place key = {.element = element}, *found;
    int result = splicing->places ? 0 : find_places(splicing);

    if (result)
        return result;
    found = bsearch(&key, splicing->places, splicing->place_count, sizeof(key), by_element);
    if (!found)
        return -EINVAL;
    *ret_place = *found;
    return 0;
}

static void append_escaped(struct text *text, const char *value)
{
    for (const char *at = value; *at; at++)
        switch (*at) {
        case '&':
            text_string(text, "&amp;");
            break;
        case '<':
            text_string(text, "&lt;");
            break;
        case '>':
            text_string(text, "&gt;");
            break;
        case '"':
            text_string(text, "&quot;");
            break;
        case '\'':
            text_string(text, "&apos;");
            break;
        case '\n':
        case '\t':
        case '\r':
            text_printf(text, "&#%d;", *at);
            break;
        default:
            text_append(text, at, 1);
        }
}

/* Takes over the text into the arena; on failure the arena has failed. */
static const char *keep(struct splicing *splicing, struct text *text)
{
    const char *kept = "";

    if (text_status(text))
        splicing->arena->failed = true;
    else
        kept = arena_copy(splicing->arena, text->data ? text->data : "", text->length);
    text_free(text);
    return kept;
}

static const char *escaped(struct splicing *splicing, const char *value)
{
    struct text text = TEXT_INIT;

    append_escaped(&text, value);
    return keep(splicing, &text);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* An attribute in a start tag: from the white space before it to behind its quote. */
struct attribute_place {
    size_t begin, value, value_end, end;
};

/* False: the tag has none of that name, and `end` is where one can be added. */
static bool locate_attribute(const char *data, const struct tag *tag, const char *name,
                             struct attribute_place *ret_place)
{
    size_t at = tag->begin + 1;

    while (!is_space(data[at]) && data[at] != '/' && data[at] != '>')
        at++;
    for (;;) {
        size_t begin = at, word, word_end;

        ret_place->end = at;
        while (is_space(data[at]))
            at++;
        if (data[at] == '/' || data[at] == '>')
            return false;
        word = at;
        while (!is_space(data[at]) && data[at] != '=')
            at++;
        word_end = at;
        while (data[at] != '"' && data[at] != '\'')
            at++;
        ret_place->begin = begin;
        ret_place->value = at + 1;
        ret_place->value_end =
            (size_t)((const char *)memchr(data + at + 1, data[at], tag->end - at - 1) - data);
        at = ret_place->end = ret_place->value_end + 1;
        if (word_end - word == strlen(name) && memcmp(data + word, name, word_end - word) == 0)
            return true;
    }
}

int splice_attribute(struct splicing *splicing, const xmlNode *element, const char *name,
                     const char *value)
{
    struct attribute_place at;
    struct place place;
    int result = locate(splicing, element, &place);
    bool found;

    if (result)
        return result;
    found = locate_attribute(splicing->data, &place.start, name, &at);
    if (!found && !value)
        return 0;
    if (!value)
        return splice(splicing, at.begin, at.end - at.begin, "");
    if (found)
        return splice(splicing, at.value, at.value_end - at.value, escaped(splicing, value));
    return splice(splicing, at.end, 0,
                  arena_printf(splicing->arena, " %s=\"%s\"", name, escaped(splicing, value)));
}

/* Where the '/' of an empty tag, or what is before it, begins. */
static size_t slash_of(const struct splicing *splicing, const struct tag *tag)
{
    size_t at = tag->end - 2;

    while (is_space(splicing->data[at - 1]))
        at--;
    return at;
}

/* Opens an empty tag: `<features/>` becomes `<features>INSIDE</features>`. */
static int open_tag(struct splicing *splicing, const xmlNode *element, const struct tag *tag,
                    const char *inside)
{
    size_t slash = slash_of(splicing, tag);

    return splice(splicing, slash, tag->end - slash,
                  arena_printf(splicing->arena, ">%s</%s>", inside, (const char *)element->name));
}

int splice_text(struct splicing *splicing, const xmlNode *element, const char *text)
{
    struct place place;
    int result = locate(splicing, element, &place);

    if (result)
        return result;
    if (xmlFirstElementChild((xmlNode *)element) || element->ns)
        return -EINVAL;
    if (place.start.kind == TAG_EMPTY)
        return open_tag(splicing, element, &place.start, escaped(splicing, text));
    return splice(splicing, place.start.end, place.end.begin - place.start.end,
                  escaped(splicing, text));
}

int splice_add(struct splicing *splicing, const xmlNode *parent, const char *list, const char *kind,
               const char *name, const char *value)
{
    const xmlNode *target = element_child(parent, list);
    const char *data = splicing->data, *made, *spaced;
    struct text text = TEXT_INIT;
    struct place place;
    size_t space;
    int result;

    text_printf(&text, "<%s name=\"", kind);
    append_escaped(&text, name);
    text_string(&text, value ? "\">" : "\"/>");
    if (value) {
        append_escaped(&text, value);
        text_printf(&text, "</%s>", kind);
    }
    made = keep(splicing, &text);
    if (!target)
        made = arena_printf(splicing->arena, "<%s>%s</%s>", list, made, list);
    result = locate(splicing, target ? target : parent, &place);
    if (result)
        return result;
    if (place.start.kind == TAG_EMPTY)
        return open_tag(splicing, target ? target : parent, &place.start, made);
    for (space = place.start.end; is_space(data[space]);)
        space++;
    spaced = arena_printf(splicing->arena, "%.*s%s", (int)(space - place.start.end),
                          data + place.start.end, made);
    /* in a list that holds only white space that belongs to its end tag */
    return splice(splicing, place.start.end, 0, space == place.end.begin ? made : spaced);
}

int splice_remove(struct splicing *splicing, const xmlNode *element)
{
    struct place place;
    int result = locate(splicing, element, &place);
    size_t begin;

    if (result)
        return result;
    for (begin = place.start.begin; begin > 0 && is_space(splicing->data[begin - 1]);)
        begin--;
    return splice(splicing, begin, place.end.end - begin, "");
}
