/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disks of a VM.  On Xen as Qubes R3 has them:
 *
 *   PV    template            xvda  block-origin of root.img and root-cow.img, both in dom0
 *         template-based      xvda  block-snapshot of the template's root.img and root-cow.img, read-only:
 *                                   the VM itself puts its second layer on it, which is in xvdc
 *         others              xvda  root.img
 *         all                 xvdb private.img, xvdc volatile.img, xvdd the kernel's modules.img
 *   HVM   template-based      xvda  block-snapshot of the template's root.img and the own volatile.img
 *         others              xvda  root.img
 *         all                 xvdb private.img, xvdd the drive, if there is one
 *
 * Elsewhere the template's root is a disk whose writes are thrown away.
 */
#include <errno.h>
#include <string.h>

#include "definition.h"
#include "internal.h"

struct disks {
    struct host *host;
    const struct catalogue *catalogue;
    const struct catalogue_entry *entry, *root_owner;
    struct definition_parts *parts;
    bool hvm;
};

static void add(struct disks *disks, const struct definition_volume *volume, char letter)
{
    struct definition_parts *parts = disks->parts;
    struct definition_volume *copy = &parts->volumes[parts->definition.volume_count];

    if (!volume->path || parts->definition.volume_count == ARRAY_SIZE(parts->volumes))
        return;
    *copy = *volume;
    copy->target =
        definition_keep(parts, text_format("%s%c",
                                           parts->xen                                     ? "xvd"
                                           : copy->device && strcmp(copy->device, "disk") ? "sd"
                                                                                          : "vd",
                                           letter));
    copy->block = strncmp(copy->path, "/dev/", 5) == 0;
    parts->definition.volume_count++;
}

/* An image's path, kept; NULL: none, or out of memory. */
static const char *image(struct disks *disks, const struct catalogue_entry *entry, const char *name)
{
    return definition_keep(disks->parts,
                           volume_path(disks->host, disks->catalogue, entry, name));
}

static const char *two(struct disks *disks, const char *first, const char *second)
{
    if (!first || !second)
        return NULL;
    return definition_keep(disks->parts, text_format("%s:%s", first, second));
}

static void add_root(struct disks *disks)
{
    bool own = disks->root_owner == disks->entry;
    struct definition_volume root = {.name = "root"};

    root.path = disks->parts->root = image(disks, disks->root_owner, "root");
    if (!disks->parts->xen) {
        root.transient = !own;
    } else if (disks->hvm && !own) {
        root.script = "block-snapshot";
        root.path = two(disks, root.path, image(disks, disks->entry, "volatile"));
    } else if (!disks->hvm && (!own || disks->entry->vm_class == VM_CLASS_TEMPLATE)) {
        root.script = own ? "block-origin" : "block-snapshot";
        root.readonly = !own;
        disks->parts->root_cow = image(disks, disks->root_owner, "root-cow");
        root.path = two(disks, root.path, disks->parts->root_cow);
    }
    add(disks, &root, 'a');
}

static bool is_drive(const char *value)
{
    return value && *value && strcasecmp(value, "none") != 0;
}

/* TYPE:VM:PATH, as Qubes stores it. */
static int add_drive(struct disks *disks, struct error *ret_error)
{
    const struct catalogue_entry *entry = disks->entry;
    const char *value = name_value_find(entry->prefs, entry->pref_count, "drive");
    struct definition_volume drive = {.name = "drive", .device = "cdrom"};
    char *copy, *vm, *path;

    if (!is_drive(value))
        return 0;
    copy = (char *)definition_keep(disks->parts, strdup(value));
    vm = copy ? strchr(copy, ':') : NULL;
    path = vm ? strchr(vm + 1, ':') : NULL;
    if (!path || path[1] != '/')
        return error_set(ret_error, -EINVAL,
                         "the drive of \"%s\" is no TYPE:VM:PATH (cdrom:dom0:/home/user/x.iso): %s",
                         entry->name, value);
    *vm++ = '\0';
    *path++ = '\0';
    if (strcmp(copy, "hd") == 0)
        drive.device = NULL;
    drive.readonly = drive.device != NULL;
    if (strcasecmp(vm, "dom0") != 0)
        drive.backend = vm;
    if (drive.backend && !disks->parts->xen)
        return error_set(ret_error, -EOPNOTSUPP,
                         "the drive of \"%s\" is in the VM \"%s\", which only Xen can attach",
                         entry->name, vm);
    drive.path = drive.backend ? path : definition_keep(disks->parts, host_path(disks->host, path));
    add(disks, &drive, 'd');
    return 0;
}

int disks_collect(struct host *host, const struct catalogue *catalogue,
                  const struct catalogue_entry *entry, const struct catalogue_entry *root_owner,
                  struct definition_parts *parts, struct error *ret_error)
{
    struct disks disks = {host, catalogue, entry, root_owner, parts, parts->definition.hvm};
    struct definition_volume volume = {.name = "private"};

    add_root(&disks);
    volume.path = image(&disks, entry, "private");
    add(&disks, &volume, 'b');
    parts->volatile_image = image(&disks, entry, "volatile");
    if (!disks.hvm) {
        volume = (struct definition_volume){.name = "volatile", .path = parts->volatile_image};
        add(&disks, &volume, 'c');
    }
    if (disks.hvm)
        return add_drive(&disks, ret_error);
    if (parts->xen && parts->kernels) {
        volume = (struct definition_volume){
            .name = "modules",
            .path = definition_keep(parts, text_format("%s/modules.img", parts->kernels)),
            .readonly = !parts->own_kernel};
        add(&disks, &volume, 'd');
    }
    return 0;
}
