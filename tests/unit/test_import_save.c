/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The save of an import: what else is in the file stays, and what others did meanwhile counts. */
#include "import_helper.h"

#include <sys/file.h>

#define APP(qid, name)                                                                             \
    "<QubesAppVm qid='" #qid "' name='" name "' template_qid='1' backup_content='True' "           \
    "backup_path='vm" #qid "'/>"
#define BACKUP                                                                                     \
    "<QubesVmCollection default_template='1'>"                                                     \
    "<QubesTemplateVm qid='1' name='tpl' template_qid='none'/>" APP(2, "app")                      \
        APP(3, "other") "</QubesVmCollection>"
#define HOST(more)                                                                                 \
    "<?xml version='1.0'?>\n<!-- a &#9; comment -->\n"                                             \
    "<QubesVmCollection   default_template='4'\n>\n"                                               \
    "\t<QubesTemplateVm name='tpl' qid='4'></QubesTemplateVm >" more "</QubesVmCollection >\n\n"

static const struct catalogue_import_options usual = {.dom0_home = true};

/* The end tag stands on a line with others: that line is cut, and all of it is still there. */
static void byte_for_byte(void **state)
{
    static const char host[] = HOST("<!-- </QubesVmCollection> -->");
    const char *tail = strstr(host, "</QubesVmCollection >");
    struct catalogue_import *import;
    struct stat before, after;

    (void)state;
    write_file(host_path, host);
    assert_int_equal(chmod(host_path, 0640), 0);
    assert_int_equal(stat(host_path, &before), 0);
    import = import_of(BACKUP, &usual);
    save_import(import);
    char *saved CLEANUP_FREE = slurp(host_path);
    size_t head = (size_t)(tail - host), rest = strlen(tail);

    assert_memory_equal(saved, host, head);
    assert_string_equal(saved + strlen(saved) - rest, tail);
    assert_int_equal(strncmp(saved + head, "\n  <QubesAppVm ", 15), 0);
    assert_int_equal(stat(host_path, &after), 0);
    assert_int_equal(after.st_mode, before.st_mode);
    assert_int_not_equal(after.st_ino, before.st_ino);
    /* who looks afterwards finds them by name and uuid */
    const struct catalogue *catalogue = parse(saved);

    assert_string_equal(entry_of(catalogue, "app")->uuid, import_vm_of(import, "app")->uuid);
    assert_string_equal(entry_of(catalogue, "other")->uuid, import_vm_of(import, "other")->uuid);
    assert_int_equal(catalogue->entry_count, 3);
    catalogue_unref(catalogue);
    catalogue_import_free(import);
}

/* What is no UTF-8, or has no end tag to put VMs before, is printed anew. */
static void other_documents(void **state)
{
    static const char *const hosts[] = {
        "<?xml version='1.0' encoding='ISO-8859-1'?><QubesVmCollection default_template='4'>"
        "<QubesTemplateVm qid='4' name='tpl' remark='\xe9'/></QubesVmCollection>",
        "<qubes><domains/><properties><property name='default_template'/></properties></qubes>",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        static const char alone[] =
            "<qubes><domains><domain id='domain-7' class='StandaloneVM'><properties>"
            "<property name='name'>alone</property></properties><features>"
            "<feature name='backup-content'>1</feature><feature name='backup-path'>vm7/</feature>"
            "<feature name='\xc3\xa9'>\xe2\x82\xac</feature></features></domain></domains></qubes>";
        const struct catalogue *catalogue;

        write_file(host_path, hosts[i]);
        catalogue = restore(alone, &usual);
        assert_int_equal(catalogue->form, i == 0 ? CATALOGUE_R3 : CATALOGUE_R4);
        entry_of(catalogue, "alone");
        if (i == 0)
            assert_text(pref(catalogue, "tpl", "remark"), "\xc3\xa9");
        else
            assert_text(name_value_find(entry_of(catalogue, "alone")->features, 1, "\xc3\xa9"),
                        "\xe2\x82\xac");
        catalogue_unref(catalogue);
    }
}

