/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The volumes of a restored VM of R4.  What the backup's host had them on is no matter here: they
 * are in the host's default pool, as Qubes makes them for a new VM of that class; a snapshot is in
 * the pool of what it is made from.
 */
#include "import.h"

#include <inttypes.h>
#include <string.h>

#define VOLATILE_BYTES (10ull << 30)

struct volume {
    const char *name, *pool, *vid;
    const char *source; /* snapshots: the volume that each start begins with */
    bool saved;
    uint64_t size; /* 0: Qubes looks at the image, or at the source */
};

static void add_volume(struct conversion *made, xmlNode *list, const struct volume *volume)
{
    xmlNode *element = add_element(made, list, "volume");

    add_attribute(made, element, "name", volume->name);
    add_attribute(made, element, "pool", volume->pool);
    add_attribute(made, element, "vid", volume->vid);
    add_attribute(made, element, "rw", "True");
    if (volume->source) {
        add_attribute(made, element, "snap_on_start", "True");
        add_attribute(made, element, "source", volume->source);
    }
    if (volume->saved)
        add_attribute(made, element, "save_on_stop", "True");
    if (volume->size > 0)
        add_attribute(made, element, "size", arena_printf(made->arena, "%" PRIu64, volume->size));
}

/* The id that a volume of this name has in the pool of its source. */
static const char *id_in_pool(const struct import_pass *pass, struct conversion *made,
                              const struct import_vm *vm, const char *volume, const char *pool_name)
{
    const struct reading *host = &pass->host->reading;
    const struct catalogue_pool *pool =
        catalogue_pool_find(host->pools, host->pool_count, pool_name);
    const char *group =
        pool ? name_value_find(pool->options, pool->option_count, "volume_group") : NULL;

    if (group && strcmp(pool->driver, "lvm_thin") == 0)
        return arena_printf(made->arena, "%s/vm-%s-%s", group, vm->shown.new_name, volume);
    return arena_printf(made->arena, "%s/%s/%s", vm_class_directory(vm->shown.vm_class),
                        vm->shown.new_name, volume);
}

/* A snapshot of the relative's volume of the same name. */
static struct volume snapshot(const struct import_pass *pass, struct conversion *made,
                              const struct import_vm *vm, const char *volume, const char *relative)
{
    const struct draft *there = reading_by_name(&pass->host->reading, relative);
    const struct catalogue_volume *source =
        there ? catalogue_volume_find(there->volumes, there->volume_count, volume) : NULL;
    bool is_app = vm->shown.vm_class == VM_CLASS_DISP && strcmp(volume, "private") == 0;
    struct volume made_volume = {.name = volume, .pool = pass->import->pool.name};

    made_volume.source =
        arena_printf(made->arena, "%s/%s/%s", is_app ? "appvms" : "vm-templates", relative, volume);
    if (there)
        made_volume.pool = "varlibqubes";
    if (source && source->pool && source->vid) {
        made_volume.pool = source->pool;
        made_volume.source = source->vid;
    }
    made_volume.vid = id_in_pool(pass, made, vm, volume, made_volume.pool);
    return made_volume;
}

/* The template below a disposable's: what its root is a snapshot of. */
static const char *base_of(const struct import_pass *pass, const char *relative)
{
    const struct draft *there = reading_by_name(&pass->host->reading, relative);
    const struct import_vm *restored = there ? NULL : import_restored(pass, relative);

    if (there && there->template_name)
        return there->template_name;
    if (restored && restored->template.name)
        return restored->template.name;
    return import_global(pass, "default_template");
}

static uint64_t size_of(const struct import_vm *vm, unsigned index, const char *name)
{
    const struct catalogue_volume *promised =
        catalogue_volume_find(vm->target->volumes, vm->target->volume_count, name);

    if (index < ARRAY_SIZE(vm->sizes) && vm->sizes[index] > 0)
        return vm->sizes[index];
    return promised ? promised->size : 0;
}

static void add_kernel(const struct import_pass *pass, struct conversion *made,
                       const struct import_vm *vm, xmlNode *list)
{
    const struct reading *host = &pass->host->reading;
    const char *kernel = pref_of(vm->target, "kernel"), *pool = NULL;

    if (!kernel || (!is_none(kernel) && !file_name_ok(kernel)))
        kernel = import_global(pass, "default_kernel");
    for (size_t i = 0; !pool && i < host->pool_count; i++)
        if (strcmp(host->pools[i].driver, "linux-kernel") == 0)
            pool = host->pools[i].name;
    if (!pool || !kernel || is_none(kernel) || !file_name_ok(kernel))
        return;
    xmlNode *element = add_element(made, list, "volume");

    add_attribute(made, element, "name", "kernel");
    add_attribute(made, element, "pool", pool);
    add_attribute(made, element, "vid", kernel);
}

void import_volumes(const struct import_pass *pass, struct conversion *made,
                    const struct import_vm *vm, xmlNode *domain)
{
    static const char *const names[] = {"root", "private", "volatile"};
    bool disposable = vm->shown.vm_class == VM_CLASS_DISP;
    const char *relative = vm->template.name;
    xmlNode *list = add_element(made, domain, "volume-config");

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        struct volume volume = {
            .name = names[i],
            .pool = pass->import->pool.name,
            .vid = arena_printf(made->arena, "%s/%s/%s", vm_class_directory(vm->shown.vm_class),
                                vm->shown.new_name, names[i]),
            .size = size_of(vm, i, names[i]),
            .saved = i != 2,
        };
        const char *source = relative && disposable && i == 0 ? base_of(pass, relative) : relative;

        if (source && i == 0)
            volume = snapshot(pass, made, vm, names[i], source);
        else if (source && disposable && i == 1)
            volume = snapshot(pass, made, vm, names[i], source);
        else if (i == 2 && volume.size == 0)
            volume.size = VOLATILE_BYTES;
        add_volume(made, list, &volume);
    }
    add_kernel(pass, made, vm, list);
}
