/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The catalogue of a host that has none yet: empty, but for what the backup's host had set for all
 * VMs, as far as it names VMs that are restored. */
#include "import.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Restored VMs may bear labels of the user's own. */
static void add_own_labels(struct conversion *made, const struct reading *from, xmlNode *list)
{
    const xmlNode *labels = element_child(xmlDocGetRootElement(from->document), "labels");
    struct pairs own = {NULL, 0, 0};

    for (xmlNode *at = labels ? element_at(labels->children) : NULL; at;
         at = element_at(at->next)) {
        const char *color = element_attribute(at, "color", made->arena);
        const char *name = element_text(at, made->arena);

        if (element_is(at, "label") && color && is_color(color) && file_name_ok(name) &&
            !is_standard_label(name))
            pairs_add(&own, made->arena, name, color);
    }
    pairs_sort(&own, made->arena);
    for (size_t i = 0; i < own.count; i++) {
        xmlNode *label = add_element(made, list, "label");

        add_attribute(made, label, "id",
                      arena_printf(made->arena, "label-%zu", ARRAY_SIZE(standard_labels) + i + 1));
        add_attribute(made, label, "color", own.items[i].value);
        if (label && element_set_text(label, own.items[i].name))
            made->failed = true;
    }
}

static void fill_r4(struct conversion *made, const struct reading *from, xmlNode *root)
{
    struct pairs properties = {NULL, 0, 0};
    xmlNode *domains;

    r4_labels(made, root);
    add_own_labels(made, from, element_child(root, "labels"));
    r4_pools(made, root);
    pairs_add(&properties, made->arena, "default_pool", "varlibqubes");
    add_named(made, add_element(made, root, "properties"), "property", &properties);
    domains = add_element(made, root, "domains");
    r4_dom0(made, domains);
}

/* Qubes' loader of R3 does not start without this one. */
static void fill_r3(struct conversion *made, xmlNode *root)
{
    add_attribute(made, root, "default_template", "None");
    /* else it would be an element that has no end tag to put VMs before */
    if (!xmlAddChild(root, xmlNewDocText(made->document, (const xmlChar *)"\n")))
        made->failed = true;
}

static int make_document(struct catalogue_import *import, xmlDoc **ret_document)
{
    bool r4 = import->form == CATALOGUE_R4;
    struct conversion made = {.arena = &import->arena};
    xmlNode *root = NULL;

    made.document = xmlNewDoc((const xmlChar *)"1.0");
    if (made.document)
        root = xmlNewDocNode(made.document, NULL,
                             (const xmlChar *)(r4 ? "qubes" : "QubesVmCollection"), NULL);
    if (!root) {
        xmlFreeDoc(made.document);
        return -ENOMEM;
    }
    xmlDocSetRootElement(made.document, root);
    if (r4)
        fill_r4(&made, import->target, root);
    else
        fill_r3(&made, root);
    if (made.failed || arena_status(made.arena)) {
        xmlFreeDoc(made.document);
        return -ENOMEM;
    }
    *ret_document = made.document;
    return 0;
}

int import_host_fresh(struct import_host *host, struct catalogue_import *import,
                      struct error *ret_error)
{
    xmlDoc *document = NULL;
    int result = make_document(import, &document);

    if (result)
        return error_set(ret_error, result, "%s: out of memory", import->path);
    result = import_host_take(host, import->path, document, ret_error);
    host->fresh = true;
    return result;
}

static const struct {
    const char *name;
    bool r3, r4, names_vm;
} globals[] = {
    {"clockvm", true, true, true},
    {"default_audiovm", false, true, true},
    {"default_dispvm", false, true, true},
    {"default_fw_netvm", true, true, true},
    {"default_guivm", false, true, true},
    {"default_kernel", true, true, false},
    {"default_netvm", true, true, true},
    {"default_template", true, true, true},
    {"management_dispvm", false, true, true},
    {"updatevm", true, true, true},
};

int import_fresh_globals(const struct import_pass *pass, struct conversion *made, xmlNode *root)
{
    bool r4 = pass->import->form == CATALOGUE_R4;
    xmlNode *list = element_child(root, "properties");
    int result = 0;

    for (size_t i = 0; !result && i < ARRAY_SIZE(globals); i++) {
        const char *value = import_global(pass, globals[i].name);
        int qid;

        if (!value || !(r4 ? globals[i].r4 : globals[i].r3))
            continue;
        if (globals[i].names_vm) {
            value = is_none(value) || strcmp(value, "dom0") == 0
                        ? value
                        : import_default(pass, globals[i].name);
            qid = value && strcmp(value, "dom0") == 0 ? 0
                  : value && !is_none(value)          ? import_qid_of(pass, value)
                                                      : -1;
            if (!r4)
                value = qid >= 0 ? arena_printf(made->arena, "%d", qid) : "None";
        } else if (!is_none(value) && !file_name_ok(value)) {
            continue;
        }
        if (!value || is_none(value))
            value = r4 ? "" : "None";
        result = r4 ? named_add(list, "property", globals[i].name, value)
                    : element_set_attribute(root, globals[i].name, value);
    }
    return result;
}
