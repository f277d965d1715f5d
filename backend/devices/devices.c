/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Start and end of the room. */
#include <errno.h>
#include <stdlib.h>

#include "kernel.h"

struct devices {
    struct kernel_watch *kernel;
    struct domain_watch *domains; /* NULL: without XenStore */
};

int devices_start(const char *image_directory, const char *xenstore, bool without_xenstore,
                  const struct devices_listener *listener, struct devices **ret_devices)
{
    struct devices *devices = calloc(1, sizeof(*devices));
    int result;

    if (!devices)
        return -ENOMEM;
    result = kernel_watch_start(image_directory, listener, &devices->kernel);
    if (!result && !without_xenstore)
        result = domain_watch_start(xenstore, listener, &devices->domains);
    if (result) {
        devices_stop(devices);
        return result;
    }
    *ret_devices = devices;
    return 0;
}

int devices_refresh(struct devices *devices, unsigned seconds, struct error *ret_error)
{
    kernel_watch_refresh(devices->kernel, seconds);
    return devices->domains ? domain_watch_refresh(devices->domains, seconds, ret_error) : 0;
}

void devices_stop(struct devices *devices)
{
    if (!devices)
        return;
    domain_watch_stop(devices->domains);
    kernel_watch_stop(devices->kernel);
    free(devices);
}
