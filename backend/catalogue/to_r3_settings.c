/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VM's properties, features and tags of R4 as R3's attributes. */
#include "convert.h"

#include <stdlib.h>
#include <string.h>

#define SERVICE        "service."
#define SERVICE_LENGTH (sizeof(SERVICE) - 1)

static bool is_hvm(const struct conversion *conversion, const struct draft *draft)
{
    enum vm_class vm_class = counterpart_of(conversion, draft)->vm_class;

    return vm_class == VM_CLASS_HVM || vm_class == VM_CLASS_TEMPLATE_HVM;
}

static const char *feature_of(const struct draft *draft, const char *name)
{
    return name_value_find(draft->features.items, draft->features.count, name);
}

static bool has_feature(const struct draft *draft, const char *name)
{
    const char *value = feature_of(draft, name);

    return value && *value;
}

/* -1 when the label is not known, or has no colour. */
static long color_of(const struct conversion *conversion, const char *label)
{
    const xmlNode *list = element_child(xmlDocGetRootElement(conversion->from->document), "labels");

    for (xmlNode *at = list ? element_at(list->children) : NULL; at; at = element_at(at->next)) {
        const char *color = element_attribute(at, "color", conversion->arena);

        if (element_is(at, "label") && color && is_color(color) &&
            strcmp(element_text(at, conversion->arena), label) == 0)
            return strtol(color, NULL, 16);
    }
    return -1;
}

static int distance(long one, long other)
{
    int sum = 0;

    for (int shift = 0; shift < 24; shift += 8) {
        int difference = (int)(one >> shift & 0xff) - (int)(other >> shift & 0xff);

        sum += difference * difference;
    }
    return sum;
}

/* A label of the user's own becomes the standard one nearest in colour. */
static const char *label_of(struct conversion *conversion, const struct draft *draft)
{
    const char *label = pref_of(draft, "label");
    const struct standard_label *nearest = &standard_labels[0];
    long color;

    if (!label)
        return is_template(draft) || draft->vm_class == VM_CLASS_ADMIN ? "black" : "red";
    if (is_standard_label(label))
        return label;
    leave_out(conversion, draft, "label", label);
    color = color_of(conversion, label);
    for (size_t i = 1; color >= 0 && i < ARRAY_SIZE(standard_labels); i++)
        if (distance(color, standard_labels[i].color) < distance(color, nearest->color))
            nearest = &standard_labels[i];
    return nearest->name;
}

static void add_memory(struct conversion *conversion, const struct draft *draft,
                       struct pairs *attributes)
{
    const char *memory = pref_of(draft, "memory"), *maxmem = pref_of(draft, "maxmem");
    const char *vcpus = pref_of(draft, "vcpus");
    struct arena *arena = conversion->arena;

    if (draft->vm_class == VM_CLASS_ADMIN)
        return;
    /* the defaults are R4's: R3's would make another VM of it */
    if (!memory || !is_number(memory))
        memory = "400";
    if (!vcpus || !is_number(vcpus) || strcmp(vcpus, "0") == 0)
        vcpus = "2";
    pairs_add(attributes, arena, "memory", memory);
    pairs_add(attributes, arena, "vcpus", vcpus);
    if (!maxmem || !is_number(maxmem))
        return;
    /* 0: as much as at the start, always */
    if (strcmp(maxmem, "0") == 0)
        maxmem = memory;
    if (!is_hvm(conversion, draft))
        pairs_add(attributes, arena, "maxmem", maxmem);
    else if (strcmp(maxmem, memory) != 0)
        leave_out(conversion, draft, "property", "maxmem");
}

static void add_kernel(struct conversion *conversion, const struct draft *draft, bool has_pci,
                       struct pairs *attributes)
{
    const char *kernel = pref_of(draft, "kernel"), *options = pref_of(draft, "kernelopts");
    const char *fallback = global_of(conversion, "default_kernel");
    struct arena *arena = conversion->arena;

