/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM's firewall rules, on their way from one form into the other.  In here they are what R4's
 * form says: a list of which the first rule that fits a packet decides, and a drop at its end.
 *
 *     bytes --document.c--> libxml2 tree --firewall_read.c--> rules --firewall.c, firewall_r3.c-->
 */
#ifndef CATALOGUE_FIREWALL_H
#define CATALOGUE_FIREWALL_H

#include <netinet/in.h>

#include "internal.h"
#include "qubesfs/text.h"

#define FIREWALL_BYTES_MAX (1u << 20)
/* R3 keeps a VM's rules in 3072 bytes of the QubesDB, R4 takes 64 KiB of them */
#define FIREWALL_RULES_MAX 1000
#define PORT_DNS           53

enum firewall_proto { PROTO_ANY, PROTO_TCP, PROTO_UDP, PROTO_ICMP };
enum firewall_target { TARGET_ANY, TARGET_IP4, TARGET_IP6, TARGET_NAME, TARGET_DNS };

struct rule {
    bool accept; /* else drop */
    bool has_ports, has_icmptype, has_comment;
    enum firewall_proto proto;
    enum firewall_target target;
    const char *host; /* as printed: IPv4 without prefix, or a name */
    uint32_t address; /* IPv4 */
    unsigned prefix;
    unsigned first_port, last_port;
    uint64_t expire; /* 0: never */
    /* Why it can't be told what it fits, or NULL.  Without such an accept nothing more is let
     * through; a drop can't be done without. */
    const char *problem;
    size_t number; /* in the document, for messages */
    long line;
};

struct firewall {
    const char *path; /* for messages */
    struct arena arena;
    struct rule *rules; /* expired ones are not among them */
    size_t count, capacity;
    struct text left_out;
    struct error *ret_error;
};

/* firewall_read.c */
int firewall_read_r3(struct firewall *firewall, const xmlNode *root, uint64_t now);
int firewall_read_r4(struct firewall *firewall, const xmlNode *root, uint64_t now);
const char *firewall_proto_name(enum firewall_proto proto);

/* firewall.c */
/** Tells that an accept does without. */
void firewall_leave_out(struct firewall *firewall, const struct rule *rule, const char *why);
/** Refuses the whole, as this rule can't be done without.  Returns -EOPNOTSUPP. */
int firewall_refuse(const struct firewall *firewall, const struct rule *rule, const char *why);

/* firewall_r3.c */
int firewall_print_r3(struct firewall *firewall, struct text *text);

#endif
