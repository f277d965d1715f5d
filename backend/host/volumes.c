/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VM's volumes as files that stay still while they are open. */
#include "qubesfs/volume.h"

#include <errno.h>
#include <string.h>

#include "internal.h"

const char *vm_volume_name(enum vm_volume which)
{
    static const char *const names[VM_VOLUME_COUNT] = {"root", "private", "volatile"};

    return names[which];
}

int volume_locate(const struct host *host, const struct catalogue *catalogue,
                  const struct catalogue_entry *entry, enum vm_volume which,
                  struct storage_place *ret_place, struct error *ret_error)
{
    char *directory CLEANUP_FREE = entry_directory(host, entry);

    *ret_place = (struct storage_place){0};
    if (!directory || (which == VM_VOLUME_ROOT && !entry->updateable))
        return error_set(ret_error, -ENOENT, "\"%s\" has no %s volume of its own", entry->name,
                         vm_volume_name(which));
    return storage_locate(host->root, directory, catalogue, entry, vm_volume_name(which), ret_place,
                          ret_error);
}

/* Where the VM of the snapshot of this moment has it. */
static int locate_now(struct host *host, const struct vm *vm, enum vm_volume which,
                      struct storage_place *ret_place, struct error *ret_error)
{
    const struct host_snapshot *snapshot = host_snapshot(host);
    int result = -ENOENT;

    *ret_place = (struct storage_place){0};
    if (vm->entry && snapshot->catalogue)
        result = volume_locate(host, snapshot->catalogue, vm->entry, which, ret_place, ret_error);
    else
        error_set(ret_error, result, "\"%s\" has no volumes", vm->name);
    host_snapshot_unref(snapshot);
    return result;
}

int host_volume_measure(struct host *host, const struct vm *vm, enum vm_volume which,
                        struct storage_measure *ret_measure)
{
    struct storage_place place;
    int result = locate_now(host, vm, which, &place, NULL);

    if (result == 0)
        result = storage_measure(&place, host->root, ret_measure);
    storage_place_free(&place);
    return result;
}

/* What is not still may only be read while it is certain that the VM does not run. */
static int check_halted(struct host *host, const struct vm *vm, enum vm_volume which,
                        struct error *ret_error)
{
    const struct host_snapshot *snapshot = host_snapshot(host);
    const struct vm *now = snapshot_by_identity(snapshot, vm->identity);
    int result = 0;

    if (host_has_hypervisor(host) && !snapshot->connected)
        result = error_set(ret_error, -ENOTCONN,
                           "the hypervisor does not answer, so nobody knows whether \"%s\" runs and "
                           "changes its %s volume",
                           vm->name, vm_volume_name(which));
    else if (now && vm_is_active(now))
        result =
            error_set(ret_error, -EBUSY,
                      "\"%s\" is running, and its %s volume can't be read while it changes: shut it "
                      "down, or keep it on a file system with reflinks (btrfs, XFS)",
                      vm->name, vm_volume_name(which));
    host_snapshot_unref(snapshot);
    return result;
}

int host_volume_open(struct host *host, const struct vm *vm, enum vm_volume which,
                     struct storage_image *ret_image, struct error *ret_error)
{
    struct storage_place place;
    int result = locate_now(host, vm, which, &place, ret_error);

    *ret_image = (struct storage_image)STORAGE_IMAGE_INIT;
    if (result == 0)
        result = storage_open(&place, host->root, vm_is_active(vm), false, ret_image, ret_error);
    /* a scratch volume has no state of the last stop: the VM writes to this very one */
    if (place.kind == STORAGE_LVM && which == VM_VOLUME_VOLATILE && vm_is_active(vm))
        ret_image->still = false;
    storage_place_free(&place);
    if (result == 0 && !ret_image->still)
        result = check_halted(host, vm, which, ret_error);
    if (result)
        storage_close(ret_image);
    return result;
}

int host_volume_check(struct host *host, const struct vm *vm, enum vm_volume which,
                      const struct storage_image *image, struct error *ret_error)
{
    int result;

    if (image->still)
        return 0;
    result = check_halted(host, vm, which, ret_error);
    if (result == 0 && !storage_unchanged(image))
        result = error_set(ret_error, -EBUSY,
                           "the %s volume of \"%s\" was written to while it was read: begin again",
                           vm_volume_name(which), vm->name);
    return result;
}
