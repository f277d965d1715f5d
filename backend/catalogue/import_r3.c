/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A restored VM's element of R3.  Nothing is taken over from the backup but values of known
 * attributes that have the form they must have: Qubes itself evaluates some of them as Python.
 */
#include "import.h"

#include <string.h>

#include "properties.h"

/* Made anew for the host, or of no use on another one; so nobody has to be told. */
static const char *const made_anew[] = {
    "backup_content",
    "backup_path",
    "backup_size",
    "conf_file",
    "dir_path",
    "disp_savefile",
    "dispid",
    "dispvm_netvm",
    "dispvm_netvm_qid",
    "firewall_conf",
    "installed_by_rpm",
    "kernel",
    "label",
    "name",
    "netid",
    "netvm_qid",
    "pool_name",
    "private_img",
    "qid",
    "root_img",
    "services",
    "template_qid",
    "uses_default_dispvm_netvm",
    "uses_default_kernel",
    "uses_default_netvm",
    "uuid",
    "volatile_img",
};

static bool is_made_anew(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(made_anew); i++)
        if (strcmp(made_anew[i], name) == 0)
            return true;
    return false;
}

static const char *true_or_false(bool value)
{
    return value ? "True" : "False";
}

/* One attribute as it was, if it is one that this class of VM has. */
static void add_attribute_of(struct conversion *made, const struct import_vm *vm,
                             const char *untrusted_name, const char *untrusted_value,
                             struct pairs *attributes)
{
    const struct property *property =
        property_find(CATALOGUE_R3, vm->shown.vm_class, untrusted_name);
    const char *value;

    if (strcmp(untrusted_name, "uses_default_kernelopts") == 0) {
        pairs_add(attributes, made->arena, untrusted_name,
                  true_or_false(parse_bool(untrusted_value, true)));
    } else if (strcmp(untrusted_name, "backup_timestamp") == 0 && is_number(untrusted_value)) {
        pairs_add(attributes, made->arena, untrusted_name, untrusted_value);
    } else if (property && property->type == PROPERTY_DRIVE) {
        /* a file or disk of this host that the backup has no say in */
        pairs_add(attributes, made->arena, untrusted_name, "None");
        if (!is_none(untrusted_value))
            leave_out(made, vm->target, "attribute", untrusted_name);
    } else if (property &&
               property_parse(property, untrusted_value, made->arena, &value, NULL) == 0) {
        pairs_add(attributes, made->arena, untrusted_name, value);
    } else if (!is_none(untrusted_value)) {
        leave_out(made, vm->target, "attribute", untrusted_name);
    }
}

static void add_label(struct conversion *made, const struct import_vm *vm, struct pairs *attributes)
{
    const char *label = element_attribute(vm->target->element, "label", made->arena);

    if (!label)
        label = is_template(vm->target) ? "black" : "red";
    if (!is_standard_label(label)) {
        leave_out(made, vm->target, "label", label);
        label = "red";
    }
    pairs_add(attributes, made->arena, "label", label);
}

static void add_services(struct conversion *made, const struct import_vm *vm,
                         struct pairs *attributes)
{
    struct pairs services = {NULL, 0, 0};

    for (size_t i = 0; i < vm->target->services.count; i++) {
        const struct name_value *service = &vm->target->services.items[i];

        if (services_name_ok(service->name))
            pairs_add(&services, made->arena, service->name, service->value);
        else
            leave_out(made, vm->target, "service", service->name);
    }
    pairs_add(attributes, made->arena, "services", services_print(&services, made->arena));
}

static void add_kernel(const struct import_pass *pass, struct conversion *made,
                       const struct import_vm *vm, struct pairs *attributes)
{
    const xmlNode *element = vm->target->element;
    const char *stored = element_attribute(element, "kernel", made->arena);
    bool uses_default =
        parse_bool(element_attribute(element, "uses_default_kernel", made->arena), true);
    const char *kernel = stored && !uses_default ? import_kernel(pass, made, vm, stored) : NULL;
    const char *global = import_global(pass, "default_kernel");

    if (!property_find(CATALOGUE_R3, vm->shown.vm_class, "kernel"))
        return;
    pairs_add(attributes, made->arena, "uses_default_kernel", true_or_false(!kernel));
    if (!kernel)
        kernel = global && file_name_ok(global) ? global : "";
    pairs_add(attributes, made->arena, "kernel", is_none(kernel) ? "None" : kernel);
}

