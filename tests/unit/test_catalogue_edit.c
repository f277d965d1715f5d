/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Edits of VMs in the file: the rules of both releases, and that nothing else changes. */
#include "edit_helper.h"

#include "catalogue/properties.h"

static void r3_values(void **state)
{
    (void)state;
    copy_sample("tests/data/r3.xml");
    takes("work", "memory", "2000", "2000");
    takes("work", "maxmem", "20000", "20000");
    refuses("work", "maxmem", "20001", -EINVAL, "more than 10 times its memory, 2000");
    refuses("work", "maxmem", "1999", -EINVAL, "less than its memory");
    refuses("work", "memory", "20001", -EINVAL, "more than its maxmem");
    refuses("work", "memory", "0", -EINVAL, "a number from 1 to 1048576");
    refuses("work", "memory", "-1", -EINVAL, "a number");
    refuses("work", "memory", "1e3", -EINVAL, "a number");
    refuses("work", "memory", "", -EINVAL, "a number");
    refuses("work", "memory", "99999999999999999999", -EINVAL, "a number");
    takes("work", "memory", "default", "400");
    takes("sys-net", "memory", "default", "300");
    takes("freebsd", "memory", "0600", "600");
    refuses("freebsd", "maxmem", "600", -EINVAL, "can't be set for a VM of class HVM");
    takes("work", "vcpus", "64", "64");
    refuses("work", "vcpus", "65", -EINVAL, "from 1 to 64");
    takes("work", "vcpus", "default", "2");
    takes("work", "autostart", "yes", "True");
    takes("work", "autostart", "0", "False");
    refuses("work", "autostart", "maybe", -EINVAL, "True or False");
    refuses("work", "autostart", "", -EINVAL, "True or False");
    takes("work", "label", "purple", "purple");
    refuses("work", "label", "Purple", -EINVAL, "there is no label");
    takes("work", "label", "default", "red");
    takes("fedora-23", "label", "default", "black");
    takes("work", "mac", "00:16:3e:5e:6c:10", "00:16:3E:5E:6C:10");
    refuses("work", "mac", "01:16:3e:5e:6c:10", -EINVAL, "MAC address");
    refuses("work", "mac", "00:16:3e:5e:6c", -EINVAL, "MAC address");
    takes("work", "mac", "default", NULL);
    takes("work", "default_user", "joe_1", "joe_1");
    refuses("work", "default_user", "joe 1", -EINVAL, "user's name");
    takes("work", "default_user", "default", "user");
    takes("work", "kernelopts", "nopat & <so> \"on\"", "nopat & <so> \"on\"");
    refuses("work", "kernelopts", "a\nb", -EINVAL, "one line");
    takes("work", "kernelopts", "default", "nopat");
    takes("work", "include_in_backups", "False", "False");
    takes("work", "include_in_backups", "default", "True");
    takes("fedora-23", "include_in_backups", "default", "False");
    takes("freebsd", "timezone", "-3600", "-3600");
    refuses("freebsd", "timezone", "Berlin", -EINVAL, "localtime");
    takes("freebsd", "drive", "/a b.iso", "cdrom:dom0:/a b.iso");
    takes("freebsd", "drive", "HD:work:/dev/sda", "hd:work:/dev/sda");
    refuses("freebsd", "drive", "floppy.img", -EINVAL, "PATH");
    refuses("freebsd", "drive", "hd:dom0:/../x", -EINVAL, "PATH");
    takes("freebsd", "drive", "none", "None");
    takes("work", "pcidevs", "00:19.0 03:00.0", "['00:19.0', '03:00.0']");
    takes("work", "kernelopts", "default", "nopat iommu=soft swiotlb=8192");
    takes("work", "pcidevs", "['00:19.0']", "['00:19.0']");
    refuses("work", "pcidevs", "00:19.0,00:19.0", -EINVAL, "each once");
    refuses("work", "pcidevs", "['00:19.0', open('x')]", -EINVAL, "PCI");
    takes("work", "pcidevs", "", "[]");
    takes("work", "kernelopts", "default", "nopat");
    refuses("work", "qid", "7", -EINVAL, "can't be set");
    refuses("work", "name", "job", -EINVAL, "can't be set");
    refuses("work", "made_up", "1", -EINVAL, "can't be set");
    refuses("dom0", "memory", "500", -EINVAL, "can't be set");
}

