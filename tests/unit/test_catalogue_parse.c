/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The R3 form, what is refused in both forms, and that reloads share what did not change. */
#include "catalogue_helper.h"

#include <malloc.h>

static const struct catalogue *sample;

static int load_sample(void **state)
{
    struct error error;

    (void)state;
    if (catalogue_load("tests/data/r3.xml", 1, NULL, &sample, &error))
        fail_msg("%s", error.text);
    return 0;
}

static int free_sample(void **state)
{
    (void)state;
    catalogue_unref(sample);
    return 0;
}

static void every_class(void **state)
{
    static const struct {
        const char *name, *class_name, *template_name, *netvm;
        bool updateable, in_backups;
    } wanted[] = {
        {"archlinux", "StandaloneVM", NULL, NULL, true, true},
        {"disp1", "DispVM", "fedora-23-dvm", "sys-firewall", false, false},
        {"dom0", "AdminVM", NULL, NULL, false, true},
        {"fedora-23", "TemplateVM", NULL, "sys-firewall", true, false},
        {"fedora-23-dvm", "AppVM", "fedora-23", "sys-firewall", false, false},
        {"freebsd", "HVM", NULL, "sys-firewall", true, true},
        {"sys-firewall", "ProxyVM", "fedora-23", "sys-net", false, true},
        {"sys-net", "NetVM", "fedora-23", NULL, false, true},
        {"sys-whonix", "ProxyVM", "fedora-23", "sys-net", false, true},
        {"vault", "AppVM", "fedora-23", NULL, false, true},
        {"win7", "TemplateHVM", NULL, "sys-firewall", true, true},
        {"win7-work", "HVM", "win7", "sys-firewall", false, true},
        {"work", "AppVM", "fedora-23", "sys-firewall", false, true},
    };

    (void)state;
    assert_int_equal(sample->form, CATALOGUE_R3);
    assert_int_equal(sample->entry_count, ARRAY_SIZE(wanted));
    assert_true(sample->modified.tv_sec > 0);
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        const struct catalogue_entry *entry = sample->entries[i];

        assert_string_equal(entry->name, wanted[i].name);
        assert_string_equal(vm_class_name(entry->vm_class), wanted[i].class_name);
        assert_text(entry->template_name, wanted[i].template_name);
        assert_text(entry->netvm_name, wanted[i].netvm);
        assert_int_equal(entry->updateable, wanted[i].updateable);
        assert_int_equal(entry->include_in_backups, wanted[i].in_backups);
    }
    assert_true(entry_of(sample, "fedora-23-dvm")->internal);
    assert_true(entry_of(sample, "fedora-23")->installed_by_rpm);
    assert_null(catalogue_find(sample, "nobody"));
}

static void prefs_of_r3(void **state)
{
    const struct catalogue_entry *work = entry_of(sample, "work");

    (void)state;
    assert_int_equal(work->qid, 5);
    assert_string_equal(work->uuid, "0a7c6a71-4c2d-4f7b-9c29-0d6a3c8e7f05");
    assert_string_equal(work->dir_path, "/var/lib/qubes/appvms/work");
    assert_text(pref(sample, "work", "netvm"), "sys-firewall"); /* the default in force */
    assert_text(pref(sample, "work", "uses_default_netvm"), "True");
    assert_text(pref(sample, "work", "template"), "fedora-23");
    assert_text(pref(sample, "work", "dispvm_netvm"), "sys-whonix");
    assert_text(pref(sample, "work", "kernel"), "4.4.14-11");
    assert_text(pref(sample, "work", "label"), "blue");
    assert_text(pref(sample, "work", "memory"), "400");
    assert_text(pref(sample, "work", "backup_timestamp"), "1476961200");
    assert_text(pref(sample, "work", "backup_path"), "");
    assert_null(pref(sample, "work", "services"));
    assert_null(pref(sample, "work", "netvm_qid"));
    assert_null(pref(sample, "work", "template_qid"));
    assert_text(pref(sample, "archlinux", "kernel"), "4.1.13-9");
    assert_text(pref(sample, "vault", "netvm"), "none");
    assert_text(pref(sample, "archlinux", "template"), "none");
    assert_text(pref(sample, "archlinux", "dispvm_netvm"), "none");
    assert_text(pref(sample, "sys-firewall", "dispvm_netvm"), "sys-net");
    assert_string_equal(entry_of(sample, "fedora-23")->uuid,
                        "0a7c6a71-4c2d-4f7b-9c29-0d6a3c8e7f01");
    for (size_t i = 1; i < work->pref_count; i++)
        assert_true(strcmp(work->prefs[i - 1].name, work->prefs[i].name) < 0);
    assert_int_equal(work->pref_count, 35);

    const char *netvm = name_value_find(sample->globals, sample->global_count, "default_netvm");

    assert_text(netvm, "sys-firewall");
    assert_text(name_value_find(sample->globals, sample->global_count, "default_kernel"),
                "4.4.14-11");
    assert_text(name_value_find(sample->globals, sample->global_count, "clockvm"), "sys-net");
}

