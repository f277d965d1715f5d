/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a start would define a VM from, and where its images are (Qubes' layouts of R3 and R4). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

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

static const struct catalogue_pool *find_pool(const struct catalogue *catalogue, const char *name)
{
    for (size_t i = 0; name && i < catalogue->pool_count; i++)
        if (strcmp(catalogue->pools[i].name, name) == 0)
            return &catalogue->pools[i];
    return NULL;
}

/* R4: a volume's pool says where its bytes are (format: docs/FORMAT.md, storage of R4). */
static char *pool_path(const struct host *host, const struct catalogue *catalogue,
                       const struct catalogue_volume *volume)
{
    const struct catalogue_pool *pool = find_pool(catalogue, volume->pool);
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

static const char *keep(struct definition_parts *parts, char *string)
{
    if (!string || parts->string_count == ARRAY_SIZE(parts->strings)) {
        free(string);
        return NULL;
    }
    return parts->strings[parts->string_count++] = string;
}

static bool is_none(const char *value)
{
    return !value || !*value || strcasecmp(value, "none") == 0;
}

static void add_volume(struct definition_parts *parts, const char *name, const char *path,
                       bool readonly, bool transient, bool xen)
{
    static const char letters[] = "abcd";
    size_t place = parts->definition.volume_count;
    struct definition_volume *volume = &parts->volumes[place];

    if (!path)
        return;
    *volume = (struct definition_volume){
        .name = name,
        .path = path,
        .target = keep(parts, text_format("%s%c", xen ? "xvd" : "vd", letters[place])),
        .block = strncmp(path, "/dev/", 5) == 0,
        .readonly = readonly,
        .transient = transient,
    };
    parts->definition.volume_count++;
}

static void set_kernel(struct host *host, const struct catalogue *catalogue,
                       const struct catalogue_entry *entry, struct definition_parts *parts)
{
    struct definition *definition = &parts->definition;
    const char *kernel = pref(entry, "kernel");

    /* HVMs of R2/R3 boot by themselves; others without a kernel of their own take the default */
    if (!kernel && entry->vm_class != VM_CLASS_HVM && entry->vm_class != VM_CLASS_TEMPLATE_HVM &&
        catalogue)
        kernel = name_value_find(catalogue->globals, catalogue->global_count, "default_kernel");
    if (is_none(kernel) || strchr(kernel, '/'))
        return;
    definition->kernel =
        keep(parts, text_format("%s/var/lib/qubes/vm-kernels/%s/vmlinuz", host->root, kernel));
    definition->initrd =
        keep(parts, text_format("%s/var/lib/qubes/vm-kernels/%s/initramfs", host->root, kernel));
    definition->kernelopts = pref(entry, "kernelopts");
    if (!definition->kernelopts)
        definition->kernelopts = "nopat";
}

int definition_collect(struct host *host, const struct catalogue *catalogue,
                       const struct catalogue_entry *entry, const char *uuid,
                       struct definition_parts *ret_parts, struct error *ret_error)
{
    const char *driver = host->hypervisor ? hypervisor_driver(host->hypervisor) : NULL;
    bool xen = driver && strcasecmp(driver, "xen") == 0;
    const struct catalogue_entry *root_owner = entry;
    struct definition_parts *parts = ret_parts;
    struct definition *definition = &parts->definition;
    const char *debug = pref(entry, "debug");

    *parts = (struct definition_parts){0};
    if (entry->template_name && !entry->updateable) {
        root_owner = catalogue ? catalogue_find(catalogue, entry->template_name) : NULL;
        if (!root_owner)
            return error_set(
                ret_error, -ENOENT,
                "the template \"%s\" of \"%s\" is not in the catalogue; set another one",
                entry->template_name, entry->name);
    }
    definition->name = entry->name;
    definition->uuid = uuid;
    definition->vm_class = vm_class_name(entry->vm_class);
    definition->memory_mib = number(entry, "memory", MEMORY_DEFAULT_MIB, MEMORY_MAX_MIB);
    definition->maxmem_mib = number(entry, "maxmem", definition->memory_mib, MEMORY_MAX_MIB);
    if (definition->maxmem_mib < definition->memory_mib)
        definition->maxmem_mib = definition->memory_mib;
    definition->vcpus = number(entry, "vcpus", 1, VCPUS_MAX);
    definition->debug = debug && strcasecmp(debug, "true") == 0;
    definition->console_log =
        keep(parts, text_format("%s/var/log/qubes/guest-%s.log", host->root, entry->name));
    set_kernel(host, catalogue, entry, parts);
    /* a template-based VM's root is its template's, and what it writes there is gone at shutdown */
    add_volume(parts, "root", keep(parts, volume_path(host, catalogue, root_owner, "root")), false,
               root_owner != entry, xen);
    add_volume(parts, "private", keep(parts, volume_path(host, catalogue, entry, "private")), false,
               false, xen);
    definition->volumes = parts->volumes;
    return 0;
}

void definition_release(struct definition_parts *parts)
{
    for (size_t i = 0; i < parts->string_count; i++)
        free(parts->strings[i]);
    parts->string_count = 0;
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
    struct definition *definition = &parts.definition;
    uint64_t hash = 14695981039346656037u;

    if (!host->hypervisor || !hypervisor_driver(host->hypervisor))
        return 0;
    if (definition_collect(host, catalogue, entry, "", &parts, NULL) == 0) {
        hash = mix(hash, definition->name);
        hash = mix(hash, definition->vm_class);
        hash = mix(hash, definition->kernel);
        hash = mix(hash, definition->kernelopts);
        for (size_t i = 0; i < definition->volume_count; i++)
            hash = mix(hash, parts.volumes[i].path);
        hash = (hash ^ definition->memory_mib) * 1099511628211u;
        hash = (hash ^ definition->maxmem_mib) * 1099511628211u;
        hash = (hash ^ definition->vcpus) * 1099511628211u;
        hash = (hash ^ definition->debug) * 1099511628211u;
    }
    definition_release(&parts);
    return hash;
}
