/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "internal.h"

#include <errno.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* What is remembered of a parse: the first cause, as libxml2 itself keeps the last one only, which
 * is often a consequence; and where a DTD was met. */
struct guard {
    int dtd_line;
    int error_line;
    bool out_of_memory;
    char error[400];
};

static void note_error(void *cookie, xmlErrorPtr cause)
{
    xmlParserCtxt *parser = cookie;
    struct guard *guard = parser->_private;
    const char *words = cause->message ? cause->message : "not well-formed";

    if (cause->code == XML_ERR_NO_MEMORY)
        guard->out_of_memory = true;
    if (guard->error_line > 0 || cause->level < XML_ERR_ERROR)
        return;
    guard->error_line = cause->line > 0 ? cause->line : 1;
    snprintf(guard->error, sizeof(guard->error), "%.*s", (int)strcspn(words, "\n"), words);
}

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

/* libxml2 keeps a line in 16 bits, and guesses beyond; the whole number goes into _private. */
static void note_line(void *cookie, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
                      int namespace_count, const xmlChar **namespaces, int attribute_count,
                      int defaulted_count, const xmlChar **attributes)
{
    xmlParserCtxt *parser = cookie;

    xmlSAX2StartElementNs(parser, name, prefix, uri, namespace_count, namespaces, attribute_count,
                          defaulted_count, attributes);
    if (parser->node)
        parser->node->_private = (void *)(intptr_t)xmlSAX2GetLineNumber(parser);
}

long element_line(const xmlNode *element)
{
    return element->_private ? (long)(intptr_t)element->_private : xmlGetLineNo(element);
}

static void init_libxml(void)
{
    xmlInitParser();
}

static int tell(const char *path, const struct guard *guard, struct error *ret_error)
{
    if (guard->dtd_line > 0)
        return error_set(ret_error, -EINVAL, "%s:%d: a DTD (<!DOCTYPE ...>) is not allowed here",
                         path, guard->dtd_line);
    if (guard->out_of_memory)
        return error_set(ret_error, -ENOMEM, "%s: out of memory", path);
    if (guard->error_line == 0)
        return error_set(ret_error, -EINVAL, "%s:1: no XML document", path);
    return error_set(ret_error, -EINVAL, "%s:%d: broken XML: %s", path, guard->error_line,
                     guard->error);
}

int document_parse(const char *path, const void *untrusted_data, size_t length,
                   xmlDoc **ret_document, struct error *ret_error)
{
    /* no XML_PARSE_HUGE: libxml2's own limits on depth and on a text's length stay on */
    const int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING;
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
    parser->sax->startElementNs = note_line;
    parser->sax->serror = note_error;
    document = xmlCtxtReadMemory(parser, untrusted_data, (int)length, NULL, NULL, options);
    if (!document || guard.dtd_line > 0 || guard.out_of_memory || !xmlDocGetRootElement(document)) {
        result = tell(path, &guard, ret_error);
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
                         path, element_line(root), (const char *)root->name);
    return 0;
}

int document_print(xmlDoc *document, bool indent, char **ret_data, size_t *ret_length)
{
    xmlChar *printed = NULL;
    int length = 0;

    /* the white space of a document that was read is in the tree */
    xmlDocDumpFormatMemoryEnc(document, &printed, &length, "UTF-8", indent);
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

xmlNode *named_find(const xmlNode *list, const char *kind, const char *name, struct arena *arena)
{
    xmlNode *found = NULL;

    for (xmlNode *at = element_at(list->children); at; at = element_at(at->next)) {
        const char *there = element_attribute(at, "name", arena);

        if (element_is(at, kind) && there && strcmp(there, name) == 0)
            found = at;
    }
    return found;
}

int element_set_attribute(xmlNode *element, const char *name, const char *value)
{
    return xmlSetProp(element, (const xmlChar *)name, (const xmlChar *)value) ? 0 : -ENOMEM;
}

int element_set_text(xmlNode *element, const char *text)
{
    xmlNode *node = *text ? xmlNewDocText(element->doc, (const xmlChar *)text) : NULL;

    if (*text && !node)
        return -ENOMEM;
    /* not its second argument for the text: that one would have references in it resolved */
    xmlNodeSetContent(element, NULL);
    if (node)
        xmlAddChild(element, node);
    return 0;
}

int named_add(xmlNode *list, const char *kind, const char *name, const char *value)
{
    xmlNode *first = list->children;
    xmlNode *space = first && first->type == XML_TEXT_NODE ? xmlCopyNode(first, 1) : NULL;
    xmlNode *element = xmlNewDocNode(list->doc, NULL, (const xmlChar *)kind, NULL);

    if (!element || element_set_attribute(element, "name", name) ||
        element_set_text(element, value)) {
        xmlFreeNode(element);
        xmlFreeNode(space);
        return -ENOMEM;
    }
    if (!first)
        xmlAddChild(list, element);
    else
        xmlAddPrevSibling(first, element);
    if (space)
        xmlAddPrevSibling(element, space);
    return 0;
}
