/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The disks in a domain's live definition. */
#include <errno.h>
#include <libxml/parser.h>
#include <stdlib.h>
#include <string.h>

#include "room.h"

#define DISKS_MAX 1024

static xmlNode *child(xmlNode *parent, const char *name)
{
    xmlNode *node = parent ? parent->children : NULL;

    while (node && (node->type != XML_ELEMENT_NODE || !xmlStrEqual(node->name, BAD_CAST name)))
        node = node->next;
    return node;
}

/* A copy of the first of these attributes that the element has, else of `otherwise`. */
static char *attribute(xmlNode *element, const char *const *names, const char *otherwise)
{
    for (; element && *names; names++) {
        xmlChar *value = xmlGetProp(element, BAD_CAST * names);

        if (value) {
            char *copy = strdup((const char *)value);

            xmlFree(value);
            return copy;
        }
    }
    return strdup(otherwise);
}

static bool read_disk(xmlNode *element, struct domain_disk *ret_disk)
{
    static const char *const source[] = {"dev", "file", "name", NULL};
    static const char *const name[] = {"name", NULL}, *const dev[] = {"dev", NULL};
    xmlNode *backend = child(element, "backenddomain");

    *ret_disk = (struct domain_disk){
        .backend = attribute(backend, name, "dom0"),
        .source = attribute(child(element, "source"), source, ""),
        .target = attribute(child(element, "target"), dev, ""),
        .read_only = child(element, "readonly") != NULL,
    };
    return ret_disk->backend && ret_disk->source && ret_disk->target;
}

int disks_read(const char *xml, struct domain_disk **ret_disks, size_t *ret_count)
{
    xmlDoc *document = xmlReadMemory(xml, (int)strlen(xml), NULL, NULL,
                                     XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    xmlNode *devices = root ? child(root, "devices") : NULL;
    struct domain_disk *disks = NULL;
    size_t count = 0;
    int result = 0;

    for (xmlNode *node = devices ? devices->children : NULL; node && count < DISKS_MAX;
         node = node->next) {
        struct domain_disk *grown;

        if (node->type != XML_ELEMENT_NODE || !xmlStrEqual(node->name, BAD_CAST "disk"))
            continue;
        grown = reallocarray(disks, count + 1, sizeof(*grown));
        if (grown)
            disks = grown;
        if (!grown || !read_disk(node, &disks[count++])) {
            result = -ENOMEM;
            break;
        }
    }
    if (document)
        xmlFreeDoc(document);
    if (result) {
        disks_free(disks, count);
        return result;
    }
    *ret_disks = disks;
    *ret_count = count;
    return 0;
}

void disks_free(struct domain_disk *disks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(disks[i].backend);
        free(disks[i].source);
        free(disks[i].target);
    }
    free(disks);
}

bool domain_disks_equal(const struct domain *a, const struct domain *b)
{
    bool same = a->disk_count == b->disk_count;

    for (size_t i = 0; same && i < a->disk_count; i++) {
        const struct domain_disk *x = &a->disks[i], *y = &b->disks[i];

        same = strcmp(x->backend, y->backend) == 0 && strcmp(x->source, y->source) == 0 &&
               strcmp(x->target, y->target) == 0 && x->read_only == y->read_only;
    }
    return same;
}
