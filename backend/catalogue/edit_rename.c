/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Another name for a VM: its own entry, and all that refers to it by name, in one edit. */
#include <errno.h>
#include <string.h>

#include "edit.h"

static int rename_attribute(struct editing *editing, const xmlNode *element, const char *name,
                            const char *value)
{
    return splice_attribute(&editing->splicing, element, name, value);
}

/* R3's references are qids, but for a drive's backend. */
static int rename_r3_drive(struct editing *editing, const struct draft *other, const char *new_name)
{
    const char *drive = element_attribute(other->element, "drive", editing->arena);
    const char *vm = drive ? strchr(drive, ':') : NULL;
    size_t length = strlen(editing->draft->name);

    if (!vm || strncmp(vm + 1, editing->draft->name, length) != 0 || vm[1 + length] != ':')
        return 0;
    return rename_attribute(editing, other->element, "drive",
                            arena_printf(editing->arena, "%.*s%s%s", (int)(vm + 1 - drive), drive,
                                         new_name, vm + 1 + length));
}

static int rename_r3(struct editing *editing, const char *new_name)
{
    const struct draft *draft = editing->draft;
    const struct reading *reading = editing->reading;
    const char *conf = element_attribute(draft->element, "conf_file", editing->arena);
    const char *last = draft->dir_path ? strrchr(draft->dir_path, '/') : NULL;
    int result = rename_attribute(editing, draft->element, "name", new_name);

    if (!result && last && strcmp(last + 1, draft->name) == 0)
        result = rename_attribute(editing, draft->element, "dir_path",
                                  arena_printf(editing->arena, "%.*s%s",
                                               (int)(last + 1 - draft->dir_path), draft->dir_path,
                                               new_name));
    if (!result && conf && strcmp(conf, arena_printf(editing->arena, "%s.conf", draft->name)) == 0)
        result = rename_attribute(editing, draft->element, "conf_file",
                                  arena_printf(editing->arena, "%s.conf", new_name));
    for (size_t i = 0; !result && i < reading->draft_count; i++)
        result = rename_r3_drive(editing, &reading->drafts[i], new_name);
    return result;
}

/* <property>s that name the VM, and its own name. */
static int rename_r4_properties(struct editing *editing, const xmlNode *list, const char *new_name,
                                bool own)
{
    int result = 0;

    for (xmlNode *at = list ? element_at(list->children) : NULL; !result && at;
         at = element_at(at->next)) {
        const char *name = element_attribute(at, "name", editing->arena);

        if (element_is(at, "property") && name &&
            (r4_is_vm_valued(name) || (own && strcmp(name, "name") == 0)) &&
            strcmp(element_text(at, editing->arena), editing->draft->name) == 0)
            result = splice_text(&editing->splicing, at, new_name);
    }
    return result;
}

static int rename_r4_devices(struct editing *editing, const xmlNode *domain, const char *new_name)
{
    int result = 0;

    for (xmlNode *list = element_at(domain->children); list; list = element_at(list->next))
        for (xmlNode *at = element_is(list, "devices") ? element_at(list->children) : NULL;
             !result && at; at = element_at(at->next)) {
            const char *vm = element_attribute(at, "backend-domain", editing->arena);

            if (vm && strcmp(vm, editing->draft->name) == 0)
                result = rename_attribute(editing, at, "backend-domain", new_name);
        }
    return result;
}

/* The id of a file volume is a path with the VM's name, appvms/NAME/private: the one with the new
 * name, or NULL. */
static const char *renamed_id(struct editing *editing, const char *id, const char *new_name)
{
    size_t length = strlen(editing->draft->name);
    const char *rest;

    if (strncmp(id, "appvms/", 7) != 0 && strncmp(id, "vm-templates/", 13) != 0)
        return NULL;
    rest = strchr(id, '/') + 1;
    if (strncmp(rest, editing->draft->name, length) != 0 || rest[length] != '/')
        return NULL;
    return arena_printf(editing->arena, "%.*s%s%s", (int)(rest - id), id, new_name, rest + length);
}

static int rename_r4_volumes(struct editing *editing, const xmlNode *domain, const char *new_name)
{
    static const char *const attributes[] = {"vid", "source"};
    const xmlNode *list = element_child(domain, "volume-config");
    int result = 0;

    for (xmlNode *at = list ? element_at(list->children) : NULL; !result && at;
         at = element_at(at->next))
        for (size_t i = 0; !result && i < ARRAY_SIZE(attributes); i++) {
            const char *id = element_attribute(at, attributes[i], editing->arena);
            const char *made = id ? renamed_id(editing, id, new_name) : NULL;

            if (made)
                result = rename_attribute(editing, at, attributes[i], made);
        }
    return result;
}

/* The names of logical volumes are not changed here, and a new VM of the old name would want them.
 */
static int check_r4_volumes(const struct editing *editing)
{
    const struct draft *draft = editing->draft;
    const struct reading *reading = editing->reading;

    for (size_t i = 0; i < draft->volume_count; i++)
        for (size_t pool = 0; draft->volumes[i].pool && pool < reading->pool_count; pool++)
            if (strcmp(reading->pools[pool].name, draft->volumes[i].pool) == 0 &&
                strcmp(reading->pools[pool].driver, "lvm_thin") == 0)
                return edit_refuse(editing, -EOPNOTSUPP,
                                   "its volume %s is a logical volume, which is named after it and "
                                   "not renamed here; use qvm-clone",
                                   draft->volumes[i].name);
    return 0;
}

static int rename_r4(struct editing *editing, const char *new_name)
{
    const xmlNode *root = xmlDocGetRootElement(editing->reading->document);
    const xmlNode *domains = element_child(root, "domains");
    int result = check_r4_volumes(editing);

    if (!result)
        result = rename_r4_properties(editing, element_child(root, "properties"), new_name, false);
    for (xmlNode *at = element_at(domains->children); !result && at; at = element_at(at->next)) {
        if (!element_is(at, "domain"))
            continue;
        result = rename_r4_properties(editing, element_child(at, "properties"), new_name,
                                      at == editing->draft->element);
        if (!result)
            result = rename_r4_devices(editing, at, new_name);
        if (!result)
            result = rename_r4_volumes(editing, at, new_name);
    }
    return result;
}

int edit_rename(struct editing *editing, const char *untrusted_name)
{
    const struct draft *draft = editing->draft;
    const char *reason = vm_name_reason(untrusted_name);

    if (draft->vm_class == VM_CLASS_ADMIN)
        return edit_refuse(editing, -EPERM, "dom0 is this host itself and keeps its name");
    if (!reason && strcmp(untrusted_name, "dom0") == 0)
        reason = "only the host itself may have this name";
    if (reason)
        return edit_refuse(editing, -EINVAL, "it can't be called \"%.100s\": %s", untrusted_name,
                           reason);
    if (reading_by_name(editing->reading, untrusted_name))
        return edit_refuse(editing, -EEXIST, "there is a VM called \"%s\" already", untrusted_name);
    if (editing->active)
        return edit_refuse(editing, -EBUSY,
                           "it can't be renamed while it runs; shut it down first");
    if (draft->installed_by_rpm)
        return edit_refuse(editing, -EPERM,
                           "it was installed by a package and keeps its name; make a clone of it");
    return editing->reading->form == CATALOGUE_R3 ? rename_r3(editing, untrusted_name)
                                                  : rename_r4(editing, untrusted_name);
}
