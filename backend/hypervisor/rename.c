/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Another name for a domain's persistent definition, whoever made it; paths in it that lie in the
 * VM's directory follow.  May be made again after it was cut off anywhere.
 */
#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "qubesfs/log.h"

struct renaming {
    struct command_kind kind; /* first: command->kind leads back here */
    const char *new_name;
    const char *old_directory, *new_directory; /* or NULL */
};

static const struct renaming *renaming_of(const struct command *command)
{
    return (const struct renaming *)command->kind;
}

static bool has_new_name(const struct command *command)
{
    const char *name = command->domain ? virDomainGetName(command->domain) : NULL;

    return name && strcmp(name, renaming_of(command)->new_name) == 0;
}

static int check(const struct command *command)
{
    if (command->active && !has_new_name(command))
        return command_refuse(command, -EBUSY, "runs and so can't be renamed; shut it down first");
    return 0;
}

/* The text of an attribute or element, if it is a path in the old directory: as one in the new. */
static xmlChar *moved(const struct renaming *renaming, const xmlChar *value)
{
    size_t length = strlen(renaming->old_directory);
    xmlChar *result;

    if (xmlStrncmp(value, (const xmlChar *)renaming->old_directory, (int)length) != 0 ||
        value[length] != '/')
        return NULL;
    result = xmlStrdup((const xmlChar *)renaming->new_directory);
    return xmlStrcat(result, value + length);
}

/* True if something was changed in the node or below. */
static bool move_paths(const struct renaming *renaming, xmlNode *node)
{
    bool changed = false;

    for (; node; node = node->next) {
        for (xmlAttr *at = node->type == XML_ELEMENT_NODE ? node->properties : NULL; at;
             at = at->next) {
            xmlChar *path = at->children && at->children->content
                                ? moved(renaming, at->children->content)
                                : NULL;

            if (path) {
                changed = true;
                xmlSetProp(node, at->name, path);
                xmlFree(path);
            }
        }
        if (node->type == XML_TEXT_NODE && node->content) {
            xmlChar *path = moved(renaming, node->content);

            if (path) {
                changed = true;
                xmlNodeSetContent(node, NULL);
                xmlNodeAddContent(node, path);
                xmlFree(path);
            }
        }
        if (node->type == XML_ELEMENT_NODE)
            changed = move_paths(renaming, node->children) || changed;
    }
    return changed;
}

static void set_name(xmlDoc *document, const char *name)
{
    for (xmlNode *at = xmlDocGetRootElement(document)->children; at; at = at->next)
        if (at->type == XML_ELEMENT_NODE && strcmp((const char *)at->name, "name") == 0) {
            xmlNodeSetContent(at, NULL);
            xmlNodeAddContent(at, (const xmlChar *)name);
        }
}

/* The definition under its new name; NULL: out of memory or no XML. */
static char *renamed_definition(const struct renaming *renaming, const char *xml, bool *ret_changed)
{
    xmlDoc *document =
        xmlReadMemory(xml, (int)strlen(xml), NULL, NULL,
                      XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_HUGE);
    xmlChar *printed = NULL;
    char *copy = NULL;
    int length;

    if (!document)
        return NULL;
    if (xmlDocGetRootElement(document)) {
        set_name(document, renaming->new_name);
        *ret_changed =
            renaming->old_directory && move_paths(renaming, xmlDocGetRootElement(document));
        xmlDocDumpMemory(document, &printed, &length);
    }
    xmlFreeDoc(document);
    if (printed)
        copy = strdup((const char *)printed);
    xmlFree(printed);
    return copy;
}

static bool not_supported(void)
{
    const virError *error = virGetLastError();

    return error &&
           (error->code == VIR_ERR_NO_SUPPORT || error->code == VIR_ERR_OPERATION_UNSUPPORTED ||
            error->code == VIR_ERR_CONFIG_UNSUPPORTED);
}

/* Where the driver knows no rename: one definition goes, the other comes; if it is not taken, the
 * old one comes back. */
static int replace(struct command *command, const char *old_xml, const char *xml)
{
    virDomainPtr made;

    if (virDomainUndefineFlags(command->domain, VIR_DOMAIN_UNDEFINE_KEEP_NVRAM) < 0 &&
        virDomainUndefine(command->domain) < 0)
        return -1;
    made = virDomainDefineXML(command->connection, xml);
    if (!made) {
        command_note_failure(command);
        made = virDomainDefineXML(command->connection, old_xml);
        if (!made)
            log_error("the definition of %s is lost: %s", command->key->name,
                      virGetLastErrorMessage());
    }
    command_adopt(command, made);
    return command->failure.code ? -1 : 0;
}

static int act(struct command *command)
{
    const struct renaming *renaming = renaming_of(command);
    char *xml CLEANUP_FREE = NULL;
    char *new_xml CLEANUP_FREE = NULL;
    virDomainPtr made;
    bool changed = false;
    int result = 0;

    /* nothing of it is kept, or it was started again since by its new name */
    if (!command->domain || command->active || virDomainIsPersistent(command->domain) != 1)
        return 0;
    xml = virDomainGetXMLDesc(command->domain, VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_INACTIVE);
    if (!xml)
        return -1;
    new_xml = renamed_definition(renaming, xml, &changed);
    if (!new_xml) {
        error_set(&command->failure, -ENOMEM, "%s: its definition can't be read",
                  command->key->name);
        return -1;
    }
    if (!has_new_name(command)) {
        result = virDomainRename(command->domain, renaming->new_name, 0);
        if (result < 0 && not_supported())
            return replace(command, xml, new_xml);
        if (result < 0)
            return result;
    }
    if (!changed)
        return 0;
    made = virDomainDefineXML(command->connection, new_xml);
    if (!made)
        return -1;
    command_adopt(command, made);
    return 0;
}

int hypervisor_rename(struct hypervisor *hypervisor, const struct domain_key *key,
                      const char *new_name, const char *old_directory, const char *new_directory,
                      struct error *ret_error)
{
    const struct renaming renaming = {.kind = {"renamed", NULL, check, act},
                                      .new_name = new_name,
                                      .old_directory = old_directory,
                                      .new_directory = new_directory};

    return command_run(hypervisor, key, NULL, &renaming.kind, ret_error);
}