static void r3_others(void **state)
{
    const struct catalogue *catalogue;

    (void)state;
    copy_sample("tests/data/r3.xml");
    takes("work", "netvm", "sys-net", "sys-net");
    takes("work", "netvm", "none", "none");
    takes("work", "netvm", "default", "sys-firewall");
    refuses("work", "netvm", "vault", -EINVAL, "provides no network");
    refuses("work", "netvm", "dom0", -EINVAL, "provides no network");
    refuses("work", "netvm", "nobody", -ENOENT, "no such VM");
    refuses("work", "netvm", "2", -EINVAL, "a VM's name");
    refuses("sys-net", "netvm", "sys-firewall", -EINVAL, "can't be set for a VM of class NetVM");
    refuses("sys-firewall", "netvm", "sys-firewall", -EINVAL, "come back");
    takes("sys-whonix", "netvm", "sys-firewall", "sys-firewall");
    refuses("sys-firewall", "netvm", "sys-whonix", -EINVAL, "come back");
    takes("work", "dispvm_netvm", "sys-net", "sys-net");
    takes("work", "dispvm_netvm", "default", "sys-firewall");
    takes("work", "kernel", "4.1.13-9", "4.1.13-9");
    takes("work", "kernel", "none", "none");
    refuses("work", "kernel", "9.9", -ENOENT, "vm-kernels/9.9");
    refuses("work", "kernel", "../vm-kernels", -EINVAL, "kernel");
    refuses("work", "kernel", "..", -EINVAL, "kernel");
    takes("work", "kernel", "default", "4.4.14-11");
    takes("work", "template", "default", "fedora-23");
    refuses("work", "template", "win7", -EINVAL, "no TemplateVM");
    refuses("work", "template", "vault", -EINVAL, "no TemplateVM");
    refuses("work", "template", "none", -EINVAL, "a VM's name");
    refuses("win7-work", "template", "fedora-23", -EINVAL, "no TemplateHVM");
    takes("win7-work", "template", "win7", "win7");
    refuses("archlinux", "template", "fedora-23", -EINVAL, "root volume of its own");
    refuses("freebsd", "template", "win7", -EINVAL, "root volume of its own");
    assert_int_equal(edit("work", CATALOGUE_SET_PREF, "template", "fedora-23", true), -EBUSY);
    assert_int_equal(edit("work", CATALOGUE_SET_PREF, "memory", "500", true), 0);
    /* the choosers are where Qubes looks */
    set("work", "netvm", "sys-net");
    catalogue = load();
    assert_text(pref(catalogue, "work", "uses_default_netvm"), "False");
    assert_text(pref(catalogue, "work", "uses_default_kernel"), "True");
    catalogue_unref(catalogue);
}

