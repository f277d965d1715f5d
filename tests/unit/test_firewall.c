/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Firewall rules in the form that the host has not.  Golden files are compared byte for byte;
 * GOLDEN=write makes them anew, to be looked at before they are kept.
 */
#include "catalogue_helper.h"

#define NOW 1500000000

static char *convert(const char *document, enum catalogue_form form, char **ret_left_out)
{
    char *made = NULL;
    struct error error;

    if (firewall_convert("f.xml", document, strlen(document), form, NOW, &made, ret_left_out,
                         &error))
        fail_msg("%s", error.text);
    return made;
}

static void golden(void **state)
{
    static const struct {
        const char *from, *to;
        enum catalogue_form form;
    } files[] = {
        {"deny-r3", "deny-r3-to-r4", CATALOGUE_R4},
        {"allow-r3", "allow-r3-to-r4", CATALOGUE_R4},
        {"deny-r4", "deny-r4-to-r3", CATALOGUE_R3},
        {"allow-r4", "allow-r4-to-r3", CATALOGUE_R3},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        char path[128], name[64];

        snprintf(path, sizeof(path), "tests/golden/firewall/%s.xml", files[i].from);
        char *document CLEANUP_FREE = slurp(path), *left_out CLEANUP_FREE = NULL;
        char *made CLEANUP_FREE = convert(document, files[i].form, &left_out);

        snprintf(name, sizeof(name), "firewall/%s.xml", files[i].to);
        compare_golden(made, name);
        snprintf(name, sizeof(name), "firewall/%s.left-out", files[i].to);
        compare_golden(left_out, name);
    }
}

#define R4_RULE(properties) "<rule><properties>" properties "</properties></rule>"
#define P(name, value)      "<property name=\"" name "\">" value "</property>"
#define ACCEPT              P("action", "accept")
#define DROP                P("action", "drop")
#define R4_RULES(rules)     "<firewall version=\"2\"><rules>" rules "</rules></firewall>"
#define R3_RULES(policy, rules)                                                                    \
    "<QubesFirewallRules policy=\"" policy "\">" rules "</QubesFirewallRules>"

static void becomes(const char *document, const char *head, const char *rules)
{
    char *left_out CLEANUP_FREE = NULL;
    char *made CLEANUP_FREE = convert(document, CATALOGUE_R3, &left_out), *wanted CLEANUP_FREE;

    assert_true(asprintf(&wanted,
                         "<QubesFirewallRules %s yumProxy=\"deny\">\n%s</QubesFirewallRules>\n",
                         head, rules) > 0);
    assert_string_equal(made, wanted);
}

/* What R4's defaults and its settings' window make. */
static void usual(void **state)
{
    (void)state;
    becomes(R4_RULES(R4_RULE(ACCEPT)), "policy=\"allow\" dns=\"allow\" icmp=\"allow\"", "");
    becomes(R4_RULES(""), "policy=\"deny\" dns=\"deny\" icmp=\"deny\"", "");
    becomes(R4_RULES(R4_RULE(ACCEPT P("specialtarget", "dns")) R4_RULE(ACCEPT P("proto", "icmp"))
                         R4_RULE(DROP)),
            "policy=\"deny\" dns=\"allow\" icmp=\"allow\"", "");
    becomes(R4_RULES(R4_RULE(DROP P("dsthost", "example.com") P("proto", "tcp")) R4_RULE(ACCEPT)),
            "policy=\"allow\" dns=\"allow\" icmp=\"allow\"",
            "  <rule address=\"example.com\" proto=\"tcp\"/>\n");
}

/* DNS and ICMP are asked about by R3 last and by R4 first. */
static void dns_and_icmp(void **state)
{
    (void)state;
    becomes(R4_RULES(R4_RULE(DROP P("dsthost", "10.0.0.0/8")) R4_RULE(ACCEPT)),
            "policy=\"allow\" dns=\"deny\" icmp=\"deny\"",
            "  <rule address=\"10.0.0.0\" proto=\"any\" netmask=\"8\"/>\n");
    becomes(R4_RULES(R4_RULE(DROP P("specialtarget", "dns"))
                         R4_RULE(ACCEPT P("dsthost", "0.0.0.0/0") P("proto", "udp"))
                             R4_RULE(ACCEPT P("dsthost", "192.0.2.1"))),
            "policy=\"deny\" dns=\"deny\" icmp=\"deny\"",
            "  <rule address=\"192.0.2.1\" proto=\"any\"/>\n");
    becomes(R4_RULES(R4_RULE(ACCEPT P("specialtarget", "dns"))
                         R4_RULE(DROP P("specialtarget", "dns")) R4_RULE(ACCEPT)),
            "policy=\"allow\" dns=\"allow\" icmp=\"allow\"", "");
    becomes(R4_RULES(R4_RULE(ACCEPT P("specialtarget", "dns") P("proto", "udp"))),
            "policy=\"deny\" dns=\"deny\" icmp=\"deny\"", "");
}

