/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "properties.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "convert.h"
#include "qubesfs/text.h"

#define BIT(vm_class) (1u << (vm_class))
#define ALL           (BIT(VM_CLASS_ADMIN + 1) - 1)
#define GUESTS        (ALL & ~BIT(VM_CLASS_ADMIN))
#define HVMS          (BIT(VM_CLASS_HVM) | BIT(VM_CLASS_TEMPLATE_HVM))
/* R3: all but NetVMs, which are the last in their chain */
#define NETTED (GUESTS & ~BIT(VM_CLASS_NET))
/* those that may be based on a template and may get another one */
#define BASED                                                                                      \
    (BIT(VM_CLASS_APP) | BIT(VM_CLASS_NET) | BIT(VM_CLASS_PROXY) | BIT(VM_CLASS_HVM) |             \
     BIT(VM_CLASS_STANDALONE))

#define MEMORY_MOST  (1024 * 1024) /* MiB */
#define VCPUS_MOST   64
#define SECONDS_MOST 86400

#define R3 CATALOGUE_R3
#define R4 CATALOGUE_R4

#define PROPERTY(name_, form_, type_, classes_, ...)                                               \
    {                                                                                              \
        .name = name_, .form = form_, .type = type_, .classes = classes_, __VA_ARGS__              \
    }

