/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a property's new value must agree with: other VMs, other properties, kernels, what runs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "convert.h"
#include "edit.h"
#include "qubesfs/text.h"

#define MAXMEM_PER_MEMORY 10 /* more than that a PV kernel's page tables do not bear */

const char *draft_pref(const struct draft *draft, const char *name)
{
    return name_value_find(draft->prefs.items, draft->prefs.count, name);
}

const char *edit_global(const struct editing *editing, const char *name)
{
    const struct pairs *globals = &editing->reading->globals;
    const char *value = name_value_find(globals->items, globals->count, name);

    return value && !is_none(value) ? value : NULL;
}

bool draft_serves(const struct editing *editing, const struct draft *draft)
{
    if (editing->reading->form == CATALOGUE_R3)
        return draft->vm_class == VM_CLASS_NET || draft->vm_class == VM_CLASS_PROXY;
    return draft->vm_class != VM_CLASS_ADMIN &&
           parse_bool(draft_pref(draft, "provides_network"), false);
}

/* The netvm that the default means to this VM; NULL: none. */
static const char *default_netvm(const struct editing *editing)
{
    const struct draft *draft = editing->draft;
    bool gateway = editing->reading->form == CATALOGUE_R3
                       ? draft->vm_class == VM_CLASS_PROXY
                       : parse_bool(draft_pref(draft, "provides_network"), false);

    if (editing->reading->form == CATALOGUE_R4 && draft->vm_class == VM_CLASS_TEMPLATE)
        return NULL;
    return edit_global(editing, gateway ? "default_fw_netvm" : "default_netvm");
}

/* The VM that the value names; NULL with a refusal when there is none. */
static const struct draft *named(const struct editing *editing, const struct property *property,
                                 const char *value, int *ret_result)
{
    const struct draft *draft = reading_by_name(editing->reading, value);

    *ret_result = draft ? 0
                        : edit_refuse(editing, -ENOENT, "%s can't be \"%s\": there is no such VM",
                                      property->name, value);
    return draft;
}

static int check_netvm(const struct editing *editing, const struct property *property,
                       const char *value)
{
    const struct draft *at;
    int result;

    at = named(editing, property, value, &result);
    if (!at)
        return result;
    if (!draft_serves(editing, at))
        return edit_refuse(editing, -EINVAL,
                           "%s can't be \"%s\": that VM provides no network to others",
                           property->name, value);
    if (strcmp(property->name, "netvm") != 0)
        return 0;
    for (size_t steps = 0; at && steps <= editing->reading->draft_count; steps++) {
        if (at == editing->draft)
            return edit_refuse(editing, -EINVAL,
                               "netvm can't be \"%s\": the chain of netvms would come back to "
                               "\"%s\"",
                               value, editing->draft->name);
        at = at->netvm_name ? reading_by_name(editing->reading, at->netvm_name) : NULL;
    }
    return 0;
}

static int check_template(const struct editing *editing, const struct property *property,
                          const char *value)
{
    const struct draft *draft = editing->draft, *template;
    enum vm_class wanted =
        draft->vm_class == VM_CLASS_HVM ? VM_CLASS_TEMPLATE_HVM : VM_CLASS_TEMPLATE;
    int result;

    if (draft->updateable)
        return edit_refuse(editing, -EINVAL,
                           "it has a root volume of its own and so can't get a template");
    template = named(editing, property, value, &result);
    if (!template)
        return result;
    if (template->vm_class != wanted)
        return edit_refuse(editing, -EINVAL, "template can't be \"%s\": that is no %s", value,
                           vm_class_name(wanted));
    return 0;
}

static int check_dispvm(const struct editing *editing, const struct property *property,
                        const char *value)
{
    const struct draft *template;
    int result;

    template = named(editing, property, value, &result);
    if (template && !parse_bool(draft_pref(template, "template_for_dispvms"), false))
        return edit_refuse(editing, -EINVAL,
                           "%s can't be \"%s\": its template_for_dispvms is not True",
                           property->name, value);
    return result;
}

