/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as firewall rules.  What is made of them must be readable in its own form, without
 * anything that would have to be left out again; and no packet may get through rules of R3 that
 * are made from R4's, neither as R3 nor as R4 reads them, which does not get through the original.
 */
#include <stdlib.h>
#include <string.h>

#include "catalogue/firewall.h"

#define NOW 1500000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise)
{
    if (!promise)
        abort();
}

struct packet {
    enum firewall_proto proto;
    uint32_t address;
    const char *name; /* by which the address is known, or NULL */
    unsigned port;
    bool to_dns; /* to one of Qubes' own servers */
};

/* Whether the rule decides about the packet; `unknown` for one that nobody understands. */
static bool fits(const struct rule *rule, const struct packet *packet, bool unknown)
{
    if (rule->problem)
        return unknown;
    if (rule->proto != PROTO_ANY && rule->proto != packet->proto)
        return false;
    if (rule->has_ports && (packet->port < rule->first_port || packet->port > rule->last_port))
        return false;
    switch (rule->target) {
    case TARGET_ANY:
        return true;
    case TARGET_IP4:
        return rule->prefix == 0 || (rule->address ^ packet->address) >> (32 - rule->prefix) == 0;
    case TARGET_NAME:
        return packet->name && strcmp(packet->name, rule->host) == 0;
    case TARGET_DNS:
        return packet->to_dns && packet->port == PORT_DNS && packet->proto != PROTO_ICMP;
    default:
        return false;
    }
}

static bool decide(const struct rule *rules, size_t count, const struct packet *packet)
{
    for (size_t i = 0; i < count; i++)
        if (fits(&rules[i], packet, !rules[i].accept))
            return rules[i].accept;
    return false;
}

/* As R3 goes by its own rules, which were read in the order dns, icmp, rules, policy. */
static bool decide_r3(const struct firewall *r3, const struct packet *packet)
{
    const struct rule *rules = r3->rules;

    for (size_t i = 2; i + 1 < r3->count; i++)
        if (fits(&rules[i], packet, false))
            return rules[i].accept;
    for (size_t i = 0; i < 2; i++)
        if (rules[i].accept && fits(&rules[i], packet, false))
            return true;
    return rules[r3->count - 1].accept;
}

static void check_packet(const struct firewall *r4, const struct firewall *r3, struct packet packet)
{
    bool through = decide(r4->rules, r4->count, &packet);

    require(through || !decide(r3->rules, r3->count, &packet));
    require(through || !decide_r3(r3, &packet));
}

static void check_address(const struct firewall *r4, const struct firewall *r3,
                          struct packet packet)
{
    const unsigned ports[] = {0, 1, PORT_DNS, 80, 65535};

    for (packet.proto = PROTO_TCP; packet.proto <= PROTO_ICMP; packet.proto++) {
        for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
            packet.port = packet.proto == PROTO_ICMP ? 0 : ports[i];
            check_packet(r4, r3, packet);
        }
        for (size_t i = 0; packet.proto != PROTO_ICMP && i < r4->count && i < 20; i++) {
            packet.port = r4->rules[i].first_port;
            check_packet(r4, r3, packet);
            packet.port = r4->rules[i].last_port;
            check_packet(r4, r3, packet);
        }
    }
}

static void check_packets(const struct firewall *r4, const struct firewall *r3)
{
    check_address(r4, r3, (struct packet){.address = 0x0a890101, .to_dns = true});
    check_address(r4, r3, (struct packet){.address = 0x0a8b0101, .to_dns = true});
    check_address(r4, r3, (struct packet){.address = 0x01020304});
    for (size_t i = 0; i < r4->count && i < 20; i++) {
        const struct rule *rule = &r4->rules[i];

        check_address(r4, r3, (struct packet){.address = rule->address});
        check_address(r4, r3, (struct packet){.address = rule->address ^ 1});
        if (rule->target == TARGET_NAME)
            check_address(r4, r3, (struct packet){.address = 0x01020304, .name = rule->host});
    }
}

static void read_rules(struct firewall *firewall, const void *data, size_t size,
                       enum catalogue_form form)
{
    struct error error;
    xmlDoc *tree;

    *firewall = (struct firewall){.path = "fuzz", .ret_error = &error};
    require(document_parse("fuzz", data, size, &tree, &error) == 0);
    if (form == CATALOGUE_R3)
        require(firewall_read_r3(firewall, xmlDocGetRootElement(tree), NOW) == 0);
    else
        require(firewall_read_r4(firewall, xmlDocGetRootElement(tree), NOW) == 0);
    firewall->ret_error = NULL;
    xmlFreeDoc(tree);
}

static void free_rules(struct firewall *firewall)
{
    text_free(&firewall->left_out);
    arena_free(&firewall->arena);
}

static void check(const uint8_t *data, size_t size, enum catalogue_form form)
{
    enum catalogue_form other = form == CATALOGUE_R3 ? CATALOGUE_R4 : CATALOGUE_R3;
    char *made = NULL, *left_out = NULL;
    struct firewall before, after;
    struct error error = {0};
    int result = firewall_convert("fuzz", data, size, form, NOW, &made, &left_out, &error);

    if (result) {
        require(result == error.code && strncmp(error.text, "fuzz:", 5) == 0);
        require(!made && !left_out);
        return;
    }
    read_rules(&before, data, size, other);
    read_rules(&after, made, strlen(made), form);
    require(after.count > 0);
    for (size_t i = 0; i < after.count; i++)
        require(!after.rules[i].problem);
    if (form == CATALOGUE_R3)
        check_packets(&before, &after);
    else
        require(after.count <= before.count);
    free_rules(&before);
    free_rules(&after);
    free(made);
    free(left_out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(data, size, CATALOGUE_R4);
    check(data, size, CATALOGUE_R3);
    return 0;
}
