/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The R3 form of an R4 catalogue: what every VM is there, its relatives and its directory. */
#include "convert.h"

#include <string.h>

static bool is_disposable(const struct draft *draft)
{
    /* one with a name of its own, like a sys-net that forgets, is a VM like others to R3 */
    return draft->vm_class == VM_CLASS_DISP && parse_bool(pref_of(draft, "auto_cleanup"), false);
}

bool r3_serves(const struct draft *draft)
{
    return !is_template(draft) && draft->vm_class != VM_CLASS_ADMIN && !is_disposable(draft) &&
           parse_bool(pref_of(draft, "provides_network"), false);
}

/* hvm by its own wish.  R4 makes one of any VM with a PCI device, where R3 is content with pv. */
static bool is_hvm(const struct draft *draft)
{
    const char *mode = pref_of(draft, "virt_mode");

    return mode && strcmp(mode, "hvm") == 0;
}

static enum vm_class class_in_r3(const struct conversion *conversion, const struct draft *draft)
{
    const struct counterpart *counterpart = counterpart_of(conversion, draft);

    if (draft->vm_class == VM_CLASS_ADMIN)
        return VM_CLASS_ADMIN;
    if (draft->vm_class == VM_CLASS_TEMPLATE)
        return is_hvm(draft) ? VM_CLASS_TEMPLATE_HVM : VM_CLASS_TEMPLATE;
    if (is_disposable(draft) && counterpart->template)
        return VM_CLASS_DISP;
    if (r3_serves(draft))
        return counterpart->netvm ? VM_CLASS_PROXY : VM_CLASS_NET;
    /* R3 wants an HVM's template to be for HVMs and all others' not to be */
    if (counterpart->template ? is_hvm(counterpart->template) : is_hvm(draft))
        return VM_CLASS_HVM;
    return VM_CLASS_APP;
}

static void decide(struct conversion *conversion, const struct draft *draft)
{
    struct counterpart *counterpart = counterpart_of(conversion, draft);
    const struct draft *netvm =
        draft->netvm_name ? reading_by_name(conversion->from, draft->netvm_name) : NULL;

    if (draft->vm_class == VM_CLASS_APP || draft->vm_class == VM_CLASS_DISP)
        counterpart->template = base_template(conversion, draft);
    counterpart->netvm = netvm && r3_serves(netvm) ? netvm : NULL;
    counterpart->vm_class = class_in_r3(conversion, draft);
}

static const char *qid_text(const struct conversion *conversion, const struct draft *draft,
                            const char *none)
{
    return draft ? arena_printf(conversion->arena, "%d", counterpart_of(conversion, draft)->qid)
                 : none;
}

/* Names, class and template, where R3 has another than R4. */
static void leave_out_class(struct conversion *conversion, const struct draft *draft)
{
    const struct counterpart *counterpart = counterpart_of(conversion, draft);
    const char *mode = pref_of(draft, "virt_mode");
    bool hvm =
        counterpart->vm_class == VM_CLASS_HVM || counterpart->vm_class == VM_CLASS_TEMPLATE_HVM;

    if (draft->vm_class == VM_CLASS_DISP && counterpart->vm_class != VM_CLASS_DISP)
        leave_out(conversion, draft, "class", "DispVM (it keeps its data in R3)");
    if (draft->vm_class == VM_CLASS_ADMIN)
        return;
    if (mode && strcmp(mode, hvm ? "hvm" : "pv") != 0)
        leave_out(conversion, draft, "property",
                  arena_printf(conversion->arena, "virt_mode (%s)", mode));
    if (draft->template_name &&
        (!counterpart->template || strcmp(counterpart->template->name, draft->template_name) != 0))
        leave_out(conversion, draft, "template", draft->template_name);
}

/* The netvm; the default is R3's own, which is another one for a ProxyVM. */
static void add_netvm(struct conversion *conversion, const struct draft *draft,
                      struct pairs *attributes)
{
    const struct counterpart *counterpart = counterpart_of(conversion, draft);
    const struct draft *netvm = counterpart->netvm;
    bool set = pref_of(draft, "netvm") != NULL;
    struct arena *arena = conversion->arena;

