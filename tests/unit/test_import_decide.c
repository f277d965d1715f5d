/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an import decides: which VMs, under which names, with which relatives. */
#include "import_helper.h"

#define IN_BACKUP(qid) "backup_content='True' backup_path='vm" #qid "' backup_size='10'"
#define HEAD           "<QubesVmCollection default_template='1' default_netvm='2' default_fw_netvm='None'>"
#define TEMPLATE       "<QubesTemplateVm qid='1' name='tpl' template_qid='none' " IN_BACKUP(1) "/>"
#define NETVM          "<QubesNetVm qid='2' name='net' template_qid='1' netid='1' " IN_BACKUP(2) "/>"
#define APP(qid, name, more)                                                                       \
    "<QubesAppVm qid='" #qid "' name='" name "' " more " " IN_BACKUP(qid) "/>"
#define BACKUP                                                                                     \
    HEAD TEMPLATE NETVM APP(3, "app", "template_qid='1' netvm_qid='2' uses_default_netvm='False'") \
        R3_TAIL

/* A host with a template and a netvm of its own, as its defaults. */
#define HOST(more)                                                                                 \
    "<QubesVmCollection default_template='7' default_netvm='9' default_fw_netvm='8'>\n"            \
    "<QubesTemplateVm qid='7' name='own' template_qid='none'/>\n"                                  \
    "<QubesNetVm qid='8' name='own-net' template_qid='7' netid='1'/>\n"                            \
    "<QubesProxyVm qid='9' name='own-fw' template_qid='7' netid='2' netvm_qid='8'/>\n" more        \
    "</QubesVmCollection>\n"

static const struct catalogue_import_options usual = {.dom0_home = true};

static void which_vms(void **state)
{
    struct catalogue_import_options options = {.include = "net\ntpl"};
    static const char backup[] =
        HEAD "<QubesAdminVm qid='0' name='dom0' backup_content='True' "
             "backup_path='dom0-home/user'/>" TEMPLATE NETVM APP(
                 3, "app", "template_qid='1'") "<QubesAppVm qid='4' name='not-in-it' "
                                               "template_qid='1' backup_content='False' "
                                               "backup_path='vm4'/>" R3_TAIL;

    (void)state;
    write_file(host_path, HOST(""));
    struct catalogue_import *import = import_of(backup, &options);

    assert_int_equal(catalogue_import_count(import), 4);
    assert_string_equal(import_vm_of(import, "app")->reason, "not in `include`");
    assert_string_equal(import_vm_of(import, "dom0")->reason, "not in `include`");
    assert_int_equal(import_vm_of(import, "net")->action, IMPORT_RESTORE);
    assert_int_equal(import_vm_of(import, "tpl")->action, IMPORT_RESTORE);
    assert_ptr_equal(catalogue_import_find(import, "vm2/private.img"), import_vm_of(import, "net"));
    assert_ptr_equal(catalogue_import_find(import, "vm1/."), import_vm_of(import, "tpl"));
    assert_ptr_equal(catalogue_import_find(import, "dom0-home/user"), import_vm_of(import, "dom0"));
    assert_null(catalogue_import_find(import, "vm22/private.img"));
    assert_null(catalogue_import_find(import, "vm2"));
    assert_null(catalogue_import_find(import, "vm4/private.img"));
    catalogue_import_free(import);

    options = (struct catalogue_import_options){.exclude = "app\nnobody\n"};
    import = import_of(backup, &options);
    assert_string_equal(import_vm_of(import, "app")->reason, "in `exclude`");
    assert_string_equal(import_vm_of(import, "dom0")->reason, "`dom0_home` is 0");
    assert_non_null(strstr(catalogue_import_notes(import), "nobody"));
    catalogue_import_free(import);

    options = (struct catalogue_import_options){.include = "app\nno\nnot-in-it"};
    import_refused(backup, &options, -ENOENT, "no, not-in-it in the backup");
}

static void names_that_are_here(void **state)
{
    struct catalogue_import_options options = usual;

    (void)state;
    write_file(host_path, HOST("<QubesAppVm qid='1' name='app' template_qid='7'/>"
                               "<QubesFutureVm qid='3' name='net'/>"));
    import_refused(BACKUP, &options, -EEXIST, "app, net: a VM of this name is here");
    options.conflict = IMPORT_CONFLICT_SKIP;
    struct catalogue_import *import = import_of(BACKUP, &options);

    assert_string_equal(import_vm_of(import, "app")->reason, "a VM of this name is here");
    assert_int_equal(import_vm_of(import, "tpl")->action, IMPORT_RESTORE);
    catalogue_import_free(import);

    options.conflict = IMPORT_CONFLICT_RENAME;
    const struct catalogue *catalogue = restore(BACKUP, &options);

    assert_int_equal(catalogue->entry_count, 4 + 3);
    assert_string_equal(entry_of(catalogue, "app1")->netvm_name, "net1");
    assert_string_equal(entry_of(catalogue, "app1")->template_name, "tpl");
    assert_string_equal(entry_of(catalogue, "app1")->dir_path, "/var/lib/qubes/appvms/app1");
    assert_text(pref(catalogue, "app1", "conf_file"), "app1.conf");
    assert_string_equal(entry_of(catalogue, "net1")->template_name, "tpl");
    assert_string_equal(entry_of(catalogue, "net1")->dir_path, "/var/lib/qubes/servicevms/net1");
    catalogue_unref(catalogue);
}