static void fails(const char *document, enum catalogue_form form, int code, const char *text)
{
    char *made = NULL, *left_out = NULL;
    struct error error = {0};

    assert_int_equal(
        firewall_convert("f.xml", document, strlen(document), form, NOW, &made, &left_out, &error),
        code);
    assert_int_equal(error.code, code);
    assert_null(made);
    assert_null(left_out);
    if (!strstr(error.text, text))
        fail_msg("'%s' is not in '%s'", text, error.text);
}

/* A drop that can't be said. */
static void unsafe(void **state)
{
    const int code = -EOPNOTSUPP;

    (void)state;
    fails(R4_RULES(R4_RULE(DROP P("dsthost", "2001:db8::/32")) R4_RULE(ACCEPT)), CATALOGUE_R3, code,
          "rule 1 (drop) can't be done without: R3 has no IPv6");
    fails(R4_RULES(R4_RULE(DROP P("future", "x")) R4_RULE(ACCEPT)), CATALOGUE_R3, code, "property");
    fails(R4_RULES(R4_RULE(DROP P("dstports", "80")) R4_RULE(ACCEPT)), CATALOGUE_R3, code, "ports");
    fails(R3_RULES("allow", "<rule address=\"a b\"/>"), CATALOGUE_R4, code, "address");
    fails(R3_RULES("allow", "<rule address=\"1.2.3\"/>"), CATALOGUE_R4, code, "address");
    fails(R3_RULES("allow", "<rule address=\"a\" netmask=\"24\"/>"), CATALOGUE_R4, code, "netmask");
    fails(R3_RULES("allow", "<rule address=\"1.2.3.4\" netmask=\"33\"/>"), CATALOGUE_R4, code,
          "netmask");
    fails(R3_RULES("allow", "<rule address=\"1.2.3.4\" port=\"70000\"/>"), CATALOGUE_R4, code,
          "port");
    fails(R3_RULES("allow", "<rule address=\"1.2.3.4\" expire=\"soon\"/>"), CATALOGUE_R4, code,
          "expiry");
}

static void invalid(void **state)
{
    struct text many CLEANUP_TEXT = TEXT_INIT;

    (void)state;
    fails("", CATALOGUE_R4, -EINVAL, "empty");
    fails("<QubesFirewallRules policy='deny'", CATALOGUE_R4, -EINVAL, "broken XML");
    fails("<!DOCTYPE f [<!ENTITY e 'x'>]><QubesFirewallRules policy='deny'/>", CATALOGUE_R4,
          -EINVAL, "DTD");
    fails("<QubesFirewallRules/>", CATALOGUE_R4, -EINVAL, "policy");
    fails(R3_RULES("maybe", ""), CATALOGUE_R4, -EINVAL, "policy");
    fails(R4_RULES(""), CATALOGUE_R4, -EINVAL, "not R3's");
    fails(R3_RULES("deny", ""), CATALOGUE_R3, -EINVAL, "not R4's");
    fails("<firewall version='3'><rules/></firewall>", CATALOGUE_R3, -EINVAL, "not R4's");
    fails(R4_RULES("<rule/>"), CATALOGUE_R3, -EINVAL, "action");
    fails(R4_RULES(R4_RULE(P("action", "forward"))), CATALOGUE_R3, -EINVAL, "action");
    fails(R4_RULES("<rules/>"), CATALOGUE_R3, -EINVAL, "no rule");
    text_string(&many, "<QubesFirewallRules policy='deny'>");
    for (int i = 0; i < 1001; i++)
        text_string(&many, "<rule address='192.0.2.1'/>");
    text_string(&many, "</QubesFirewallRules>");
    fails(many.data, CATALOGUE_R4, -EINVAL, "more than 1000 rules");
    while (many.length <= 1 << 20)
        text_string(&many, "                                                                ");
    fails(many.data, CATALOGUE_R4, -EINVAL, "larger than 1 MiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden), cmocka_unit_test(usual),   cmocka_unit_test(dns_and_icmp),
        cmocka_unit_test(unsafe), cmocka_unit_test(invalid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
