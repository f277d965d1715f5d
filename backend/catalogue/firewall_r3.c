/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * R3's form of rules can say less: a policy, rules that all do its opposite, and whether DNS and
 * ICMP are let through.  R3 goes by the rules first, then DNS and ICMP, then the policy; R4, when
 * it restores them, by DNS and ICMP first.  What is printed lets nothing more through in either
 * order:
 *
 * - Policy deny: an accept is kept if no drop before it may fit the same packet.
 * - Policy allow: each drop is kept, or one that is wider; accepts before it are not.
 */
#include "firewall.h"

/* Where R3 and R4 have their DNS servers for VMs: 10.137.N.1 and .254, 10.139.1.1 and .2. */
static const struct rule dns_servers = {
    .target = TARGET_IP4, .address = 10u << 24, .prefix = 8, .host = ""};

static bool nets_meet(const struct rule *a, const struct rule *b)
{
    unsigned shorter = a->prefix < b->prefix ? a->prefix : b->prefix;

    return shorter == 0 || (a->address ^ b->address) >> (32 - shorter) == 0;
}

/* False where it is certain.  A name may be that of any host, but for the servers, which have none.
 */
static bool targets_meet(const struct rule *a, const struct rule *b)
{
    if (b->target == TARGET_DNS && a->target != TARGET_DNS)
        return targets_meet(b, a);
    if (a->target == TARGET_DNS) {
        if (b->target == TARGET_NAME)
            return false;
        return b->target != TARGET_IP4 || nets_meet(&dns_servers, b);
    }
    if (a->target == TARGET_IP4 && b->target == TARGET_IP4)
        return nets_meet(a, b);
    return !((a->target == TARGET_IP4 && b->target == TARGET_IP6) ||
             (a->target == TARGET_IP6 && b->target == TARGET_IP4));
}

struct ports {
    unsigned first, last;
};

static struct ports ports_of(const struct rule *rule)
{
    if (rule->has_ports)
        return (struct ports){rule->first_port, rule->last_port};
    if (rule->target == TARGET_DNS)
        return (struct ports){PORT_DNS, PORT_DNS};
    return (struct ports){0, 65535};
}

/* True if there may be a packet that both fit. */
static bool rules_meet(const struct rule *a, const struct rule *b)
{
    struct ports mine = ports_of(a), theirs = ports_of(b);

    if (a->problem || b->problem)
        return true;
    if (a->proto != PROTO_ANY && b->proto != PROTO_ANY && a->proto != b->proto)
        return false;
    if ((a->target == TARGET_DNS && b->proto == PROTO_ICMP) ||
        (b->target == TARGET_DNS && a->proto == PROTO_ICMP))
        return false;
    return mine.first <= theirs.last && theirs.first <= mine.last && targets_meet(a, b);
}

/* Everything that `whole` fits, one of those below, and nothing else, for ever. */
static bool is_whole(const struct rule *rule, const struct rule *whole)
{
    return !rule->problem && rule->expire == 0 && !rule->has_ports && !rule->has_icmptype &&
           rule->proto == whole->proto && rule->target == whole->target;
}

static const struct rule everything = {.target = TARGET_ANY};
static const struct rule all_dns = {.target = TARGET_DNS};
static const struct rule all_icmp = {.proto = PROTO_ICMP};

struct printing {
    struct firewall *firewall;
    struct text *text;
    size_t count; /* of rules in front of the policy */
    bool allow, dns, icmp;
};

/* What surely happens to `whole`. */
static bool lets_through(const struct printing *printing, const struct rule *whole)
{
    for (size_t i = 0; i < printing->count; i++) {
        const struct rule *rule = &printing->firewall->rules[i];

        if (rule->accept && is_whole(rule, whole))
            return true;
        if (!rule->accept && rules_meet(rule, whole))
            return false;
    }
    return printing->allow;
}

static bool meets_drop(const struct printing *printing, const struct rule *rule, size_t from,
                       size_t to)
{
    for (size_t i = from; i < to; i++)
        if (!printing->firewall->rules[i].accept && rules_meet(&printing->firewall->rules[i], rule))
            return true;
    return false;
}

static void print_rule(const struct printing *printing, const struct rule *rule)
{
    struct text *text = printing->text;
    bool net = rule->target == TARGET_IP4;

    text_printf(text, "  <rule address=\"%s\" proto=\"%s\"",
                net || rule->target == TARGET_NAME ? rule->host : "0.0.0.0",
                firewall_proto_name(rule->proto));
    if (net ? rule->prefix != 32 : rule->target != TARGET_NAME)
        text_printf(text, " netmask=\"%u\"", net ? rule->prefix : 0);
    /* to R3, port 0 is all of them */
    if (rule->has_ports && rule->first_port > 0) {
        text_printf(text, " port=\"%u\"", rule->first_port);
        if (rule->last_port > rule->first_port)
            text_printf(text, " toport=\"%u\"", rule->last_port);
    }
    if (rule->expire > 0)
        text_printf(text, " expire=\"%llu\"", (unsigned long long)rule->expire);
    text_string(text, "/>\n");
}

