/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices: R3 knows PCI devices of dom0 only, BB:DD.F in a Python list; R4 all kinds, BB_DD.F. */
#include "convert.h"

#include <string.h>

bool is_pci_address(const char *untrusted_text, char separator)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    const char *at = untrusted_text;

    return strlen(at) == 7 && strchr(digits, at[0]) && strchr(digits, at[1]) &&
           at[2] == separator && strchr(digits, at[3]) && strchr(digits, at[4]) && at[5] == '.' &&
           at[6] >= '0' && at[6] <= '7';
}

/* The address as the other form spells it. */
static const char *respell(struct arena *arena, const char *address, char separator)
{
    return arena_printf(arena, "%.2s%c%s", address, separator, address + 3);
}

void r4_devices(struct conversion *conversion, const struct draft *draft, xmlNode *domain)
{
    struct arena *arena = conversion->arena;
    const char *list = element_attribute(draft->element, "pcidevs", arena);
    bool strict = parse_bool(element_attribute(draft->element, "pci_strictreset", arena), true);
    xmlNode *devices = add_element(conversion, domain, "devices");
    struct pairs found = {NULL, 0, 0};

    add_attribute(conversion, devices, "class", "pci");
    if (!list || is_none(list))
        return;
    if (!strings_parse(list, arena, &found))
        leave_out(conversion, draft, "attribute", "pcidevs, which is malformed");
    pairs_sort(&found, arena);
    for (size_t i = 0; i < found.count; i++) {
        const char *address = found.items[i].name;

        if (!is_pci_address(address, ':')) {
            leave_out(conversion, draft, "device", address);
            continue;
        }
        xmlNode *device = add_element(conversion, devices, "device");

        add_attribute(conversion, device, "backend-domain", "dom0");
        add_attribute(conversion, device, "id", respell(arena, address, '_'));
        if (!strict) {
            struct pairs options = {NULL, 0, 0};

            pairs_add(&options, arena, "no-strict-reset", "True");
            add_named(conversion, device, "option", &options);
        }
    }
}

/* What R4.3 does not attach by itself, R3 must not either. */
static bool is_convertible(const xmlNode *device, const char *bus, struct arena *arena)
{
    const char *backend = element_attribute(device, "backend-domain", arena);
    const char *id = element_attribute(device, "id", arena);
    const char *mode = element_attribute(device, "mode", arena);

    return strcmp(bus, "pci") == 0 && element_is(device, "device") && backend && id &&
           strcmp(backend, "dom0") == 0 && is_pci_address(id, '_') &&
           (!mode || strcmp(mode, "required") == 0 || strcmp(mode, "auto-attach") == 0);
}

static const char *bus_of(const xmlNode *devices, struct arena *arena)
{
    const char *bus = element_attribute(devices, "class", arena);

    return bus ? bus : "";
}

static void leave_device_out(struct conversion *conversion, const struct draft *draft,
                             const xmlNode *device, const char *bus)
{
    struct arena *arena = conversion->arena;
    const char *backend = element_attribute(device, "backend-domain", arena);
    const char *id = element_attribute(device, "id", arena);

    leave_out(conversion, draft, "device",
              arena_printf(arena, "%s %s:%s", bus, backend ? backend : "", id ? id : ""));
}

/* Names the options of a converted device; true if it asks for no strict reset. */
static bool read_options(struct conversion *conversion, const struct draft *draft,
                         const xmlNode *device)
{
    struct arena *arena = conversion->arena;
    bool relaxed = false;

    for (xmlNode *at = element_at(device->children); at; at = element_at(at->next)) {
        const char *name = element_attribute(at, "name", arena);

        if (name && strcmp(name, "no-strict-reset") == 0)
            relaxed = parse_bool(element_text(at, arena), true);
        else
            leave_out(conversion, draft, "device option", name ? name : (const char *)at->name);
    }
    return relaxed;
}

bool r3_devices(struct conversion *conversion, const struct draft *draft, struct pairs *attributes)
{
    struct arena *arena = conversion->arena;
    struct pairs found = {NULL, 0, 0};
    struct text list CLEANUP_TEXT = TEXT_INIT;
    size_t relaxed = 0;

    for (xmlNode *bus = element_at(draft->element->children); bus; bus = element_at(bus->next)) {
        if (!element_is(bus, "devices"))
            continue;
        for (xmlNode *at = element_at(bus->children); at; at = element_at(at->next)) {
            if (is_convertible(at, bus_of(bus, arena), arena)) {
                const char *id = element_attribute(at, "id", arena);

                pairs_add(&found, arena, respell(arena, id, ':'),
                          read_options(conversion, draft, at) ? "1" : "");
            } else {
                leave_device_out(conversion, draft, at, bus_of(bus, arena));
            }
        }
    }
    pairs_sort(&found, arena);
    text_string(&list, "[");
    for (size_t i = 0; i < found.count; i++) {
        text_printf(&list, "%s'%s'", i ? ", " : "", found.items[i].name);
        relaxed += *found.items[i].value != '\0';
    }
    text_string(&list, "]");
    if (text_status(&list)) {
        conversion->failed = true;
        return false;
    }
    /* R3 has one switch for all devices of a VM: off only if no device wants it on */
    if (relaxed > 0 && relaxed < found.count)
        leave_out(conversion, draft, "device option",
                  "no-strict-reset, which not all devices have");
    pairs_add(attributes, arena, "pcidevs", arena_copy(arena, list.data, list.length));
    pairs_add(attributes, arena, "pci_strictreset",
              found.count > 0 && relaxed == found.count ? "False" : "True");
    return found.count > 0;
}