static const struct property properties[] = {
    PROPERTY("autostart", R3, PROPERTY_BOOL, GUESTS, .fallback = "False"),
    PROPERTY("debug", R3, PROPERTY_BOOL, GUESTS, .fallback = "False"),
    PROPERTY("default_user", R3, PROPERTY_USER, GUESTS, .fallback = "user"),
    PROPERTY("dispvm_netvm", R3, PROPERTY_VM, GUESTS, .none = true,
             .chooser = "uses_default_dispvm_netvm"),
    PROPERTY("drive", R3, PROPERTY_DRIVE, HVMS, .none = true, .fallback = "None"),
    PROPERTY("guiagent_installed", R3, PROPERTY_BOOL, HVMS, .fallback = "False"),
    PROPERTY("include_in_backups", R3, PROPERTY_BOOL, ALL),
    PROPERTY("internal", R3, PROPERTY_BOOL, GUESTS, .fallback = "False"),
    PROPERTY("kernel", R3, PROPERTY_KERNEL, GUESTS & ~HVMS, .none = true,
             .chooser = "uses_default_kernel"),
    PROPERTY("kernelopts", R3, PROPERTY_TEXT, GUESTS & ~HVMS, .chooser = "uses_default_kernelopts"),
    PROPERTY("label", R3, PROPERTY_LABEL, GUESTS),
    PROPERTY("mac", R3, PROPERTY_MAC, GUESTS),
    PROPERTY("maxmem", R3, PROPERTY_NUMBER, GUESTS & ~HVMS, .least = 1, .most = MEMORY_MOST),
    PROPERTY("memory", R3, PROPERTY_NUMBER, GUESTS, .least = 1, .most = MEMORY_MOST),
    PROPERTY("netvm", R3, PROPERTY_VM, NETTED, .none = true, .attribute = "netvm_qid",
             .chooser = "uses_default_netvm"),
    PROPERTY("pci_e820_host", R3, PROPERTY_BOOL, GUESTS, .fallback = "True"),
    PROPERTY("pci_strictreset", R3, PROPERTY_BOOL, GUESTS, .fallback = "True"),
    PROPERTY("pcidevs", R3, PROPERTY_PCI, GUESTS, .halted = true, .fallback = "[]"),
    PROPERTY("qrexec_installed", R3, PROPERTY_BOOL, HVMS, .fallback = "False"),
    PROPERTY("qrexec_timeout", R3, PROPERTY_NUMBER, GUESTS, .least = 1, .most = SECONDS_MOST,
             .fallback = "60"),
    PROPERTY("seamless_gui_mode", R3, PROPERTY_BOOL, HVMS, .fallback = "False"),
    PROPERTY("template", R3, PROPERTY_VM, BASED, .halted = true, .attribute = "template_qid"),
    PROPERTY("timezone", R3, PROPERTY_TIMEZONE, HVMS, .fallback = "localtime"),
    PROPERTY("vcpus", R3, PROPERTY_NUMBER, GUESTS, .least = 1, .most = VCPUS_MOST, .fallback = "2"),

    PROPERTY("audiovm", R4, PROPERTY_VM, GUESTS, .none = true),
    PROPERTY("auto_cleanup", R4, PROPERTY_BOOL, BIT(VM_CLASS_DISP)),
    PROPERTY("autostart", R4, PROPERTY_BOOL, GUESTS),
    PROPERTY("backup_timestamp", R4, PROPERTY_NUMBER, ALL, .most = INT64_MAX),
    PROPERTY("debug", R4, PROPERTY_BOOL, GUESTS),
    PROPERTY("default_dispvm", R4, PROPERTY_VM, ALL, .none = true),
    PROPERTY("default_user", R4, PROPERTY_USER, GUESTS),
    PROPERTY("guivm", R4, PROPERTY_VM, GUESTS, .none = true),
    PROPERTY("include_in_backups", R4, PROPERTY_BOOL, ALL),
    PROPERTY("ip", R4, PROPERTY_IP4, GUESTS),
    PROPERTY("ip6", R4, PROPERTY_IP6, GUESTS),
    PROPERTY("kernel", R4, PROPERTY_KERNEL, GUESTS, .none = true),
    PROPERTY("kernelopts", R4, PROPERTY_TEXT, GUESTS),
    PROPERTY("label", R4, PROPERTY_LABEL, GUESTS),
    PROPERTY("mac", R4, PROPERTY_MAC, GUESTS),
    PROPERTY("management_dispvm", R4, PROPERTY_VM, GUESTS, .none = true),
    PROPERTY("maxmem", R4, PROPERTY_NUMBER, GUESTS, .least = 0, .most = MEMORY_MOST),
    PROPERTY("memory", R4, PROPERTY_NUMBER, GUESTS, .least = 1, .most = MEMORY_MOST),
    PROPERTY("netvm", R4, PROPERTY_VM, GUESTS, .none = true),
    PROPERTY("provides_network", R4, PROPERTY_BOOL, GUESTS),
    PROPERTY("qrexec_timeout", R4, PROPERTY_NUMBER, GUESTS, .least = 1, .most = SECONDS_MOST),
    PROPERTY("shutdown_timeout", R4, PROPERTY_NUMBER, GUESTS, .least = 1, .most = SECONDS_MOST),
    PROPERTY("stubdom_mem", R4, PROPERTY_NUMBER, GUESTS, .least = 1, .most = MEMORY_MOST),
    PROPERTY("template", R4, PROPERTY_VM, BIT(VM_CLASS_APP), .halted = true),
    PROPERTY("template_for_dispvms", R4, PROPERTY_BOOL, BIT(VM_CLASS_APP)),
    PROPERTY("vcpus", R4, PROPERTY_NUMBER, GUESTS, .least = 1, .most = VCPUS_MOST),
    PROPERTY("virt_mode", R4, PROPERTY_WORD, GUESTS, .halted = true, .words = "pvh hvm pv"),
};

const struct property *property_find(enum catalogue_form form, enum vm_class vm_class,
                                     const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(properties); i++)
        if (properties[i].form == form && strcmp(properties[i].name, name) == 0)
            return properties[i].classes & BIT(vm_class) ? &properties[i] : NULL;
    return NULL;
}

bool catalogue_pref_settable(const struct catalogue_entry *entry, const char *name)
{
    return property_find(entry->form, entry->vm_class, name) != NULL;
}

static int parse_boolean(const char *untrusted_value, const char **ret_value)
{
    bool one = parse_bool(untrusted_value, true), other = parse_bool(untrusted_value, false);

    if (one != other || is_none(untrusted_value))
        return -EINVAL;
    *ret_value = one ? "True" : "False";
    return 0;
}

static int parse_count(const struct property *property, const char *untrusted_value,
                       struct arena *arena, const char **ret_value)
{
    uint64_t number;

    if (!parse_number(untrusted_value, property->most, &number) || number < property->least)
        return -EINVAL;
    *ret_value = arena_printf(arena, "%" PRIu64, number);
    return 0;
}