/* Policy deny. */
static void print_accept(const struct printing *printing, const struct rule *rule, size_t index)
{
    const char *why = NULL;

    if ((printing->dns && is_whole(rule, &all_dns)) ||
        (printing->icmp && is_whole(rule, &all_icmp)))
        return;
    if (rule->problem)
        why = rule->problem;
    else if (meets_drop(printing, rule, 0, index))
        why = "R3 has no exceptions to it, which come first here";
    else if (rule->target == TARGET_IP6)
        why = "R3 has no IPv6";
    else if (rule->target == TARGET_DNS)
        why = "R3 has DNS as a whole only";
    else if (rule->has_icmptype)
        why = "R3 has no ICMP types";
    else if (rule->has_ports && rule->first_port == 0)
        why = "R3 has no port 0";
    if (why)
        firewall_leave_out(printing->firewall, rule, why);
    else
        print_rule(printing, rule);
}

static void widened(const struct printing *printing, const struct rule *rule, const char *how)
{
    text_printf(&printing->firewall->left_out, "rule %zu (drop): drops %s instead\n", rule->number,
                how);
}

/* Policy allow: R3 would let DNS through there whatever `dns` says, so it takes rules. */
static void print_dns_drop(const struct printing *printing, const struct rule *rule)
{
    struct rule port = {
        .has_ports = true, .first_port = PORT_DNS, .last_port = PORT_DNS, .expire = rule->expire};

    widened(printing, rule, "DNS to everywhere");
    port.proto = PROTO_UDP;
    print_rule(printing, &port);
    port.proto = PROTO_TCP;
    print_rule(printing, &port);
}

/* Policy allow. */
static int print_drop(const struct printing *printing, const struct rule *rule)
{
    if (rule->problem)
        return firewall_refuse(printing->firewall, rule, rule->problem);
    if (rule->target == TARGET_IP6)
        return firewall_refuse(printing->firewall, rule, "R3 has no IPv6");
    if (rule->target == TARGET_DNS) {
        if (!printing->dns) /* else an accept comes first */
            print_dns_drop(printing, rule);
        return 0;
    }
    if (rule->proto == PROTO_ICMP && printing->icmp)
        return 0;
    if (rule->has_icmptype)
        widened(printing, rule, "ICMP of all types");
    if (rule->has_ports && rule->first_port == 0)
        widened(printing, rule, "all ports");
    print_rule(printing, rule);
    return 0;
}

/* With policy allow: that more is dropped than before. */
static void tell_denied(const struct printing *printing, const struct rule *whole, const char *name)
{
    for (size_t i = 0; i < printing->count; i++)
        if (!printing->firewall->rules[i].accept && is_whole(&printing->firewall->rules[i], whole))
            return;
    text_printf(&printing->firewall->left_out, "%s: R4 drops it altogether if it restores this\n",
                name);
}

static int print_rules(const struct printing *printing)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < printing->count; i++) {
        const struct rule *rule = &printing->firewall->rules[i];

        if (!printing->allow && rule->accept)
            print_accept(printing, rule, i);
        else if (printing->allow && !rule->accept)
            result = print_drop(printing, rule);
        else if (printing->allow && meets_drop(printing, rule, i + 1, printing->count))
            firewall_leave_out(printing->firewall, rule, "R3 has no exceptions from later rules");
    }
    return result;
}

int firewall_print_r3(struct firewall *firewall, struct text *text)
{
    struct printing printing = {.firewall = firewall, .text = text};
    int result;

    while (printing.count < firewall->count &&
           !is_whole(&firewall->rules[printing.count], &everything))
        printing.count++;
    if (printing.count < firewall->count)
        printing.allow = firewall->rules[printing.count].accept;
    printing.dns = lets_through(&printing, &all_dns);
    printing.icmp = lets_through(&printing, &all_icmp);
    text_printf(text,
                "<QubesFirewallRules policy=\"%s\" dns=\"%s\" icmp=\"%s\" yumProxy=\"deny\">\n",
                printing.allow ? "allow" : "deny", printing.dns ? "allow" : "deny",
                printing.icmp ? "allow" : "deny");
    result = print_rules(&printing);
    if (printing.allow && !printing.dns)
        tell_denied(&printing, &all_dns, "DNS");
    if (printing.allow && !printing.icmp)
        tell_denied(&printing, &all_icmp, "ICMP");
    text_string(text, "</QubesFirewallRules>\n");
    return result;
}