static void services_of_r3(void **state)
{
    (void)state;
    assert_int_equal(entry_of(sample, "work")->service_count, 3);
    assert_text(service(sample, "work", "cups"), "0");
    assert_text(service(sample, "work", "meminfo-writer"), "1");
    assert_text(service(sample, "work", "it's"), "1");
    assert_int_equal(entry_of(sample, "dom0")->service_count, 0);
}

static bool literal(const char *text, size_t wanted_count)
{
    struct arena arena = {NULL, false};
    struct pairs services = {NULL, 0, 0};
    bool good = services_parse(text, &arena, &services);

    if (good)
        assert_int_equal(services.count, wanted_count);
    else
        assert_int_equal(services.count, 0);
    arena_free(&arena);
    return good;
}

static void service_literals(void **state)
{
    static const char *const bad[] = {
        "",        "{",           "}",          "[]",
        "{'a'}",   "{'a':}",      "{'a': Tru}", "{'a': True",
        "{,}",     "{'a': True,", "{'a\": 1}",  "{'a': True} x",
        "{a: 1}",  "{'\\q': 1}",  "{'a': {}}",  "{'a': True 'b': True}",
        "{'a': 1", "{'a\\",       "{'a",        "__import__('os').system('id')",
    };

    (void)state;
    assert_true(literal("{}", 0));
    assert_true(literal(" { } ", 0));
    assert_true(literal("{'a': True, u'b': False, b\"c\": 1, 'd': 0,}", 4));
    assert_true(literal("{'a':True,'a':False}", 1));
    assert_true(literal("{'it\\'s': None}", 1));
    assert_true(literal("{'../x': True, '..': True, '': True, 'ok': True}", 1));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (literal(bad[i], 0))
            fail_msg("taken: %s", bad[i]);

    const struct catalogue *catalogue = parse(R3(R3_APP("services=\"{'a': open('/')}\"")));

    assert_int_equal(entry_of(catalogue, "app")->service_count, 0);
    catalogue_unref(catalogue);
}

static void missing_attributes(void **state)
{
    const struct catalogue *catalogue =
        parse("<QubesVmCollection default_template='1' default_netvm='3' default_fw_netvm='4'>"
              "<QubesTemplateVm qid='1' name='tpl' installed_by_rpm='True'/>"
              "<QubesAppVm qid='2' name='app' template_qid='1'/>"
              "<QubesProxyVm qid='3' name='fw' template_qid='1' netvm_qid='4'/>"
              "<QubesProxyVm qid='5' name='fw2' template_qid='1' uses_default_netvm='True'/>"
              "<QubesNetVm qid='4' name='net' template_qid='1' uses_default_netvm='True'/>"
              "<QubesAppVm qid='6' name='lost' template_qid='77' netvm_qid='78' "
              "uses_default_netvm='False' uuid='nonsense'/>"
              "<QubesAppVm qid='7' name='zero' template_qid='1' netvm_qid='0' "
              "uses_default_netvm='False'/>"
              "<QubesFancyVm qid='8' name='later'/>"
              "</QubesVmCollection>");

    (void)state;
    assert_int_equal(catalogue->entry_count, 7);
    assert_false(entry_of(catalogue, "tpl")->include_in_backups);
    assert_true(entry_of(catalogue, "app")->include_in_backups);
    assert_string_equal(entry_of(catalogue, "app")->uuid, "");
    assert_null(entry_of(catalogue, "app")->dir_path);
    assert_text(entry_of(catalogue, "app")->netvm_name, "fw");
    assert_null(pref(catalogue, "app", "netvm"));
    assert_text(entry_of(catalogue, "fw")->netvm_name, "net"); /* not its own default */
    assert_text(entry_of(catalogue, "fw2")->netvm_name, "net");
    assert_null(entry_of(catalogue, "net")->netvm_name);
    assert_text(entry_of(catalogue, "lost")->template_name, "qid 77");
    assert_int_equal(entry_of(catalogue, "lost")->vm_class, VM_CLASS_APP);
    assert_text(pref(catalogue, "lost", "template"), "none");
    assert_null(entry_of(catalogue, "lost")->netvm_name);
    assert_string_equal(entry_of(catalogue, "lost")->uuid, "");
    assert_text(entry_of(catalogue, "zero")->netvm_name, "dom0");
    catalogue_unref(catalogue);
}

