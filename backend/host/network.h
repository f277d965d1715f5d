/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QUBESFS_HOST_NETWORK_H
#define QUBESFS_HOST_NETWORK_H

#include "qubesfs/catalogue.h"

#define NETWORK_TEXT 32 /* bytes of an address in words */

/** What a netvm offers to those behind it. */
struct network_provided {
    char network[NETWORK_TEXT], netmask[NETWORK_TEXT], gateway[NETWORK_TEXT];
    char secondary_dns[NETWORK_TEXT];
};
/** False: it has no netid, so it offers none. */
bool network_provided(const struct catalogue_entry *netvm, struct network_provided *ret_network);

/** The VM's address behind its netvm.  False: the netvm has no netid. */
bool network_ip(const struct catalogue_entry *entry, const struct catalogue_entry *netvm,
                char ret_ip[NETWORK_TEXT]);

/** Its own, or the one that follows from its number. */
void network_mac(const struct catalogue_entry *entry, char ret_mac[18]);

#endif
