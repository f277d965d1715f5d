/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading one domain from XenStore. */
#ifndef QUBESFS_DEVICES_DOMAIN_H
#define QUBESFS_DEVICES_DOMAIN_H

#include "qubesfs/devices.h"

#define COMPLAINTS_MAX 32 /* lines of log that a domain may cause while it lives */

/* What was said already of a domain's devices. */
struct complaints {
    uint64_t hashes[COMPLAINTS_MAX];
    size_t count;
    bool more;
};

/** Reads what XenStore has of the domain now.  0, or -errno of a broken connection. */
int domain_read(struct xenstore *store, unsigned id, uint64_t order, struct complaints *complaints,
                struct xen_domain **ret_domain);

#endif