static void save_refused(struct catalogue_import *import, int code, const char *text)
{
    char *before CLEANUP_FREE = slurp(host_path);
    struct error error = {0};

    assert_int_equal(catalogue_import_save(import, -1, &error), code);
    if (!strstr(error.text, text))
        fail_msg("'%s' is not in '%s'", text, error.text);
    char *after CLEANUP_FREE = slurp(host_path);

    assert_string_equal(after, before);
}

static void changed_meanwhile(void **state)
{
    struct catalogue_import *import;

    (void)state;
    write_file(host_path, HOST(""));
    import = import_of(BACKUP, &usual);
    replace(host_path, HOST("<QubesAppVm qid='1' name='app' template_qid='4'/>"));
    save_refused(import, -EEXIST, "app: a VM of this name is here since");
    replace(host_path, "<QubesVmCollection default_template='None'/>");
    save_refused(import, -ENOENT, "template tpl of app, template tpl of other");
    replace(host_path, "<qubes><domains/></qubes>");
    save_refused(import, -EEXIST, "another catalogue has taken its place");
    replace(host_path, "<qubes>");
    save_refused(import, -EINVAL, "broken XML");
    /* what has nothing to do with it stays, and takes the qid that it would have had */
    replace(host_path, HOST("<QubesAppVm qid='1' name='new' template_qid='4' netvm_qid='2'/>"));
    save_import(import);
    char *saved CLEANUP_FREE = slurp(host_path);
    const struct catalogue *catalogue = parse(saved);

    assert_int_equal(entry_of(catalogue, "new")->qid, 1);
    /* 2 is named by another VM as its netvm */
    assert_int_equal(entry_of(catalogue, "app")->qid, 3);
    assert_int_equal(entry_of(catalogue, "other")->qid, 5);
    catalogue_unref(catalogue);
    catalogue_import_free(import);
}

static void no_catalogue(void **state)
{
    static const char backup[] =
        "<QubesVmCollection default_template='1' default_netvm='2' default_kernel='4.1'>"
        "<QubesTemplateVm qid='1' name='tpl' template_qid='none' backup_content='True' "
        "backup_path='vm1'/>" APP(5, "app") "</QubesVmCollection>";
    struct catalogue_import *import = import_of(backup, &usual), *late = import_of(backup, &usual);
    struct stat directory, made;

    (void)state;
    assert_int_equal(catalogue_import_form(import), CATALOGUE_R3);
    save_import(import);
    catalogue_import_free(import);
    char *saved CLEANUP_FREE = slurp(host_path);
    const struct catalogue *catalogue = parse(saved);

    assert_int_equal(catalogue->entry_count, 2);
    assert_string_equal(entry_of(catalogue, "app")->template_name, "tpl");
    assert_text(name_value_find(catalogue->globals, catalogue->global_count, "default_template"),
                "tpl");
    /* it is not in the backup */
    assert_text(name_value_find(catalogue->globals, catalogue->global_count, "default_netvm"),
                "none");
    assert_text(name_value_find(catalogue->globals, catalogue->global_count, "default_kernel"),
                "4.1");
    catalogue_unref(catalogue);
    assert_int_equal(stat(test_directory, &directory), 0);
    assert_int_equal(stat(host_path, &made), 0);
    assert_int_equal(made.st_mode & 07777, 0660);
    assert_int_equal(made.st_gid, directory.st_gid);
    /* another import that found none either */
    save_refused(late, -EEXIST, "app, tpl");
    replace(host_path, R3_HEAD "<QubesTemplateVm qid='5' name='mine'/>" R3_TAIL);
    save_import(late);
    catalogue_import_free(late);
}

