/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "internal.h"

#include <string.h>

#include "qubesfs/sorted.h"

const char *vm_class_name(enum vm_class vm_class)
{
    static const char *const names[] = {
        [VM_CLASS_APP] = "AppVM",
        [VM_CLASS_TEMPLATE] = "TemplateVM",
        [VM_CLASS_STANDALONE] = "StandaloneVM",
        [VM_CLASS_NET] = "NetVM",
        [VM_CLASS_PROXY] = "ProxyVM",
        [VM_CLASS_DISP] = "DispVM",
        [VM_CLASS_HVM] = "HVM",
        [VM_CLASS_TEMPLATE_HVM] = "TemplateHVM",
        [VM_CLASS_ADMIN] = "AdminVM",
    };

    return names[vm_class];
}

const char *vm_class_directory(enum vm_class vm_class)
{
    switch (vm_class) {
    case VM_CLASS_TEMPLATE:
    case VM_CLASS_TEMPLATE_HVM:
        return "vm-templates";
    case VM_CLASS_NET:
    case VM_CLASS_PROXY:
        return "servicevms";
    default:
        return "appvms";
    }
}

/* Immutable to all who hold them, but the count is not: the only places where const is cast off. */

const struct catalogue_entry *catalogue_entry_ref(const struct catalogue_entry *entry)
{
    __atomic_add_fetch(&((struct catalogue_entry *)entry)->references, 1, __ATOMIC_RELAXED);
    return entry;
}

void catalogue_entry_unref(const struct catalogue_entry *entry)
{
    struct catalogue_entry *own = (struct catalogue_entry *)entry;

    if (own && __atomic_sub_fetch(&own->references, 1, __ATOMIC_ACQ_REL) == 0)
        free(own);
}

const struct catalogue *catalogue_ref(const struct catalogue *catalogue)
{
    __atomic_add_fetch(&((struct catalogue *)catalogue)->references, 1, __ATOMIC_RELAXED);
    return catalogue;
}

void catalogue_unref(const struct catalogue *catalogue)
{
    struct catalogue *own = (struct catalogue *)catalogue;

    if (!own || __atomic_sub_fetch(&own->references, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    for (size_t i = 0; i < own->entry_count; i++)
        catalogue_entry_unref(own->entries[i]);
    free(own);
}

static const char *entry_name(const void *list, size_t index)
{
    return ((const struct catalogue_entry *const *)list)[index]->name;
}

size_t catalogue_index(const struct catalogue *catalogue, const char *name)
{
    return sorted_find(catalogue->entries, catalogue->entry_count, name, entry_name);
}

const struct catalogue_entry *catalogue_find(const struct catalogue *catalogue, const char *name)
{
    size_t index = catalogue_index(catalogue, name);

    return index != SIZE_MAX ? catalogue->entries[index] : NULL;
}

static const char *pair_name(const void *list, size_t index)
{
    return ((const struct name_value *)list)[index].name;
}

const char *name_value_find(const struct name_value *list, size_t count, const char *name)
{
    size_t index = sorted_find(list, count, name, pair_name);

    return index != SIZE_MAX ? list[index].value : NULL;
}

const struct catalogue_volume *catalogue_volume_find(const struct catalogue_volume *volumes,
                                                     size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(volumes[i].name, name) == 0)
            return &volumes[i];
    return NULL;
}

const struct catalogue_pool *catalogue_pool_find(const struct catalogue_pool *pools, size_t count,
                                                 const char *name)
{
    for (size_t i = 0; name && i < count; i++)
        if (strcmp(pools[i].name, name) == 0)
            return &pools[i];
    return NULL;
}

static bool same_text(const char *one, const char *other)
{
    return one == other || (one && other && strcmp(one, other) == 0);
}

static bool same_list(const struct name_value *one, size_t one_count,
                      const struct name_value *other, size_t other_count)
{
    if (one_count != other_count)
        return false;
    for (size_t i = 0; i < one_count; i++)
        if (!same_text(one[i].name, other[i].name) || !same_text(one[i].value, other[i].value))
            return false;
    return true;
}

static bool same_volume(const struct catalogue_volume *one, const struct catalogue_volume *other)
{
    return same_text(one->name, other->name) && same_text(one->pool, other->pool) &&
           same_text(one->vid, other->vid) && same_text(one->source, other->source) &&
           one->size == other->size && one->rw == other->rw &&
           one->save_on_stop == other->save_on_stop && one->snap_on_start == other->snap_on_start;
}

#define SAME_LIST(one, other, list, count)                                                         \
    same_list((one)->list, (one)->count, (other)->list, (other)->count)

bool catalogue_entry_equal(const struct catalogue_entry *one, const struct catalogue_entry *other)
{
    if (one == other)
        return true;
    if (one->form != other->form || one->qid != other->qid || one->vm_class != other->vm_class ||
        one->include_in_backups != other->include_in_backups || one->internal != other->internal ||
        one->installed_by_rpm != other->installed_by_rpm || one->updateable != other->updateable ||
        one->volume_count != other->volume_count)
        return false;
    for (size_t i = 0; i < one->volume_count; i++)
        if (!same_volume(&one->volumes[i], &other->volumes[i]))
            return false;
    return same_text(one->name, other->name) && same_text(one->uuid, other->uuid) &&
           same_text(one->dir_path, other->dir_path) &&
           same_text(one->template_name, other->template_name) &&
           same_text(one->netvm_name, other->netvm_name) &&
           SAME_LIST(one, other, prefs, pref_count) &&
           SAME_LIST(one, other, services, service_count) &&
           SAME_LIST(one, other, features, feature_count) && SAME_LIST(one, other, tags, tag_count);
}

bool catalogue_equal(const struct catalogue *one, const struct catalogue *other)
{
    if (one == other)
        return true;
    if (one->form != other->form || one->entry_count != other->entry_count ||
        one->pool_count != other->pool_count || !SAME_LIST(one, other, globals, global_count))
        return false;
    for (size_t i = 0; i < one->pool_count; i++)
        if (!same_text(one->pools[i].name, other->pools[i].name) ||
            !same_text(one->pools[i].driver, other->pools[i].driver) ||
            !SAME_LIST(&one->pools[i], &other->pools[i], options, option_count))
            return false;
    for (size_t i = 0; i < one->entry_count; i++)
        if (!catalogue_entry_equal(one->entries[i], other->entries[i]))
            return false;
    return true;
}
