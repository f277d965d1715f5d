/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exports in the other form of what is rare, broken or hostile. */
#include "catalogue_helper.h"

static char *left_out;

static int forget(void **state)
{
    (void)state;
    free(left_out);
    left_out = NULL;
    return 0;
}

static const struct catalogue *converted(const char *document, enum catalogue_form form)
{
    const struct catalogue *catalogue;
    char *made CLEANUP_FREE = NULL;
    struct error error;
    size_t length;

    forget(NULL);
    if (export_bytes("t.xml", document, strlen(document), form, NULL, 0, &made, &length, &left_out,
                     &error))
        fail_msg("%s", error.text);
    catalogue = parse(made);
    assert_int_equal(catalogue->form, form);
    return catalogue;
}

static void told(const char *line)
{
    if (!strstr(left_out, line))
        fail_msg("'%s' is not in '%s'", line, left_out);
}

static const char *feature(const struct catalogue *catalogue, const char *vm, const char *name)
{
    const struct catalogue_entry *entry = entry_of(catalogue, vm);

    return name_value_find(entry->features, entry->feature_count, name);
}

#define P(name, value)        "<property name='" name "'>" value "</property>"
#define F(name, value)        "<feature name='" name "'>" value "</feature>"
#define DOMAIN(class, inside) "<domain class='" class "'>" inside "</domain>"
#define PROPERTIES(inside)    "<properties>" inside "</properties>"
#define R4(inside)                                                                                 \
    "<qubes><labels><label id='label-1' color='0xcc0000'>red</label>"                              \
    "<label id='label-9' color='0x70d010'>lime</label></labels>"                                   \
    "<properties>" P("default_template", "tpl") "</properties><domains>" DOMAIN(                   \
        "TemplateVM", PROPERTIES(P("qid", "1") P("name", "tpl"))) inside "</domains></qubes>"
#define VM(class, qid, name, inside) DOMAIN(class, PROPERTIES(P("qid", qid) P("name", name) inside))
#define APP(inside)                  VM("AppVM", "2", "app", P("template", "tpl") inside)

/* Everything that means something in XML or in Python stays one value. */
static void hostile_values(void **state)
{
    const struct catalogue *r4, *r3;

    (void)state;
    r4 = converted(R3(R3_APP("default_user=\"&lt;b&gt;&amp;amp;&quot;' ]]&gt;\" "
                             "kernelopts=\"a&#10;b&#9;c&#13;&lt;!--\" "
                             "uses_default_kernelopts=\"False\" label=\"&lt;red&gt;\" "
                             "kernel=\"../../x\" uses_default_kernel=\"False\" mac=\"00:16:3e\" "
                             "memory=\"1e9\" vcpus=\"-1\" "
                             "services=\"{'a\\'&lt;b': True, &quot;c\\\\d&quot;: 0}\" "
                             "pcidevs=\"['00:19.0', '../../x', '0000:00:19.0']\" "
                             "pci_strictreset=\"False\" odd=\"1\"")),
                   CATALOGUE_R4);
    assert_text(pref(r4, "app", "default_user"), "<b>&amp;\"' ]]>");
    assert_text(pref(r4, "app", "kernelopts"), "a\nb\tc\r<!--");
    assert_text(pref(r4, "app", "label"), "red");
    assert_null(pref(r4, "app", "kernel"));
    assert_null(pref(r4, "app", "mac"));
    assert_null(pref(r4, "app", "memory"));
    assert_text(feature(r4, "app", "service.a'<b"), "1");
    assert_text(feature(r4, "app", "service.c\\d"), "");
    told("app\tlabel: <red>\n");
    told("app\tattribute: memory, vcpus, kernel, mac\n");
    told("app\tdevice: ../../x, 0000:00:19.0\n");
    told("app\tattribute: odd\n");
    catalogue_unref(r4);

    r3 = converted(
        R4(DOMAIN("AppVM",
                  PROPERTIES(P("qid", "2") P("name", "app") P("template", "tpl")
                                 P("default_user", "&lt;\"'&amp;amp;") P("kernelopts", "a\nb")
                                     P("label", "label-9") P("kernel", "../../x")
                                         P("x\ty\nz", "1")) "<features>" F("service.it&apos;s", "1")
                      F("service.b\\", "") F("service.\xc3\xa9", "1")
                          F("a/b", "1") "</features><tags><tag name='&lt;t&gt;'/></tags>")),
        CATALOGUE_R3);
    assert_text(pref(r3, "app", "default_user"), "<\"'&amp;");
    assert_text(pref(r3, "app", "kernelopts"), "a\nb");
    assert_text(pref(r3, "app", "label"), "green");
    assert_text(pref(r3, "app", "uses_default_kernel"), "True");
    assert_text(service(r3, "app", "it's"), "1");
    assert_text(service(r3, "app", "b\\"), "0");
    assert_int_equal(entry_of(r3, "app")->service_count, 2);
    told("app\tlabel: lime\n");
    told("app\tservice: \xc3\xa9\n");
    told("app\tproperty: x y z, kernel\n"); /* XML makes blanks of them in an attribute */
    told("app\tfeature: a/b\n");
    told("app\ttag: <t>\n");
    catalogue_unref(r3);
}

