/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Domain definitions: made from a template, marked as ours, and that mark found again. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libxml/parser.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "qubesfs/text.h"
#include "room.h"

#define TEMPLATE_MAX (1024 * 1024)
#define VOLUME_CELLS 7

static void cleanup_document(xmlDoc **document)
{
    xmlFreeDoc(*document);
}

#define CLEANUP_DOCUMENT CLEANUP(cleanup_document)

/* Parses a definition or template; `source` is its name for errors. */
static int parse(const char *xml, size_t length, const char *source, xmlDoc **ret_document,
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

static int print(xmlDoc *document, char **ret_xml, struct error *ret_error)
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

static int mark(xmlNode *root)
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
    xmlDoc *document CLEANUP_DOCUMENT = NULL;

    /* nearly all that are not ours are known as such without parsing them */
    return strstr(xml, DEFINITION_MARK_URI) &&
           parse(xml, strlen(xml), "definition", &document, NULL) == 0 &&
           has_mark(xmlDocGetRootElement(document));
}

char *definition_name(const char *xml)
{
    xmlDoc *document CLEANUP_DOCUMENT = NULL;
    const xmlNode *node;
    xmlChar *content;
    char *name;

    if (parse(xml, strlen(xml), "definition", &document, NULL) < 0)
        return NULL;
    node = child_of(xmlDocGetRootElement(document), "name");
    content = node ? xmlNodeGetContent(node) : NULL;
    name = content ? strdup((const char *)content) : NULL;
    xmlFree(content);
    return name;
}

int definition_finish(const char *xml, const char *uuid, char **ret_xml, struct error *ret_error)
{
    xmlDoc *document CLEANUP_DOCUMENT = NULL;
    xmlNode *root;
    int result;

    result = parse(xml, strlen(xml), "definition", &document, ret_error);
    if (result < 0)
        return result;
    root = xmlDocGetRootElement(document);
    if (mark(root) < 0 || (uuid && set_uuid(root, uuid) < 0))
        return error_set(ret_error, -ENOMEM, "out of memory");
    return print(document, ret_xml, ret_error);
}

/* Reads DIRECTORY/FILE.  Returns 0, -ENOENT without words, or another error with them. */
static int read_template(const char *path, char **ret_data, size_t *ret_length,
                         struct error *ret_error)
{
    int fd CLEANUP_CLOSE = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *data CLEANUP_FREE = NULL;
    struct stat status;
    ssize_t length;

    if (fd < 0 && errno == ENOENT)
        return -ENOENT;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(ret_error, -EINVAL, "%s: can't be read: %s", path, strerrordesc_np(errno));
    if (!S_ISREG(status.st_mode) || status.st_size > TEMPLATE_MAX)
        return error_set(ret_error, -EINVAL, "%s: no file of at most 1 MiB", path);
    data = malloc(TEMPLATE_MAX);
    if (!data)
        return error_set(ret_error, -ENOMEM, "out of memory");
    length = read(fd, data, TEMPLATE_MAX);
    if (length < 0)
        return error_set(ret_error, -EINVAL, "%s: can't be read: %s", path, strerrordesc_np(errno));
    *ret_data = MOVE_POINTER(data);
    *ret_length = (size_t)length;
    return 0;
}

/* The driver's template: the user's, else the built-in one.  `ret_source` (to be freed) names it.
 */
static int load_template(const char *driver, const char *templates, xmlDoc **ret_document,
                         char **ret_source, struct error *ret_error)
{
    char *data CLEANUP_FREE = NULL, file[64];
    const char *builtin;
    size_t length;
    int result;

    snprintf(file, sizeof(file), "%s.xml", driver);
    for (char *letter = file; *letter; letter++)
        *letter = *letter == '/' ? '_' : (char)tolower((unsigned char)*letter);
    if (templates) {
        if (asprintf(ret_source, "%s/%s", templates, file) < 0) {
            *ret_source = NULL;
            return error_set(ret_error, -ENOMEM, "out of memory");
        }
        result = read_template(*ret_source, &data, &length, ret_error);
        if (result == 0)
            return parse(data, length, *ret_source, ret_document, ret_error);
        if (result != -ENOENT)
            return result;
        free(*ret_source);
    }
    *ret_source = strdup(file);
    if (!*ret_source)
        return error_set(ret_error, -ENOMEM, "out of memory");
    builtin = templates_builtin(file, &length);
    if (!builtin)
        return error_set(ret_error, -ENODEV,
                         "there is no template for domains of the driver %s; write %s into the "
                         "directory given with --templates",
                         driver, file);
    return parse(builtin, length, *ret_source, ret_document, ret_error);
}

static const char *flag(bool set)
{
    return set ? "1" : "";
}

int definition_make(const char *driver, const char *templates, const struct definition *definition,
                    char **ret_xml, struct error *ret_error)
{
    struct template_variable *cells CLEANUP_FREE = NULL;
    char memory[16], maxmem[16], vcpus[16], *source CLEANUP_FREE = NULL;
    xmlDoc *document CLEANUP_DOCUMENT = NULL;
    const struct template_variable variables[] = {
        {"name", definition->name},
        {"uuid", definition->uuid},
        {"class", definition->vm_class},
        {"memory_mib", memory},
        {"maxmem_mib", maxmem},
        {"vcpus", vcpus},
        {"kernel", definition->kernel},
        {"initrd", definition->initrd},
        {"kernelopts", definition->kernelopts},
        {"console_log", definition->console_log},
        {"debug", flag(definition->debug)},
    };
    struct template_list volumes = {"volume", NULL, definition->volume_count, VOLUME_CELLS};
    xmlNode *root;
    int result;

    snprintf(memory, sizeof(memory), "%u", definition->memory_mib);
    snprintf(maxmem, sizeof(maxmem), "%u", definition->maxmem_mib);
    snprintf(vcpus, sizeof(vcpus), "%u", definition->vcpus);
    cells = calloc(definition->volume_count + 1, VOLUME_CELLS * sizeof(*cells));
    if (!cells)
        return error_set(ret_error, -ENOMEM, "out of memory");
    volumes.cells = cells;
    for (size_t i = 0; i < definition->volume_count; i++) {
        const struct definition_volume *volume = &definition->volumes[i];
        const struct template_variable row[VOLUME_CELLS] = {
            {"volume", volume->name},
            {"path", volume->path},
            {"target", volume->target},
            {"kind", volume->block ? "block" : "file"},
            {"block", flag(volume->block)},
            {"readonly", flag(volume->readonly)},
            {"transient", flag(volume->transient)},
        };

        memcpy(cells + i * VOLUME_CELLS, row, sizeof(row));
    }
    result = load_template(driver, templates, &document, &source, ret_error);
    if (result < 0)
        return result;
    root = xmlDocGetRootElement(document);
    result = template_fill(root, source, variables, ARRAY_SIZE(variables), &volumes, ret_error);
    if (result < 0)
        return result;
    if (mark(root) < 0)
        return error_set(ret_error, -ENOMEM, "out of memory");
    return print(document, ret_xml, ret_error);
}
