/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM's volumes as files: which there are, and each opened in a state that stays still for the
 * time that it is open.  Part of the host room, which knows what runs.
 */
#ifndef QUBESFS_VOLUME_H
#define QUBESFS_VOLUME_H

#include "qubesfs/host.h"
#include "qubesfs/storage.h"

/** "root", "private", "volatile". */
const char *vm_volume_name(enum vm_volume which);

/** Size and time of the VM's own volume; reads the disk.  -ENOENT where it has none. */
int host_volume_measure(struct host *host, const struct vm *vm, enum vm_volume which,
                        struct storage_measure *ret_measure);

/**
 * Opens the volume as it is at this moment: a clone, R4's state of the last stop, else the file of
 * a halted VM, to be watched with host_volume_check.  Reads the disk; may take as long as a clone
 * takes.  `ret_image` is to be given to storage_close.  -EBUSY: a running VM writes to it and it
 * can't be cloned there; -ENOTCONN: nobody knows whether the VM runs; -ENOENT; -ENOMEM; else open's
 * errno.
 */
int host_volume_open(struct host *host, const struct vm *vm, enum vm_volume which,
                     struct storage_image *ret_image, struct error *ret_error);

/** After a read of an image that is not `still`: what was read is what was there when it was opened.
 * -EBUSY: the VM was started, or somebody else has written to it. */
int host_volume_check(struct host *host, const struct vm *vm, enum vm_volume which,
                      const struct storage_image *image, struct error *ret_error);

#endif
