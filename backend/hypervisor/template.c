/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The directives of a definition template: attributes in a namespace of their own.
 *
 *   q:each="LIST"          the element comes once for each row; inside, the row's variables are
 * seen first q:if="VAR"             the element stays only if the variable is set (not empty)
 *   q:unless="VAR"         ... only if it is not
 *   q:set="ATTR=VAR ..."   attributes get the variables' values; one that is not set, no attribute
 *   q:text="VAR"           the element's content becomes the variable's value
 *
 * Carried out in this order, on nodes: no value is ever parsed, so it may hold any character that
 * XML allows; control characters are refused.  Comments are left out of the result.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "qubesfs/text.h"
#include "room.h"

#define TEMPLATE_URI "https://qubesfs.org/template/1"

struct filler {
    const char *source;
    const struct template_variable *variables;
    size_t variable_count;
    const struct template_list *lists;
    size_t list_count;
    const struct template_list *list;    /* within q:each */
    const struct template_variable *row; /* NULL: not within q:each */
    struct error *ret_error;
};

static int PRINTF(3, 4)
    broken(const struct filler *filler, const xmlNode *node, const char *format, ...)
{
    char why[400];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, sizeof(why), format, arguments);
    va_end(arguments);
    return error_set(filler->ret_error, -EINVAL, "%s:%ld: %s", filler->source, xmlGetLineNo(node),
                     why);
}

/* True if XML 1.0 can hold it and nothing in it steers a terminal. */
static bool printable(const char *value)
{
    size_t length = strlen(value);
    const unsigned char *bytes = (const unsigned char *)value;

    if (!utf8_valid(value, length))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] < 0x20 || bytes[i] == 0x7f)
            return false;
        if (bytes[i] == 0xc2 && bytes[i + 1] < 0xa0) /* C1 */
            return false;
        if (bytes[i] == 0xef && bytes[i + 1] == 0xbf && bytes[i + 2] >= 0xbe) /* U+FFFE, U+FFFF */
            return false;
    }
    return true;
}

static const struct template_variable *find(const struct template_variable *variables, size_t count,
                                            const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(variables[i].name, name) == 0)
            return &variables[i];
    return NULL;
}

/* The variable's value, never NULL ("": not set). */
static int value_of(const struct filler *filler, const xmlNode *node, const char *name,
                    const char **ret_value)
{
    const struct template_variable *variable = NULL;

    if (filler->row)
        variable = find(filler->row, filler->list->column_count, name);
    if (!variable)
        variable = find(filler->variables, filler->variable_count, name);
    if (!variable)
        return broken(filler, node, "there is no variable \"%s\"%s", name,
                      filler->row ? "" : " here (outside of q:each)");
    *ret_value = variable->value ? variable->value : "";
    if (!printable(*ret_value))
        return error_set(filler->ret_error, -EINVAL,
                         "the value of %s can't stand in a definition (control characters, or no "
                         "UTF-8): %s",
                         name, *ret_value);
    return 0;
}

/* Takes the directive off the element; `ret_argument` (to be freed) is NULL where there is none. */
static void take_directive(xmlNode *node, const char *name, xmlChar **ret_argument)
{
    xmlAttr *attribute = xmlHasNsProp(node, BAD_CAST name, BAD_CAST TEMPLATE_URI);

    *ret_argument = NULL;
    if (!attribute)
        return;
    *ret_argument = xmlNodeListGetString(node->doc, attribute->children, 1);
    if (!*ret_argument)
        *ret_argument = xmlStrdup(BAD_CAST "");
    xmlRemoveProp(attribute);
}

static void cleanup_xml(xmlChar **string)
{
    if (*string)
        xmlFree(*string);
}

#define CLEANUP_XML CLEANUP(cleanup_xml)

static int drop_unless(struct filler *filler, xmlNode *node, bool *ret_dropped)
{
    static const char *const names[] = {"if", "unless"};

    *ret_dropped = false;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        xmlChar *argument CLEANUP_XML = NULL;
        const char *value;
        int result;

        take_directive(node, names[i], &argument);
        if (!argument)
            continue;
        result = value_of(filler, node, (const char *)argument, &value);
        if (result < 0)
            return result;
        if ((*value != '\0') == (i == 1)) {
            xmlUnlinkNode(node);
            xmlFreeNode(node);
            *ret_dropped = true;
            return 0;
        }
    }
    return 0;
}

static int set_attributes(struct filler *filler, xmlNode *node)
{
    xmlChar *argument CLEANUP_XML = NULL;
    char *save = NULL;

    take_directive(node, "set", &argument);
    if (!argument)
        return 0;
    for (char *word = strtok_r((char *)argument, " \t\r\n", &save); word;
         word = strtok_r(NULL, " \t\r\n", &save)) {
        char *equals = strchr(word, '=');
        const char *value;
        int result;

        if (!equals || (*equals = '\0', xmlValidateNCName(BAD_CAST word, 0) != 0))
            return broken(filler, node, "q:set wants ATTRIBUTE=VARIABLE, not \"%s\"", word);
        result = value_of(filler, node, equals + 1, &value);
        if (result < 0)
            return result;
        if (*value == '\0')
            xmlUnsetProp(node, BAD_CAST word);
        else if (!xmlSetProp(node, BAD_CAST word, BAD_CAST value))
            return error_set(filler->ret_error, -ENOMEM, "out of memory");
    }
    return 0;
}

