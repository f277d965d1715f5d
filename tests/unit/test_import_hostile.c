/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A backup is made by somebody: what its catalogue says must not get further than it may. */
#include "import_helper.h"

#define MARK(path) "backup_content='True' backup_path='" path "' "
#define VM(attributes)                                                                             \
    "<QubesVmCollection default_template='1'>"                                                     \
    "<QubesTemplateVm qid='1' name='tpl' " MARK(                                                   \
        "vm1") "/>"                                                                                \
               "<QubesAppVm qid='2' name='app' template_qid='1' " attributes                       \
               "/></QubesVmCollection>"

static const struct catalogue_import_options usual = {.dom0_home = true};

static void paths(void **state)
{
    static const char *const bad[] = {
        VM("backup_content='1' backup_path='../../etc'"),
        VM("backup_content='1' backup_path='/var/lib/qubes/appvms/app'"),
        VM("backup_content='1' backup_path='appvms/../app'"),
        VM("backup_content='1' backup_path='appvms/a/b'"),
        VM("backup_content='1' backup_path='vm'"),
        VM("backup_content='1' backup_path='vm99999999999999999999'"),
        VM("backup_content='1' backup_path='dom0-home/user'"),
        VM("backup_content='1' backup_path='/'"),
        VM("backup_content='1' backup_path='vm2//'"),
        VM("backup_content='1' backup_path='vm2&#10;'"),
    };
    struct catalogue_import *import;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        import_refused(bad[i], &usual, -EINVAL, "the path of app in the backup");
    import_refused(VM(MARK("vm1")), &usual, -EINVAL, "the same path");
    import_refused(VM(MARK("vm1/")), &usual, -EINVAL, "the same path");
    import_refused(VM(MARK("vm2") "backup_size='9223372036854775808'"), &usual, -EINVAL, "size");
    import = import_of(VM(MARK("appvms/app/") "backup_size='9223372036854775807'"), &usual);
    assert_string_equal(import_vm_of(import, "app")->backup_path, "appvms/app/");
    assert_int_equal(import_vm_of(import, "app")->backup_size, INT64_MAX);
    catalogue_import_free(import);
}

static void documents(void **state)
{
    struct catalogue_import_options options = {.format = 4};
    struct text text = TEXT_INIT;

    (void)state;
    import_refused(VM(""), &options, -EINVAL, "a backup of format 4 can't hold");
    options.format = 3;
    import_refused("<qubes><domains/></qubes>", &options, -EINVAL, "a backup of format 3");
    import_refused("", &usual, -EINVAL, "empty");
    import_refused("<html/>", &usual, -EINVAL, "<html>");
    import_refused("<!DOCTYPE a [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><qubes>&b;</qubes>",
                   &usual, -EINVAL, "DTD");
    /* nested deeper than any catalogue is */
    for (int i = 0; i < 10000; i++)
        text_string(&text, "<qubes>");
    import_refused(text.data, &usual, -EINVAL, "");
    text_free(&text);
    /* libxml2 compares each attribute with all others of its element */
    text_string(&text, "<QubesVmCollection ");
    for (int i = 0; i < 200000; i++)
        text_printf(&text, "a%d='' ", i);
    text_string(&text, "/>");
    import_refused(text.data, &usual, -EINVAL, "larger than any");
    text_free(&text);
}

/* Qubes' own R3 evaluates these as Python; a disk of the host is not the backup's to give. */
static void values_of_r3(void **state)
{
    static const char backup[] =
        VM(MARK("vm2") "services=\"__import__('os').system('id')\" "
                       "pcidevs=\"['00:19.0', __import__('os')]\" memory='400) or (1' "
                       "default_user='u;id' dir_path='/etc' conf_file='../../x' mac='00' "
                       "kernel='../../../etc' uses_default_kernel='False' label='pink' "
                       "private_img='/etc/shadow' root_img='../x' firewall_conf='/etc/passwd' "
                       "installed_by_rpm='True' pool_name='evil' onclick='x' vcpus='9999'");
    static const char hvm[] =
        "<QubesVmCollection default_template='None'><QubesHVm qid='2' name='app' "
        "template_qid='none' drive='hd:dom0:/dev/sda' " MARK("vm2") "/></QubesVmCollection>";
    struct catalogue_import *import = import_of(backup, &usual);
    const char *notes = import_vm_of(import, "app")->notes;

    (void)state;
    assert_non_null(strstr(notes, "pcidevs"));
    assert_non_null(strstr(notes, "onclick"));
    assert_non_null(strstr(notes, "label: pink"));
    catalogue_import_free(import);
    const struct catalogue *catalogue = restore(backup, &usual);
    const struct catalogue_entry *app = entry_of(catalogue, "app");
    char *document CLEANUP_FREE = slurp(host_path);

    assert_null(strstr(document, "import"));
    assert_null(strstr(document, "/etc"));
    assert_null(strstr(document, "../"));
    assert_null(strstr(document, "onclick"));
    assert_null(strstr(document, "u;id"));
    assert_null(strstr(document, "evil"));
    assert_int_equal(app->service_count, 0);
    assert_string_equal(app->dir_path, "/var/lib/qubes/appvms/app");
    assert_false(app->installed_by_rpm);
    assert_text(pref(catalogue, "app", "label"), "red");
    assert_null(pref(catalogue, "app", "memory"));
    catalogue_unref(catalogue);

    unlink(host_path);
    catalogue = restore(hvm, &usual);
    assert_text(pref(catalogue, "app", "drive"), "None");
    catalogue_unref(catalogue);
}