#define LONG "a23456789012345678901234567"

static void long_names(void **state)
{
    static const char backup[] = HEAD TEMPLATE APP(3, LONG "8901", "template_qid='1'")
        APP(4, LONG "8902", "template_qid='1'") APP(5, LONG "892", "template_qid='1'") R3_TAIL;
    struct catalogue_import_options options = {.conflict = IMPORT_CONFLICT_RENAME};

    (void)state;
    write_file(host_path, HOST("<QubesAppVm qid='1' name='" LONG "8901' template_qid='7'/>"
                               "<QubesAppVm qid='2' name='" LONG "8902' template_qid='7'/>"
                               "<QubesAppVm qid='3' name='" LONG "893' template_qid='7'/>"));
    struct catalogue_import *import = import_of(backup, &options);

    /* 2 is in the backup, 3 on the host */
    assert_string_equal(import_vm_of(import, LONG "8901")->new_name, LONG "891");
    assert_string_equal(import_vm_of(import, LONG "8902")->new_name, LONG "894");
    catalogue_import_free(import);

    write_file(host_path, "<qubes><domains><domain id='domain-1' class='TemplateVM'><properties>"
                          "<property name='name'>" LONG
                          "8901</property></properties></domain></domains></qubes>");
    import = import_of(backup, &options);
    assert_string_equal(import_vm_of(import, LONG "8901")->new_name, LONG "89-1");
    catalogue_import_free(import);
}

static void all_names_are_taken(void **state)
{
    struct catalogue_import_options options = {.conflict = IMPORT_CONFLICT_RENAME};
    struct text host = TEXT_INIT;

    (void)state;
    text_string(&host, "<QubesVmCollection default_template='1'>"
                       "<QubesTemplateVm qid='1' name='app'/>");
    for (int i = 1; i <= 98; i++)
        text_printf(&host, "<QubesTemplateVm qid='%d' name='app%d'/>", 1 + i, i);
    text_string(&host, R3_TAIL);
    write_file(host_path, host.data);
    text_free(&host);
    struct catalogue_import *import = import_of(BACKUP, &options);

    assert_int_equal(import_vm_of(import, "app")->action, IMPORT_SKIP);
    assert_int_equal(import_vm_of(import, "net")->action, IMPORT_RESTORE);
    catalogue_import_free(import);
}

static void make_tree(const char *path)
{
    char command[400];

    snprintf(command, sizeof(command), "mkdir -p '%s/%s'", test_directory, path);
    assert_int_equal(system(command), 0);
}

static void directories_that_are_here(void **state)
{
    struct catalogue_import_options options = {.root = test_directory};

    (void)state;
    write_file(host_path, HOST(""));
    make_tree("var/lib/qubes/appvms/app");
    import_refused(BACKUP, &options, -EEXIST, "app: a directory of this name is here");
    make_tree("var/lib/qubes/appvms/app1");
    options.conflict = IMPORT_CONFLICT_RENAME;
    struct catalogue_import *import = import_of(BACKUP, &options);

    assert_string_equal(import_vm_of(import, "app")->new_name, "app2");
    /* by the time of the save it is its own */
    make_tree("var/lib/qubes/appvms/app2");
    save_import(import);
    catalogue_import_free(import);
}

static void kernels_that_are_here(void **state)
{
    static const char backup[] =
        HEAD TEMPLATE APP(3, "old", "template_qid='1' kernel='4.1' uses_default_kernel='False'")
            APP(4, "new", "template_qid='1' kernel='5.1' uses_default_kernel='False'") R3_TAIL;
    struct catalogue_import_options options = {.root = test_directory};

    (void)state;
    write_file(host_path, HOST(""));
    make_tree("var/lib/qubes/vm-kernels/5.1");
    struct catalogue_import *import = import_of(backup, &options);

    assert_string_equal(import_vm_of(import, "old")->notes,
                        "kernel: the default, for 4.1 is not here\n");
    assert_string_equal(import_vm_of(import, "new")->notes, "");
    catalogue_import_free(import);
    const struct catalogue *catalogue = restore(backup, &options);

    assert_text(pref(catalogue, "new", "kernel"), "5.1");
    assert_text(pref(catalogue, "old", "uses_default_kernel"), "True");
    catalogue_unref(catalogue);
}

/* A backup of `app` alone: its template and its netvm stayed behind. */
#define ALONE(more)                                                                                \
    HEAD "<QubesTemplateVm qid='1' name='tpl' template_qid='none'/>"                               \
         "<QubesNetVm qid='2' name='net' template_qid='1'/>" APP(                                  \
             3, "app", "template_qid='1' netvm_qid='2' uses_default_netvm='False'") more R3_TAIL

