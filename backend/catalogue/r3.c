/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The form of R2 and R3: <QubesVmCollection>, one empty element a VM, everything in attributes. */
#include "internal.h"

#include <errno.h>
#include <string.h>

#include "qubesfs/log.h"

bool r3_class(const xmlNode *element, enum vm_class *ret_class)
{
    static const struct {
        const char *element;
        enum vm_class vm_class;
    } classes[] = {
        {"QubesAdminVm", VM_CLASS_ADMIN},
        {"QubesTemplateVm", VM_CLASS_TEMPLATE},
        {"QubesNetVm", VM_CLASS_NET},
        {"QubesProxyVm", VM_CLASS_PROXY},
        {"QubesAppVm", VM_CLASS_APP},
        {"QubesDisposableVm", VM_CLASS_DISP},
        {"QubesHVm", VM_CLASS_HVM},
        {"QubesTemplateHVm", VM_CLASS_TEMPLATE_HVM},
        {"QubesStandaloneVm", VM_CLASS_STANDALONE},
    };

    for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
        if (element_is(element, classes[i].element)) {
            *ret_class = classes[i].vm_class;
            return true;
        }
    return false;
}

/* The name of the VM that a qid stands for; NULL for none and for one that does not exist. */
static int resolve(struct reading *reading, const xmlNode *where, const char *attribute,
                   const char *untrusted_qid, int *ret_qid, const char **ret_name)
{
    const struct draft *draft;
    uint64_t qid;

    *ret_qid = -1;
    *ret_name = NULL;
    if (!untrusted_qid || is_none(untrusted_qid))
        return 0;
    if (!parse_number(untrusted_qid, QID_MAX, &qid))
        return reading_refuse(reading, where, "%s '%.80s' is not a qid", attribute, untrusted_qid);
    *ret_qid = (int)qid;
    draft = reading_by_qid(reading, (int)qid);
    if (draft)
        *ret_name = draft->name;
    else if (qid == 0)
        *ret_name = "dom0"; /* not stored before 2015 */
    else
        log_debug("%s:%ld: %s names qid %d, which does not exist", reading->path,
                  element_line(where), attribute, (int)qid);
    return 0;
}

static const char *or_none(const char *name)
{
    return name ? name : "none";
}

/* What the attributes of the root say once and the VMs use as their defaults. */
struct defaults {
    const char *netvm, *fw_netvm, *kernel;
};

static int read_globals(struct reading *reading, xmlNode *root, struct defaults *ret_defaults)
{
    static const char *const vm_valued[] = {"default_template", "default_netvm", "default_fw_netvm",
                                            "updatevm", "clockvm"};
    struct arena *arena = &reading->arena;

    for (const xmlAttr *at = root->properties; at; at = at->next) {
        const char *name = (const char *)at->name, *value = attribute_value(at, arena);
        int qid, result;

        if (at->ns)
            continue;
        for (size_t i = 0; i < ARRAY_SIZE(vm_valued); i++) {
            if (strcmp(name, vm_valued[i]) != 0)
                continue;
            result = resolve(reading, root, name, value, &qid, &value);
            if (result)
                return result;
            value = or_none(value);
            break;
        }
        pairs_add(&reading->globals, arena, name, value);
    }
    pairs_sort(&reading->globals, arena);
    *ret_defaults = (struct defaults){NULL, NULL, NULL};
    for (size_t i = 0; i < reading->globals.count; i++) {
        const struct name_value *global = &reading->globals.items[i];
        const char *value = strcmp(global->value, "none") == 0 ? NULL : global->value;

        if (strcmp(global->name, "default_netvm") == 0)
            ret_defaults->netvm = value;
        else if (strcmp(global->name, "default_fw_netvm") == 0)
            ret_defaults->fw_netvm = value;
        else if (strcmp(global->name, "default_kernel") == 0)
            ret_defaults->kernel = global->value;
    }
    return 0;
}

static int read_template(struct reading *reading, struct draft *draft)
{
    struct arena *arena = &reading->arena;
    const char *value = element_attribute(draft->element, "template_qid", arena);
    int qid, result;

    result = resolve(reading, draft->element, "template_qid", value, &qid, &draft->template_name);
    if (result)
        return result;
    if (value)
        pairs_add(&draft->prefs, arena, "template", or_none(draft->template_name));
    if (qid >= 0 && !draft->template_name)
        draft->template_name = arena_printf(arena, "qid %d", qid);
    /* R3 has no class of its own for an AppVM that stands alone */
    if (draft->vm_class == VM_CLASS_APP && !draft->template_name)
        draft->vm_class = VM_CLASS_STANDALONE;
    draft->updateable = !draft->template_name && draft->vm_class != VM_CLASS_ADMIN &&
                        draft->vm_class != VM_CLASS_DISP;
    return 0;
}