static int check_vm(const struct editing *editing, const struct property *property,
                    const char *value)
{
    int result;

    if (strcmp(property->name, "template") == 0) {
        if (!value)
            value = edit_global(editing, "default_template");
        return value ? check_template(editing, property, value)
                     : edit_refuse(editing, -EINVAL, "there is no default template");
    }
    if (strcmp(property->name, "netvm") == 0 && !value)
        value = default_netvm(editing);
    if (!value || is_none(value))
        return 0;
    if (strcmp(property->name, "netvm") == 0 || strcmp(property->name, "dispvm_netvm") == 0)
        return check_netvm(editing, property, value);
    if (strstr(property->name, "_dispvm"))
        return check_dispvm(editing, property, value);
    named(editing, property, value, &result); /* guivm, audiovm */
    return result;
}

static int check_kernel(const struct editing *editing, const char *value)
{
    char *path CLEANUP_FREE = NULL;
    struct stat attributes;

    if (!value || is_none(value))
        return 0;
    path = text_format("%s/var/lib/qubes/vm-kernels/%s", editing->root, value);
    if (!path)
        return edit_refuse(editing, -ENOMEM, "out of memory");
    if (stat(path, &attributes) == 0 && S_ISDIR(attributes.st_mode))
        return 0;
    return edit_refuse(editing, -ENOENT, "kernel \"%s\" is not installed: there is no directory %s",
                       value, path);
}

static const char *default_memory(enum vm_class vm_class)
{
    if (vm_class == VM_CLASS_NET || vm_class == VM_CLASS_PROXY)
        return "300";
    return vm_class == VM_CLASS_HVM || vm_class == VM_CLASS_TEMPLATE_HVM ? "512" : "400";
}

static const char *memory_of(const struct editing *editing)
{
    const char *stored = draft_pref(editing->draft, "memory");

    return stored && is_number(stored) ? stored : default_memory(editing->draft->vm_class);
}

static int check_memory(const struct editing *editing, const char *value)
{
    const char *maxmem = draft_pref(editing->draft, "maxmem");
    uint64_t most, wanted;

    if (!value || !maxmem || !parse_number(maxmem, UINT32_MAX, &most) || most == 0 ||
        !parse_number(value, UINT32_MAX, &wanted) || wanted <= most)
        return 0;
    return edit_refuse(editing, -EINVAL,
                       "memory can't be %s: that is more than its maxmem, %s; raise that first",
                       value, maxmem);
}

static int check_maxmem(const struct editing *editing, const char *value)
{
    const char *stored = memory_of(editing);
    uint64_t memory, wanted;

    if (!value || !parse_number(value, UINT32_MAX, &wanted) || wanted == 0 ||
        !parse_number(stored, UINT32_MAX, &memory))
        return 0;
    if (wanted < memory)
        return edit_refuse(editing, -EINVAL,
                           "maxmem can't be %s: that is less than its memory, %s; lower that first",
                           value, stored);
    if (wanted > MAXMEM_PER_MEMORY * memory)
        return edit_refuse(editing, -EINVAL,
                           "maxmem can't be %s: that is more than %d times its memory, %s; raise "
                           "that first",
                           value, MAXMEM_PER_MEMORY, stored);
    return 0;
}

static int check_label(const struct editing *editing, const char *value)
{
    const xmlNode *list = element_child(xmlDocGetRootElement(editing->reading->document), "labels");

    if (!value)
        return 0;
    if (editing->reading->form == CATALOGUE_R3 || !list)
        return is_standard_label(value) ? 0
                                        : edit_refuse(editing, -EINVAL,
                                                      "there is no label \"%s\": red, orange, "
                                                      "yellow, green, gray, blue, purple or black",
                                                      value);
    for (const xmlNode *at = element_at(list->children); at; at = element_at(at->next))
        if (element_is(at, "label") && strcmp(element_text(at, editing->arena), value) == 0)
            return 0;
    return edit_refuse(editing, -EINVAL, "there is no label \"%s\" in the catalogue", value);
}