static bool one_line(const char *untrusted_value, size_t most)
{
    for (const unsigned char *at = (const unsigned char *)untrusted_value; *at; at++)
        if (*at < 0x20 || *at == 0x7f)
            return false;
    return strlen(untrusted_value) <= most && utf8_valid(untrusted_value, strlen(untrusted_value));
}

static bool user_ok(const char *untrusted_value)
{
    if (!*untrusted_value || strlen(untrusted_value) > 32 || *untrusted_value == '-')
        return false;
    for (const char *at = untrusted_value; *at; at++)
        if (!isascii((unsigned char)*at) || (!isalnum((unsigned char)*at) && !strchr("_.-", *at)))
            return false;
    return true;
}

static int parse_mac(const struct property *property, const char *untrusted_value,
                     struct arena *arena, const char **ret_value)
{
    char *copy;

    /* the lowest bit of the first byte: a group's address, which no card has */
    if (!is_mac(untrusted_value) || strchr("13579bdfBDF", untrusted_value[1]))
        return -EINVAL;
    copy = (char *)arena_copy(arena, untrusted_value, strlen(untrusted_value));
    for (char *at = copy; *at; at++)
        *at = (char)(property->form == R3 ? toupper((unsigned char)*at)
                                          : tolower((unsigned char)*at));
    *ret_value = copy;
    return 0;
}

static int parse_address(int family, const char *untrusted_value, struct arena *arena,
                         const char **ret_value)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (inet_pton(family, untrusted_value, &address) != 1 ||
        !inet_ntop(family, &address, text, sizeof(text)))
        return -EINVAL;
    *ret_value = arena_copy(arena, text, strlen(text));
    return 0;
}

static bool is_word(const char *words, const char *untrusted_value)
{
    size_t length = strlen(untrusted_value);

    for (const char *at = words; length > 0 && *at; at += strcspn(at, " "), at += strspn(at, " "))
        if (strcspn(at, " ") == length && strncmp(at, untrusted_value, length) == 0)
            return true;
    return false;
}

/* A Python list, as it is stored and shown, or plain addresses between spaces or commas. */
static int parse_pci(const char *untrusted_value, struct arena *arena, const char **ret_value)
{
    struct text text CLEANUP_TEXT = TEXT_INIT;
    struct pairs devices = {NULL, 0, 0};
    const char *at = untrusted_value + strspn(untrusted_value, " ");

    if (*at == '[') {
        if (!strings_parse(at, arena, &devices))
            return -EINVAL;
    } else {
        while (*(at += strspn(at, " ,"))) {
            size_t length = strcspn(at, " ,");

            pairs_add(&devices, arena, arena_copy(arena, at, length), "");
            at += length;
        }
    }
    text_string(&text, "[");
    for (size_t i = 0; i < devices.count; i++) {
        if (!is_pci_address(devices.items[i].name, ':'))
            return -EINVAL;
        for (size_t before = 0; before < i; before++)
            if (strcmp(devices.items[before].name, devices.items[i].name) == 0)
                return -EINVAL;
        text_printf(&text, "%s'%s'", i ? ", " : "", devices.items[i].name);
    }
    text_string(&text, "]");
    if (text_status(&text))
        return -ENOMEM;
    *ret_value = arena_copy(arena, text.data, text.length);
    return 0;
}

static int parse_drive(const char *untrusted_value, struct arena *arena, const char **ret_value)
{
    const char *type = "cdrom", *rest = untrusted_value, *colon, *vm = "dom0";

    if (strncasecmp(rest, "hd:", 3) == 0 || strncasecmp(rest, "cdrom:", 6) == 0) {
        type = strncasecmp(rest, "hd:", 3) == 0 ? "hd" : "cdrom";
        rest = strchr(rest, ':') + 1;
    }
    if (*rest != '/') {
        colon = strchr(rest, ':');
        if (!colon)
            return -EINVAL;
        vm = arena_copy(arena, rest, (size_t)(colon - rest));
        rest = colon + 1;
        if (vm_name_reason(vm))
            return -EINVAL;
    }
    if (*rest != '/' || rest[1] == '\0' || !path_ok(rest) || !utf8_valid(rest, strlen(rest)))
        return -EINVAL;
    *ret_value = arena_printf(arena, "%s:%s:%s", type, vm, rest);
    return 0;
}

