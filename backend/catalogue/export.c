/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The catalogue that goes into a backup of format 3: the document as it is, with marks in it. */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "qubesfs/text.h"

static int set(xmlNode *element, const char *name, const char *value)
{
    return xmlSetProp(element, (const xmlChar *)name, (const xmlChar *)value) ? 0 : -ENOMEM;
}

static int set_mark(xmlNode *element, const struct catalogue_mark *mark)
{
    bool marked = mark && mark->backup_path;
    char size[32];
    int result;

    snprintf(size, sizeof(size), "%" PRIu64, marked ? mark->backup_size : 0);
    result = set(element, "backup_content", marked ? "True" : "False");
    /* what an earlier backup or restore left there is no promise of this one */
    if (!result && (marked || xmlHasProp(element, (const xmlChar *)"backup_path")))
        result = set(element, "backup_path", marked ? mark->backup_path : "");
    if (!result && (marked || xmlHasProp(element, (const xmlChar *)"backup_size")))
        result = set(element, "backup_size", size);
    return result;
}

/* Catalogues of before 2015 hold no dom0; its home can be in a backup all the same. */
static int add_dom0(xmlNode *root, const struct catalogue_mark *mark)
{
    xmlNode *element = xmlNewDocNode(root->doc, NULL, (const xmlChar *)"QubesAdminVm", NULL);
    xmlNode *first = root->children;
    int result;

    if (!element)
        return -ENOMEM;
    result = set(element, "qid", "0");
    if (!result)
        result = set(element, "name", "dom0");
    if (!result)
        result = set(element, "dir_path", "/var/lib/qubes/servicevms/dom0");
    if (!result)
        result = set_mark(element, mark);
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

static const struct catalogue_mark *mark_of(const struct catalogue_mark *marks, size_t mark_count,
                                            int qid)
{
    for (size_t i = 0; i < mark_count; i++)
        if (marks[i].qid == qid)
            return &marks[i];
    return NULL;
}

/* The qid of a VM's element, -1 when it is no VM. */
static int qid_of(const xmlNode *element, struct arena *arena)
{
    const char *untrusted_qid = element_attribute(element, "qid", arena);
    enum vm_class vm_class;
    uint64_t qid;

    if (!r3_class(element, &vm_class) || !untrusted_qid ||
        !parse_number(untrusted_qid, QID_MAX, &qid))
        return -1;
    return (int)qid;
}

int export_document(const char *path, xmlDoc *document, const struct catalogue_mark *marks,
                    size_t mark_count, struct error *ret_error)
{
    xmlNode *root = xmlDocGetRootElement(document);
    bool *found CLEANUP_FREE = calloc(mark_count + 1, sizeof(*found));
    struct arena arena = {NULL, false};
    int result = found ? 0 : -ENOMEM;

    for (size_t i = 0; i < mark_count; i++)
        if (marks[i].backup_path && !utf8_valid(marks[i].backup_path, strlen(marks[i].backup_path)))
            return error_set(ret_error, -EINVAL, "backup path of qid %d is not UTF-8",
                             marks[i].qid);
    for (xmlNode *at = element_at(root->children); !result && at; at = element_at(at->next)) {
        int qid = qid_of(at, &arena);
        const struct catalogue_mark *mark;

        if (qid < 0)
            continue;
        mark = mark_of(marks, mark_count, qid);
        if (mark)
            found[mark - marks] = true;
        result = set_mark(at, mark);
    }
    arena_free(&arena);
    for (size_t i = 0; !result && i < mark_count; i++) {
        if (found[i] || !marks[i].backup_path)
            continue;
        if (marks[i].qid != 0)
            return error_set(ret_error, -ENOENT,
                             "%s: the VM with qid %d has gone since the backup was planned", path,
                             marks[i].qid);
        result = add_dom0(root, &marks[i]);
    }
    return result ? error_set(ret_error, result, "%s: %s", path, strerror(-result)) : 0;
}

int catalogue_export(const char *path, const struct catalogue_mark *marks, size_t mark_count,
                     char **ret_document, size_t *ret_length, struct error *ret_error)
{
    const struct patience patience = {.seconds = 15, .cancel_fd = -1};
    const struct catalogue *checked = NULL;
    char *data CLEANUP_FREE = NULL;
    enum catalogue_form form;
    xmlDoc *document;
    struct stat status;
    size_t length;
    int result;

    {
        int fd CLEANUP_CLOSE = -1;

        result = lock_file(path, false, &patience, &fd, &status, ret_error);
        if (!result)
            result = read_whole_file(path, fd, &data, &length, ret_error);
        if (result)
            return result;
    }
    result = document_parse(path, data, length, &document, ret_error);
    if (result)
        return result;
    /* only a catalogue that Qubes could read goes into a backup */
    result = catalogue_read_document(path, document, status.st_mtim, NULL, &checked, ret_error);
    if (!result) {
        form = checked->form;
        catalogue_unref(checked);
        if (form == CATALOGUE_R4)
            result = error_set(ret_error, -EOPNOTSUPP,
                               "%s: a catalogue of Qubes R4 cannot go into a backup of format 3; "
                               "use format 4",
                               path);
    }
    if (!result)
        result = export_document(path, document, marks, mark_count, ret_error);
    if (!result && (result = document_print(document, ret_document, ret_length)))
        error_set(ret_error, result, "%s: %s", path, strerror(-result));
    xmlFreeDoc(document);
    return result;
}
