/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Firewall rules in the form that the host has not, and how R4 writes them. */
#include "firewall.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void firewall_leave_out(struct firewall *firewall, const struct rule *rule, const char *why)
{
    text_printf(&firewall->left_out, "rule %zu (accept): %s\n", rule->number, why);
}

int firewall_refuse(const struct firewall *firewall, const struct rule *rule, const char *why)
{
    return error_set(firewall->ret_error, -EOPNOTSUPP,
                     "%s:%ld: rule %zu (drop) can't be done without: %s", firewall->path,
                     rule->line, rule->number, why);
}

static void print_property(struct text *text, const char *name, const char *value)
{
    text_printf(text, "        <property name=\"%s\">%s</property>\n", name, value);
}

/* All that is printed is known to need no quoting. */
static void print_r4_rule(struct text *text, const struct rule *rule)
{
    char value[300];

    text_string(text, "    <rule>\n      <properties>\n");
    print_property(text, "action", rule->accept ? "accept" : "drop");
    if (rule->proto != PROTO_ANY)
        print_property(text, "proto", firewall_proto_name(rule->proto));
    if (rule->target == TARGET_IP4) {
        snprintf(value, sizeof(value), "%s/%u", rule->host, rule->prefix);
        print_property(text, "dsthost", value);
    } else if (rule->target == TARGET_NAME) {
        print_property(text, "dsthost", rule->host);
    } else if (rule->target == TARGET_DNS) {
        print_property(text, "specialtarget", "dns");
    }
    if (rule->has_ports) {
        snprintf(value, sizeof(value), "%u-%u", rule->first_port, rule->last_port);
        if (rule->first_port == rule->last_port)
            *strchr(value, '-') = '\0';
        print_property(text, "dstports", value);
    }
    if (rule->expire > 0) {
        snprintf(value, sizeof(value), "%llu", (unsigned long long)rule->expire);
        print_property(text, "expire", value);
    }
    text_string(text, "      </properties>\n    </rule>\n");
}

/* Only what R3 can say: all problems of such rules were told when they were read. */
static int print_r4(struct firewall *firewall, struct text *text)
{
    text_string(text, "<?xml version='1.0' encoding='UTF-8'?>\n<firewall version=\"2\">\n"
                      "  <rules>\n");
    for (size_t i = 0; i < firewall->count; i++) {
        const struct rule *rule = &firewall->rules[i];

        if (!rule->problem)
            print_r4_rule(text, rule);
        else if (rule->accept)
            firewall_leave_out(firewall, rule, rule->problem);
        else
            return firewall_refuse(firewall, rule, rule->problem);
    }
    text_string(text, "  </rules>\n</firewall>\n");
    return 0;
}

/* R2 and early R3 write the name with a letter less; no reader looks at it. */
static bool is_r3(const xmlNode *root)
{
    return element_is(root, "QubesFirewallRules") || element_is(root, "QubesFirwallRules");
}

static bool is_r4(const xmlNode *root, struct arena *arena)
{
    const char *version = element_attribute(root, "version", arena);

    return element_is(root, "firewall") && version && strcmp(version, "2") == 0;
}

static int convert_rules(struct firewall *firewall, const xmlNode *root, enum catalogue_form form,
                         uint64_t now, struct text *text)
{
    int result;

    if (form == CATALOGUE_R4 ? !is_r3(root) : !is_r4(root, &firewall->arena))
        return error_set(firewall->ret_error, -EINVAL, "%s:%ld: <%.80s> is not %s", firewall->path,
                         element_line(root), (const char *)root->name,
                         form == CATALOGUE_R4 ? "R3's <QubesFirewallRules>"
                                              : "R4's <firewall version=\"2\">");
    if (form == CATALOGUE_R4)
        result = firewall_read_r3(firewall, root, now);
    else
        result = firewall_read_r4(firewall, root, now);
    if (result == 0)
        result =
            form == CATALOGUE_R4 ? print_r4(firewall, text) : firewall_print_r3(firewall, text);
    /* without memory, what was read may be another reason to refuse it, or none */
    if (arena_status(&firewall->arena) || text_status(&firewall->left_out) || text_status(text))
        return error_set(firewall->ret_error, -ENOMEM, "%s: out of memory", firewall->path);
    return result;
}

int firewall_convert(const char *path, const void *untrusted_document, size_t length,
                     enum catalogue_form form, time_t now, char **ret_document, char **ret_left_out,
                     struct error *ret_error)
{
    struct firewall firewall = {.path = path, .left_out = TEXT_INIT, .ret_error = ret_error};
    struct text text CLEANUP_TEXT = TEXT_INIT;
    char *document CLEANUP_FREE = NULL, *left_out CLEANUP_FREE = NULL;
    xmlDoc *tree;
    int result;

    if (length > FIREWALL_BYTES_MAX)
        return error_set(ret_error, -EINVAL, "%s:1: the document is larger than %u MiB", path,
                         FIREWALL_BYTES_MAX >> 20);
    result = document_parse(path, untrusted_document, length, &tree, ret_error);
    if (result)
        return result;
    result = convert_rules(&firewall, xmlDocGetRootElement(tree), form, now > 0 ? (uint64_t)now : 0,
                           &text);
    if (result == 0 &&
        (text_take(&text, &document, NULL) || text_take(&firewall.left_out, &left_out, NULL)))
        result = error_set(ret_error, -ENOMEM, "%s: out of memory", path);
    if (result == 0) {
        *ret_document = MOVE_POINTER(document);
        *ret_left_out = MOVE_POINTER(left_out);
    }
    text_free(&firewall.left_out);
    arena_free(&firewall.arena);
    xmlFreeDoc(tree);
    return result;
}