static bool timezone_ok(const char *untrusted_value)
{
    uint64_t seconds;

    return strcmp(untrusted_value, "localtime") == 0 ||
           parse_number(untrusted_value + (*untrusted_value == '-'), SECONDS_MOST, &seconds);
}

static int parse(const struct property *property, const char *untrusted_value, struct arena *arena,
                 const char **ret_value)
{
    /* what is stored as it came */
    *ret_value = untrusted_value;
    switch (property->type) {
    case PROPERTY_BOOL:
        return parse_boolean(untrusted_value, ret_value);
    case PROPERTY_NUMBER:
        return parse_count(property, untrusted_value, arena, ret_value);
    case PROPERTY_LABEL:
        return file_name_ok(untrusted_value) && strlen(untrusted_value) <= 64 ? 0 : -EINVAL;
    case PROPERTY_VM:
        return strcmp(untrusted_value, "dom0") == 0 || !vm_name_reason(untrusted_value) ? 0
                                                                                        : -EINVAL;
    case PROPERTY_KERNEL:
        return file_name_ok(untrusted_value) ? 0 : -EINVAL;
    case PROPERTY_TEXT:
        return one_line(untrusted_value, 1000) ? 0 : -EINVAL;
    case PROPERTY_USER:
        return user_ok(untrusted_value) ? 0 : -EINVAL;
    case PROPERTY_MAC:
        return parse_mac(property, untrusted_value, arena, ret_value);
    case PROPERTY_IP4:
        return parse_address(AF_INET, untrusted_value, arena, ret_value);
    case PROPERTY_IP6:
        return parse_address(AF_INET6, untrusted_value, arena, ret_value);
    case PROPERTY_WORD:
        return is_word(property->words, untrusted_value) ? 0 : -EINVAL;
    case PROPERTY_PCI:
        return parse_pci(untrusted_value, arena, ret_value);
    case PROPERTY_DRIVE:
        return parse_drive(untrusted_value, arena, ret_value);
    case PROPERTY_TIMEZONE:
        return timezone_ok(untrusted_value) ? 0 : -EINVAL;
    }
    return -EINVAL;
}

/* What the property takes, in words. */
static const char *wanted(const struct property *property)
{
    switch (property->type) {
    case PROPERTY_BOOL:
        return "True or False";
    case PROPERTY_NUMBER:
        return "a number";
    case PROPERTY_LABEL:
        return "a label such as red";
    case PROPERTY_VM:
        return property->none ? "a VM's name, or none" : "a VM's name";
    case PROPERTY_KERNEL:
        return "the name of a kernel, or none";
    case PROPERTY_TEXT:
        return "one line of up to 1000 bytes";
    case PROPERTY_USER:
        return "a user's name of up to 32 letters, digits, _, . and -";
    case PROPERTY_MAC:
        return "a MAC address such as 00:16:3E:5E:6C:00, and no multicast one";
    case PROPERTY_IP4:
        return "an IPv4 address such as 10.137.0.5";
    case PROPERTY_IP6:
        return "an IPv6 address";
    case PROPERTY_WORD:
        return property->words;
    case PROPERTY_PCI:
        return "PCI addresses such as 00:19.0, each once";
    case PROPERTY_DRIVE:
        return "[hd:|cdrom:][VM:]/PATH, or none";
    case PROPERTY_TIMEZONE:
        return "localtime, or a number of seconds";
    }
    return "";
}

int property_parse(const struct property *property, const char *untrusted_value,
                   struct arena *arena, const char **ret_value, struct error *ret_error)
{
    const char *value = NULL;
    int result = 0;

    if (property->none && is_none(untrusted_value))
        value = property->type == PROPERTY_DRIVE ? "None" : "none";
    else
        result = parse(property, untrusted_value, arena, &value);
    if (!result)
        result = arena_status(arena);
    if (result == -ENOMEM)
        return error_set(ret_error, result, "out of memory");
    if (result && property->type == PROPERTY_NUMBER)
        return error_set(ret_error, result,
                         "%s takes a number from %" PRIu64 " to %" PRIu64 ", not \"%.200s\"",
                         property->name, property->least, property->most, untrusted_value);
    if (result)
        return error_set(ret_error, result, "%s takes %s, not \"%.200s\"", property->name,
                         wanted(property), untrusted_value);
    *ret_value = value;
    return 0;
}
