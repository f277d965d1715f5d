/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Another name for a VM in the file: the rules, and all that refers to it. */
#include "edit_helper.h"

static int rename_vm(const char *vm, const char *name, bool active)
{
    return edit(vm, CATALOGUE_RENAME, name, NULL, active);
}

static void r3_rename(void **state)
{
    const struct catalogue *catalogue;

    (void)state;
    copy_sample("tests/data/r3.xml");
    assert_int_equal(rename_vm("work", "work", false), -EEXIST);
    assert_int_equal(rename_vm("work", "vault", false), -EEXIST);
    assert_int_equal(rename_vm("work", "dom0", false), -EINVAL);
    assert_int_equal(rename_vm("work", "9lives", false), -EINVAL);
    assert_int_equal(rename_vm("work", "none", false), -EINVAL);
    assert_int_equal(rename_vm("work", "a-name-of-more-than-31-characters", false), -EINVAL);
    assert_int_equal(rename_vm("work", "job", true), -EBUSY);
    assert_int_equal(rename_vm("dom0", "job", false), -EPERM);
    assert_int_equal(rename_vm("fedora-23", "fedora", false), -EPERM); /* by a package */
    takes("freebsd", "drive", "cdrom:work:/a.iso", "cdrom:work:/a.iso");
    assert_int_equal(rename_vm("work", "job", false), 0);
    assert_int_equal(rename_vm("sys-firewall", "fw", false), 0);
    catalogue = load();
    assert_null(catalogue_find(catalogue, "work"));
    assert_string_equal(entry_of(catalogue, "job")->dir_path, "/var/lib/qubes/appvms/job");
    assert_text(pref(catalogue, "job", "conf_file"), "job.conf");
    assert_text(pref(catalogue, "freebsd", "drive"), "cdrom:job:/a.iso");
    assert_text(pref(catalogue, "fedora-23", "netvm"), "fw");
    catalogue_unref(catalogue);
}

static void r4_rename(void **state)
{
    static const char before[] =
        "<qubes><pools><pool name=\"p\" driver=\"file\"/><pool name=\"l\" driver=\"lvm_thin\"/>"
        "</pools><properties><property name=\"default_netvm\">work</property>"
        "<property name=\"odd\">work</property></properties><domains>"
        "<domain id=\"domain-1\" class=\"TemplateVM\"><properties><property name=\"name\">t"
        "</property></properties><volume-config><volume name=\"root\" pool=\"l\" vid=\"v/t\"/>"
        "</volume-config></domain><domain id=\"domain-2\" class=\"AppVM\"><properties>"
        "<property name=\"name\">work</property><property name=\"template\">t</property>"
        "<property name=\"kernelopts\">work</property></properties><volume-config>"
        "<volume name=\"private\" pool=\"p\" vid=\"appvms/work/private\"/></volume-config>"
        "</domain><domain id=\"domain-3\" class=\"AppVM\"><properties>"
        "<property name=\"name\">appvms</property><property name=\"netvm\">work</property>"
        "<property name=\"default_dispvm\">work</property></properties>"
        "<x:devices xmlns:x=\"urn:x\"/><devices class=\"block\">"
        "<device backend-domain=\"work\" id=\"sda\"/></devices><volume-config><volume "
        "name=\"private\" vid=\"appvms/work-2/x\" source=\"appvms/work/private\"/></volume-config>"
        "</domain></domains></qubes>";
    char after[sizeof(before) + 100];
    size_t length = 0;

    (void)state;
    write_file(path, before);
    assert_int_equal(rename_vm("t", "u", false), -EOPNOTSUPP);
    assert_int_equal(rename_vm("work", "job", false), 0);
    /* each but the two that are no reference, and the VM called nearly so */
    for (const char *at = before; *at;) {
        if (strncmp(at, "work", 4) == 0 && at[4] != '-' &&
            !(at - before > 6 &&
              (strncmp(at - 6, "\"odd\">", 6) == 0 || strncmp(at - 6, "opts\">", 6) == 0))) {
            memcpy(after + length, "job", 3);
            length += 3;
            at += 4;
        } else {
            after[length++] = *at++;
        }
    }
    after[length] = '\0';
    char *saved CLEANUP_FREE = slurp(path);

    assert_string_equal(saved, after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(r3_rename), TEST(r4_rename)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