static void missing_relatives(void **state)
{
    struct catalogue_import_options options = {.missing = IMPORT_MISSING_DEFAULT};

    (void)state;
    write_file(host_path, HOST(""));
    struct catalogue_import *import = import_of(ALONE(""), &options);

    assert_string_equal(import_vm_of(import, "app")->notes,
                        "template: own, for tpl is neither in the backup nor here\n"
                        "netvm: the default, own-fw, for net is neither in the backup nor here\n");
    catalogue_import_free(import);
    const struct catalogue *catalogue = restore(ALONE(""), &options);

    assert_string_equal(entry_of(catalogue, "app")->template_name, "own");
    assert_string_equal(entry_of(catalogue, "app")->netvm_name, "own-fw");
    assert_text(pref(catalogue, "app", "uses_default_netvm"), "True");
    catalogue_unref(catalogue);

    write_file(host_path, HOST(""));
    options.missing = IMPORT_MISSING_REFUSE;
    import_refused(ALONE(""), &options, -ENOENT, "template tpl of app, netvm net of app");
    options.missing = IMPORT_MISSING_SKIP;
    import = import_of(ALONE(""), &options);
    assert_string_equal(import_vm_of(import, "app")->reason,
                        "template tpl is neither in the backup nor here");
    catalogue_import_free(import);
}

static void no_defaults(void **state)
{
    static const char bare[] = "<QubesVmCollection default_template='None' default_netvm='None'>"
                               "<QubesTemplateVm qid='4' name='tpl'/></QubesVmCollection>";
    struct catalogue_import_options options = usual;

    (void)state;
    write_file(host_path, bare);
    struct catalogue_import *import = import_of(ALONE(""), &options);

    assert_string_equal(import_vm_of(import, "app")->notes,
                        "netvm: none, for net is neither in the backup nor here\n");
    catalogue_import_free(import);
    write_file(host_path, "<QubesVmCollection default_template='None'/>");
    import_refused(ALONE(""), &options, -ENOENT, "there is no default template");
    /* nothing is missed by who only looks */
    options.verify = true;
    import = import_of(ALONE(""), &options);
    assert_int_equal(import_vm_of(import, "app")->action, IMPORT_RESTORE);
    assert_null(import_vm_of(import, "app")->directory);
    catalogue_import_free(import);
}

/* A template that is for HVMs, and a VM that serves nobody, are not what is missed. */
static void unfit_relatives(void **state)
{
    struct catalogue_import_options options = {.missing = IMPORT_MISSING_REFUSE};

    (void)state;
    write_file(host_path, HOST("<QubesTemplateHVm qid='1' name='tpl'/>"
                               "<QubesAppVm qid='2' name='net' template_qid='7'/>"));
    import_refused(ALONE(""), &options, -ENOENT, "template tpl of app, netvm net of app");
    write_file(host_path, HOST("<QubesTemplateVm qid='1' name='tpl'/>"
                               "<QubesNetVm qid='2' name='net' template_qid='7'/>"));
    const struct catalogue *catalogue = restore(ALONE(""), &options);

    assert_string_equal(entry_of(catalogue, "app")->template_name, "tpl");
    assert_string_equal(entry_of(catalogue, "app")->netvm_name, "net");
    catalogue_unref(catalogue);
}

/* What is skipped takes with it what is based on it, through any number of VMs. */
static void skipped_with_others(void **state)
{
    static const char backup[] = HEAD
        "<QubesTemplateVm qid='1' name='tpl' template_qid='none'/>" NETVM
        "<QubesTemplateVm qid='20' name='good' template_qid='none' " IN_BACKUP(
            20) "/>"
                "<QubesProxyVm qid='3' name='a' template_qid='20' netvm_qid='2' " IN_BACKUP(
                    3) "/>"
                       "<QubesProxyVm qid='4' name='b' template_qid='20' netvm_qid='3' " IN_BACKUP(
                           4) "/>" APP(5, "c",
                                       "template_qid='20' netvm_qid='4' uses_default_netvm='False'")
                           APP(6, "free",
                               "template_qid='20' netvm_qid='none' uses_default_netvm='False'")
                               R3_TAIL;
    struct catalogue_import_options options = {.missing = IMPORT_MISSING_SKIP};

    (void)state;
    write_file(host_path, HOST(""));
    struct catalogue_import *import = import_of(backup, &options);

    assert_string_equal(import_vm_of(import, "net")->reason,
                        "template tpl is neither in the backup nor here");
    assert_string_equal(import_vm_of(import, "a")->reason,
                        "netvm net is neither in the backup nor here");
    assert_string_equal(import_vm_of(import, "c")->reason,
                        "netvm b is neither in the backup nor here");
    assert_int_equal(import_vm_of(import, "free")->action, IMPORT_RESTORE);
    catalogue_import_free(import);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        TEST(which_vms),
        TEST(names_that_are_here),
        TEST(long_names),
        TEST(all_names_are_taken),
        TEST(directories_that_are_here),
        TEST(kernels_that_are_here),
        TEST(missing_relatives),
        TEST(no_defaults),
        TEST(unfit_relatives),
        TEST(skipped_with_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
