/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The marks of the catalogue inside a backup: which VMs are in it, below which path, of what size.
 */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "qubesfs/text.h"

#define PRELOAD "preload-dispvm"

struct marking {
    const struct catalogue_mark *marks;
    size_t count;
    bool *found;
    struct arena arena;
};

static const struct catalogue_mark *mark_of(struct marking *marking, const char *untrusted_qid)
{
    uint64_t qid;

    if (!untrusted_qid || !parse_number(untrusted_qid, QID_MAX, &qid))
        return NULL;
    for (size_t i = 0; i < marking->count; i++)
        if (marking->marks[i].qid == (int)qid) {
            marking->found[i] = true;
            return marking->marks[i].backup_path ? &marking->marks[i] : NULL;
        }
    return NULL;
}

/* R3: attributes.  What an earlier backup or restore left there is no promise of this one. */
static int mark_r3_vm(xmlNode *element, const struct catalogue_mark *mark)
{
    char size[32];
    int result;

    snprintf(size, sizeof(size), "%" PRIu64, mark ? mark->backup_size : 0);
    result = element_set_attribute(element, "backup_content", mark ? "True" : "False");
    if (!result && (mark || xmlHasProp(element, (const xmlChar *)"backup_path")))
        result = element_set_attribute(element, "backup_path", mark ? mark->backup_path : "");
    if (!result && (mark || xmlHasProp(element, (const xmlChar *)"backup_size")))
        result = element_set_attribute(element, "backup_size", size);
    return result;
}

/* Catalogues of before 2015 hold no dom0; its home can be in a backup all the same. */
static int add_r3_dom0(xmlNode *root, const struct catalogue_mark *mark)
{
    xmlNode *element = xmlNewDocNode(root->doc, NULL, (const xmlChar *)"QubesAdminVm", NULL);
    xmlNode *first = root->children;
    int result;

    if (!element)
        return -ENOMEM;
    result = element_set_attribute(element, "qid", "0");
    if (!result)
        result = element_set_attribute(element, "name", "dom0");
    if (!result)
        result = element_set_attribute(element, "dir_path", "/var/lib/qubes/servicevms/dom0");
    if (!result)
        result = mark_r3_vm(element, mark);
    if (result) {
        xmlFreeNode(element);
        return result;
    }
    if (!first) {
        xmlAddChild(root, element);
        return 0;
    }
    /* behind the white space that stands before the first VM, and a copy of it behind */
    if (first->type == XML_TEXT_NODE) {
        xmlNode *space = xmlCopyNode(first, 1);

        xmlAddNextSibling(first, element);
        if (space && element->next)
            xmlAddPrevSibling(element->next, space);
        else if (space)
            xmlAddChild(root, space);
    } else {
        xmlAddPrevSibling(first, element);
    }
    return 0;
}

static int mark_r3(struct marking *marking, xmlNode *root)
{
    enum vm_class vm_class;
    int result = 0;

    for (xmlNode *at = element_at(root->children); !result && at; at = element_at(at->next))
        if (r3_class(at, &vm_class))
            result =
                mark_r3_vm(at, mark_of(marking, element_attribute(at, "qid", &marking->arena)));
    return result;
}

/* Takes an element away with the white space before it. */
static void remove_element(xmlNode *element)
{
    xmlNode *space = element->prev;

    if (space && xmlIsBlankNode(space)) {
        xmlUnlinkNode(space);
        xmlFreeNode(space);
    }
    xmlUnlinkNode(element);
    xmlFreeNode(element);
}

/* What Qubes' own writer takes away: the names of disposables that run here and now; and marks. */
static bool is_left_behind(const char *name)
{
    return (strncmp(name, PRELOAD, sizeof(PRELOAD) - 1) == 0 &&
            strcmp(name, PRELOAD "-max") != 0) ||
           strcmp(name, "backup-content") == 0 || strcmp(name, "backup-path") == 0 ||
           strcmp(name, "backup-size") == 0;
}

