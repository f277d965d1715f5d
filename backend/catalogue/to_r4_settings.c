/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VM's attributes of R3 as R4's properties and features. */
#include "convert.h"

#include <string.h>
#include <strings.h>

static const char *attribute_of(const struct conversion *conversion, const struct draft *draft,
                                const char *name)
{
    return element_attribute(draft->element, name, conversion->arena);
}

static bool is_hvm(const struct draft *draft)
{
    return draft->vm_class == VM_CLASS_HVM || draft->vm_class == VM_CLASS_TEMPLATE_HVM;
}

static const char *label_of(struct conversion *conversion, const struct draft *draft)
{
    const char *label = attribute_of(conversion, draft, "label");

    if (!label)
        return is_template(draft) || draft->vm_class == VM_CLASS_ADMIN ? "black" : "red";
    if (is_standard_label(label))
        return label;
    leave_out(conversion, draft, "label", label);
    return "red"; /* as Qubes' restore does with one that it does not know */
}

/* Numbers: what R3 and R4 hold alike; left out where R3's own default is R4's, too. */
static void add_numbers(struct conversion *conversion, const struct draft *draft,
                        struct pairs *properties)
{
    static const struct {
        const char *name, *implied;
        bool never_hvm; /* an HVM of R3 has a fixed size, which is no property of R4's */
    } numbers[] = {{"memory", NULL, false},
                   {"maxmem", NULL, true},
                   {"vcpus", NULL, false},
                   {"qrexec_timeout", "60", false},
                   {"backup_timestamp", NULL, false}};

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        const char *value = attribute_of(conversion, draft, numbers[i].name);

        if (!value || is_none(value) || (numbers[i].never_hvm && is_hvm(draft)))
            continue;
        if (!is_number(value))
            leave_out(conversion, draft, "attribute", numbers[i].name);
        else if (!numbers[i].implied || strcmp(value, numbers[i].implied) != 0)
            pairs_add(properties, conversion->arena, numbers[i].name, value);
    }
}

static void add_switches(struct conversion *conversion, const struct draft *draft,
                         struct pairs *properties)
{
    static const char *const switches[] = {"autostart", "debug", "installed_by_rpm"};
    bool disposable = counterpart_of(conversion, draft)->vm_class == VM_CLASS_DISP;
    struct arena *arena = conversion->arena;

    for (size_t i = 0; i < ARRAY_SIZE(switches); i++)
        if (parse_bool(attribute_of(conversion, draft, switches[i]), false))
            pairs_add(properties, arena, switches[i], "True");
    if (disposable || !draft->include_in_backups)
        pairs_add(properties, arena, "include_in_backups",
                  draft->include_in_backups ? "True" : "False");
    if (disposable)
        pairs_add(properties, arena, "auto_cleanup", "True");
    if (counterpart_of(conversion, draft)->for_dispvms)
        pairs_add(properties, arena, "template_for_dispvms", "True");
    if (draft->vm_class == VM_CLASS_NET || draft->vm_class == VM_CLASS_PROXY)
        pairs_add(properties, arena, "provides_network", "True");
}

static void add_kernel(struct conversion *conversion, const struct draft *draft,
                       struct pairs *properties)
{
    const char *kernel = attribute_of(conversion, draft, "kernel");
    const char *options = attribute_of(conversion, draft, "kernelopts");

    if (is_hvm(draft))
        return;
    if (kernel && !parse_bool(attribute_of(conversion, draft, "uses_default_kernel"), true)) {
        if (is_none(kernel) || file_name_ok(kernel))
            pairs_add(properties, conversion->arena, "kernel", is_none(kernel) ? "" : kernel);
        else
            leave_out(conversion, draft, "attribute", "kernel");
    }
    if (options && !parse_bool(attribute_of(conversion, draft, "uses_default_kernelopts"), true))
        pairs_add(properties, conversion->arena, "kernelopts", is_none(options) ? "" : options);
}

/* A VM's disposables have the VM's own netvm in R3, the default one in R4.  Where these differ, R4
 * is told to make none from this VM: better than one that gets out another way. */
static void add_dispvm(struct conversion *conversion, const struct draft *draft,
                       struct pairs *properties)
{
    const char *fallback = global_of(conversion, "default_netvm");
    const char *wanted = pref_of(draft, "dispvm_netvm");

    if (!wanted)
        wanted = draft->netvm_name ? draft->netvm_name : "none";
    if (strcmp(wanted, fallback ? fallback : "none") == 0)
        return;
    pairs_add(properties, conversion->arena, "default_dispvm", "");
    leave_out(
        conversion, draft, "attribute",
        arena_printf(conversion->arena, "dispvm_netvm (%s; it may make no disposables)", wanted));
}

static void add_relatives(struct conversion *conversion, const struct draft *draft,
                          struct pairs *properties)
{
    const struct counterpart *counterpart = counterpart_of(conversion, draft);
    bool proxy = draft->vm_class == VM_CLASS_PROXY;
    struct arena *arena = conversion->arena;
    const char *stored = attribute_of(conversion, draft, "netvm_qid");

    if (counterpart->template)
        pairs_add(properties, arena, "template", counterpart->template->name);
    if (draft->template_name && counterpart->vm_class != VM_CLASS_DISP &&
        (!counterpart->template || strcmp(counterpart->template->name, draft->template_name) != 0))
        leave_out(conversion, draft, "template", draft->template_name);
    if (draft->vm_class == VM_CLASS_DISP && counterpart->vm_class != VM_CLASS_DISP)
        leave_out(conversion, draft, "class", "DispVM (it keeps its data in R4)");
    if (draft->vm_class == VM_CLASS_NET) {
        pairs_add(properties, arena, "netvm", "");
    } else if (!parse_bool(attribute_of(conversion, draft, "uses_default_netvm"), !proxy)) {
        pairs_add(properties, arena, "netvm", draft->netvm_name ? draft->netvm_name : "");
        if (!draft->netvm_name && stored && !is_none(stored))
            leave_out(conversion, draft, "netvm", arena_printf(arena, "qid %s", stored));
    }
    add_dispvm(conversion, draft, properties);
}