static void unknown_attributes(void **state)
{
    const struct catalogue *catalogue = parse(R3(R3_APP(
        "some_new_thing=\"a &amp; b &lt;\" netvm=\"7\" netvm_qid=\"none\" "
        "uses_default_netvm=\"False\" label='gr\xc3\xbcn'") "<something-else><QubesAppVm qid='2' "
                                                            "name='app'/></something-else>"));

    (void)state;
    assert_text(pref(catalogue, "app", "some_new_thing"), "a & b <");
    assert_text(pref(catalogue, "app", "netvm"), "none");
    assert_text(pref(catalogue, "app", "label"), "gr\xc3\xbcn");
    assert_int_equal(catalogue->entry_count, 2);
    catalogue_unref(catalogue);
}

static void lines_of_refusals(void **state)
{
    (void)state;
    refused("", "t.xml:1: ");
    refused("   ", "t.xml:1: ");
    refused("hello", "t.xml:1: broken XML: ");
    refused("<html/>", "t.xml:1: the root element is <html>");
    refused(R3_HEAD R3_TEMPLATE "<QubesAppVm qid='2' name='app'>\n" R3_TAIL, "t.xml:4: broken");
    refused(R3_HEAD R3_TEMPLATE R3_TEMPLATE R3_TAIL, "t.xml:3: qid 1 was given to tpl already");
    refused(R3("\n<QubesAppVm qid='2' name='tpl'/>\n"), "t.xml:4: there are two VMs called tpl");
    refused(R3("<QubesAppVm name='a'/>"), "t.xml:3: a VM has no qid");
    refused(R3("<QubesAppVm qid='2'/>"), "t.xml:3: the VM with qid 2 has no name");
    refused(R3("<QubesAppVm qid='x' name='a'/>"), "t.xml:3: qid 'x'");
    refused(R3("<QubesAppVm qid='-1' name='a'/>"), "t.xml:3: qid '-1'");
    refused(R3("<QubesAppVm qid='' name='a'/>"), "t.xml:3: qid ''");
    refused(R3("<QubesAppVm qid='65536' name='a'/>"), "t.xml:3: qid '65536'");
    refused(R3("<QubesAppVm qid='99999999999999999999999' name='a'/>"), "t.xml:3: qid");
    refused(R3("<QubesAppVm qid='2' name='a' template_qid='tpl'/>"), "t.xml:3: template_qid");
    refused(R3("<QubesAppVm qid='2' name='a' dir_path='/x/../y'/>"), "t.xml:3: dir_path");
    refused(R3("<QubesAppVm qid='2' name='a' dir_path='x'/>"), "t.xml:3: dir_path");
    refused(R3("<QubesAppVm qid='2' name='dom0'/>"), "t.xml:3: ");
    refused(R3("<QubesAdminVm qid='2' name='other'/>"), "t.xml:3: ");
    refused("<qubes><domains><domain id='domain-1'/></domains></qubes>", "no class");
    refused("<qubes/>", "t.xml:1: there is no <domains>");
}

