/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The time of a VM's last backup, written into the catalogue after a backup has ended well. */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PROPERTY "backup_timestamp"

struct stamp {
    const int *qids;
    size_t count;
    char seconds[32];
    struct arena arena;
};

static bool is_stamped(const struct stamp *stamp, const char *untrusted_qid)
{
    uint64_t qid;

    if (!untrusted_qid || !parse_number(untrusted_qid, QID_MAX, &qid))
        return false;
    for (size_t i = 0; i < stamp->count; i++)
        if (stamp->qids[i] == (int)qid)
            return true;
    return false;
}

static int stamp_r3(struct stamp *stamp, xmlNode *root)
{
    for (xmlNode *at = element_at(root->children); at; at = element_at(at->next)) {
        enum vm_class vm_class;

        if (r3_class(at, &vm_class) &&
            is_stamped(stamp, element_attribute(at, "qid", &stamp->arena)) &&
            !xmlSetProp(at, (const xmlChar *)PROPERTY, (const xmlChar *)stamp->seconds))
            return -ENOMEM;
    }
    return 0;
}

static int stamp_r4(struct stamp *stamp, xmlNode *root)
{
    xmlNode *domains = element_child(root, "domains");

    for (xmlNode *at = domains ? element_at(domains->children) : NULL; at;
         at = element_at(at->next)) {
        xmlNode *properties = element_child(at, "properties"), *property;
        const char *id = element_attribute(at, "id", &stamp->arena), *qid = NULL;
        int result = 0;

        if (!element_is(at, "domain") || !properties)
            continue;
        property = named_find(properties, "property", "qid", &stamp->arena);
        if (property)
            qid = element_text(property, &stamp->arena);
        else if (id && strncmp(id, "domain-", 7) == 0)
            qid = id + 7;
        if (!is_stamped(stamp, qid))
            continue;
        property = named_find(properties, "property", PROPERTY, &stamp->arena);
        if (property)
            result = element_set_text(property, stamp->seconds);
        else
            result = named_add(properties, "property", PROPERTY, stamp->seconds);
        if (result)
            return result;
    }
    return 0;
}

static int stamp_document(void *cookie, xmlDoc *document, enum catalogue_form form,
                          struct error *error)
{
    struct stamp *stamp = cookie;
    xmlNode *root = xmlDocGetRootElement(document);
    int result = form == CATALOGUE_R3 ? stamp_r3(stamp, root) : stamp_r4(stamp, root);

    return result ? error_set(error, result, "out of memory") : 0;
}

int catalogue_mark_backup(const char *path, const int *qids, size_t count,
                          int64_t seconds_since_1970, struct error *ret_error)
{
    struct stamp stamp = {.qids = qids, .count = count};
    int result;

    snprintf(stamp.seconds, sizeof(stamp.seconds), "%lld", (long long)seconds_since_1970);
    result = edit_file(path, 15, stamp_document, &stamp, ret_error);
    arena_free(&stamp.arena);
    return result;
}