    if (draft->vm_class == VM_CLASS_ADMIN)
        return;
    if (is_hvm(conversion, draft)) {
        if (kernel && !is_none(kernel))
            leave_out(conversion, draft, "property", "kernel");
        if (options && *options)
            leave_out(conversion, draft, "property", "kernelopts");
        return;
    }
    /* R3 makes a path of it */
    if (kernel && !is_none(kernel) && !file_name_ok(kernel)) {
        leave_out(conversion, draft, "property", "kernel");
        kernel = NULL;
    }
    pairs_add(attributes, arena, "uses_default_kernel", kernel ? "False" : "True");
    if (!kernel)
        kernel = fallback ? fallback : "";
    pairs_add(attributes, arena, "kernel", is_none(kernel) ? "None" : kernel);
    pairs_add(attributes, arena, "uses_default_kernelopts", options ? "False" : "True");
    if (!options)
        options = has_pci ? "nopat iommu=soft swiotlb=8192" : "nopat";
    pairs_add(attributes, arena, "kernelopts", options);
}

static void add_hvm(struct conversion *conversion, const struct draft *draft,
                    struct pairs *attributes)
{
    const char *zone = feature_of(draft, "timezone");
    struct arena *arena = conversion->arena;

    if (!is_hvm(conversion, draft))
        return;
    pairs_add(attributes, arena, "drive", "None");
    pairs_add(attributes, arena, "timezone", zone && *zone ? zone : "localtime");
    pairs_add(attributes, arena, "qrexec_installed",
              has_feature(draft, "qrexec") ? "True" : "False");
    pairs_add(attributes, arena, "guiagent_installed",
              has_feature(draft, "gui") ? "True" : "False");
    pairs_add(attributes, arena, "seamless_gui_mode", "False");
}

static void add_switches(struct conversion *conversion, const struct draft *draft,
                         struct pairs *attributes)
{
    static const char *const switches[] = {"autostart", "debug", "installed_by_rpm"};
    const char *e820 = feature_of(draft, "pci-e820-host");
    struct arena *arena = conversion->arena;

    for (size_t i = 0; i < ARRAY_SIZE(switches); i++)
        pairs_add(attributes, arena, switches[i],
                  parse_bool(pref_of(draft, switches[i]), false) ? "True" : "False");
    pairs_add(attributes, arena, "include_in_backups",
              draft->include_in_backups ? "True" : "False");
    pairs_add(attributes, arena, "internal", has_feature(draft, "internal") ? "True" : "False");
    pairs_add(attributes, arena, "pci_e820_host", e820 && !*e820 ? "False" : "True");
}

static void add_services(struct conversion *conversion, const struct draft *draft,
                         struct pairs *attributes)
{
    const char *updates = feature_of(draft, "check-updates"), *maxmem = pref_of(draft, "maxmem");
    struct arena *arena = conversion->arena;
    struct pairs services = {NULL, 0, 0};

    /* what is set below yields to what the catalogue says, which comes later */
    if (updates)
        pairs_add(&services, arena, "qubes-update-check", *updates ? "1" : "0");
    if (maxmem && strcmp(maxmem, "0") == 0)
        pairs_add(&services, arena, "meminfo-writer", "0");
    for (size_t i = 0; i < draft->services.count; i++) {
        const struct name_value *service = &draft->services.items[i];

        if (services_name_ok(service->name))
            pairs_add(&services, arena, service->name, service->value);
        else
            leave_out(conversion, draft, "service", service->name);
    }
    pairs_sort(&services, arena);
    pairs_add(attributes, arena, "services", services_print(&services, arena));
}

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static void leave_out_properties(struct conversion *conversion, const struct draft *draft)
{
    static const char *const known[] = {"auto_cleanup",
                                        "autostart",
                                        "backup_timestamp",
                                        "debug",
                                        "default_dispvm",
                                        "default_user",
                                        "dispid",
                                        "include_in_backups",
                                        "installed_by_rpm",
                                        "kernel",
                                        "kernelopts",
                                        "label",
                                        "mac",
                                        "maxmem",
                                        "memory",
                                        "name",
                                        "netvm",
                                        "provides_network",
                                        "qid",
                                        "qrexec_timeout",
                                        "template",
                                        "uuid",
                                        "vcpus",
                                        "virt_mode"};
    const xmlNode *list = element_child(draft->element, "properties");

    for (xmlNode *at = list ? element_at(list->children) : NULL; at; at = element_at(at->next)) {
        const char *name = element_attribute(at, "name", conversion->arena);

        if (!name || is_one_of(name, known, ARRAY_SIZE(known)))
            continue;
        if (strcmp(name, "template_for_dispvms") == 0 &&
            !parse_bool(element_text(at, conversion->arena), false))
            continue;
        leave_out(conversion, draft, "property", name);
    }
    if (draft->vm_class == VM_CLASS_TEMPLATE &&
        parse_bool(pref_of(draft, "provides_network"), false))
        leave_out(conversion, draft, "property", "provides_network");
}