static void hostile_names(void **state)
{
    static const char *const bad[] = {
        "",
        "1a",
        "-a",
        "a b",
        "a/b",
        "../a",
        "none",
        "None",
        "true",
        "default",
        "Domain-0",
        "a&#10;b",
        "\xc3\xa4pfel",
        ".a",
        "a$",
        "_a",
        "aaaaaaaaaabbbbbbbbbbccccccccccdd",
    };
    char document[1024];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        snprintf(document, sizeof(document), R3("<QubesAppVm qid='2' name='%s'/>"), bad[i]);
        refused(document, "t.xml:3: ");
        snprintf(document, sizeof(document),
                 "<qubes><domains>\n<domain id='domain-1' class='AppVM'><properties>"
                 "<property name='name'>%s</property></properties></domain></domains></qubes>",
                 bad[i]);
        refused(document, "t.xml:2: ");
    }
    assert_null(vm_name_reason("aaaaaaaaaabbbbbbbbbbccccccccccd"));
    assert_null(vm_name_reason("a_B-9.x"));
}

static void hostile_documents(void **state)
{
    char *deep = malloc(3000);

    (void)state;
    refused("<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;\">]>\n"
            "<QubesVmCollection default_template=\"&b;\"/>",
            "t.xml:1: a DTD");
    refused("<?xml version='1.0'?>\n<!DOCTYPE x SYSTEM \"file:///etc/passwd\">\n"
            "<QubesVmCollection/>",
            "a DTD");
    refused("<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><qubes>&e;</qubes>", "a DTD");
    refused("<QubesVmCollection x=\"&undefined;\"/>", "broken XML");
    refused("<QubesVmCollection x=\"\xff\"/>", "t.xml:1: ");
    refused("<QubesVmCollection x=\"1\" x=\"2\"/>", "t.xml:1: ");
    for (size_t i = 0; i < 2997; i += 3)
        memcpy(deep + i, "<a>", 3);
    deep[2997] = '\0';
    refused(deep, "t.xml:1: ");
    free(deep);

    struct error error = {0};
    const struct catalogue *catalogue;

    assert_int_equal(catalogue_parse("t.xml", "<qubes>\0</qubes>", 16, NULL, &catalogue, &error),
                     -EINVAL);
}

/* A line number beyond what libxml2 stores in 16 bits. */
static void late_lines(void **state)
{
    struct text document CLEANUP_TEXT = TEXT_INIT;

    (void)state;
    text_string(&document, R3_HEAD);
    for (int i = 0; i < 99997; i++)
        text_string(&document, "\n");
    text_string(&document, "<QubesAppVm qid='2' name='a b'/>\n" R3_TAIL);
    refused(document.data, "t.xml:99999: ");
}

static void shared_on_reload(void **state)
{
    static const char first[] =
        R3(R3_APP("netvm_qid='3' uses_default_netvm='False'") "<QubesNetVm qid='3' name='net' "
                                                              "template_qid='1'/>");
    static const char renamed[] =
        R3(R3_APP("netvm_qid='3' uses_default_netvm='False'") "<QubesNetVm qid='3' name='other' "
                                                              "template_qid='1'/>");
    const struct catalogue *one = parse(first), *two = NULL, *three = NULL;
    struct error error;

    (void)state;
    assert_int_equal(catalogue_parse("t.xml", first, strlen(first), one, &two, &error), 0);
    assert_true(catalogue_equal(one, two));
    for (size_t i = 0; i < 3; i++)
        assert_ptr_equal(one->entries[i], two->entries[i]);
    /* app's attributes are the same, but the name that they stand for is not */
    assert_int_equal(catalogue_parse("t.xml", renamed, strlen(renamed), two, &three, &error), 0);
    assert_false(catalogue_equal(two, three));
    assert_ptr_equal(entry_of(one, "tpl"), entry_of(three, "tpl"));
    assert_ptr_not_equal(entry_of(one, "app"), entry_of(three, "app"));
    assert_text(entry_of(three, "app")->netvm_name, "other");
    catalogue_unref(one);
    catalogue_unref(two);
    assert_text(entry_of(three, "tpl")->name, "tpl");
    catalogue_unref(three);
}