static int set_text(struct filler *filler, xmlNode *node)
{
    xmlChar *argument CLEANUP_XML = NULL;
    const char *value;
    xmlNode *text;
    int result;

    take_directive(node, "text", &argument);
    if (!argument)
        return 0;
    result = value_of(filler, node, (const char *)argument, &value);
    if (result < 0)
        return result;
    while (node->children) {
        xmlNode *child = node->children;

        xmlUnlinkNode(child);
        xmlFreeNode(child);
    }
    text = xmlNewDocText(node->doc, BAD_CAST value);
    if (!text || !xmlAddChild(node, text))
        return error_set(filler->ret_error, -ENOMEM, "out of memory");
    return 0;
}

static bool is_ours(const xmlNs *namespace)
{
    return namespace && xmlStrEqual(namespace->href, BAD_CAST TEMPLATE_URI);
}

/* No directive is left: the namespace's declaration goes too. */
static void drop_namespace(xmlNode *node)
{
    for (xmlNs **link = &node->nsDef; *link;) {
        xmlNs *namespace = *link;

        if (is_ours(namespace)) {
            *link = namespace->next;
            xmlFreeNs(namespace);
        } else {
            link = &namespace->next;
        }
    }
}

static int fill_node(struct filler *filler, xmlNode *node);

static int repeat(struct filler *filler, xmlNode *node, const char *list)
{
    int result = 0;

    if (filler->row)
        return broken(filler, node, "q:each within q:each");
    filler->list = NULL;
    for (size_t i = 0; i < filler->list_count; i++)
        if (strcmp(list, filler->lists[i].name) == 0)
            filler->list = &filler->lists[i];
    if (!filler->list)
        return broken(filler, node, "there is no list \"%s\"", list);
    for (size_t i = 0; i < filler->list->row_count && result == 0; i++) {
        xmlNode *copy = xmlDocCopyNode(node, node->doc, 1);

        if (!copy || !xmlAddPrevSibling(node, copy)) {
            xmlFreeNode(copy);
            return error_set(filler->ret_error, -ENOMEM, "out of memory");
        }
        filler->row = filler->list->cells + i * filler->list->column_count;
        result = fill_node(filler, copy);
        filler->row = NULL;
    }
    xmlUnlinkNode(node);
    xmlFreeNode(node);
    return result;
}

static int fill_children(struct filler *filler, xmlNode *node)
{
    int result = 0;

    for (xmlNode *child = node->children, *next; child && result == 0; child = next) {
        next = child->next;
        result = fill_node(filler, child);
    }
    return result;
}

static int fill_node(struct filler *filler, xmlNode *node)
{
    xmlChar *list CLEANUP_XML = NULL;
    bool dropped;
    int result;

    if (node->type == XML_COMMENT_NODE || node->type == XML_PI_NODE) {
        xmlUnlinkNode(node);
        xmlFreeNode(node);
        return 0;
    }
    if (node->type != XML_ELEMENT_NODE)
        return 0;
    if (is_ours(node->ns))
        return broken(filler, node, "directives are attributes; there is no element <%s>",
                      (const char *)node->name);
    take_directive(node, "each", &list);
    if (list)
        return repeat(filler, node, (const char *)list);
    result = drop_unless(filler, node, &dropped);
    if (result < 0 || dropped)
        return result;
    result = set_attributes(filler, node);
    if (result == 0)
        result = set_text(filler, node);
    if (result < 0)
        return result;
    for (const xmlAttr *attribute = node->properties; attribute; attribute = attribute->next)
        if (is_ours(attribute->ns))
            return broken(filler, node, "there is no directive \"%s\"",
                          (const char *)attribute->name);
    result = fill_children(filler, node);
    if (result == 0)
        drop_namespace(node);
    return result;
}

int template_fill(xmlNode *root, const char *source, const struct template_variable *variables,
                  size_t variable_count, const struct template_list *lists, size_t list_count,
                  struct error *ret_error)
{
    struct filler filler = {.source = source,
                            .variables = variables,
                            .variable_count = variable_count,
                            .lists = lists,
                            .list_count = list_count,
                            .ret_error = ret_error};

    static const char *const whole[] = {"each", "if", "unless"};

    for (size_t i = 0; i < ARRAY_SIZE(whole); i++)
        if (xmlHasNsProp(root, BAD_CAST whole[i], BAD_CAST TEMPLATE_URI))
            return broken(&filler, root, "q:%s can't stand at the outermost element", whole[i]);
    return fill_node(&filler, root);
}
