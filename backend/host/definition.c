/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a start would define a VM from, and where its images are (Qubes' layouts of R3 and R4). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "definition.h"
#include "internal.h"
#include "network.h"

#define MEMORY_DEFAULT_MIB 400 /* as Qubes R3 */
#define MEMORY_MAX_MIB     (1024 * 1024)
#define VCPUS_MAX          64

char *host_path(struct host *host, const char *path)
{
    return text_format("%s%s%s", host->root, path[0] == '/' ? "" : "/", path);
}

char *entry_directory(const struct host *host, const struct catalogue_entry *entry)
{
    if (entry->vm_class == VM_CLASS_ADMIN)
        return NULL;
    if (entry->dir_path && entry->dir_path[0])
        return text_format("%s%s%s", host->root, entry->dir_path[0] == '/' ? "" : "/var/lib/qubes/",
                           entry->dir_path);
    return text_format("%s/var/lib/qubes/%s/%s", host->root, vm_class_directory(entry->vm_class),
                       entry->name);
}

char *host_vm_directory(struct host *host, const struct vm *vm)
{
    return vm->entry ? entry_directory(host, vm->entry) : NULL;
}

static const char *pref(const struct catalogue_entry *entry, const char *name)
{
    return name_value_find(entry->prefs, entry->pref_count, name);
}

static unsigned number(const struct catalogue_entry *entry, const char *name,
                       unsigned default_value, unsigned most)
{
    const char *value = pref(entry, name);
    char *end;
    unsigned long parsed;

    if (!value || !*value)
        return default_value;
    parsed = strtoul(value, &end, 10);
    if (*end || parsed == 0)
        return default_value;
    return parsed > most ? most : (unsigned)parsed;
}

/* R4: a volume's pool says where its bytes are (format: docs/FORMAT.md, storage of R4). */
static char *pool_path(const struct host *host, const struct catalogue *catalogue,
                       const struct catalogue_volume *volume)
{
    const struct catalogue_pool *pool =
        catalogue_pool_find(catalogue->pools, catalogue->pool_count, volume->pool);
    const char *directory = "/var/lib/qubes";

    if (!volume->vid)
        return NULL;
    if (pool && pool->driver && strcmp(pool->driver, "lvm_thin") == 0)
        return text_format("/dev/%s", volume->vid);
    if (pool && name_value_find(pool->options, pool->option_count, "dir_path"))
        directory = name_value_find(pool->options, pool->option_count, "dir_path");
    return text_format("%s%s/%s.img", host->root, directory, volume->vid);
}

char *volume_path(struct host *host, const struct catalogue *catalogue,
                  const struct catalogue_entry *entry, const char *volume)
{
    char *directory CLEANUP_FREE = NULL;
    char attribute[32];
    const char *file;

    for (size_t i = 0; i < entry->volume_count; i++)
        if (strcmp(entry->volumes[i].name, volume) == 0)
            return pool_path(host, catalogue, &entry->volumes[i]);
    directory = entry_directory(host, entry);
    if (!directory)
        return NULL;
    /* R2 names the files */
    snprintf(attribute, sizeof(attribute), "%s_img", volume);
    file = pref(entry, attribute);
    if (file && *file && strcmp(file, "None") != 0)
        return file[0] == '/' ? host_path(host, file) : text_format("%s/%s", directory, file);
    return text_format("%s/%s.img", directory, volume);
}

const char *definition_keep(struct definition_parts *parts, char *string)
{
    if (!string || parts->string_count == ARRAY_SIZE(parts->strings)) {
        free(string);
        return NULL;
    }
    return parts->strings[parts->string_count++] = string;
}

void definition_release(struct definition_parts *parts)
{
    for (size_t i = 0; i < parts->string_count; i++)
        free(parts->strings[i]);
    parts->string_count = 0;
}

static bool is_none(const char *value)
{
    return !value || !*value || strcasecmp(value, "none") == 0;
}

static bool is_true(const char *value)
{
    return value && strcasecmp(value, "true") == 0;
}

/* R2 and R3 have classes for it, R4 a property. */
static bool is_hvm(const struct catalogue_entry *entry)
{
    const char *mode = pref(entry, "virt_mode");

    return entry->vm_class == VM_CLASS_HVM || entry->vm_class == VM_CLASS_TEMPLATE_HVM ||
           (mode && strcmp(mode, "hvm") == 0);
}

/* R3: `['00:19.0', '03:00.0']`.  What is no address is left out, as it is when a backup is made. */
static void set_pci(const struct catalogue_entry *entry, struct definition_parts *parts)
{
    const char *at = pref(entry, "pcidevs");
    unsigned bus, slot, function;

    while (at && (at = strpbrk(at, "'\"")) != NULL &&
           parts->definition.pci_count < ARRAY_SIZE(parts->pci)) {
        struct definition_pci *pci = &parts->pci[parts->definition.pci_count];
        int length = 0;

        at++;
        if (sscanf(at, "%2x:%2x.%1x%n", &bus, &slot, &function, &length) == 3 &&
            (at[length] == '\'' || at[length] == '"')) {
            pci->bus = definition_keep(parts, text_format("0x%02x", bus));
            pci->slot = definition_keep(parts, text_format("0x%02x", slot));
            pci->function = definition_keep(parts, text_format("0x%x", function));
            parts->definition.pci_count++;
        }
        at = strpbrk(at, "'\"");
        at = at ? at + 1 : NULL;
    }
    parts->definition.pci = parts->pci;
    parts->definition.e820_host =
        parts->definition.pci_count > 0 &&
        !(pref(entry, "pci_e820_host") && !is_true(pref(entry, "pci_e820_host")));
}

static const char *kernel_options(const struct catalogue_entry *entry,
                                  const struct catalogue_entry *root_owner, bool pci)
{
    const char *options = pref(entry, "kernelopts");

    if (options)
        return options;
    if (pci)
        return "nopat iommu=soft swiotlb=8192";
    options = pref(root_owner, "kernelopts");
    return options ? options : "nopat";
}

static void set_kernel(struct host *host, const struct catalogue *catalogue,
                       const struct catalogue_entry *entry,
                       const struct catalogue_entry *root_owner, struct definition_parts *parts)
{
    struct definition *definition = &parts->definition;
    const char *kernel = pref(entry, "kernel");
    char *directory;

    if (definition->hvm && is_none(kernel))
        return; /* boots by itself */
    /* without a kernel of its own it takes the default */
    if (!kernel && catalogue)
        kernel = name_value_find(catalogue->globals, catalogue->global_count, "default_kernel");
    if (kernel && strchr(kernel, '/'))
        return;
    if (!is_none(kernel)) {
        parts->kernels = definition_keep(
            parts, text_format("%s/var/lib/qubes/vm-kernels/%s", host->root, kernel));
    } else if (parts->xen) {
        /* `none`: the kernel that was copied into its or its template's directory */
        parts->own_kernel = true;
        directory = entry_directory(host, root_owner);
        parts->kernels =
            definition_keep(parts, directory ? text_format("%s/kernels", directory) : NULL);
        free(directory);
    }
    if (!parts->kernels)
        return;
    definition->kernel = definition_keep(parts, text_format("%s/vmlinuz", parts->kernels));
    definition->initrd = definition_keep(parts, text_format("%s/initramfs", parts->kernels));
    definition->kernelopts = kernel_options(entry, root_owner, definition->pci_count > 0);
}

static void set_memory(const struct catalogue_entry *entry, struct definition *definition)
{
    const char *writer = name_value_find(entry->services, entry->service_count, "meminfo-writer");
    unsigned memory = number(entry, "memory", MEMORY_DEFAULT_MIB, MEMORY_MAX_MIB);
    unsigned most = number(entry, "maxmem", memory, MEMORY_MAX_MIB);

    /* who does not tell what it needs gets no more than it begins with */
    if (definition->hvm || (writer && strcmp(writer, "0") == 0))
        most = memory;
    definition->memory_mib = memory < most ? memory : most;
    definition->maxmem_mib = most;
}

static void set_network(const struct catalogue *catalogue, const struct catalogue_entry *entry,
                        struct definition_parts *parts)
{
    const struct catalogue_entry *netvm =
        catalogue && entry->netvm_name ? catalogue_find(catalogue, entry->netvm_name) : NULL;
    char ip[NETWORK_TEXT], mac[18];

    if (!netvm || !network_ip(entry, netvm, ip))
        return;
    network_mac(entry, mac);
    parts->definition.net_backend = netvm->name;
    parts->definition.net_ip = definition_keep(parts, strdup(ip));
    parts->definition.net_mac = definition_keep(parts, strdup(mac));
}

/* An HVM's clock: `localtime`, or seconds beside UTC. */
static void set_clock(const struct catalogue_entry *entry, struct definition *definition)
{
    const char *zone = pref(entry, "timezone");
    bool digits = zone && *zone && strspn(zone, "0123456789") == strlen(zone);

    definition->time_basis = zone && strcasecmp(zone, "localtime") == 0 ? "localtime" : "utc";
    definition->time_offset = digits ? zone : "0";
}

static int find_root_owner(const struct catalogue *catalogue, const struct catalogue_entry *entry,
                           const struct catalogue_entry **ret_owner, struct error *ret_error)
{
    *ret_owner = entry;
    if (!entry->template_name || entry->updateable)
        return 0;
    *ret_owner = catalogue ? catalogue_find(catalogue, entry->template_name) : NULL;
    if (*ret_owner)
        return 0;
    return error_set(ret_error, -ENOENT,
                     "the template \"%s\" of \"%s\" is not in the catalogue; set another one",
                     entry->template_name, entry->name);
}

int definition_collect(struct host *host, const struct catalogue *catalogue,
                       const struct catalogue_entry *entry, const char *uuid,
                       struct definition_parts *ret_parts, struct error *ret_error)
{
    const char *driver = host->hypervisor ? hypervisor_driver(host->hypervisor) : NULL;
    const struct catalogue_entry *root_owner;
    struct definition_parts *parts = ret_parts;
    struct definition *definition = &parts->definition;
    int result;

    *parts = (struct definition_parts){0};
    result = find_root_owner(catalogue, entry, &root_owner, ret_error);
    if (result)
        return result;
    parts->xen = driver && strcasecmp(driver, "xen") == 0;
    parts->test = driver && strcasecmp(driver, "test") == 0;
    parts->own_root = root_owner == entry;
    if (parts->xen && catalogue && catalogue->form == CATALOGUE_R4)
        return error_set(ret_error, -EOPNOTSUPP,
                         "\"%s\" is a VM of Qubes R4, whose disks on Xen only qubesd puts together",
                         entry->name);
    definition->name = entry->name;
    definition->uuid = uuid;
    definition->vm_class = vm_class_name(entry->vm_class);
    definition->hvm = is_hvm(entry);
    set_memory(entry, definition);
    definition->vcpus = number(entry, "vcpus", 1, VCPUS_MAX);
    definition->debug = is_true(pref(entry, "debug"));
    definition->console_log = definition_keep(
        parts, text_format("%s/var/log/qubes/guest-%s.log", host->root, entry->name));
    set_clock(entry, definition);
    set_pci(entry, parts);
    set_kernel(host, catalogue, entry, root_owner, parts);
    set_network(catalogue, entry, parts);
    result = disks_collect(host, catalogue, entry, root_owner, parts, ret_error);
    definition->volumes = parts->volumes;
    return result;
}

int host_vm_definition(struct host *host, const struct vm *vm, char **ret_xml,
                       struct error *ret_error)
{
    const struct host_snapshot *snapshot;
    struct definition_parts parts;
    int result;

    if (vm->domain && vm->domain->xml) {
        *ret_xml = strdup(vm->domain->xml);
        return *ret_xml ? 0 : -ENOMEM;
    }
    if (!vm->entry || vm->vm_class == VM_CLASS_ADMIN)
        return error_set(ret_error, -EINVAL, "dom0 has no definition");
    if (!host->hypervisor)
        return error_set(ret_error, -ENODEV, "there is no hypervisor (--connect none)");
    snapshot = host_snapshot(host);
    result = definition_collect(host, snapshot->catalogue, vm->entry, vm->uuid, &parts, ret_error);
    if (result == 0)
        result = hypervisor_definition(host->hypervisor, &parts.definition, ret_xml, ret_error);
    definition_release(&parts);
    host_snapshot_unref(snapshot);
    return result;
}

static uint64_t mix(uint64_t hash, const char *string)
{
    for (; string && *string; string++)
        hash = (hash ^ (unsigned char)*string) * 1099511628211u; /* FNV-1a */
    return (hash ^ 0xff) * 1099511628211u;
}

uint64_t definition_hash(struct host *host, const struct catalogue *catalogue,
                         const struct catalogue_entry *entry)
{
    struct definition_parts parts;
    const struct definition *definition = &parts.definition;
    uint64_t hash = 14695981039346656037u;

    if (!host->hypervisor || !hypervisor_driver(host->hypervisor))
        return 0;
    if (definition_collect(host, catalogue, entry, "", &parts, NULL) == 0) {
        const unsigned numbers[] = {definition->memory_mib, definition->maxmem_mib,
                                    definition->vcpus,      definition->debug,
                                    definition->hvm,        definition->e820_host};
        const char *const strings[] = {definition->name,       definition->vm_class,
                                       definition->kernelopts, definition->net_backend,
                                       definition->time_basis, definition->time_offset};

        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
            hash = (hash ^ numbers[i]) * 1099511628211u;
        for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
            hash = mix(hash, strings[i]);
        /* paths, addresses */
        for (size_t i = 0; i < parts.string_count; i++)
            hash = mix(hash, parts.strings[i]);
    }
    definition_release(&parts);
    return hash;
}