static void names_and_numbers(void **state)
{
    uint64_t number;
    char uuid[37];

    (void)state;
    assert_true(parse_number("0", 9, &number) && number == 0);
    assert_true(parse_number("18446744073709551615", UINT64_MAX, &number) && number == UINT64_MAX);
    assert_false(parse_number("18446744073709551616", UINT64_MAX, &number));
    assert_false(parse_number("9", 8, &number));
    assert_false(parse_number("+1", 8, &number));
    assert_false(parse_number(" 1", 8, &number));
    assert_true(parse_uuid("0A7C6A714C2D4F7B9C290D6A3C8E7F01", uuid));
    assert_string_equal(uuid, "0a7c6a71-4c2d-4f7b-9c29-0d6a3c8e7f01");
    assert_false(parse_uuid("0a7c6a71-4c2d-4f7b-9c29-0d6a3c8e7f0", uuid));
    assert_false(parse_uuid("0a7c6a71--4c2d-4f7b-9c29-0d6a3c8e7f01", uuid));
    assert_false(parse_uuid("0a7c6a71-4c2d-4f7b-9c29-0d6a3c8e7f011", uuid));
    assert_false(parse_uuid("", uuid));
    assert_false(file_name_ok(".."));
    assert_false(file_name_ok("a/b"));
    assert_false(file_name_ok("a\nb"));
    assert_true(file_name_ok("..."));
    assert_false(path_ok("a/../b"));
    assert_false(path_ok("./a"));
    assert_true(path_ok("/a/..b/c"));
    assert_true(parse_bool("Yes", false));
    assert_false(parse_bool("0", true));
    assert_true(parse_bool("perhaps", true));
}

/* 10,000 VMs as R3 stores them: what is kept of one stays small. */
static void many(void **state)
{
    struct text document CLEANUP_TEXT = TEXT_INIT;
    char *one CLEANUP_FREE = slurp("tests/data/r3.xml");
    char *work = strstr(one, "<QubesAppVm autostart=\"False\" backup_content=\"False\" "
                             "backup_path=\"\" backup_size=\"0\" backup_timestamp");
    char *attributes;

    (void)state;
    assert_non_null(work);
    *strstr(work, "/>") = '\0';
    text_string(&document, R3_HEAD R3_TEMPLATE);
    attributes = strstr(work, " backup_timestamp");
    assert_non_null(attributes);
    memcpy(strstr(attributes, " name="), " nam_=", 6);
    memcpy(strstr(attributes, " qid="), " qi_=", 5);
    for (int i = 0; i < 10000; i++)
        text_printf(&document, "<QubesAppVm qid=\"%d\" name=\"vm%d\"%s/>\n", i + 2, i, attributes);
    text_string(&document, R3_TAIL);
    assert_int_equal(text_status(&document), 0);

    const struct catalogue *catalogue = parse(document.data);
    size_t bytes = 0;

    assert_int_equal(catalogue->entry_count, 10001);
    assert_true(entry_of(catalogue, "vm7")->pref_count >= 25);
    for (size_t i = 0; i < catalogue->entry_count; i++)
        bytes += malloc_usable_size((void *)catalogue->entries[i]) + sizeof(size_t);
    print_message("%zu bytes a VM\n", bytes / catalogue->entry_count);
    assert_true(bytes / catalogue->entry_count < 2500);
    catalogue_unref(catalogue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_class),
        cmocka_unit_test(prefs_of_r3),
        cmocka_unit_test(services_of_r3),
        cmocka_unit_test(service_literals),
        cmocka_unit_test(missing_attributes),
        cmocka_unit_test(unknown_attributes),
        cmocka_unit_test(lines_of_refusals),
        cmocka_unit_test(hostile_names),
        cmocka_unit_test(hostile_documents),
        cmocka_unit_test(late_lines),
        cmocka_unit_test(shared_on_reload),
        cmocka_unit_test(names_and_numbers),
        cmocka_unit_test(many),
    };

    return cmocka_run_group_tests(tests, load_sample, free_sample);
}