static void malformed_lists(void **state)
{
    const struct catalogue *catalogue = converted(
        R3(R3_APP("services=\"{'a': __import__('os')}\" pcidevs=\"['00:19.0'\"") "<Surprise/>"),
        CATALOGUE_R4);

    (void)state;
    assert_int_equal(entry_of(catalogue, "app")->service_count, 0);
    told("app\tattribute: services, which is malformed, pcidevs, which is malformed\n");
    told("*\telement: Surprise\n");
    catalogue_unref(catalogue);
}

/* R4 breaks on no dangling reference, but R3's reader does on each. */
static void references_to_nothing(void **state)
{
    const struct catalogue *catalogue =
        converted(R4(VM("AppVM", "2", "app", P("template", "gone") P("netvm", "nobody"))
                         VM("AppVM", "3", "other", P("template", "tpl") P("netvm", "app"))),
                  CATALOGUE_R3);

    (void)state;
    assert_text(entry_of(catalogue, "app")->template_name, "tpl");
    assert_null(entry_of(catalogue, "app")->netvm_name);
    assert_null(entry_of(catalogue, "other")->netvm_name); /* app serves nobody */
    assert_text(pref(catalogue, "other", "uses_default_netvm"), "False");
    told("app\ttemplate: gone\napp\tnetvm: nobody\nother\tnetvm: app\n");
    catalogue_unref(catalogue);

    catalogue = converted("<QubesVmCollection default_template='None' default_netvm='77'>"
                          "<QubesAppVm qid='2' name='app' template_qid='9' netvm_qid='8' "
                          "uses_default_netvm='False'/></QubesVmCollection>",
                          CATALOGUE_R4);
    assert_int_equal(entry_of(catalogue, "app")->vm_class, VM_CLASS_STANDALONE);
    assert_text(pref(catalogue, "app", "netvm"), "none");
    assert_non_null(catalogue_find(catalogue, "dom0")); /* R4 has it always */
    told("*\tglobal: default_netvm\n");
    told("app\ttemplate: qid 9\napp\tnetvm: qid 8\n");
    catalogue_unref(catalogue);
}