    if (draft->netvm_name && !netvm)
        leave_out(conversion, draft, "netvm", draft->netvm_name);
    if (counterpart->vm_class == VM_CLASS_NET)
        return; /* has none, and stores nothing of it */
    /* a template's default is none in R4, as its updates go another way */
    if (is_template(draft) && !set) {
        netvm = global_vm(conversion, "default_netvm");
        if (netvm && !r3_serves(netvm))
            netvm = NULL;
    }
    pairs_add(attributes, arena, "uses_default_netvm", set ? "False" : "True");
    pairs_add(attributes, arena, "netvm_qid", qid_text(conversion, netvm, "none"));
}

/* R4 says from which VM disposables are made, R3 which netvm they have: that VM's. */
static void add_dispvm(struct conversion *conversion, const struct draft *draft,
                       struct pairs *attributes)
{
    const struct draft *own = counterpart_of(conversion, draft)->netvm, *netvm = own;
    const char *stored = pref_of(draft, "default_dispvm");
    const char *name = stored ? stored : global_of(conversion, "default_dispvm");
    const struct draft *dvm = name ? reading_by_name(conversion->from, name) : NULL;

    if (dvm)
        netvm = counterpart_of(conversion, dvm)->netvm;
    else if (stored)
        netvm = NULL; /* it makes none: at least none that gets out */
    if (stored && !is_none(stored))
        leave_out(conversion, draft, "property",
                  arena_printf(conversion->arena, "default_dispvm (%s)", stored));
    pairs_add(attributes, conversion->arena, "uses_default_dispvm_netvm",
              netvm == own ? "True" : "False");
    pairs_add(attributes, conversion->arena, "dispvm_netvm", qid_text(conversion, netvm, "none"));
    /* R3 knows no such attribute; it is what R4's reader of this form asks for instead */
    if (netvm != own)
        pairs_add(attributes, conversion->arena, "dispvm_netvm_qid",
                  qid_text(conversion, netvm, "none"));
}

static void add_places(struct conversion *conversion, const struct draft *draft,
                       struct pairs *attributes)
{
    const struct counterpart *counterpart = counterpart_of(conversion, draft);
    struct arena *arena = conversion->arena;
    const char *directory = "appvms";

    switch (counterpart->vm_class) {
    case VM_CLASS_TEMPLATE:
    case VM_CLASS_TEMPLATE_HVM:
        directory = "vm-templates";
        break;
    case VM_CLASS_NET:
    case VM_CLASS_PROXY:
    case VM_CLASS_ADMIN:
        directory = "servicevms";
        break;
    default:
        break;
    }
    pairs_add(attributes, arena, "dir_path",
              arena_printf(arena, R3_ROOT "/%s/%s", directory, draft->name));
    pairs_add(attributes, arena, "conf_file", arena_printf(arena, "%s.conf", draft->name));
    pairs_add(attributes, arena, "firewall_conf", "firewall.xml");
    pairs_add(attributes, arena, "pool_name", "default");
}

static const char *element_name(enum vm_class vm_class)
{
    switch (vm_class) {
    case VM_CLASS_ADMIN:
        return "QubesAdminVm";
    case VM_CLASS_TEMPLATE:
        return "QubesTemplateVm";
    case VM_CLASS_TEMPLATE_HVM:
        return "QubesTemplateHVm";
    case VM_CLASS_NET:
        return "QubesNetVm";
    case VM_CLASS_PROXY:
        return "QubesProxyVm";
    case VM_CLASS_HVM:
        return "QubesHVm";
    case VM_CLASS_DISP:
        return "QubesDisposableVm";
    default:
        return "QubesAppVm";
    }
}

static void add_vm(struct conversion *conversion, const struct draft *draft, int *netid,
                   xmlNode *root)
{
    const struct counterpart *counterpart = counterpart_of(conversion, draft);
    struct pairs attributes = {NULL, 0, 0};
    struct arena *arena = conversion->arena;

    leave_out_class(conversion, draft);
    pairs_add(&attributes, arena, "qid", qid_text(conversion, draft, ""));
    pairs_add(&attributes, arena, "name", draft->name);
    pairs_add(&attributes, arena, "template_qid",
              qid_text(conversion, counterpart->template, "none"));
    add_places(conversion, draft, &attributes);
    if (counterpart->vm_class == VM_CLASS_ADMIN)
        pairs_add(&attributes, arena, "netid", "0");
    else
        add_netvm(conversion, draft, &attributes);
    if (counterpart->vm_class == VM_CLASS_NET || counterpart->vm_class == VM_CLASS_PROXY)
        pairs_add(&attributes, arena, "netid", arena_printf(arena, "%d", ++*netid));
    add_dispvm(conversion, draft, &attributes);
    r3_settings(conversion, draft, &attributes);
    pairs_add(&attributes, arena, "backup_content", "False");
    pairs_add(&attributes, arena, "backup_path", "");
    pairs_add(&attributes, arena, "backup_size", "0");
    add_attributes(conversion, add_element(conversion, root, element_name(counterpart->vm_class)),
                   &attributes);
}

