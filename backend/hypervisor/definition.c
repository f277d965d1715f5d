/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Domain definitions: parsed, printed, marked as ours, and that mark found again. */
#include <errno.h>
#include <libxml/parser.h>
#include <string.h>

#include "qubesfs/text.h"
#include "room.h"

void definition_free(xmlDoc **document)
{
    xmlFreeDoc(*document);
}

int definition_parse(const char *xml, size_t length, const char *source, xmlDoc **ret_document,
                     struct error *ret_error)
{
    xmlParserCtxt *context = xmlNewParserCtxt();
    xmlDoc *document;
    xmlNode *root;
    int result = 0;

    if (!context || length > INT32_MAX) {
        xmlFreeParserCtxt(context);
        return error_set(ret_error, -ENOMEM, "out of memory");
    }
    document = xmlCtxtReadMemory(context, xml, (int)length, NULL, NULL,
                                 XML_PARSE_NONET | XML_PARSE_NOBLANKS | XML_PARSE_NOERROR |
                                     XML_PARSE_NOWARNING);
    root = document ? xmlDocGetRootElement(document) : NULL;
    if (!document) {
        const char *words = context->lastError.message ? context->lastError.message : "no XML";

        result = error_set(ret_error, -EINVAL, "%s:%d: %.*s", source, context->lastError.line,
                           (int)strcspn(words, "\n"), words);
    } else if (document->intSubset) {
        result = error_set(ret_error, -EINVAL, "%s:1: a document type can't stand here", source);
    } else if (!root || !xmlStrEqual(root->name, BAD_CAST "domain")) {
        result = error_set(ret_error, -EINVAL, "%s:%ld: the outermost element must be <domain>",
                           source, root ? xmlGetLineNo(root) : 1);
    }
    xmlFreeParserCtxt(context);
    if (result == 0)
        *ret_document = document;
    else
        xmlFreeDoc(document);
    return result;
}

int definition_print(xmlDoc *document, char **ret_xml, struct error *ret_error)
{
    xmlBuffer *buffer = xmlBufferCreate();
    xmlOutputBuffer *output = buffer ? xmlOutputBufferCreateBuffer(buffer, NULL) : NULL;
    struct text text CLEANUP_TEXT = TEXT_INIT;
    int result = -ENOMEM;

    if (output) {
        xmlNodeDumpOutput(output, document, xmlDocGetRootElement(document), 0, 1, "UTF-8");
        if (xmlOutputBufferClose(output) >= 0) {
            text_string(&text, (const char *)xmlBufferContent(buffer));
            text_string(&text, "\n");
            result = text_take(&text, ret_xml, NULL);
        }
    }
    xmlBufferFree(buffer);
    return result < 0 ? error_set(ret_error, result, "out of memory") : 0;
}

static xmlNode *child_of(const xmlNode *parent, const char *name)
{
    for (xmlNode *child = parent->children; child; child = child->next)
        if (child->type == XML_ELEMENT_NODE && !child->ns &&
            xmlStrEqual(child->name, BAD_CAST name))
            return child;
    return NULL;
}

static bool has_mark(const xmlNode *root)
{
    const xmlNode *metadata = child_of(root, "metadata");

    for (const xmlNode *child = metadata ? metadata->children : NULL; child; child = child->next)
        if (child->type == XML_ELEMENT_NODE && xmlStrEqual(child->name, BAD_CAST "managed") &&
            child->ns && xmlStrEqual(child->ns->href, BAD_CAST DEFINITION_MARK_URI))
            return true;
    return false;
}

int definition_mark(xmlNode *root)
{
    xmlNode *metadata = child_of(root, "metadata"), *managed;
    xmlNs *namespace;

    if (has_mark(root))
        return 0;
    if (!metadata)
        metadata = xmlNewChild(root, NULL, BAD_CAST "metadata", NULL);
    managed = metadata ? xmlNewChild(metadata, NULL, BAD_CAST "managed", NULL) : NULL;
    namespace =
        managed ? xmlNewNs(managed, BAD_CAST DEFINITION_MARK_URI, BAD_CAST "qubesfs") : NULL;
    if (!namespace)
        return -ENOMEM;
    xmlSetNs(managed, namespace);
    return 0;
}

static int set_uuid(xmlNode *root, const char *uuid)
{
    xmlNode *node = child_of(root, "uuid");

    if (!node)
        return xmlNewTextChild(root, NULL, BAD_CAST "uuid", BAD_CAST uuid) ? 0 : -ENOMEM;
    xmlNodeSetContent(node, BAD_CAST uuid); /* a libvirt uuid: nothing in it is special */
    return 0;
}

bool definition_marked(const char *xml)
{
    xmlDoc *document CLEANUP(definition_free) = NULL;

    /* nearly all that are not ours are known as such without parsing them */
    return strstr(xml, DEFINITION_MARK_URI) &&
           definition_parse(xml, strlen(xml), "definition", &document, NULL) == 0 &&
           has_mark(xmlDocGetRootElement(document));
}

char *definition_name(const char *xml)
{
    xmlDoc *document CLEANUP(definition_free) = NULL;
    const xmlNode *node;
    xmlChar *content;
    char *name;

    if (definition_parse(xml, strlen(xml), "definition", &document, NULL) < 0)
        return NULL;
    node = child_of(xmlDocGetRootElement(document), "name");
    content = node ? xmlNodeGetContent(node) : NULL;
    name = content ? strdup((const char *)content) : NULL;
    xmlFree(content);
    return name;
}

int definition_finish(const char *xml, const char *uuid, char **ret_xml, struct error *ret_error)
{
    xmlDoc *document CLEANUP(definition_free) = NULL;
    xmlNode *root;
    int result;

    result = definition_parse(xml, strlen(xml), "definition", &document, ret_error);
    if (result < 0)
        return result;
    root = xmlDocGetRootElement(document);
    if (definition_mark(root) < 0 || (uuid && set_uuid(root, uuid) < 0))
        return error_set(ret_error, -ENOMEM, "out of memory");
    return definition_print(document, ret_xml, ret_error);
}