static void classes_of_r3(void **state)
{
    /* clang-format off */
    static const char vms[] = R4(
        VM("TemplateVM", "3", "win", P("virt_mode", "hvm"))
        VM("AppVM", "4", "win-app", P("template", "win"))
        VM("AppVM", "5", "lin-hvm", P("virt_mode", "hvm") P("template", "tpl"))
        VM("StandaloneVM", "6", "alone", "")
        VM("StandaloneVM", "7", "alone-hvm", P("virt_mode", "hvm"))
        VM("StandaloneVM", "8", "router", P("provides_network", "True"))
        VM("AppVM", "9", "dvm", P("template", "tpl") P("template_for_dispvms", "True"))
        VM("DispVM", "10", "sys-usb", P("template", "dvm") P("netvm", "router")
           P("provides_network", "True"))
        VM("DispVM", "11", "disp1", P("template", "dvm") P("auto_cleanup", "True")));
    /* clang-format on */
    static const struct {
        const char *name, *class_name, *template_name;
    } wanted[] = {
        {"alone", "StandaloneVM", NULL}, {"alone-hvm", "HVM", NULL},  {"disp1", "DispVM", "tpl"},
        {"dvm", "AppVM", "tpl"},         {"lin-hvm", "AppVM", "tpl"}, {"router", "NetVM", NULL},
        {"sys-usb", "ProxyVM", "tpl"},   {"tpl", "TemplateVM", NULL}, {"win", "TemplateHVM", NULL},
        {"win-app", "HVM", "win"},
    };

    const struct catalogue *catalogue = converted(vms, CATALOGUE_R3);

    (void)state;
    assert_int_equal(catalogue->entry_count, ARRAY_SIZE(wanted));
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        const struct catalogue_entry *entry = catalogue->entries[i];

        assert_string_equal(entry->name, wanted[i].name);
        assert_string_equal(vm_class_name(entry->vm_class), wanted[i].class_name);
        assert_text(entry->template_name, wanted[i].template_name);
    }
    told("lin-hvm\tproperty: virt_mode (hvm)\n");
    told("sys-usb\tclass: DispVM (it keeps its data in R3)\n");
    told("disp1\ttemplate: dvm\n");
    catalogue_unref(catalogue);
}

/* A netvm's disposables: never a way out that the VM had not. */
static void disposables(void **state)
{
    /* clang-format off */
    static const char vms[] = R4(
        VM("AppVM", "3", "net", P("template", "tpl") P("netvm", "") P("provides_network", "True"))
        VM("AppVM", "4", "dvm", P("template", "tpl") P("netvm", "net"))
        VM("AppVM", "5", "a", P("template", "tpl") P("netvm", "") P("default_dispvm", "dvm"))
        VM("AppVM", "6", "b", P("template", "tpl") P("netvm", "net") P("default_dispvm", ""))
        VM("AppVM", "7", "c", P("template", "tpl") P("netvm", "net")));
    /* clang-format on */
    static const char *const wanted[][2] = {{"a", "net"}, {"b", "none"}, {"c", "net"}};
    const struct catalogue *catalogue = converted(vms, CATALOGUE_R3);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        assert_text(pref(catalogue, wanted[i][0], "dispvm_netvm"), wanted[i][1]);
    assert_text(pref(catalogue, "c", "uses_default_dispvm_netvm"), "True");
    assert_text(pref(catalogue, "a", "dispvm_netvm_qid"), "3");
    catalogue_unref(catalogue);
}

static void pci_devices(void **state)
{
    const struct catalogue *catalogue = converted(
        R4(DOMAIN("AppVM",
                  PROPERTIES(P("qid", "2") P("name", "app") P(
                      "template",
                      "tpl")) "<devices class='pci'><device backend-domain='dom0' id='03_00.0'/>"
                              "<device backend-domain='dom0' id='00_1a.7' mode='required'>"
                              "<option name='no-strict-reset'>True</option>"
                              "<option name='permissive'>True</option></device>"
                              "<device backend-domain='dom0' id='00_1b.0' mode='ask-to-assign'/>"
                              "<device backend-domain='dom0' id='00_1c.0-00_00.0'/>"
                              "<device backend-domain='sys-usb' id='00_1d.0'/></devices>"
                              "<devices class='usb'><device backend-domain='sys-usb' "
                              "id='1-2'/></devices>")),
        CATALOGUE_R3);

    (void)state;
    assert_text(pref(catalogue, "app", "pcidevs"), "['00:1a.7', '03:00.0']");
    assert_text(pref(catalogue, "app", "pci_strictreset"), "True");
    assert_text(pref(catalogue, "app", "kernelopts"), "nopat iommu=soft swiotlb=8192");
    told("app\tdevice option: permissive\n");
    told("app\tdevice: pci dom0:00_1b.0, pci dom0:00_1c.0-00_00.0, pci sys-usb:00_1d.0, "
         "usb sys-usb:1-2\n");
    told("app\tdevice option: no-strict-reset, which not all devices have\n");
    catalogue_unref(catalogue);
}

