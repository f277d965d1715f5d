/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules of R3 are understood as Qubes' own code does when it moves them to R4 (qubesadmin's
 * Core2VM.handle_firewall_xml), but for what that one gets wrong or breaks on: there R3's own
 * reading counts (get_firewall_conf), as that is what was in force.
 */
#include "firewall.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* the last second that Python's datetime takes */
#define EXPIRE_MAX 253402300799ull

static const char *const protos[] = {"any", "tcp", "udp", "icmp"};

const char *firewall_proto_name(enum firewall_proto proto)
{
    return protos[proto];
}

static void read_proto(struct rule *rule, const char *untrusted_name, bool any_too)
{
    for (size_t i = any_too ? 0 : 1; i < ARRAY_SIZE(protos); i++)
        if (strcmp(untrusted_name, protos[i]) == 0) {
            rule->proto = (enum firewall_proto)i;
            return;
        }
    rule->problem = "its protocol is not known";
}

/* R4 takes lower case only; letters, so that it can't be read as a number. */
static bool read_name(struct firewall *firewall, struct rule *rule, const char *untrusted_name)
{
    size_t length = strlen(untrusted_name);
    char name[256];
    bool letters = false;

    if (length == 0 || length >= sizeof(name))
        return false;
    for (size_t i = 0; i <= length; i++) {
        char c = untrusted_name[i];

        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !strchr("-._", c))
            return false;
        letters = letters || (c >= 'a' && c <= 'z');
        name[i] = c;
    }
    rule->target = TARGET_NAME;
    rule->host = arena_copy(&firewall->arena, name, length);
    return letters;
}

/* `prefix` NULL: the longest. */
static void read_host(struct firewall *firewall, struct rule *rule, const char *untrusted_host,
                      const char *untrusted_prefix)
{
    struct in6_addr address6;
    struct in_addr address;
    uint64_t prefix = 32;

    if (inet_pton(AF_INET, untrusted_host, &address) == 1) {
        if (untrusted_prefix && !parse_number(untrusted_prefix, 32, &prefix))
            rule->problem = "its netmask is none";
        rule->target = TARGET_IP4;
        rule->host = arena_copy(&firewall->arena, untrusted_host, strlen(untrusted_host));
        rule->address = ntohl(address.s_addr);
        rule->prefix = (unsigned)prefix;
    } else if (inet_pton(AF_INET6, untrusted_host, &address6) == 1) {
        rule->target = TARGET_IP6;
    } else if (!read_name(firewall, rule, untrusted_host)) {
        rule->problem = "its address is none";
    }
}

/* 0: there is no such port.  R4 takes 65536 for one. */
static bool read_port(const char *untrusted_port, unsigned *ret_port)
{
    uint64_t port;

    if (!parse_number(untrusted_port, 65536, &port))
        return false;
    *ret_port = (unsigned)port;
    return true;
}

static void read_expire(struct rule *rule, const char *untrusted_time)
{
    if (!parse_number(untrusted_time, EXPIRE_MAX, &rule->expire))
        rule->problem = "its time of expiry is none";
    else if (rule->expire == 0)
        rule->expire = 1; /* long ago, not never */
}

/* A rule that says for itself when it ends, and has ended, is none. */
static int add(struct firewall *firewall, const struct rule *rule, uint64_t now)
{
    struct rule *grown;

    if (rule->expire > 0 && rule->expire <= now)
        return 0;
    if (firewall->count >= FIREWALL_RULES_MAX)
        return error_set(firewall->ret_error, -EINVAL, "%s:%ld: there are more than %d rules",
                         firewall->path, rule->line, FIREWALL_RULES_MAX);
    if (firewall->count == firewall->capacity) {
        firewall->capacity = firewall->capacity > 0 ? 2 * firewall->capacity : 16;
        grown = arena_alloc(&firewall->arena, firewall->capacity * sizeof(*grown));
        if (!grown)
            return error_set(firewall->ret_error, -ENOMEM, "%s: out of memory", firewall->path);
        if (firewall->count > 0)
            memcpy(grown, firewall->rules, firewall->count * sizeof(*grown));
        firewall->rules = grown;
    }
    firewall->rules[firewall->count++] = *rule;
    return 0;
}