/* True if R3 has the feature, or need not be told; agents are always there in what is no HVM. */
static bool is_feature_kept(const struct conversion *conversion, const struct draft *draft,
                            const char *name, const char *value)
{
    static const char *const known[] = {"backup-content", "backup-path", "backup-size",
                                        "check-updates",  "internal",    "pci-e820-host"};
    bool hvm = is_hvm(conversion, draft);

    if (strcmp(name, "qrexec") == 0 || strcmp(name, "gui") == 0)
        return hvm || *value;
    if (strcmp(name, "timezone") == 0)
        return hvm && *value;
    return is_one_of(name, known, ARRAY_SIZE(known)) ||
           (strncmp(name, SERVICE, SERVICE_LENGTH) == 0 && file_name_ok(name) &&
            file_name_ok(name + SERVICE_LENGTH));
}

/* Of the document's own lists, as the draft holds no names that could not be a file's. */
static void leave_out_lists(struct conversion *conversion, const struct draft *draft)
{
    const xmlNode *features = element_child(draft->element, "features");
    const xmlNode *tags = element_child(draft->element, "tags");
    struct arena *arena = conversion->arena;

    for (xmlNode *at = features ? element_at(features->children) : NULL; at;
         at = element_at(at->next)) {
        const char *name = element_attribute(at, "name", arena);

        if (name && !is_feature_kept(conversion, draft, name, element_text(at, arena)))
            leave_out(conversion, draft, "feature", name);
    }
    for (xmlNode *at = tags ? element_at(tags->children) : NULL; at; at = element_at(at->next)) {
        const char *name = element_attribute(at, "name", arena);

        if (name)
            leave_out(conversion, draft, "tag", name);
    }
}

void r3_settings(struct conversion *conversion, const struct draft *draft,
                 struct pairs *ret_attributes)
{
    const char *user = pref_of(draft, "default_user"), *mac = pref_of(draft, "mac");
    const char *timeout = pref_of(draft, "qrexec_timeout");
    const char *stamp = pref_of(draft, "backup_timestamp");
    struct arena *arena = conversion->arena;
    bool has_pci;

    pairs_add(ret_attributes, arena, "label", label_of(conversion, draft));
    if (draft->uuid[0] && draft->vm_class != VM_CLASS_ADMIN)
        pairs_add(ret_attributes, arena, "uuid", arena_copy(arena, draft->uuid, 36));
    add_memory(conversion, draft, ret_attributes);
    add_switches(conversion, draft, ret_attributes);
    pairs_add(ret_attributes, arena, "default_user", user && *user ? user : "user");
    pairs_add(ret_attributes, arena, "qrexec_timeout",
              timeout && is_number(timeout) ? timeout : "60");
    if (stamp && is_number(stamp))
        pairs_add(ret_attributes, arena, "backup_timestamp", stamp);
    if (mac && is_mac(mac))
        pairs_add(ret_attributes, arena, "mac", mac);
    else if (mac && *mac)
        leave_out(conversion, draft, "property", "mac");
    if (counterpart_of(conversion, draft)->vm_class == VM_CLASS_DISP) {
        const char *dispid = pref_of(draft, "dispid");

        if (dispid && is_number(dispid))
            pairs_add(ret_attributes, arena, "dispid", dispid);
    }
    add_services(conversion, draft, ret_attributes);
    leave_out_properties(conversion, draft);
    has_pci = r3_devices(conversion, draft, ret_attributes);
    add_kernel(conversion, draft, has_pci, ret_attributes);
    add_hvm(conversion, draft, ret_attributes);
    leave_out_lists(conversion, draft);
}