static void r4_values(void **state)
{
    (void)state;
    copy_sample("tests/data/r4.xml");
    takes("work", "memory", "2000", "2000");
    takes("work", "maxmem", "0", "0");
    refuses("work", "maxmem", "20001", -EINVAL, "10 times");
    takes("work", "memory", "default", NULL);
    refuses("work", "maxmem", "4001", -EINVAL, "10 times its memory, 400");
    takes("work", "label", "green", "green");
    refuses("work", "label", "pink", -EINVAL, "no label \"pink\" in the catalogue");
    refuses("work", "label", "default", -EINVAL, "has no default");
    takes("work", "mac", "00:16:3E:5E:6C:10", "00:16:3e:5e:6c:10");
    takes("work", "mac", "default", NULL);
    takes("work", "ip", "10.137.0.5", "10.137.0.5");
    refuses("work", "ip", "10.137.0", -EINVAL, "IPv4");
    takes("work", "ip6", "FD09:24EF::5", "fd09:24ef::5");
    takes("work", "virt_mode", "hvm", "hvm");
    refuses("work", "virt_mode", "hv", -EINVAL, "pvh hvm pv");
    takes("work", "virt_mode", "default", NULL);
    takes("work", "netvm", "none", "none");
    takes("work", "netvm", "sys-firewall", "sys-firewall");
    refuses("work", "netvm", "fedora-37", -EINVAL, "provides no network");
    refuses("sys-net", "netvm", "sys-firewall", -EINVAL, "come back");
    refuses("sys-net", "provides_network", "False", -EBUSY, "netvm of \"sys-firewall\"");
    refuses("sys-net", "provides_network", "default", -EBUSY, "netvm of");
    takes("work", "default_dispvm", "default-dvm", "default-dvm");
    refuses("work", "default_dispvm", "sys-net", -EINVAL, "template_for_dispvms");
    refuses("default-dvm", "template_for_dispvms", "False", -EBUSY, "for disposables");
    takes("work", "default_dispvm", "none", "none");
    refuses("work", "guivm", "nobody", -ENOENT, "no such VM");
    takes("work", "guivm", "dom0", "dom0");
    takes("work", "template", "default", "fedora-37");
    refuses("work", "template", "sys-net", -EINVAL, "no TemplateVM");
    refuses("fedora-37", "template", "fedora-37", -EINVAL, "can't be set");
    takes("work", "include_in_backups", "0", "False");
    takes("dom0", "include_in_backups", "False", "False");
    refuses("work", "pci_strictreset", "True", -EINVAL, "can't be set");
    assert_int_equal(edit("work", CATALOGUE_SET_PREF, "virt_mode", "pv", true), -EBUSY);
}

/* White space, quotes, order, comments and what nobody knows: all as it was. */
static const char odd_r3[] =
    "<?xml version='1.0' encoding='utf-8'?>\n<!-- <QubesAppVm qid='9'/> -->\n"
    "<QubesVmCollection  default_template='1' default_netvm=\"None\" new='&#x41;'>\r\n"
    "  <?keep qid='2'?><Unknown a='>' qid='2'><QubesAppVm/></Unknown><![CDATA[<QubesAppVm/>]]>\n"
    "  <QubesTemplateVm\n     qid = '1' name='tpl' template_qid='none' />\n\n"
    "  <QubesAppVm future=\"/>\" qid='2' x:memory='1' xmlns:x='urn:x' memory\n = '400' name='app'"
    " template_qid='1' services=\"{u'a': 1}\" >  <!-- memory='1' --> </QubesAppVm >\n"
    "</QubesVmCollection>\n<!-- end -->";

static void r3_bytes(void **state)
{
    (void)state;
    write_file(path, odd_r3);
    assert_int_equal(set("app", "memory", "401"), 0);
    changed_only(odd_r3, "'400'", "'401'");
    write_file(path, odd_r3);
    assert_int_equal(set("app", "mac", "default"), 0);
    changed_only(odd_r3, "", "");
    assert_int_equal(set("app", "qrexec_timeout", "61"), 0);
    changed_only(odd_r3, "{u'a': 1}\"", "{u'a': 1}\" qrexec_timeout=\"61\"");
    write_file(path, odd_r3);
    assert_int_equal(set("tpl", "label", "gray"), 0);
    changed_only(odd_r3, "template_qid='none'", "template_qid='none' label=\"gray\"");
    write_file(path, odd_r3);
    assert_int_equal(set("app", "kernelopts", "a='1' & \"2\" <3>"), 0);
    changed_only(odd_r3, "{u'a': 1}\"",
                 "{u'a': 1}\" kernelopts=\"a=&apos;1&apos; &amp; &quot;2&quot; &lt;3&gt;\" "
                 "uses_default_kernelopts=\"False\"");
    write_file(path, odd_r3);
    assert_int_equal(edit("app", CATALOGUE_SET_SERVICE, "b", "0", false), 0);
    changed_only(odd_r3, "{u'a': 1}", "{u&apos;a&apos;: 1, &apos;b&apos;: False}");
    assert_int_equal(edit("app", CATALOGUE_SET_SERVICE, "a", NULL, false), 0);
    changed_only(odd_r3, "{u'a': 1}", "{&apos;b&apos;: False}");
    assert_int_equal(edit("app", CATALOGUE_SET_SERVICE, "b", "2", false), -EINVAL);
    assert_int_equal(edit("app", CATALOGUE_SET_FEATURE, "b", "2", false), -EPERM);
    assert_int_equal(edit("app", CATALOGUE_SET_TAG, "b", "", false), -EPERM);
}