static void add_globals(struct conversion *conversion, xmlNode *root)
{
    static const struct {
        const char *name;
        bool is_netvm, is_template;
    } vm_valued[] = {{"clockvm", false, false},
                     {"default_fw_netvm", true, false},
                     {"default_netvm", true, false},
                     {"default_template", false, true},
                     {"updatevm", false, false}};
    const struct pairs *globals = &conversion->from->globals;
    const char *kernel = global_of(conversion, "default_kernel");
    struct pairs attributes = {NULL, 0, 0};
    struct arena *arena = conversion->arena;

    for (size_t i = 0; i < ARRAY_SIZE(vm_valued); i++) {
        const char *name = vm_valued[i].name, *value = global_of(conversion, name);
        const struct draft *draft = global_vm(conversion, name);
        bool dom0 = value && strcmp(value, "dom0") == 0 && !draft; /* R3 adds it */

        /* R3 goes to pieces over a netvm that serves nobody */
        if (draft && ((vm_valued[i].is_netvm && !r3_serves(draft)) ||
                      (vm_valued[i].is_template && !is_template(draft))))
            draft = NULL;
        if (value && !is_none(value) && !draft && !dom0)
            leave_out(conversion, NULL, "global", name);
        pairs_add(&attributes, arena, name,
                  dom0 && !vm_valued[i].is_netvm ? "0" : qid_text(conversion, draft, "None"));
    }
    pairs_add(&attributes, arena, "default_kernel", kernel && !is_none(kernel) ? kernel : "None");
    pairs_sort(&attributes, arena);
    for (size_t i = 0; i < globals->count; i++)
        if (!name_value_find(attributes.items, attributes.count, globals->items[i].name))
            leave_out(conversion, NULL, "global", globals->items[i].name);
    add_attributes(conversion, root, &attributes);
}

/* Domains that qubesfs reads none of, of a class that R3 has not, either. */
static void leave_out_domains(struct conversion *conversion)
{
    const struct reading *from = conversion->from;
    const xmlNode *root = xmlDocGetRootElement(from->document);
    const xmlNode *domains = element_child(root, "domains");

    for (xmlNode *at = element_at(domains->children); at; at = element_at(at->next)) {
        const char *class_name = element_attribute(at, "class", conversion->arena);
        const xmlNode *properties = element_child(at, "properties"), *name = NULL;
        bool read = false;

        for (int i = VM_CLASS_APP; i <= VM_CLASS_ADMIN; i++)
            read = read || (class_name && strcmp(class_name, vm_class_name(i)) == 0);
        if (read && element_is(at, "domain"))
            continue;
        if (properties)
            name = named_find(properties, "property", "name", conversion->arena);
        leave_out(conversion, NULL, "VM",
                  arena_printf(conversion->arena, "%s (%s)",
                               name ? element_text(name, conversion->arena) : "",
                               class_name ? class_name : (const char *)at->name));
    }
}

int to_r3(struct conversion *conversion)
{
    const struct reading *from = conversion->from;
    xmlNode *root =
        xmlNewDocNode(conversion->document, NULL, (const xmlChar *)"QubesVmCollection", NULL);
    int netid = 0, result;

    conversion->failed = !root;
    if (!root)
        return 0;
    xmlDocSetRootElement(conversion->document, root);
    result = assign_r3_qids(conversion);
    if (result)
        return result;
    for (size_t i = 0; i < from->draft_count; i++)
        decide(conversion, &from->drafts[i]);
    add_globals(conversion, root);
    for (size_t i = 0; i < from->draft_count; i++)
        add_vm(conversion, &from->drafts[i], &netid, root);
    leave_out_domains(conversion);
    return 0;
}