/* R3 counts a port of 0, as R2 writes it, for none, and asks for ports with a protocol only. */
static void read_r3_ports(struct rule *rule, const char *proto, const char *untrusted_port,
                          const char *untrusted_end)
{
    unsigned first = 0, last = 0;

    if ((untrusted_port && !read_port(untrusted_port, &first)) ||
        (untrusted_end && !read_port(untrusted_end, &last)) || first > 65535 || last > 65535) {
        rule->problem = "its port is none";
        return;
    }
    if (first == 0)
        return;
    if (!proto)
        rule->proto = PROTO_TCP;
    if (rule->proto == PROTO_ANY)
        return;
    if (rule->proto == PROTO_ICMP)
        rule->problem = "ICMP has no ports";
    rule->has_ports = true;
    rule->first_port = first;
    rule->last_port = last > first ? last : first;
}

static struct rule read_r3_rule(struct firewall *firewall, const xmlNode *element, bool accept)
{
    struct arena *arena = &firewall->arena;
    const char *address = element_attribute(element, "address", arena);
    const char *netmask = element_attribute(element, "netmask", arena);
    const char *proto = element_attribute(element, "proto", arena);
    const char *expire = element_attribute(element, "expire", arena);
    struct rule rule = {.accept = accept, .line = element_line(element)};

    if (address && *address)
        read_host(firewall, &rule, address, netmask);
    else if (accept)
        rule.problem = "it has no address"; /* R3 can't load it; R4 would let everything through */
    if (rule.target == TARGET_IP6)
        rule.problem = "R3 has no IPv6";
    if (rule.target == TARGET_NAME && netmask && strcmp(netmask, "32") != 0 && !accept)
        rule.problem = "R4 has no netmask with a name";
    if (proto)
        read_proto(&rule, proto, true);
    read_r3_ports(&rule, proto, element_attribute(element, "port", arena),
                  element_attribute(element, "toport", arena));
    if (expire)
        read_expire(&rule, expire);
    return rule;
}

static bool is_allow(const xmlNode *root, const char *attribute, bool fallback, struct arena *arena)
{
    const char *value = element_attribute(root, attribute, arena);

    return value ? strcmp(value, "allow") == 0 : fallback;
}

int firewall_read_r3(struct firewall *firewall, const xmlNode *root, uint64_t now)
{
    const char *policy = element_attribute(root, "policy", &firewall->arena);
    struct rule dns = {.target = TARGET_DNS}, icmp = {.proto = PROTO_ICMP}, last = {0};
    size_t number = 0;
    bool allow;
    int result;

    if (!policy || (strcmp(policy, "allow") != 0 && strcmp(policy, "deny") != 0))
        return error_set(firewall->ret_error, -EINVAL,
                         "%s:%ld: the policy is neither allow nor deny", firewall->path,
                         element_line(root));
    allow = last.accept = strcmp(policy, "allow") == 0;
    dns.accept = is_allow(root, "dns", allow, &firewall->arena);
    icmp.accept = is_allow(root, "icmp", allow, &firewall->arena);
    result = add(firewall, &dns, now);
    if (result == 0)
        result = add(firewall, &icmp, now);
    /* whatever they are called, as all of Qubes' readers do */
    for (const xmlNode *at = element_at(root->children); result == 0 && at;
         at = element_at(at->next)) {
        struct rule rule = read_r3_rule(firewall, at, !allow);

        rule.number = ++number;
        result = add(firewall, &rule, now);
    }
    if (result == 0)
        result = add(firewall, &last, now);
    if (result == 0 && is_allow(root, "yumProxy", false, &firewall->arena))
        text_string(&firewall->left_out, "yumProxy: R4 has another way to updates\n");
    return result;
}

static void read_r4_host(struct firewall *firewall, struct rule *rule, const char *untrusted_value)
{
    const char *slash = strchr(untrusted_value, '/');

    if (slash) {
        read_host(firewall, rule,
                  arena_copy(&firewall->arena, untrusted_value, (size_t)(slash - untrusted_value)),
                  slash + 1);
        if (rule->target == TARGET_NAME)
            rule->problem = "its address is none";
    } else {
        read_host(firewall, rule, untrusted_value, NULL);
    }
}