static void given_up(void **state)
{
    struct catalogue_import *import;
    struct error error;
    int fd, pipes[2];

    (void)state;
    write_file(host_path, HOST(""));
    import = import_of(BACKUP, &usual);
    fd = open(host_path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(lock_new_file(fd), 0);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(write(pipes[1], "x", 1), 1);
    assert_int_equal(catalogue_import_save(import, pipes[0], &error), -ECANCELED);
    close(fd);
    close(pipes[0]);
    close(pipes[1]);
    save_import(import);
    catalogue_import_free(import);
}

/* Only dom0's home, or nothing: the catalogue is not touched, and need not be there. */
static void nothing_to_save(void **state)
{
    static const char backup[] =
        "<qubes><domains><domain id='domain-0' class='AdminVM'><properties/><features>"
        "<feature name='backup-content'>1</feature>"
        "<feature "
        "name='backup-path'>dom0-home/user</feature></features></domain></domains></qubes>";
    struct catalogue_import_options options = {.verify = true};
    struct catalogue_import *import = import_of(backup, &usual);
    struct error error;

    (void)state;
    save_import(import);
    assert_int_equal(access(host_path, F_OK), -1);
    assert_int_equal(import_vm_of(import, "dom0")->vm_class, VM_CLASS_ADMIN);
    assert_null(import_vm_of(import, "dom0")->directory);
    catalogue_import_free(import);
    import = import_of(BACKUP, &options);
    assert_int_equal(catalogue_import_save(import, -1, &error), -EINVAL);
    catalogue_import_free(import);
}

static void menus_and_sizes(void **state)
{
    static const char list[] = "firefox.desktop\nbad name/x\n../up.desktop\r\nxterm.desktop\n";
    struct catalogue_import *import;

    (void)state;
    write_file(host_path,
               "<qubes><properties><property name='default_template'>tpl</property></properties>"
               "<domains><domain id='domain-1' class='TemplateVM'><properties>"
               "<property name='name'>tpl</property></properties></domain></domains></qubes>");
    import = import_of(BACKUP, &usual);
    const struct catalogue_import_vm *app = import_vm_of(import, "app");
    char *saved CLEANUP_FREE = NULL;

    assert_int_equal(catalogue_import_set_menu(import, app, list, sizeof(list) - 1), 0);
    assert_int_equal(catalogue_import_set_size(import, app, "private", 1 << 20), 0);
    assert_int_equal(catalogue_import_set_size(import, app, "volatile", 1), -EINVAL);
    assert_int_equal(catalogue_import_set_size(import, NULL, "root", 1), -EINVAL);
    save_import(import);
    catalogue_import_free(import);
    saved = slurp(host_path);
    const struct catalogue *catalogue = parse(saved);
    const struct catalogue_entry *entry = entry_of(catalogue, "app");

    assert_text(name_value_find(entry->features, entry->feature_count, "menu-items"),
                "firefox.desktop bad xterm.desktop");
    assert_int_equal(entry->volumes[1].size, 1 << 20);

    /* and back */
    char *backup CLEANUP_FREE = backup_of(saved);

    catalogue_unref(catalogue);
    write_file(host_path, HOST(""));
    struct catalogue_import_options options = {.include = "app"};

    import = import_of(backup, &options);
    assert_text(import_vm_of(import, "app")->menu, "firefox.desktop\nbad\nxterm.desktop\n");
    assert_int_equal(import_vm_of(import, "app")->private_size, 1 << 20);
    catalogue_import_free(import);
}

static void pools(void **state)
{
    static const char lvm[] =
        "<qubes><pools><pool name='vm-pool' driver='lvm_thin' volume_group='x'/></pools>"
        "<properties><property name='default_pool'>vm-pool</property></properties>"
        "<domains/></qubes>";
    struct catalogue_import_options options = usual;

    (void)state;
    write_file(host_path, lvm);
    import_refused(BACKUP, &options, -ENOTSUP, "vm-pool");
    options.verify = true;
    catalogue_import_free(import_of(BACKUP, &options));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        TEST(byte_for_byte), TEST(other_documents), TEST(changed_meanwhile), TEST(no_catalogue),
        TEST(given_up),      TEST(nothing_to_save), TEST(menus_and_sizes),   TEST(pools),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
