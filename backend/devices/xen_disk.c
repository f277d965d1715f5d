/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is done to disks in XenStore itself: others are told of a change, and a disk is detached
 * that the hypervisor's daemon does not know of, as one attached by xl, or whose back end has gone.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/clock.h"
#include "qubesfs/devices.h"

#define CLOSING "5"
#define CLOSED  "6"

int xen_disk_tell(const char *socket, unsigned domain, struct error *ret_error)
{
    struct xenstore *store = NULL;
    char path[64], owner[16], value[8];
    struct xenstore_entry entry = {.path = path, .value = ""};
    int result = xenstore_open(socket, &store, ret_error);

    if (result)
        return result;
    snprintf(path, sizeof(path), "/local/domain/%u/qubes-block-devices", domain);
    /* where it is not there yet, it is the VM's, as those that a start makes are */
    snprintf(owner, sizeof(owner), "n%u r0", domain);
    if (xenstore_read(store, path, value, sizeof(value)) == -ENOENT)
        entry.permissions = owner;
    result = xenstore_write_all(store, &entry, 1);
    xenstore_close(store);
    return result
               ? error_set(ret_error, result, "%s cannot be written: %s", path, strerror(-result))
               : 0;
}

struct paths {
    char front[64], back[80], libxl[64];
};

/* Asks the back end to close; -ENOENT: there is none. */
static int ask_to_close(struct xenstore *store, const struct paths *paths)
{
    char state[96], online[96], value[16];
    const struct xenstore_entry entries[] = {{online, "0", NULL}, {state, CLOSING, NULL}};
    int result;

    snprintf(state, sizeof(state), "%s/state", paths->back);
    snprintf(online, sizeof(online), "%s/online", paths->back);
    result = xenstore_read(store, state, value, sizeof(value));
    if (result || strcmp(value, CLOSED) == 0)
        return result ? result : -ENOENT;
    return xenstore_write_all(store, entries, ARRAY_SIZE(entries));
}

static int wait_closed(struct xenstore *store, const struct paths *paths, unsigned seconds)
{
    const struct timespec moment = {.tv_nsec = 50000000};
    uint64_t end = clock_monotonic_ns() + seconds * 1000000000ull;
    char state[96], value[16];

    snprintf(state, sizeof(state), "%s/state", paths->back);
    for (;;) {
        int result = xenstore_read(store, state, value, sizeof(value));

        if (result)
            return result == -ENOENT ? 0 : result;
        if (strcmp(value, CLOSED) == 0)
            return 0;
        if (clock_monotonic_ns() > end)
            return -ETIMEDOUT;
        nanosleep(&moment, NULL);
    }
}

int xen_disk_detach(const char *socket, unsigned domain, unsigned devid, unsigned backend,
                    bool force, unsigned seconds, struct error *ret_error)
{
    struct xenstore *store = NULL;
    struct paths paths;
    int result = xenstore_open(socket, &store, ret_error);

    if (result)
        return result;
    snprintf(paths.front, sizeof(paths.front), "/local/domain/%u/device/vbd/%u", domain, devid);
    snprintf(paths.back, sizeof(paths.back), "/local/domain/%u/backend/vbd/%u/%u", backend, domain,
             devid);
    snprintf(paths.libxl, sizeof(paths.libxl), "/libxl/%u/device/vbd/%u", domain, devid);
    result = ask_to_close(store, &paths);
    if (result == 0)
        result = wait_closed(store, &paths, force ? 2 : seconds);
    else if (result == -ENOENT)
        result = 0;
    if (result == 0 || (force && result == -ETIMEDOUT)) {
        const char *const all[] = {paths.front, paths.back, paths.libxl};

        result = 0;
        for (size_t i = 0; i < ARRAY_SIZE(all) && !result; i++) {
            result = xenstore_remove(store, all[i]);
            if (result == -ENOENT)
                result = 0;
        }
    }
    xenstore_close(store);
    if (result == -ETIMEDOUT)
        error_set(ret_error, result,
                  "the VM does not let go of it within %u s; detach force does not "
                  "wait for it",
                  seconds);
    else if (result)
        error_set(ret_error, result, "XenStore: %s", strerror(-result));
    return result;
}