static void read_r4_ports(struct firewall *firewall, struct rule *rule, const char *untrusted_value)
{
    const char *dash = strchr(untrusted_value, '-');
    const char *first = untrusted_value;

    if (dash)
        first = arena_copy(&firewall->arena, untrusted_value, (size_t)(dash - untrusted_value));
    rule->has_ports = true;
    if (!read_port(first, &rule->first_port) ||
        !read_port(dash ? dash + 1 : first, &rule->last_port) ||
        rule->first_port > rule->last_port || rule->first_port > 65535)
        rule->problem = "its port is none";
    if (rule->last_port > 65535)
        rule->last_port = 65535;
}

/* What R4's own reader would refuse is a problem, too: then nobody knows what is in force. */
static int read_r4_property(struct firewall *firewall, struct rule *rule, bool *special,
                            const char *name, const char *untrusted_value)
{
    uint64_t number;

    if (!name) {
        rule->problem = "it has a property without a name";
    } else if (strcmp(name, "action") == 0) {
        rule->accept = strcmp(untrusted_value, "accept") == 0;
        if (!rule->accept && strcmp(untrusted_value, "drop") != 0)
            return -EINVAL;
    } else if (strcmp(name, "proto") == 0) {
        read_proto(rule, untrusted_value, false);
    } else if (strcmp(name, "dsthost") == 0 || strcmp(name, "dst4") == 0 ||
               strcmp(name, "dst6") == 0) {
        if (rule->target != TARGET_ANY)
            rule->problem = "it has more than one address";
        read_r4_host(firewall, rule, untrusted_value);
    } else if (strcmp(name, "dstports") == 0) {
        read_r4_ports(firewall, rule, untrusted_value);
    } else if (strcmp(name, "icmptype") == 0) {
        rule->has_icmptype = true;
        if (!parse_number(untrusted_value, 255, &number))
            rule->problem = "its ICMP type is none";
    } else if (strcmp(name, "specialtarget") == 0) {
        *special = true;
        if (strcmp(untrusted_value, "dns") != 0)
            rule->problem = "its special target is not known";
    } else if (strcmp(name, "expire") == 0) {
        read_expire(rule, untrusted_value);
    } else if (strcmp(name, "comment") == 0) {
        rule->has_comment = true;
    } else {
        rule->problem = "it has a property that is not known";
    }
    return 0;
}

static int read_r4_rule(struct firewall *firewall, const xmlNode *element, struct rule *rule)
{
    bool acts = false, special = false;
    int result = 0;

    for (const xmlNode *list = element_at(element->children); list; list = element_at(list->next)) {
        if (!element_is(list, "properties"))
            continue;
        for (const xmlNode *at = element_at(list->children); result == 0 && at;
             at = element_at(at->next)) {
            const char *name = element_attribute(at, "name", &firewall->arena);

            acts = acts || (name && strcmp(name, "action") == 0);
            if (element_is(at, "property"))
                result = read_r4_property(firewall, rule, &special, name,
                                          element_text(at, &firewall->arena));
        }
    }
    if (result < 0 || !acts)
        return error_set(firewall->ret_error, -EINVAL,
                         "%s:%ld: rule %zu has no action of accept or drop", firewall->path,
                         rule->line, rule->number);
    if (special && rule->target != TARGET_ANY)
        rule->problem = "it has an address and a special target";
    if (special)
        rule->target = TARGET_DNS;
    if (rule->has_ports && rule->proto != PROTO_TCP && rule->proto != PROTO_UDP)
        rule->problem = "it has ports but neither tcp nor udp";
    if (rule->has_icmptype && rule->proto != PROTO_ICMP)
        rule->problem = "it has an ICMP type but not icmp";
    return 0;
}

int firewall_read_r4(struct firewall *firewall, const xmlNode *root, uint64_t now)
{
    bool has_comments = false;
    size_t number = 0;
    int result = 0;

    for (const xmlNode *list = element_at(root->children); list; list = element_at(list->next)) {
        if (!element_is(list, "rules"))
            continue;
        for (const xmlNode *at = element_at(list->children); result == 0 && at;
             at = element_at(at->next)) {
            struct rule rule = {.number = ++number, .line = element_line(at)};

            if (!element_is(at, "rule"))
                return error_set(firewall->ret_error, -EINVAL, "%s:%ld: <%.80s> is no rule",
                                 firewall->path, rule.line, (const char *)at->name);
            result = read_r4_rule(firewall, at, &rule);
            if (result == 0)
                result = add(firewall, &rule, now);
            has_comments = has_comments || rule.has_comment;
        }
    }
    if (result == 0 && has_comments)
        text_string(&firewall->left_out, "comments\n");
    return result;
}