static const char *qid_text(const struct import_pass *pass, struct conversion *made,
                            const char *name)
{
    int qid = name ? import_qid_of(pass, name) : -1;

    return qid >= 0 ? arena_printf(made->arena, "%d", qid) : "none";
}

static void add_relatives(const struct import_pass *pass, struct conversion *made,
                          const struct import_vm *vm, struct pairs *attributes)
{
    bool proxy = vm->shown.vm_class == VM_CLASS_PROXY;
    const char *own = vm->netvm.kind == RELATIVE_DEFAULT
                          ? import_default(pass, proxy ? "default_fw_netvm" : "default_netvm")
                          : vm->netvm.name;
    bool own_dispvm = vm->dispvm.kind == RELATIVE_DEFAULT;

    pairs_add(attributes, made->arena, "template_qid", qid_text(pass, made, vm->template.name));
    if (vm->shown.vm_class == VM_CLASS_NET)
        own = NULL;
    else
        pairs_add(attributes, made->arena, "netvm_qid", qid_text(pass, made, own));
    if (vm->shown.vm_class != VM_CLASS_NET)
        pairs_add(attributes, made->arena, "uses_default_netvm",
                  true_or_false(vm->netvm.kind == RELATIVE_DEFAULT));
    pairs_add(attributes, made->arena, "uses_default_dispvm_netvm", true_or_false(own_dispvm));
    pairs_add(attributes, made->arena, "dispvm_netvm",
              qid_text(pass, made, own_dispvm ? own : vm->dispvm.name));
}

static void add_places(struct conversion *made, const struct import_vm *vm,
                       struct pairs *attributes)
{
    const char *name = vm->shown.new_name;

    pairs_add(attributes, made->arena, "name", name);
    pairs_add(attributes, made->arena, "uuid", vm->shown.uuid);
    pairs_add(
        attributes, made->arena, "dir_path",
        arena_printf(made->arena, R3_ROOT "/%s/%s", vm_class_directory(vm->shown.vm_class), name));
    pairs_add(attributes, made->arena, "conf_file", arena_printf(made->arena, "%s.conf", name));
    pairs_add(attributes, made->arena, "firewall_conf", "firewall.xml");
    pairs_add(attributes, made->arena, "pool_name", "default");
    pairs_add(attributes, made->arena, "installed_by_rpm", "False");
    pairs_add(attributes, made->arena, "backup_content", "False");
    pairs_add(attributes, made->arena, "backup_path", "");
    pairs_add(attributes, made->arena, "backup_size", "0");
}

void import_r3_element(const struct import_pass *pass, struct conversion *made,
                       const struct import_vm *vm, int netid, xmlNode *parent)
{
    xmlNode *element = add_element(made, parent, (const char *)vm->target->element->name);
    struct pairs attributes = {NULL, 0, 0};

    for (const xmlAttr *at = vm->target->element->properties; at; at = at->next) {
        const char *name = (const char *)at->name;

        if (!at->ns && !is_made_anew(name))
            add_attribute_of(made, vm, name, attribute_value(at, made->arena), &attributes);
    }
    add_places(made, vm, &attributes);
    pairs_add(&attributes, made->arena, "qid", arena_printf(made->arena, "%d", vm->qid));
    if (vm->shown.vm_class == VM_CLASS_NET || vm->shown.vm_class == VM_CLASS_PROXY)
        pairs_add(&attributes, made->arena, "netid", arena_printf(made->arena, "%d", netid));
    add_label(made, vm, &attributes);
    add_services(made, vm, &attributes);
    add_kernel(pass, made, vm, &attributes);
    add_relatives(pass, made, vm, &attributes);
    /* its default would otherwise follow installed_by_rpm, which is another one now */
    pairs_add(&attributes, made->arena, "include_in_backups",
              true_or_false(vm->target->include_in_backups));
    add_attributes(made, element, &attributes);
}