/* A VM stops serving others only when nobody uses it. */
static int check_unused_netvm(const struct editing *editing, const char *value)
{
    const struct reading *reading = editing->reading;
    const char *name = editing->draft->name;

    if (value && parse_bool(value, false))
        return 0;
    for (size_t i = 0; i < reading->draft_count; i++) {
        const char *netvm = reading->drafts[i].netvm_name;

        if (netvm && strcmp(netvm, name) == 0)
            return edit_refuse(editing, -EBUSY,
                               "it is the netvm of \"%s\"; give that VM another one first",
                               reading->drafts[i].name);
    }
    return 0;
}

static int check_unused_template(const struct editing *editing, const char *value)
{
    const struct reading *reading = editing->reading;
    const char *name = editing->draft->name;

    if (value && parse_bool(value, false))
        return 0;
    for (size_t i = 0; i < reading->draft_count; i++) {
        const struct draft *other = &reading->drafts[i];
        const char *dispvm = draft_pref(other, "default_dispvm");

        if ((other->vm_class == VM_CLASS_DISP && other->template_name &&
             strcmp(other->template_name, name) == 0) ||
            (dispvm && strcmp(dispvm, name) == 0))
            return edit_refuse(editing, -EBUSY, "\"%s\" uses it for disposables; change that first",
                               other->name);
    }
    return 0;
}

int property_check(const struct editing *editing, const struct property *property,
                   const char *value)
{
    if (property->halted && editing->active)
        return edit_refuse(editing, -EBUSY, "%s can't change while it runs; shut it down first",
                           property->name);
    if (property->type == PROPERTY_VM)
        return check_vm(editing, property, value);
    if (property->type == PROPERTY_KERNEL)
        return check_kernel(editing, value);
    if (property->type == PROPERTY_LABEL)
        return check_label(editing, value);
    if (strcmp(property->name, "memory") == 0)
        return check_memory(editing, value);
    if (strcmp(property->name, "maxmem") == 0)
        return check_maxmem(editing, value);
    if (strcmp(property->name, "provides_network") == 0)
        return check_unused_netvm(editing, value);
    if (strcmp(property->name, "template_for_dispvms") == 0)
        return check_unused_template(editing, value);
    return 0;
}

/* Half of this host's memory, as Qubes does, within the rules. */
static const char *default_maxmem(const struct editing *editing)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t half = (uint64_t)pages * (uint64_t)page / 2 / 1024 / 1024, memory;

    if (!parse_number(memory_of(editing), UINT32_MAX, &memory))
        return NULL;
    if (half > MAXMEM_PER_MEMORY * memory)
        half = MAXMEM_PER_MEMORY * memory;
    return arena_printf(editing->arena, "%" PRIu64, half < memory ? memory : half);
}

const char *property_r3_default(const struct editing *editing, const struct property *property)
{
    const struct draft *draft = editing->draft;
    const char *devices = draft_pref(draft, "pcidevs"), *name = property->name;
    bool template =
        draft->vm_class == VM_CLASS_TEMPLATE || draft->vm_class == VM_CLASS_TEMPLATE_HVM;

    if (property->fallback)
        return property->fallback;
    if (strcmp(name, "include_in_backups") == 0)
        return draft->installed_by_rpm ? "False" : "True";
    if (strcmp(name, "label") == 0)
        return template ? "black" : "red";
    if (strcmp(name, "memory") == 0)
        return default_memory(draft->vm_class);
    if (strcmp(name, "maxmem") == 0)
        return default_maxmem(editing);
    if (strcmp(name, "kernelopts") == 0)
        return devices && strchr(devices, '\'') ? "nopat iommu=soft swiotlb=8192" : "nopat";
    if (strcmp(name, "kernel") == 0)
        return edit_global(editing, "default_kernel");
    if (strcmp(name, "template") == 0)
        return edit_global(editing, "default_template");
    if (strcmp(name, "netvm") == 0)
        return default_netvm(editing);
    if (strcmp(name, "dispvm_netvm") == 0)
        return draft->netvm_name;
    return NULL;
}