static int read_netvms(struct reading *reading, struct draft *draft,
                       const struct defaults *defaults)
{
    struct arena *arena = &reading->arena;
    const xmlNode *element = draft->element;
    const char *stored = element_attribute(element, "netvm_qid", arena);
    const char *uses_default = element_attribute(element, "uses_default_netvm", arena);
    const char *disp = element_attribute(element, "dispvm_netvm", arena);
    const char *disp_default = element_attribute(element, "uses_default_dispvm_netvm", arena);
    bool proxy = draft->vm_class == VM_CLASS_PROXY;
    const char *name;
    int qid, result;

    result = resolve(reading, element, "netvm_qid", stored, &qid, &name);
    if (result)
        return result;
    /* Qubes' loader: a NetVM has none whatever is stored, a ProxyVM's own one is taken unless told
     * otherwise, and only there the default is that of firewall VMs */
    if (draft->vm_class == VM_CLASS_NET || draft->vm_class == VM_CLASS_ADMIN)
        draft->netvm_name = NULL;
    else if (parse_bool(uses_default, !proxy))
        draft->netvm_name = proxy ? defaults->fw_netvm : defaults->netvm;
    else
        draft->netvm_name = name;
    if (stored || uses_default)
        pairs_add(&draft->prefs, arena, "netvm", or_none(draft->netvm_name));

    result = resolve(reading, element, "dispvm_netvm", disp, &qid, &name);
    if (result)
        return result;
    if (parse_bool(disp_default, true))
        name = draft->netvm_name;
    if (disp || disp_default)
        pairs_add(&draft->prefs, arena, "dispvm_netvm", or_none(name));
    return 0;
}

static void read_services(struct reading *reading, struct draft *draft)
{
    const char *literal = element_attribute(draft->element, "services", &reading->arena);

    if (!literal || is_none(literal))
        return;
    if (!services_parse(literal, &reading->arena, &draft->services) && !reading->foreign)
        log_warning("%s:%ld: services of %s are malformed and left out", reading->path,
                    element_line(draft->element), draft->name);
}

static void read_prefs(struct reading *reading, struct draft *draft,
                       const struct defaults *defaults)
{
    static const char *const told_otherwise[] = {"services", "template_qid", "netvm_qid",
                                                 "dispvm_netvm", "kernel"};
    struct arena *arena = &reading->arena;
    const char *kernel = element_attribute(draft->element, "kernel", arena);
    const char *default_kernel = element_attribute(draft->element, "uses_default_kernel", arena);

    for (const xmlAttr *at = draft->element->properties; at; at = at->next) {
        const char *name = (const char *)at->name;
        bool other = at->ns != NULL || !file_name_ok(name);

        for (size_t i = 0; i < ARRAY_SIZE(told_otherwise); i++)
            other = other || strcmp(name, told_otherwise[i]) == 0;
        /* an attribute called as one that is made up from others does not hide that one */
        other = other || ((strcmp(name, "netvm") == 0 || strcmp(name, "template") == 0) &&
                          element_attribute(draft->element,
                                            name[0] == 'n' ? "netvm_qid" : "template_qid", arena));
        if (!other)
            pairs_add(&draft->prefs, arena, name, attribute_value(at, arena));
    }
    if (default_kernel && parse_bool(default_kernel, false) && defaults->kernel)
        kernel = defaults->kernel;
    if (kernel)
        pairs_add(&draft->prefs, arena, "kernel", kernel);
}

static int read_vm(struct reading *reading, struct draft *draft, const struct defaults *defaults)
{
    struct arena *arena = &reading->arena;
    const xmlNode *element = draft->element;
    int result;

    reading_uuid(reading, draft, element_attribute(element, "uuid", arena));
    draft->dir_path = element_attribute(element, "dir_path", arena);
    if (draft->dir_path && is_none(draft->dir_path))
        draft->dir_path = NULL;
    if (draft->dir_path && (draft->dir_path[0] != '/' || !path_ok(draft->dir_path)))
        return reading_refuse(reading, element, "dir_path '%.200s' is not an absolute path",
                              draft->dir_path);
    draft->internal = parse_bool(element_attribute(element, "internal", arena), false);
    draft->installed_by_rpm =
        parse_bool(element_attribute(element, "installed_by_rpm", arena), false);
    draft->include_in_backups = parse_bool(element_attribute(element, "include_in_backups", arena),
                                           !draft->installed_by_rpm);
    read_prefs(reading, draft, defaults);
    result = read_template(reading, draft);
    if (result)
        return result;
    result = read_netvms(reading, draft, defaults);
    if (result)
        return result;
    read_services(reading, draft);
    pairs_sort(&draft->prefs, arena);
    return 0;
}

int r3_read(struct reading *reading, xmlNode *root)
{
    struct arena *arena = &reading->arena;
    struct defaults defaults;
    int result;

    for (xmlNode *at = element_at(root->children); at; at = element_at(at->next)) {
        enum vm_class vm_class;
        struct draft *draft;

        if (!r3_class(at, &vm_class)) {
            log_debug("%s:%ld: skipped the unknown element <%s>", reading->path, element_line(at),
                      (const char *)at->name);
            continue;
        }
        draft = reading_draft(reading, at, vm_class);
        if (!draft)
            return -ENOMEM;
        result = reading_identify(reading, draft, element_attribute(at, "qid", arena),
                                  element_attribute(at, "name", arena));
        if (result)
            return result;
    }
    /* names for qids can be told only when all VMs are known */
    result = reading_index(reading);
    if (!result)
        result = read_globals(reading, root, &defaults);
    for (size_t i = 0; !result && i < reading->draft_count; i++)
        result = read_vm(reading, &reading->drafts[i], &defaults);
    return result;
}
