/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A restored VM's element of R4.  As in R3, only what is known and has the form that it must have
 * is taken over: qubesd does not start over a property that it can't read.
 */
#include "import.h"

#include <string.h>

#include "properties.h"

/* Made anew for the host, or of no use on another one; so nobody has to be told. */
static bool is_made_anew(const char *name)
{
    static const char *const names[] = {
        "default_dispvm", "dispid", "installed_by_rpm", "kernel", "label", "name",
        "netvm",          "qid",    "template",         "uuid"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static void add_property(const struct import_pass *pass, struct conversion *made,
                         const struct import_vm *vm, const char *untrusted_name,
                         const char *untrusted_value, struct pairs *properties)
{
    const struct property *property =
        property_find(CATALOGUE_R4, vm->shown.vm_class, untrusted_name);
    const char *value = NULL;

    if (!property || property_parse(property, untrusted_value, made->arena, &value, NULL) != 0) {
        leave_out(made, vm->target, "property", untrusted_name);
        return;
    }
    if (property->type == PROPERTY_VM && !is_none(value)) {
        value = import_resolve(pass, value);
        if (!value) {
            leave_out(made, vm->target, "property",
                      arena_printf(made->arena, "%s (%s)", untrusted_name, untrusted_value));
            return;
        }
    }
    pairs_add(properties, made->arena, untrusted_name,
              property->none && is_none(value) ? "" : value);
}

/* Labels of the user's own may be on this host or not. */
static const char *label_of(const struct import_pass *pass, struct conversion *made,
                            const struct import_vm *vm)
{
    const char *label = pref_of(vm->target, "label");
    const xmlNode *list = element_child(xmlDocGetRootElement(pass->host->document), "labels");

    if (!label)
        label = is_template(vm->target) ? "black" : "red";
    for (xmlNode *at = list ? element_at(list->children) : NULL; at; at = element_at(at->next))
        if (element_is(at, "label") && strcmp(element_text(at, made->arena), label) == 0)
            return label;
    leave_out(made, vm->target, "label", label);
    return "red"; /* as Qubes' restore does with one that it does not know */
}

static void add_relative(struct conversion *made, struct pairs *properties, const char *property,
                         const struct relative *relative)
{
    if (relative->kind != RELATIVE_DEFAULT)
        pairs_add(properties, made->arena, property, relative->name ? relative->name : "");
}

static void add_properties(const struct import_pass *pass, struct conversion *made,
                           const struct import_vm *vm, xmlNode *domain)
{
    const xmlNode *list = element_child(vm->target->element, "properties");
    const char *kernel = pref_of(vm->target, "kernel");
    struct pairs properties = {NULL, 0, 0};

    for (xmlNode *at = list ? element_at(list->children) : NULL; at; at = element_at(at->next)) {
        const char *name = element_attribute(at, "name", made->arena);

        if (name && element_is(at, "property") && !is_made_anew(name))
            add_property(pass, made, vm, name, element_text(at, made->arena), &properties);
    }
    pairs_add(&properties, made->arena, "qid", arena_printf(made->arena, "%d", vm->qid));
    pairs_add(&properties, made->arena, "uuid", vm->shown.uuid);
    pairs_add(&properties, made->arena, "name", vm->shown.new_name);
    pairs_add(&properties, made->arena, "label", label_of(pass, made, vm));
    if (kernel)
        kernel = import_kernel(pass, made, vm, kernel);
    if (kernel)
        pairs_add(&properties, made->arena, "kernel", kernel);
    if (vm->template.kind == RELATIVE_VM)
        pairs_add(&properties, made->arena, "template", vm->template.name);
    add_relative(made, &properties, "netvm", &vm->netvm);
    add_relative(made, &properties, "default_dispvm", &vm->dispvm);
    add_named(made, add_element(made, domain, "properties"), "property", &properties);
}

/* Marks of the backup, and names of disposables that ran when it was made. */
static bool is_left_behind(const char *name)
{
    return strncmp(name, "backup-", 7) == 0 ||
           (strncmp(name, "preload-dispvm", 14) == 0 && strcmp(name, "preload-dispvm-max") != 0);
}

static void add_features(struct conversion *made, const struct import_vm *vm, xmlNode *domain)
{
    const struct pairs *from = &vm->target->features;
    struct pairs features = {NULL, 0, 0};

    if (vm->menu_items)
        pairs_add(&features, made->arena, "menu-items", vm->menu_items);
    /* what the catalogue says comes later and stays */
    for (size_t i = 0; i < from->count; i++) {
        if (is_left_behind(from->items[i].name))
            continue;
        if (import_text_ok(from->items[i].value))
            pairs_add(&features, made->arena, from->items[i].name, from->items[i].value);
        else
            leave_out(made, vm->target, "feature", from->items[i].name);
    }
    add_named(made, add_element(made, domain, "features"), "feature", &features);
}

static bool tag_ok(const char *untrusted_tag)
{
    for (const char *at = untrusted_tag; *at; at++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:+-", *at))
            return false;
    return true;
}

static void add_tags(struct conversion *made, const struct import_vm *vm, xmlNode *domain)
{
    xmlNode *tags = add_element(made, domain, "tags");

    for (size_t i = 0; i < vm->target->tags.count; i++) {
        const char *tag = vm->target->tags.items[i].name;

        if (tag_ok(tag))
            add_attribute(made, add_element(made, tags, "tag"), "name", tag);
        else
            leave_out(made, vm->target, "tag", tag);
    }
}

static bool word_ok(const char *untrusted_text)
{
    return *untrusted_text && strlen(untrusted_text) <= 255 && import_text_ok(untrusted_text) &&
           !strchr(untrusted_text, '\n');
}

static void add_device(const struct import_pass *pass, struct conversion *made,
                       const struct import_vm *vm, const xmlNode *from, const char *bus,
                       xmlNode *devices)
{
    static const char *const attributes[] = {"id", "mode", "identity", "required"};
    const char *backend = element_attribute(from, "backend-domain", made->arena);
    const char *id = element_attribute(from, "id", made->arena), *host = NULL;
    struct pairs options = {NULL, 0, 0};
    xmlNode *device;

    if (backend)
        host = strcmp(backend, "dom0") == 0 ? "dom0" : import_resolve(pass, backend);
    if (!host || !id || !word_ok(id)) {
        leave_out(made, vm->target, "device",
                  arena_printf(made->arena, "%s %s:%s", bus, backend ? backend : "", id ? id : ""));
        return;
    }
    device = add_element(made, devices, "device");
    add_attribute(made, device, "backend-domain", host);
    for (size_t i = 0; i < ARRAY_SIZE(attributes); i++) {
        const char *value = element_attribute(from, attributes[i], made->arena);

        if (value && word_ok(value))
            add_attribute(made, device, attributes[i], value);
    }
    for (xmlNode *at = element_at(from->children); at; at = element_at(at->next)) {
        const char *name = element_attribute(at, "name", made->arena);
        const char *value = element_text(at, made->arena);

        if (element_is(at, "option") && name && file_name_ok(name) && import_text_ok(value))
            pairs_add(&options, made->arena, name, value);
    }
    add_named(made, device, "option", &options);
}

static void add_devices(const struct import_pass *pass, struct conversion *made,
                        const struct import_vm *vm, xmlNode *domain)
{
    for (xmlNode *bus = element_at(vm->target->element->children); bus;
         bus = element_at(bus->next)) {
        const char *name = element_attribute(bus, "class", made->arena);
        xmlNode *devices;

        if (!element_is(bus, "devices") || !name)
            continue;
        if (!file_name_ok(name)) {
            leave_out(made, vm->target, "devices", name);
            continue;
        }
        devices = add_element(made, domain, "devices");
        add_attribute(made, devices, "class", name);
        for (xmlNode *at = element_at(bus->children); at; at = element_at(at->next))
            if (element_is(at, "device"))
                add_device(pass, made, vm, at, name, devices);
    }
}

void import_r4_element(const struct import_pass *pass, struct conversion *made,
                       const struct import_vm *vm, xmlNode *parent)
{
    xmlNode *domain = add_element(made, parent, "domain");

    add_attribute(made, domain, "id", arena_printf(made->arena, "domain-%d", vm->qid));
    add_attribute(made, domain, "class", vm_class_name(vm->shown.vm_class));
    add_properties(pass, made, vm, domain);
    add_features(made, vm, domain);
    add_devices(pass, made, vm, domain);
    add_tags(made, vm, domain);
    import_volumes(pass, made, vm, domain);
}
