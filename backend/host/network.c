/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses of VMs, as Qubes R2 and R3 give them: 10.137.NETID.x behind a netvm, 10.138.NETID.x for
 * disposable VMs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"

static const char *pref(const struct catalogue_entry *entry, const char *name)
{
    return name_value_find(entry->prefs, entry->pref_count, name);
}

static int number(const struct catalogue_entry *entry, const char *name, int least, int most)
{
    const char *value = pref(entry, name);
    char *end;
    long parsed;

    if (!value || !*value)
        return -1;
    parsed = strtol(value, &end, 10);
    return *end || parsed < least || parsed > most ? -1 : (int)parsed;
}

bool network_provided(const struct catalogue_entry *netvm, struct network_provided *ret_network)
{
    int netid = number(netvm, "netid", 0, 255);

    if (netid < 0)
        return false;
    snprintf(ret_network->network, sizeof(ret_network->network), "10.137.%d.0", netid);
    snprintf(ret_network->gateway, sizeof(ret_network->gateway), "10.137.%d.1", netid);
    snprintf(ret_network->secondary_dns, sizeof(ret_network->secondary_dns), "10.137.%d.254",
             netid);
    snprintf(ret_network->netmask, sizeof(ret_network->netmask), "255.255.255.0");
    return true;
}

bool network_ip(const struct catalogue_entry *entry, const struct catalogue_entry *netvm,
                char ret_ip[NETWORK_TEXT])
{
    int netid = number(netvm, "netid", 0, 255), dispid = number(entry, "dispid", 0, 1 << 20);

    if (netid < 0)
        return false;
    if (entry->vm_class == VM_CLASS_DISP && dispid >= 0)
        snprintf(ret_ip, NETWORK_TEXT, "10.138.%d.%d", netid, dispid % 254 + 1);
    else
        snprintf(ret_ip, NETWORK_TEXT, "10.137.%d.%d", netid, entry->qid % 253 + 2);
    return true;
}

void network_mac(const struct catalogue_entry *entry, char ret_mac[18])
{
    const char *mac = pref(entry, "mac");

    if (mac && strlen(mac) == 17)
        snprintf(ret_mac, 18, "%s", mac);
    else
        snprintf(ret_mac, 18, "00:16:3E:5E:6C:%02X", (unsigned)entry->qid & 0xff);
}
