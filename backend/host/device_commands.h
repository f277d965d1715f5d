/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attaching and detaching, on a worker's thread. */
#ifndef QUBESFS_HOST_DEVICE_COMMANDS_H
#define QUBESFS_HOST_DEVICE_COMMANDS_H

#include "internal.h"

struct device_command {
    const char *name;     /* "attach", "detach" */
    const char *device;   /* BACKEND:DEVICE */
    const char *vm;       /* of an attach; untrusted words as written */
    const char *frontend; /* NULL: the first that is free */
    bool read_only, force;
};

int device_attach(struct host *host, const struct device_command *command, struct error *ret_error);
int device_detach(struct host *host, const struct device_command *command, struct error *ret_error);

#endif
