/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The R4 form of an R3 catalogue: labels, pools, global properties and the domains' frame. */
#include "convert.h"

#include <stdio.h>
#include <string.h>

#define KERNELS R3_ROOT "/vm-kernels"

/* The VM that a disposable of R3 was made from.  R3 stores the template below it, and calls that VM
 * TEMPLATE-dvm. */
static const struct draft *find_dvm(const struct conversion *conversion, const struct draft *draft)
{
    const struct draft *at =
        draft->template_name ? reading_by_name(conversion->from, draft->template_name) : NULL;

    if (at && is_template(at))
        at = reading_by_name(conversion->from, arena_printf(conversion->arena, "%s-dvm", at->name));
    return at && at->vm_class == VM_CLASS_APP && base_template(conversion, at) ? at : NULL;
}

static bool is_dvm(const struct conversion *conversion, const struct draft *draft)
{
    const struct draft *template = base_template(conversion, draft);

    return draft->vm_class == VM_CLASS_APP && draft->internal && template &&
           strcmp(draft->name, arena_printf(conversion->arena, "%s-dvm", template->name)) == 0;
}

static void decide(struct conversion *conversion, const struct draft *draft)
{
    struct counterpart *counterpart = counterpart_of(conversion, draft);

    counterpart->qid = draft->qid;
    counterpart->for_dispvms = counterpart->for_dispvms || is_dvm(conversion, draft);
    if (draft->vm_class == VM_CLASS_ADMIN) {
        counterpart->vm_class = VM_CLASS_ADMIN;
        return;
    }
    if (is_template(draft)) {
        counterpart->vm_class = VM_CLASS_TEMPLATE;
        return;
    }
    if (draft->vm_class == VM_CLASS_DISP) {
        const struct draft *dvm = find_dvm(conversion, draft);

        if (dvm) {
            counterpart->vm_class = VM_CLASS_DISP;
            counterpart->template = dvm;
            counterpart_of(conversion, dvm)->for_dispvms = true;
            return;
        }
    }
    if (draft->template_name)
        counterpart->template = base_template(conversion, draft);
    counterpart->vm_class = counterpart->template ? VM_CLASS_APP : VM_CLASS_STANDALONE;
}

void r4_labels(struct conversion *conversion, xmlNode *root)
{
    xmlNode *list = add_element(conversion, root, "labels");

    for (size_t i = 0; i < ARRAY_SIZE(standard_labels); i++) {
        xmlNode *label = add_element(conversion, list, "label");
        char number[32];

        snprintf(number, sizeof(number), "label-%zu", i + 1);
        add_attribute(conversion, label, "id", number);
        snprintf(number, sizeof(number), "0x%06x", standard_labels[i].color);
        add_attribute(conversion, label, "color", number);
        if (label && element_set_text(label, standard_labels[i].name))
            conversion->failed = true;
    }
}

void r4_pools(struct conversion *conversion, xmlNode *root)
{
    static const struct {
        const char *name, *driver, *path;
    } pools[] = {{"linux-kernel", "linux-kernel", KERNELS}, {"varlibqubes", "file", R3_ROOT}};
    xmlNode *list = add_element(conversion, root, "pools");

    for (size_t i = 0; i < ARRAY_SIZE(pools); i++) {
        xmlNode *pool = add_element(conversion, list, "pool");

        add_attribute(conversion, pool, "name", pools[i].name);
        add_attribute(conversion, pool, "driver", pools[i].driver);
        add_attribute(conversion, pool, "dir_path", pools[i].path);
    }
}

static void add_globals(struct conversion *conversion, xmlNode *root)
{
    static const char *const vm_valued[] = {"clockvm", "default_fw_netvm", "default_netvm",
                                            "default_template", "updatevm"};
    const xmlNode *old = xmlDocGetRootElement(conversion->from->document);
    const struct pairs *globals = &conversion->from->globals;
    xmlNode *list = add_element(conversion, root, "properties");
    struct pairs properties = {NULL, 0, 0};

    pairs_add(&properties, conversion->arena, "default_pool", "varlibqubes");
    for (size_t i = 0; i < globals->count; i++) {
        const char *name = globals->items[i].name, *value = globals->items[i].value;
        bool known = strcmp(name, "default_kernel") == 0;

        for (size_t at = 0; at < ARRAY_SIZE(vm_valued); at++) {
            if (strcmp(name, vm_valued[at]) != 0)
                continue;
            known = true;
            if (is_none(value) && !is_none(element_attribute(old, name, conversion->arena)))
                leave_out(conversion, NULL, "global", name);
        }
        if (known)
            pairs_add(&properties, conversion->arena, name, is_none(value) ? "" : value);
        else
            leave_out(conversion, NULL, "global", name);
    }
    add_named(conversion, list, "property", &properties);
}

/* Where R3 has the VM's images, as an id in the pool /var/lib/qubes. */
static const char *image_directory(const struct conversion *conversion, const struct draft *draft)
{
    bool serves = draft->vm_class == VM_CLASS_NET || draft->vm_class == VM_CLASS_PROXY;

    if (draft->dir_path && strncmp(draft->dir_path, R3_ROOT "/", sizeof(R3_ROOT)) == 0 &&
        draft->dir_path[sizeof(R3_ROOT)] && draft->dir_path[sizeof(R3_ROOT)] != '/')
        return draft->dir_path + sizeof(R3_ROOT);
    return arena_printf(conversion->arena, "%s/%s",
                        is_template(draft) ? "vm-templates"
                        : serves           ? "servicevms"
                                           : "appvms",
                        draft->name);
}