static void great_qids(void **state)
{
    const struct catalogue_mark marks[] = {{.qid = 9000, .backup_path = "vm9000"},
                                           {.qid = 253, .backup_path = "vm253"}};
    static const char vms[] = R4(VM("AppVM", "9000", "b", "") VM("AppVM", "2", "a", "")
                                     VM("AppVM", "253", "c", "") VM("AppVM", "254", "d", ""));
    static const int wanted[] = {2, 4, 253, 3};
    const struct catalogue *before = parse(vms), *after;
    char *made CLEANUP_FREE = NULL;
    struct error error;
    size_t length;

    (void)state;
    assert_int_equal(export_bytes("t.xml", vms, strlen(vms), CATALOGUE_R3, marks, 2, &made, &length,
                                  NULL, &error),
                     0);
    after = parse(made);
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        assert_int_equal(after->entries[i]->qid, wanted[i]);
        assert_int_equal(catalogue_export_qid(before, CATALOGUE_R3, before->entries[i]->qid),
                         wanted[i]);
        assert_int_equal(catalogue_export_qid(before, CATALOGUE_R4, before->entries[i]->qid),
                         before->entries[i]->qid);
    }
    assert_int_equal(catalogue_export_qid(before, CATALOGUE_R3, 77), -1);
    assert_text(pref(after, "b", "backup_path"), "vm9000");
    assert_text(pref(after, "c", "backup_path"), "vm253");
    assert_text(pref(after, "d", "backup_content"), "False");
    catalogue_unref(before);
    catalogue_unref(after);
}

static void too_many(void **state)
{
    struct text text CLEANUP_TEXT = TEXT_INIT;
    struct error error;
    size_t length;
    char *made = NULL;

    (void)state;
    text_string(&text, "<qubes><domains>");
    for (int i = 1; i <= 254; i++)
        text_printf(&text, DOMAIN("StandaloneVM", PROPERTIES(P("qid", "%d") P("name", "a%d"))),
                    2 * i, i);
    text_string(&text, "</domains></qubes>");
    assert_int_equal(export_bytes("t.xml", text.data, text.length, CATALOGUE_R3, NULL, 0, &made,
                                  &length, NULL, &error),
                     -EOPNOTSUPP);
    assert_non_null(strstr(error.text, "use format 4"));
    assert_null(made);
}

/* What R3 sets, it must be told: its defaults are not R4's. */
static void defaults(void **state)
{
    const struct catalogue *catalogue = converted(R4(APP("")), CATALOGUE_R3);

    (void)state;
    assert_string_equal(left_out, "");
    assert_text(pref(catalogue, "app", "memory"), "400");
    assert_text(pref(catalogue, "app", "vcpus"), "2");
    assert_text(pref(catalogue, "app", "uses_default_netvm"), "True");
    assert_text(pref(catalogue, "app", "netvm"), "none");
    assert_text(pref(catalogue, "app", "label"), "red");
    assert_text(pref(catalogue, "tpl", "label"), "black");
    assert_text(pref(catalogue, "app", "kernel"), "None");
    assert_null(pref(catalogue, "app", "maxmem"));
    catalogue_unref(catalogue);

    catalogue =
        converted(R4(APP(P("kernel", "") P("maxmem", "0") P("memory", "700"))), CATALOGUE_R3);
    assert_text(pref(catalogue, "app", "kernel"), "None");
    assert_text(pref(catalogue, "app", "uses_default_kernel"), "False");
    assert_text(pref(catalogue, "app", "maxmem"), "700");
    assert_text(service(catalogue, "app", "meminfo-writer"), "0");
    catalogue_unref(catalogue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(hostile_values, forget),
        cmocka_unit_test_teardown(malformed_lists, forget),
        cmocka_unit_test_teardown(references_to_nothing, forget),
        cmocka_unit_test_teardown(classes_of_r3, forget),
        cmocka_unit_test_teardown(disposables, forget),
        cmocka_unit_test_teardown(pci_devices, forget),
        cmocka_unit_test_teardown(great_qids, forget),
        cmocka_unit_test_teardown(too_many, forget),
        cmocka_unit_test_teardown(defaults, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