static const char odd_r4[] =
    "<?xml version=\"1.0\"?>\n<qubes version=\"4.0\"><new/>\n"
    "<domains>\n<domain id=\"domain-1\" class=\"TemplateVM\"><properties>\n"
    "<property name=\"name\">t</property></properties></domain>\n"
    "\t<domain class='AppVM' id='domain-2' >\n\t <properties >\n\t  <property  name='name'>a"
    "</property ><!-- > -->\n\t  <property name='memory'>1<![CDATA[0]]>0</property>\n"
    "\t  <property name='netvm' /><odd/>\n\t  <property name='template'>t</property>\n\t "
    "</properties>\n"
    "\t <features/><tags>\n\t </tags>\n\t <unknown>&lt;</unknown>\n\t</domain>\n</domains></qubes>";

static void r4_bytes(void **state)
{
    (void)state;
    write_file(path, odd_r4);
    assert_int_equal(set("a", "memory", "401"), 0);
    changed_only(odd_r4, "1<![CDATA[0]]>0", "401");
    write_file(path, odd_r4);
    assert_int_equal(set("a", "memory", "default"), 0);
    changed_only(odd_r4, "\n\t  <property name='memory'>1<![CDATA[0]]>0</property>", "");
    write_file(path, odd_r4);
    assert_int_equal(set("a", "kernelopts", "<&>"), 0);
    changed_only(odd_r4, "<properties >",
                 "<properties >\n\t  <property name=\"kernelopts\">&lt;&amp;&gt;</property>");
    write_file(path, odd_r4);
    assert_int_equal(set("a", "netvm", "default"), 0);
    changed_only(odd_r4, "\n\t  <property name='netvm' />", "");
    write_file(path, odd_r4);
    assert_int_equal(edit("a", CATALOGUE_SET_FEATURE, "x", "1\n2", false), 0);
    changed_only(odd_r4, "<features/>",
                 "<features><feature name=\"x\">1&#10;2</feature></features>");
    write_file(path, odd_r4);
    assert_int_equal(edit("a", CATALOGUE_SET_TAG, "x", "", false), 0);
    changed_only(odd_r4, "<tags>", "<tags><tag name=\"x\"/>");
    assert_int_equal(edit("a", CATALOGUE_SET_TAG, "x", NULL, false), 0);
    changed_only(odd_r4, "", "");
    assert_int_equal(edit("t", CATALOGUE_SET_SERVICE, "cups", "1", false), 0);
    changed_only(odd_r4, "class=\"TemplateVM\">",
                 "class=\"TemplateVM\"><features><feature name=\"service.cups\">1</feature>"
                 "</features>");
    assert_int_equal(edit("t", CATALOGUE_SET_SERVICE, "cups", "0", false), 0);
    changed_only(odd_r4, "class=\"TemplateVM\">",
                 "class=\"TemplateVM\"><features><feature name=\"service.cups\"></feature>"
                 "</features>");
    assert_int_equal(edit("a", CATALOGUE_SET_TAG, "a b", "", false), -EINVAL);
    assert_int_equal(edit("a", CATALOGUE_SET_FEATURE, "a/b", "", false), -EINVAL);
}