void r4_properties(struct conversion *conversion, const struct draft *draft,
                   struct pairs *ret_properties)
{
    const char *user = attribute_of(conversion, draft, "default_user");
    const char *mac = attribute_of(conversion, draft, "mac");
    struct arena *arena = conversion->arena;

    pairs_add(ret_properties, arena, "qid",
              arena_printf(arena, "%d", counterpart_of(conversion, draft)->qid));
    pairs_add(ret_properties, arena, "label", label_of(conversion, draft));
    if (draft->vm_class == VM_CLASS_ADMIN)
        return; /* the rest of dom0 is no setting in R4 */
    pairs_add(ret_properties, arena, "name", draft->name);
    if (draft->uuid[0])
        pairs_add(ret_properties, arena, "uuid", arena_copy(arena, draft->uuid, 36));
    pairs_add(ret_properties, arena, "virt_mode", is_hvm(draft) ? "hvm" : "pv");
    add_numbers(conversion, draft, ret_properties);
    add_switches(conversion, draft, ret_properties);
    add_kernel(conversion, draft, ret_properties);
    add_relatives(conversion, draft, ret_properties);
    if (user && strcmp(user, "user") != 0)
        pairs_add(ret_properties, arena, "default_user", user);
    if (mac && is_mac(mac))
        pairs_add(ret_properties, arena, "mac", mac);
    else if (mac && !is_none(mac))
        leave_out(conversion, draft, "attribute", "mac");
}

void r4_features(struct conversion *conversion, const struct draft *draft,
                 struct pairs *ret_features)
{
    static const char *const agents[][2] = {{"qrexec_installed", "qrexec"},
                                            {"guiagent_installed", "gui"}};
    const char *services = attribute_of(conversion, draft, "services");
    const char *zone = attribute_of(conversion, draft, "timezone");
    struct arena *arena = conversion->arena;

    for (size_t i = 0; i < draft->services.count; i++) {
        const struct name_value *service = &draft->services.items[i];
        const char *value = strcmp(service->value, "1") == 0 ? "1" : "";

        /* the one service that is something else in R4 */
        if (strcmp(service->name, "qubes-update-check") == 0)
            pairs_add(ret_features, arena, "check-updates", value);
        else if (strlen(service->name) <= 255 - 8)
            pairs_add(ret_features, arena, arena_printf(arena, "service.%s", service->name), value);
        else
            leave_out(conversion, draft, "service", service->name);
    }
    if (services && !is_none(services)) {
        struct pairs ignored = {NULL, 0, 0};

        if (!services_parse(services, arena, &ignored))
            leave_out(conversion, draft, "attribute", "services, which is malformed");
    }
    if (draft->internal)
        pairs_add(ret_features, arena, "internal", "1");
    if (!parse_bool(attribute_of(conversion, draft, "pci_e820_host"), true))
        pairs_add(ret_features, arena, "pci-e820-host", "");
    if (!is_hvm(draft))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(agents); i++)
        if (parse_bool(attribute_of(conversion, draft, agents[i][0]), false))
            pairs_add(ret_features, arena, agents[i][1], "1");
    if (zone && !is_none(zone))
        pairs_add(ret_features, arena, "timezone", zone);
}

void r4_leave_out(struct conversion *conversion, const struct draft *draft)
{
    /* converted; or R3's own bookkeeping of places, addresses and disposables, which R4 does anew
     */
    static const char *const known[] = {
        "autostart",
        "backup_content",
        "backup_path",
        "backup_size",
        "backup_timestamp",
        "conf_file",
        "debug",
        "default_user",
        "dir_path",
        "disp_savefile",
        "dispid",
        "dispvm_netvm",
        "dispvm_netvm_qid",
        "drive",
        "firewall_conf",
        "guiagent_installed",
        "include_in_backups",
        "installed_by_rpm",
        "internal",
        "kernel",
        "kernelopts",
        "label",
        "mac",
        "maxmem",
        "memory",
        "name",
        "netid",
        "netvm_qid",
        "pci_e820_host",
        "pci_strictreset",
        "pcidevs",
        "pool_name",
        "private_img",
        "qid",
        "qrexec_installed",
        "qrexec_timeout",
        "root_img",
        "seamless_gui_mode",
        "services",
        "template_qid",
        "timezone",
        "uses_default_dispvm_netvm",
        "uses_default_kernel",
        "uses_default_kernelopts",
        "uses_default_netvm",
        "uuid",
        "vcpus",
        "volatile_img",
    };
    const char *drive = attribute_of(conversion, draft, "drive");

    for (const xmlAttr *at = draft->element->properties; at; at = at->next) {
        bool found = false;

        for (size_t i = 0; !at->ns && i < ARRAY_SIZE(known); i++)
            found = found || strcmp((const char *)at->name, known[i]) == 0;
        if (!found)
            leave_out(conversion, draft, "attribute", (const char *)at->name);
    }
    if (drive && !is_none(drive))
        leave_out(conversion, draft, "attribute", "drive");
    if (parse_bool(attribute_of(conversion, draft, "seamless_gui_mode"), false))
        leave_out(conversion, draft, "attribute", "seamless_gui_mode");
}