/* R4: features.  Qubes' writer gives every VM backup-content, an empty one standing for False. */
static int mark_r4_vm(struct marking *marking, xmlNode *domain, const struct catalogue_mark *mark)
{
    xmlNode *features = element_child(domain, "features"), *next;
    char size[32];
    int result = 0;

    if (!features)
        features = xmlNewChild(domain, NULL, (const xmlChar *)"features", NULL);
    if (!features)
        return -ENOMEM;
    for (xmlNode *at = element_at(features->children); at; at = next) {
        const char *name = element_attribute(at, "name", &marking->arena);

        next = element_at(at->next);
        if (element_is(at, "feature") && name && is_left_behind(name))
            remove_element(at);
    }
    if (mark) {
        snprintf(size, sizeof(size), "%" PRIu64, mark->backup_size);
        result = named_add(features, "feature", "backup-size", size);
        if (!result)
            result = named_add(features, "feature", "backup-path", mark->backup_path);
    }
    return result ? result : named_add(features, "feature", "backup-content", mark ? "1" : "");
}

static int add_r4_dom0(struct marking *marking, xmlNode *domains, const struct catalogue_mark *mark)
{
    xmlNode *domain = xmlNewChild(domains, NULL, (const xmlChar *)"domain", NULL);
    xmlNode *properties =
        domain ? xmlNewChild(domain, NULL, (const xmlChar *)"properties", NULL) : NULL;
    int result = properties ? element_set_attribute(domain, "id", "domain-0") : -ENOMEM;

    if (!result)
        result = element_set_attribute(domain, "class", "AdminVM");
    if (!result)
        result = named_add(properties, "property", "qid", "0");
    /* Qubes' reader takes no VM without a label */
    if (!result)
        result = named_add(properties, "property", "label", "black");
    return result ? result : mark_r4_vm(marking, domain, mark);
}

static int mark_r4(struct marking *marking, xmlNode *root)
{
    xmlNode *domains = element_child(root, "domains");
    int result = 0;

    for (xmlNode *at = element_at(domains->children); !result && at; at = element_at(at->next)) {
        xmlNode *properties = element_child(at, "properties"), *property;
        const char *id = element_attribute(at, "id", &marking->arena), *qid = NULL;

        if (!element_is(at, "domain"))
            continue;
        property = properties ? named_find(properties, "property", "qid", &marking->arena) : NULL;
        if (property)
            qid = element_text(property, &marking->arena);
        else if (id && strncmp(id, "domain-", 7) == 0)
            qid = id + 7;
        result = mark_r4_vm(marking, at, mark_of(marking, qid));
    }
    return result;
}

/* Marks that no VM was found for. */
static int mark_rest(struct marking *marking, const char *path, xmlNode *root,
                     enum catalogue_form form, struct error *ret_error)
{
    int result = 0;

    for (size_t i = 0; !result && i < marking->count; i++) {
        const struct catalogue_mark *mark = &marking->marks[i];

        if (marking->found[i] || !mark->backup_path)
            continue;
        if (mark->qid != 0)
            return error_set(ret_error, -ENOENT,
                             "%s: the VM with qid %d has gone since the backup was planned", path,
                             mark->qid);
        result = form == CATALOGUE_R3 ? add_r3_dom0(root, mark)
                                      : add_r4_dom0(marking, element_child(root, "domains"), mark);
    }
    return result ? error_set(ret_error, result, "%s: out of memory", path) : 0;
}

int mark_document(const char *path, xmlDoc *document, enum catalogue_form form,
                  const struct catalogue_mark *marks, size_t mark_count, struct error *ret_error)
{
    bool *found CLEANUP_FREE = calloc(mark_count + 1, sizeof(*found));
    struct marking marking = {.marks = marks, .count = mark_count, .found = found};
    xmlNode *root = xmlDocGetRootElement(document);
    int result = found ? 0 : -ENOMEM;

    for (size_t i = 0; i < mark_count; i++)
        if (marks[i].backup_path && !utf8_valid(marks[i].backup_path, strlen(marks[i].backup_path)))
            return error_set(ret_error, -EINVAL, "backup path of qid %d is not UTF-8",
                             marks[i].qid);
    if (!result)
        result = form == CATALOGUE_R3 ? mark_r3(&marking, root) : mark_r4(&marking, root);
    if (!result)
        result = arena_status(&marking.arena);
    if (result)
        error_set(ret_error, result, "%s: out of memory", path);
    else
        result = mark_rest(&marking, path, root, form, ret_error);
    arena_free(&marking.arena);
    return result;
}
