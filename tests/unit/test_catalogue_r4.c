/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The R4 form. */
#include "catalogue_helper.h"

static const struct catalogue *sample;

static int load_sample(void **state)
{
    struct error error;

    (void)state;
    if (catalogue_load("tests/data/r4.xml", 1, NULL, &sample, &error))
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
        {"default-dvm", "AppVM", "fedora-37", "sys-firewall", false, true},
        {"disp1042", "DispVM", "default-dvm", "sys-firewall", false, false},
        {"dom0", "AdminVM", NULL, NULL, false, true},
        {"fedora-37", "TemplateVM", NULL, NULL, true, true},
        {"sys-firewall", "AppVM", "fedora-37", "sys-net", false, true},
        {"sys-net", "AppVM", "fedora-37", NULL, false, true},
        {"win10", "StandaloneVM", NULL, NULL, true, false},
        {"work", "AppVM", "fedora-37", "sys-firewall", false, true},
    };

    (void)state;
    assert_int_equal(sample->form, CATALOGUE_R4);
    assert_int_equal(sample->entry_count, ARRAY_SIZE(wanted)); /* the RemoteVM is passed over */
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        const struct catalogue_entry *entry = sample->entries[i];

        assert_string_equal(entry->name, wanted[i].name);
        assert_string_equal(vm_class_name(entry->vm_class), wanted[i].class_name);
        assert_text(entry->template_name, wanted[i].template_name);
        assert_text(entry->netvm_name, wanted[i].netvm);
        assert_int_equal(entry->updateable, wanted[i].updateable);
        assert_int_equal(entry->include_in_backups, wanted[i].in_backups);
    }
    assert_int_equal(entry_of(sample, "disp1042")->qid, 1042);
    assert_true(entry_of(sample, "fedora-37")->installed_by_rpm);
    assert_string_equal(entry_of(sample, "fedora-37")->uuid,
                        "24a1c3e6-3c0a-4f5b-8b43-31bd0c5f7b01");
}

static void prefs_and_features(void **state)
{
    const struct catalogue_entry *work = entry_of(sample, "work");

    (void)state;
    assert_text(pref(sample, "fedora-37", "label"), "black");
    assert_text(pref(sample, "sys-firewall", "label"), "green");
    assert_text(pref(sample, "work", "label"), "blue");
    assert_text(pref(sample, "sys-net", "netvm"), "none");
    assert_text(pref(sample, "work", "default_dispvm"), "none");
    assert_text(pref(sample, "win10", "kernel"), "");
    assert_null(pref(sample, "work", "netvm"));
    assert_text(pref(sample, "work", "template"), "fedora-37");
    assert_text(service(sample, "work", "cups"), "1");
    assert_text(service(sample, "work", "network-manager"), "0");
    assert_int_equal(work->service_count, 2);
    assert_text(name_value_find(work->features, work->feature_count, "service.cups"), "1");
    assert_text(name_value_find(work->features, work->feature_count, "service.network-manager"),
                "");
    assert_int_equal(work->tag_count, 2);
    assert_string_equal(work->tags[0].name, "anon-gateway");
    assert_string_equal(work->tags[0].value, "");
    assert_text(name_value_find(sample->globals, sample->global_count, "management_dispvm"),
                "none");
    assert_text(name_value_find(sample->globals, sample->global_count, "updatevm"), "sys-firewall");
}

static void volumes_and_pools(void **state)
{
    const struct catalogue_entry *work = entry_of(sample, "work");

    (void)state;
    assert_int_equal(work->volume_count, 4);
    assert_string_equal(work->volumes[0].name, "root");
    assert_string_equal(work->volumes[0].source, "qubes_dom0/vm-fedora-37-root");
    assert_true(work->volumes[0].snap_on_start);
    assert_false(work->volumes[0].save_on_stop);
    assert_string_equal(work->volumes[1].vid, "qubes_dom0/vm-work-private");
    assert_null(work->volumes[1].source);
    assert_int_equal(work->volumes[1].size, 2147483648);
    assert_true(work->volumes[1].rw && work->volumes[1].save_on_stop);
    assert_int_equal(sample->pool_count, 3);
    assert_string_equal(sample->pools[2].name, "vm-pool");
    assert_string_equal(sample->pools[2].driver, "lvm_thin");
    assert_text(
        name_value_find(sample->pools[2].options, sample->pools[2].option_count, "volume_group"),
        "qubes_dom0");
}

#define DOMAIN(inside)                                                                             \
    "<qubes><domains>\n<domain id='domain-5' class='AppVM'><properties>"                           \
    "<property name='name'>a</property>" inside "</domain></domains></qubes>"

static void oddities(void **state)
{
    const struct catalogue *catalogue;
    const struct catalogue_entry *entry;

    (void)state;
    catalogue = parse(DOMAIN(
        "<property name='x'>one</property><property name='x'>tw<![CDATA[o&]]></property>"
        "<property name='../y'>3</property><property>4</property><surprise/>"
        "<property name='netvm'>None</property></properties>"
        "<features><feature name='service.'>1</feature><feature name='..'>1</feature></features>"
        "<volume-config><volume name='private' vid='../../etc/passwd' source='/etc/shadow'/>"
        "<volume name='../b' vid='x'/></volume-config>"));
    entry = entry_of(catalogue, "a");
    assert_int_equal(entry->qid, 5);
    assert_int_equal(entry->pref_count, 3);
    assert_text(pref(catalogue, "a", "x"), "two&");
    assert_text(pref(catalogue, "a", "netvm"), "none");
    assert_null(entry->netvm_name);
    assert_int_equal(entry->feature_count, 1);
    assert_int_equal(entry->service_count, 0);
    assert_int_equal(entry->volume_count, 1);
    assert_null(entry->volumes[0].vid);
    assert_null(entry->volumes[0].source);
    catalogue_unref(catalogue);

    catalogue = parse(DOMAIN("<property name='template'>gone</property></properties>"));
    assert_text(entry_of(catalogue, "a")->template_name, "gone");
    catalogue_unref(catalogue);
    refused(DOMAIN("<property name='template'>../x</property></properties>"),
            "t.xml:2: template of a is '../x'");
    refused(DOMAIN("<property name='netvm'>a b</property></properties>"), "t.xml:2: netvm of a");
    refused(DOMAIN("<property name='qid'>a</property></properties>"), "t.xml:2: qid 'a'");
    refused(DOMAIN("</properties><volume-config><volume name='root' size='-1'/></volume-config>"),
            "t.xml:2: size '-1'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_class),
        cmocka_unit_test(prefs_and_features),
        cmocka_unit_test(volumes_and_pools),
        cmocka_unit_test(oddities),
    };

    return cmocka_run_group_tests(tests, load_sample, free_sample);
}