/* Each on what the one before has left; a refused one keeps none of the others. */
static void several(void **state)
{
    const struct catalogue *before, *after;
    struct error error;

    (void)state;
    copy_sample("tests/data/r3.xml");
    before = load();

    const struct catalogue_entry *work = entry_of(before, "work");
    struct catalogue_edit edits[] = {
        {CATALOGUE_SET_PREF, work, false, "memory", "4000", {0}},
        {CATALOGUE_SET_PREF, work, false, "memory", "4001", {0}},
        {CATALOGUE_SET_PREF, work, false, "maxmem", "40000", {0}},
        {CATALOGUE_SET_PREF, work, false, "memory", "4001", {0}},
        {CATALOGUE_SET_SERVICE, work, false, "a", "1", {0}},
        {CATALOGUE_SET_SERVICE, work, false, "b", "1", {0}},
        {CATALOGUE_SET_PREF, entry_of(before, "sys-whonix"), false, "netvm", "none", {0}},
        {CATALOGUE_SET_PREF, entry_of(before, "sys-firewall"), false, "netvm", "sys-whonix", {0}},
    };

    assert_int_equal(catalogue_edit(path, "", 1, -1, edits, ARRAY_SIZE(edits), &error), 0);
    for (size_t i = 0; i < ARRAY_SIZE(edits); i++)
        assert_int_equal(edits[i].error.code, i == 1 ? -EINVAL : 0);
    after = load();
    assert_text(pref(after, "work", "memory"), "4001");
    assert_text(pref(after, "work", "maxmem"), "40000");
    assert_text(service(after, "work", "a"), "1");
    assert_text(service(after, "work", "b"), "1");
    assert_text(service(after, "work", "it's"), "1");
    assert_text(pref(after, "sys-firewall", "netvm"), "sys-whonix");
    catalogue_unref(after);
    /* another VM has its qid now */
    write_file(path, R3("<QubesAppVm qid=\"5\" name=\"work\" template_qid=\"1\" "
                        "uuid=\"1a7c6a71-4c2d-4f7b-9c29-0d6a3c8e7f05\"/>"));
    assert_int_equal(catalogue_edit(path, "", 1, -1, edits, 1, &error), 0);
    assert_int_equal(edits[0].error.code, -ENOENT);
    catalogue_unref(before);
    /* broken: nothing is done */
    write_file(path, "<QubesVmCollection>");
    assert_int_equal(catalogue_edit(path, "", 1, -1, edits, 1, &error), -EINVAL);
}

static void service_literals(void **state)
{
    static const struct {
        const char *before, *name, *value, *after;
    } cases[] = {
        {"{}", "a", "1", "{'a': True}"},
        {" { } ", "a", "1", " {'a': True } "},
        {"{'x/y': 2, u'a':True ,'b': None,}", "a", "0", "{'x/y': 2, u'a':False ,'b': None,}"},
        {"{'x/y': 2, u'a':True ,'b': None,}", "a", NULL, "{'x/y': 2, 'b': None,}"},
        {"{'x/y': 2, u'a':True ,'b': None,}", "b", NULL, "{'x/y': 2, u'a':True ,}"},
        {"{'x/y': 2, u'a':True ,'b': None,}", "c", "0",
         "{'x/y': 2, u'a':True ,'b': None, 'c': False,}"},
        {"{'a': True, 'b': True}", "b", NULL, "{'a': True}"},
        {"{'b': True}", "b", NULL, "{}"},
        {"{'b': True}", "c", NULL, "{'b': True}"},
        {"{\"it's\": 1}", "it's", "0", "{\"it's\": False}"},
        {"{}", "it's", "0", "{'it\\'s': False}"},
        {"{'a': f()}", "a", "0", NULL},
        {"{'a': True", "a", "0", NULL},
    };
    struct arena arena = {NULL, false};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_text(services_edit(cases[i].before, cases[i].name, cases[i].value, &arena),
                    cases[i].after);
    arena_free(&arena);
}

/* The table alone, as for values from elsewhere. */
static void table(void **state)
{
    struct arena arena = {NULL, false};
    const struct property *property;
    const char *value;
    struct error error;

    (void)state;
    assert_null(property_find(CATALOGUE_R3, VM_CLASS_APP, "virt_mode"));
    assert_null(property_find(CATALOGUE_R4, VM_CLASS_TEMPLATE, "template"));
    property = property_find(CATALOGUE_R4, VM_CLASS_APP, "netvm");
    assert_int_equal(property_parse(property, "", &arena, &value, &error), 0);
    assert_string_equal(value, "none");
    assert_int_equal(property_parse(property, "nobody", &arena, &value, &error), 0);
    assert_string_equal(value, "nobody");
    assert_int_equal(property_parse(property, "no body", &arena, &value, &error), -EINVAL);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(r3_values), TEST(r3_others), TEST(r4_values),        TEST(r3_bytes),
        TEST(r4_bytes),  TEST(several),   TEST(service_literals), TEST(table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