#define DOMAIN(properties, rest)                                                                   \
    "<qubes><labels><label id='label-1' color='0x000000'>red</label></labels>"                     \
    "<properties><property name='default_template'>tpl</property></properties><domains>"           \
    "<domain id='domain-1' class='TemplateVM'><properties><property name='name'>tpl</property>"    \
    "</properties><features><feature name='backup-content'>1</feature>"                            \
    "<feature name='backup-path'>vm1/</feature></features></domain>"                               \
    "<domain id='domain-2' class='AppVM'><properties><property name='name'>app</property>"         \
    "<property name='template'>tpl</property>" properties "</properties>"                          \
    "<features><feature name='backup-content'>True</feature>"                                      \
    "<feature name='backup-path'>vm2/</feature></features>" rest "</domain></domains></qubes>"

static void values_of_r4(void **state)
{
    static const char backup[] = DOMAIN(
        "<property name='memory'>-1</property><property name='uuid'>1</property>"
        "<property name='unheard_of'>x</property><property name='guivm'>nobody</property>"
        "<property name='default_dispvm'>nobody</property>"
        "<property name='kernel'>../../x</property><property name='ip'>10.0.0.1;id</property>",
        "<evil/><tags><tag name='a&quot;b'/><tag name='ok'/></tags>"
        "<devices class='pci'><device backend-domain='nobody' id='00_1'/>"
        "<device backend-domain='dom0' id='00_19.0'><option name='x'>1</option></device></devices>"
        "<volume-config><volume name='private' pool='x' vid='../../etc/shadow'/></volume-config>");
    struct catalogue_import *import = import_of(backup, &usual);
    const char *notes = import_vm_of(import, "app")->notes;

    (void)state;
    assert_non_null(strstr(notes, "property: memory, unheard_of"));
    assert_non_null(strstr(notes, "guivm (nobody)"));
    assert_non_null(strstr(notes, "device: pci nobody:00_1"));
    catalogue_import_free(import);
    const struct catalogue *catalogue = restore(backup, &usual);
    const struct catalogue_entry *app = entry_of(catalogue, "app");
    char *document CLEANUP_FREE = slurp(host_path);

    assert_null(strstr(document, "evil"));
    assert_null(strstr(document, "nobody"));
    assert_null(strstr(document, "../"));
    assert_null(strstr(document, "unheard_of"));
    assert_null(strstr(document, "backup-"));
    assert_null(strstr(document, ";id"));
    assert_non_null(strstr(document, "id=\"00_19.0\""));
    assert_int_equal(app->tag_count, 1);
    assert_text(pref(catalogue, "app", "default_dispvm"), "none");
    assert_text(app->volumes[1].vid, "appvms/app/private");
    catalogue_unref(catalogue);
}

static void loops(void **state)
{
    static const char loop[] =
        "<QubesVmCollection default_template='1' default_fw_netvm='3'>"
        "<QubesTemplateVm qid='1' name='tpl' " MARK(
            "vm1") "/>"
                   "<QubesProxyVm qid='2' name='a' template_qid='1' netvm_qid='3' " MARK(
                       "vm2") "/>"
                              "<QubesProxyVm qid='3' name='b' template_qid='1' netvm_qid='2' " MARK(
                                  "vm3") "/>"
                                         "</QubesVmCollection>";

    (void)state;
    import_refused(loop, &usual, -EINVAL, "loop");
}

/* As many VMs as there are qids, each behind the one before, and none that ends the chain. */
static void many(void **state)
{
    struct catalogue_import_options options = {.missing = IMPORT_MISSING_SKIP};
    struct text text = TEXT_INIT;
    struct catalogue_import *import;

    (void)state;
    write_file(host_path, "<qubes><domains/></qubes>");
    text_string(&text, "<qubes><domains>");
    for (int i = 1; i <= 4000; i++)
        text_printf(&text,
                    "<domain id='domain-%d' class='StandaloneVM'><properties>"
                    "<property name='name'>v%d</property><property name='netvm'>v%d</property>"
                    "<property name='provides_network'>True</property></properties>"
                    "<features><feature name='backup-content'>1</feature>"
                    "<feature name='backup-path'>vm%d/</feature></features></domain>",
                    i, i, i + 1, i);
    text_string(&text, "</domains></qubes>");
    import = import_of(text.data, &options);
    assert_int_equal(catalogue_import_count(import), 4000);
    assert_int_equal(import_vm_of(import, "v1")->action, IMPORT_SKIP);
    catalogue_import_free(import);
    options.missing = IMPORT_MISSING_DEFAULT;
    import = import_of(text.data, &options);
    assert_int_equal(import_vm_of(import, "v1")->action, IMPORT_RESTORE);
    save_import(import);
    catalogue_import_free(import);
    /* R3 can't hold so many */
    write_file(host_path, R3_HEAD R3_TEMPLATE R3_TAIL);
    import_refused(text.data, &options, -ENOTSUP, "VMs");
    text_free(&text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        TEST(paths),        TEST(documents), TEST(values_of_r3),
        TEST(values_of_r4), TEST(loops),     TEST(many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
