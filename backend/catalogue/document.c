/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "internal.h"

#include <errno.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

/* Where the DTD was met: the parser's own error would only say that somebody stopped it. */
struct guard {
    int dtd_line;
};

static void refuse_dtd(void *cookie, const xmlChar *name, const xmlChar *external,
                       const xmlChar *system)
{
    xmlParserCtxt *parser = cookie;
    struct guard *guard = parser->_private;

    (void)name;
    (void)external;
    (void)system;
    guard->dtd_line = xmlSAX2GetLineNumber(parser);
    xmlStopParser(parser);
}

static void init_libxml(void)
{
    xmlInitParser();
}

static int tell(const char *path, xmlParserCtxt *parser, const struct guard *guard,
                struct error *ret_error)
{
    const xmlError *cause = xmlCtxtGetLastError(parser);

    if (guard->dtd_line > 0)
        return error_set(ret_error, -EINVAL, "%s:%d: a DTD (<!DOCTYPE ...>) is not allowed here",
                         path, guard->dtd_line);
    if (!cause)
        return error_set(ret_error, -EINVAL, "%s:1: no XML document", path);
    if (cause->code == XML_ERR_NO_MEMORY)
        return error_set(ret_error, -ENOMEM, "%s: out of memory", path);
    if (cause->code == XML_ERR_DOCUMENT_EMPTY)
        return error_set(ret_error, -EINVAL, "%s:1: the document is empty", path);
    const char *words = cause->message ? cause->message : "not well-formed XML";

    return error_set(ret_error, -EINVAL, "%s:%d: broken XML: %.*s", path,
                     cause->line > 0 ? cause->line : 1, (int)strcspn(words, "\n"), words);
}

int document_parse(const char *path, const void *untrusted_data, size_t length,
                   xmlDoc **ret_document, struct error *ret_error)
{
    /* no XML_PARSE_HUGE: libxml2's own limits on depth and on a text's length stay on */
    const int options =
        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_BIG_LINES;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct guard guard = {0};
    xmlParserCtxt *parser;
    xmlDoc *document;
    int result = 0;

    if (length == 0)
        return error_set(ret_error, -EINVAL, "%s:1: the document is empty", path);
    if (length > CATALOGUE_BYTES_MAX)
        return error_set(ret_error, -EINVAL, "%s:1: the document is larger than %u MiB", path,
                         CATALOGUE_BYTES_MAX >> 20);
    pthread_once(&once, init_libxml);
    parser = xmlNewParserCtxt();
    if (!parser)
        return error_set(ret_error, -ENOMEM, "%s: out of memory", path);
    parser->_private = &guard;
    parser->sax->internalSubset = refuse_dtd;
    document = xmlCtxtReadMemory(parser, untrusted_data, (int)length, NULL, NULL, options);
    if (!document || guard.dtd_line > 0 || !xmlDocGetRootElement(document)) {
        result = tell(path, parser, &guard, ret_error);
        xmlFreeDoc(document);
    } else {
        *ret_document = document;
    }
    xmlFreeParserCtxt(parser);
    return result;
}

int document_form(const char *path, const xmlDoc *document, enum catalogue_form *ret_form,
                  struct error *ret_error)
{
    const xmlNode *root = xmlDocGetRootElement(document);

    if (element_is(root, "QubesVmCollection"))
        *ret_form = CATALOGUE_R3;
    else if (element_is(root, "qubes"))
        *ret_form = CATALOGUE_R4;
    else
        return error_set(ret_error, -EINVAL,
                         "%s:%ld: the root element is <%.80s>, not <QubesVmCollection> or <qubes>",
                         path, xmlGetLineNo(root), (const char *)root->name);
    return 0;
}

int document_print(xmlDoc *document, char **ret_data, size_t *ret_length)
{
    xmlChar *printed = NULL;
    int length = 0;

    /* without indentation of its own: the white space of the document is in the tree */
    xmlDocDumpFormatMemoryEnc(document, &printed, &length, "UTF-8", 0);
    if (!printed || length <= 0) {
        xmlFree(printed);
        return -ENOMEM;
    }
    /* libxml2's memory may not be free's */
    char *copy = malloc((size_t)length + 1);

    if (copy) {
        memcpy(copy, printed, (size_t)length);
        copy[length] = '\0';
        *ret_data = copy;
        *ret_length = (size_t)length;
    }
    xmlFree(printed);
    return copy ? 0 : -ENOMEM;
}

xmlNode *element_at(xmlNode *node)
{
    while (node && node->type != XML_ELEMENT_NODE)
        node = node->next;
    return node;
}

bool element_is(const xmlNode *element, const char *name)
{
    return strcmp((const char *)element->name, name) == 0;
}

xmlNode *element_child(const xmlNode *parent, const char *name)
{
    for (xmlNode *at = element_at(parent->children); at; at = element_at(at->next))
        if (element_is(at, name))
            return at;
    return NULL;
}

static bool is_text(const xmlNode *node)
{
    return (node->type == XML_TEXT_NODE || node->type == XML_CDATA_SECTION_NODE) && node->content;
}

/* The text of a list of nodes: nearly always one node, whose content is borrowed. */
static const char *text_of(const xmlNode *first, struct arena *arena)
{
    size_t length = 0;

    if (!first)
        return "";
    if (!first->next && is_text(first))
        return (const char *)first->content;
    for (const xmlNode *at = first; at; at = at->next)
        if (is_text(at))
            length += strlen((const char *)at->content);
    char *joined = arena_alloc(arena, length + 1), *end = joined;

    if (!joined)
        return "";
    for (const xmlNode *at = first; at; at = at->next)
        if (is_text(at))
            end = stpcpy(end, (const char *)at->content);
    return joined;
}

const char *attribute_value(const xmlAttr *attribute, struct arena *arena)
{
    return text_of(attribute->children, arena);
}

const char *element_attribute(const xmlNode *element, const char *name, struct arena *arena)
{
    for (const xmlAttr *at = element->properties; at; at = at->next)
        if (!at->ns && strcmp((const char *)at->name, name) == 0)
            return attribute_value(at, arena);
    return NULL;
}

const char *element_text(const xmlNode *element, struct arena *arena)
{
    return text_of(element->children, arena);
}