static xmlNode *add_volume(struct conversion *conversion, xmlNode *list, const char *name,
                           const char *pool, const char *vid)
{
    xmlNode *volume = add_element(conversion, list, "volume");

    add_attribute(conversion, volume, "name", name);
    add_attribute(conversion, volume, "pool", pool);
    add_attribute(conversion, volume, "vid", vid);
    return volume;
}

/* Sizes are the images' and not known here; Qubes' reader takes none from a backup. */
static void add_volumes(struct conversion *conversion, const struct draft *draft, xmlNode *domain)
{
    static const char *const names[] = {"root", "private", "volatile"};
    const struct counterpart *counterpart = counterpart_of(conversion, draft);
    const char *directory = image_directory(conversion, draft);
    struct arena *arena = conversion->arena;
    xmlNode *list = add_element(conversion, domain, "volume-config");
    const char *kernel = pref_of(draft, "kernel");

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        /* volatile is made anew at each start; so is all of a disposable, and a root that is the
         * template's */
        bool snapped =
            (counterpart->template && i == 0) || (counterpart->vm_class == VM_CLASS_DISP && i == 1);
        xmlNode *volume = add_volume(conversion, list, names[i], "varlibqubes",
                                     arena_printf(arena, "%s/%s", directory, names[i]));

        add_attribute(conversion, volume, "rw", "True");
        if (snapped) {
            const struct draft *source =
                i == 0 ? base_template(conversion, counterpart->template) : counterpart->template;

            add_attribute(conversion, volume, "snap_on_start", "True");
            add_attribute(
                conversion, volume, "source",
                arena_printf(arena, "%s/%s", image_directory(conversion, source), names[i]));
        } else if (i != 2) {
            add_attribute(conversion, volume, "save_on_stop", "True");
        }
    }
    if (kernel && !is_none(kernel) && file_name_ok(kernel))
        add_volume(conversion, list, "kernel", "linux-kernel", kernel);
}

static void add_domain(struct conversion *conversion, const struct draft *draft, xmlNode *domains)
{
    const struct counterpart *counterpart = counterpart_of(conversion, draft);
    xmlNode *domain = add_element(conversion, domains, "domain");
    struct pairs properties = {NULL, 0, 0}, features = {NULL, 0, 0};

    add_attribute(conversion, domain, "id",
                  arena_printf(conversion->arena, "domain-%d", counterpart->qid));
    add_attribute(conversion, domain, "class", vm_class_name(counterpart->vm_class));
    r4_properties(conversion, draft, &properties);
    add_named(conversion, add_element(conversion, domain, "properties"), "property", &properties);
    r4_features(conversion, draft, &features);
    add_named(conversion, add_element(conversion, domain, "features"), "feature", &features);
    r4_devices(conversion, draft, domain);
    add_element(conversion, domain, "tags");
    if (counterpart->vm_class != VM_CLASS_ADMIN)
        add_volumes(conversion, draft, domain);
    r4_leave_out(conversion, draft);
}

/* R4 has an entry for dom0 always, R3 since 2015. */
void r4_dom0(struct conversion *conversion, xmlNode *domains)
{
    xmlNode *domain = add_element(conversion, domains, "domain");
    struct pairs properties = {NULL, 0, 0};

    add_attribute(conversion, domain, "id", "domain-0");
    add_attribute(conversion, domain, "class", "AdminVM");
    pairs_add(&properties, conversion->arena, "label", "black");
    pairs_add(&properties, conversion->arena, "qid", "0");
    add_named(conversion, add_element(conversion, domain, "properties"), "property", &properties);
    add_element(conversion, domain, "features");
    add_element(conversion, domain, "tags");
}

int to_r4(struct conversion *conversion)
{
    const struct reading *from = conversion->from;
    const xmlNode *old = xmlDocGetRootElement(from->document);
    xmlNode *root = xmlNewDocNode(conversion->document, NULL, (const xmlChar *)"qubes", NULL),
            *domains;

    conversion->failed = !root;
    if (!root)
        return 0;
    xmlDocSetRootElement(conversion->document, root);
    for (size_t i = 0; i < from->draft_count; i++)
        decide(conversion, &from->drafts[i]);
    r4_labels(conversion, root);
    r4_pools(conversion, root);
    add_globals(conversion, root);
    domains = add_element(conversion, root, "domains");
    if (!reading_by_qid(from, 0) && !reading_by_name(from, "dom0"))
        r4_dom0(conversion, domains);
    for (size_t i = 0; i < from->draft_count; i++)
        add_domain(conversion, &from->drafts[i], domains);
    for (const xmlNode *at = element_at(old->children); at; at = element_at(at->next)) {
        enum vm_class ignored;

        if (!r3_class(at, &ignored))
            leave_out(conversion, NULL, "element", (const char *)at->name);
    }
    return 0;
}
