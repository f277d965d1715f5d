/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans on a sample host: lists, passphrase, error lines, refusals, sizes, and the end of the
 * service. */
#include "backup_helper.h"

static int set_list(enum backup_list list, const char *text, struct error *error)
{
    return backup_list_set(plan, list, text, strlen(text), error);
}

static void assert_list(enum backup_list list, const char *expected)
{
    char *text;

    assert_int_equal(backup_list_get(plan, list, &text), 0);
    assert_string_equal(text, expected);
    free(text);
}

static void test_lists(void **state)
{
    static const char *const bad[] = {"1abc\n",
                                      "a b\n",
                                      "a/b",
                                      "ok\n\xff\n",
                                      "../x\n",
                                      "ok\nnot\\ok\n",
                                      "abcdefghijklmnopqrstuvwxyzabcdef\n",
                                      " work\n",
                                      "work\r\n"};
    struct error error;
    struct timespec before, after;

    (void)state;
    assert_list(BACKUP_INCLUDE, "");
    assert_int_equal(set_list(BACKUP_INCLUDE, "work\n\npersonal\nwork\nlater", &error), 0);
    assert_list(BACKUP_INCLUDE, "work\npersonal\nlater\n");
    assert_list(BACKUP_EXCLUDE, "");
    before = backup_list_time(plan, BACKUP_INCLUDE);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(set_list(BACKUP_INCLUDE, bad[i], &error), -EINVAL);
        assert_int_equal(error.code, -EINVAL);
    }
    assert_int_equal(backup_list_set(plan, BACKUP_INCLUDE, "a\0b\n", 4, &error), -EINVAL);
    assert_list(BACKUP_INCLUDE, "work\npersonal\nlater\n");
    assert_int_equal(set_list(BACKUP_INCLUDE, "work\npersonal\nlater\n", &error), 0);
    after = backup_list_time(plan, BACKUP_INCLUDE);
    assert_memory_equal(&before, &after, sizeof(after)); /* no change, no new time */
    assert_int_equal(set_list(BACKUP_INCLUDE, "", &error), 0);
    assert_list(BACKUP_INCLUDE, "");
}

static void test_passphrase(void **state)
{
    static const char *const bad[] = {"tab\there", "two\nlines\n", "\x7f",         "\x1b[A",
                                      "\xff",      "\xc2\x85",     "\xed\xa0\x80", "\r\n"};
    char *big = malloc(1026);
    struct error error;
    struct secret *secret;

    (void)state;
    memset(big, 'x', 1026);
    assert_null(plan_passphrase(plan));
    assert_int_equal(backup_passphrase_set(plan,
                                           " sp\xc3\xa4"
                                           "ce \n",
                                           9, &error),
                     0);
    secret = plan_passphrase(plan);
    assert_int_equal(secret_length(secret), 8);
    assert_memory_equal(secret_data(secret),
                        " sp\xc3\xa4"
                        "ce ",
                        8);
    secret_unref(secret);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(backup_passphrase_set(plan, bad[i], strlen(bad[i]), &error), -EINVAL);
    assert_int_equal(backup_passphrase_set(plan, "a\0b", 3, &error), -EINVAL);
    assert_int_equal(backup_passphrase_set(plan, big, 1025, &error), -EINVAL);
    secret = plan_passphrase(plan);
    assert_int_equal(secret_length(secret), 8); /* the bad ones changed nothing */
    assert_int_equal(backup_passphrase_set(plan, big, 1024, &error), 0);
    assert_int_equal(backup_passphrase_set(plan, "\n", 1, &error), 0);
    assert_null(plan_passphrase(plan));
    assert_memory_equal(secret_data(secret), " sp", 3); /* a running backup keeps its own */
    secret_unref(secret);
    free(big);
}

static void assert_errors(const char *first, const char *second)
{
    char *text, *line;

    assert_int_equal(backup_error_get(plan, &text), 0);
    line = text;
    if (first) {
        assert_int_equal(line[19], 'Z');
        assert_int_equal(strncmp(line + 21, first, strlen(first)), 0);
        line = strchr(line, '\n') + 1;
    }
    if (second) {
        assert_int_equal(strncmp(line + 21, second, strlen(second)), 0);
        line = strchr(line, '\n') + 1;
    }
    assert_string_equal(line, "");
    free(text);
}

static void test_reports(void **state)
{
    struct error error;
    struct timespec before = backup_error_time(plan), after;

    (void)state;
    assert_errors(NULL, NULL);
    backup_report(plan, "backup", NULL);
    assert_int_equal(atomic_load(&told), 0); /* nothing changed */
    error_set(&error, -EINVAL, "first");
    backup_report(plan, "passphrase", &error);
    assert_errors("passphrase: first", NULL);
    error_set(&error, -EBUSY, "second");
    backup_report(plan, "backup", &error);
    error_set(&error, -EBUSY, "third");
    backup_report(plan, "backup", &error);
    assert_errors("backup: third", "passphrase: first");
    assert_int_equal(atomic_load(&told), 3);
    after = backup_error_time(plan);
    assert_true(after.tv_sec > before.tv_sec || after.tv_nsec > before.tv_nsec);
    backup_report(plan, "backup", NULL);
    assert_errors("passphrase: first", NULL);
    backup_report(plan, "passphrase", NULL);
    assert_errors(NULL, NULL);
    assert_int_equal(atomic_load(&told), 5);
    assert_non_null(strstr(host->journal.data, "backup default backup: third\n"));
}

/* Names in the archive, in order, with a space behind each. */
static char *names(const char *vm_name)
{
    struct text text = TEXT_INIT;
    struct error error;
    struct job job;
    char *taken;

    if (job_make(plan, vm_name, &job, &error))
        text_string(&text, error.text);
    for (size_t i = 0; i < job.count; i++)
        text_printf(&text, "%s ", job.items[i].name);
    job_free(&job);
    assert_int_equal(text_take(&text, &taken, NULL), 0);
    return taken;
}

static void assert_names(const char *vm_name, const char *expected)
{
    char *found = names(vm_name);

    assert_string_equal(found, expected);
    free(found);
}

#define ALONE "vm4/private.img vm4/apps vm4/kernels vm4/root.img "

static void test_selection(void **state)
{
    struct error error;

    (void)state;
    set_option(BACKUP_FORMAT, "3");
    assert_names(NULL, ALONE "vm2/private.img vm3/private.img vm1/. dom0-home/user ");
    set_list(BACKUP_EXCLUDE, "alone\nnobody\ndom0\n", &error);
    assert_names(NULL, "vm2/private.img vm3/private.img vm1/. ");
    set_list(BACKUP_INCLUDE, "alone\nleft-out\nhidden\n", &error);
    assert_names(NULL, "vm6/private.img vm5/private.img ");
    assert_names("alone", ALONE); /* the lists are the plan's, not a VM's */
    assert_names("dom0", "dom0-home/user ");
    set_list(BACKUP_EXCLUDE, "", &error);
    set_list(BACKUP_INCLUDE, "dom0\nfedora\n", &error);
    assert_names(NULL, "vm1/. dom0-home/user ");
    run(NULL,
        "mkdir var/lib/qubes/appvms/alone/apps.templates; cd var/lib/qubes/appvms/alone;"
        "touch firewall.xml whitelisted-appmenus.list alone.conf volatile.img; ln -s /x icon.png");
    assert_names("alone",
                 "vm4/private.img vm4/icon.png vm4/apps.templates vm4/kernels vm4/firewall.xml "
                 "vm4/whitelisted-appmenus.list vm4/root.img ");
    run(NULL, "echo qubes:x:98: >etc/group");
    assert_names("dom0", "dom0-home/root ");
    run(NULL, "rm etc/passwd");
    assert_names("dom0", "");
    assert_names("nobody", "there is no VM \"nobody\" to back up: see the names in `include`");
}

/* Reads the whole, or until it fails. */
static void test_backup(void **state)
{
    uint64_t size, again;
    off_t length;
    char *text;

    (void)state;
    assert_int_equal(read_all(NULL, NULL), -ENOKEY);
    assert_errors("backup: there is no passphrase yet", NULL);
    set_passphrase();
    assert_int_equal(backup_size(plan, NULL, &size), 0);
    assert_int_equal(read_all(NULL, &length), 0);
    assert_errors(NULL, NULL);
    assert_true(length > 0 && (uint64_t)length <= size);
    assert_int_equal(backup_size(plan, NULL, &again), 0);
    assert_int_equal(size, again);
    assert_int_equal(read_all("work", &length), 0);
    assert_int_equal(backup_size(plan, "work", &size), 0);
    assert_true((uint64_t)length <= size && size < again);
    assert_int_equal(backup_contents(plan, &text, NULL), 0);
    assert_non_null(strstr(text, "\tvm1/root.img\t"));
    free(text);
}

static void test_busy(void **state)
{
    set_passphrase();
    (void)state;
    host_fake_run(host, "work fedora left-out");
    assert_int_equal(read_all(NULL, NULL), -EBUSY);
    assert_errors(
        "backup: these VMs are running, and their images can't be read while they change: "
        "work, fedora;",
        NULL);
    assert_int_equal(read_all("work", NULL), -EBUSY);
    assert_non_null(strstr(host->vm_error, "backup: these VMs are running"));
    assert_int_equal(read_all("alone", NULL), 0);
    assert_string_equal(host->vm_error, "backup: ");
    host_fake_run(host, "");
    assert_int_equal(read_all(NULL, NULL), 0);
    assert_errors(NULL, NULL);
}

static void test_sizes(void **state)
{
    uint64_t size, more;

    (void)state;
    run(NULL,
        "rm -r var/lib/qubes/appvms var/lib/qubes/servicevms var/lib/qubes/vm-templates home");
    assert_int_equal(backup_size(plan, NULL, &size), 0);
    assert_true(size >= 4096); /* never 0 */
    run(NULL, "mkdir -p var/lib/qubes/appvms/work");
    make_image("appvms/work", "private.img", 1 << 20);
    assert_int_equal(backup_size(plan, "work", &size), 0);
    /* data that is added must be counted at once */
    make_file("var/lib/qubes/appvms/work/private.img", 1 << 20, &(struct piece){0, 1 << 20}, 1);
    assert_int_equal(backup_size(plan, "work", &more), 0);
    assert_true(more >= size + 900000);
    make_image("appvms/work", "private.img", (off_t)1 << 40);
    assert_int_equal(backup_size(plan, "work", &more), 0);
    assert_true(more < 10000000); /* holes are not */
}

static const char r4_catalogue[] =
    "<qubes version=\"3.0\"><labels><label id=\"label-1\" color=\"0xcc0000\">red</label></labels>"
    "<pools><pool name=\"varlibqubes\" driver=\"file-reflink\" dir_path=\"/var/lib/qubes\"/>"
    "<pool name=\"lvm\" driver=\"lvm_thin\" volume_group=\"q\" thin_pool=\"p\"/>"
    "<pool name=\"odd\" driver=\"zfs\"/></pools>"
    "<properties><property name=\"default_template\">fedora</property></properties><domains>"
#define R4_VM(class, qid, name, more, volumes)                                                     \
    "<domain id=\"domain-" qid "\" class=\"" class "\"><properties><property name=\"qid\">" qid    \
                                                   "</property><property name=\"name\">" name      \
                                                   "</property><property name=\"label\">label-1"   \
                                                   "</property>" more                              \
                                                   "</properties><features/><devices "             \
                                                   "class=\"pci\"/><tags/><volume-config>" volumes \
                                                   "</volume-config></domain>"
#define R4_VOLUME(name, pool, vid, saved)                                                          \
    "<volume name=\"" name "\" pool=\"" pool "\" vid=\"" vid                                       \
    "\" rw=\"True\" save_on_stop=\"" saved "\"/>"
    R4_VM("TemplateVM", "1", "fedora", "",
          R4_VOLUME("root", "varlibqubes", "vm-templates/fedora/root", "True")
              R4_VOLUME("private", "varlibqubes", "vm-templates/fedora/private", "True")
                  R4_VOLUME("volatile", "varlibqubes", "vm-templates/fedora/volatile", "False"))
        R4_VM("AppVM", "3", "work", "<property name=\"template\">fedora</property>",
              R4_VOLUME("root", "varlibqubes", "appvms/work/root", "False")
                  R4_VOLUME("private", "varlibqubes", "appvms/work/private", "True"))
            R4_VM("AppVM", "4", "bare", "<property name=\"template\">fedora</property>",
                  R4_VOLUME("root", "varlibqubes", "appvms/bare/root", "False"))
                R4_VM("AppVM", "5", "thin", "<property name=\"template\">fedora</property>",
                      R4_VOLUME("private", "lvm", "q/vm-thin-private", "True"))
                    R4_VM("AppVM", "6", "odd",
                          "<property name=\"template\">fedora</property>"
                          "<property name=\"include_in_backups\">False</property>",
                          R4_VOLUME("private", "odd", "x/y", "True")) "</domains></qubes>";

static void become_r4(void)
{
    char *path = below("var/lib/qubes/qubes.xml");
    FILE *file = fopen(path, "we");

    fputs(r4_catalogue, file);
    fclose(file);
    free(path);
    host_fake_load(host);
    run(NULL,
        "mkdir -p var/lib/qubes/appvms/bare dev/q; head -c 300000 /dev/urandom "
        ">dev/q/vm-thin-private; echo '<firewall version=\"2\"/>' "
        ">var/lib/qubes/appvms/work/firewall.xml; echo hi >var/lib/qubes/appvms/work/notes.txt");
}

static void test_r4(void **state)
{
    char *text;

    (void)state;
    become_r4();
    set_passphrase();
    assert_names(NULL, "vm4/empty vm5/private.img vm3/private.img vm3/firewall.xml vm3/notes.txt "
                       "vm1/root.img vm1/private.img dom0-home/user ");
    assert_names("odd",
                 "volume private of odd is in the pool \"odd\" of driver \"zfs\", which can't "
                 "be read here; name the VM in `exclude`");
    assert_int_equal(read_all(NULL, NULL), 0);
    /* its last stopped state stays still, or the logical volume's */
    host_fake_run(host, "work thin fedora");
    assert_int_equal(read_all(NULL, NULL), 0);
    host->disconnected = true;
    assert_int_equal(read_all(NULL, NULL), 0);
    host->disconnected = false;
    host_fake_run(host, "");
    run(NULL, "touch dev/q/vm-thin-private-snap");
    assert_int_equal(read_all("thin", NULL), -EBUSY); /* a crash */
    assert_non_null(strstr(host->vm_error, "left behind by a crash"));
    run(NULL,
        "rm dev/q/vm-thin-private-snap; cd dev/q; mv vm-thin-private vm-thin-private-17-back");
    assert_int_equal(read_all("thin", NULL), 0);
    set_option(BACKUP_FORMAT, "3");
    run(NULL, "rm -r dev; mkdir -p dev/q; cp var/lib/qubes/appvms/work/private.img "
              "dev/q/vm-thin-private; cp var/lib/qubes/appvms/work/private.img "
              "var/lib/qubes/appvms/bare");
    set_list(BACKUP_INCLUDE, "thin\nwork\nfedora\n", NULL);
    assert_names(NULL, "vm5/private.img vm3/private.img vm3/firewall.xml vm1/. ");
    assert_int_equal(read_all(NULL, NULL), 0);
    assert_int_equal(backup_contents(plan, &text, NULL), 0);
    assert_non_null(strstr(text, "\tvm1/./root.img\t"));
    assert_null(strstr(text, "# left out: work: firewall.xml"));
    assert_non_null(strstr(text, "# left out: work: notes.txt"));
    free(text);
    set_option(BACKUP_ENCRYPTED, "0");
    assert_names(NULL, "appvms/thin/private.img appvms/work/private.img appvms/work/firewall.xml "
                       "vm-templates/fedora/. ");
    assert_int_equal(read_all(NULL, NULL), 0);
}

/* An R3 host in format 4: volumes a file each; rules that can't be understood are told. */
static void test_r3_as_r4(void **state)
{
    char *text;

    (void)state;
    set_passphrase();
    run(NULL, "touch var/lib/qubes/appvms/alone/firewall.xml");
    assert_names(NULL, "vm4/root.img vm4/private.img vm2/private.img vm3/private.img vm1/root.img "
                       "vm1/private.img dom0-home/user ");
    set_option(BACKUP_DOM0_HOME, "0");
    set_option(BACKUP_COMPRESSION, "zstd");
    assert_int_equal(read_all(NULL, NULL), 0);
    assert_int_equal(backup_contents(plan, &text, NULL), 0);
    assert_non_null(strstr(text, "# left out: alone: firewall.xml"));
    assert_non_null(strstr(text, "needs zstd"));
    assert_null(strstr(text, "dom0-home"));
    free(text);
}

/* Without compression, and without a home that others write to, the size is exact. */
static void test_exact(void **state)
{
    uint64_t size;
    off_t length;

    (void)state;
    set_passphrase();
    set_option(BACKUP_COMPRESSION, "none");
    set_option(BACKUP_DOM0_HOME, "0");
    for (int format = 4; format >= 3; format--) {
        set_option(BACKUP_FORMAT, format == 4 ? "4" : "3");
        assert_int_equal(backup_size(plan, NULL, &size), 0);
        assert_int_equal(read_all(NULL, &length), 0);
        assert_int_equal(length, size);
    }
    set_option(BACKUP_ENCRYPTED, "0");
    assert_int_equal(backup_size(plan, NULL, &size), 0);
    assert_int_equal(read_all(NULL, &length), 0);
    assert_int_equal(length, size);
}

/* What changes while a backup is read makes it fail, not short. */
static void test_changes(void **state)
{
    struct backup_stream *stream;
    off_t at = 0;
    ssize_t got;

    (void)state;
    set_passphrase();
    run(NULL, "head -c 320000000 /dev/urandom >var/lib/qubes/appvms/work/private.img");
    assert_int_equal(backup_stream_new(plan, "work", &stream), 0);
    assert_true(read_at(stream, 0) > 0);
    host_fake_run(host, "work");
    while ((got = read_at(stream, at)) > 0)
        at += got;
    assert_int_equal(got, -EBUSY);
    assert_non_null(strstr(host->vm_error, "work was started"));
    backup_stream_free(stream);
}

/* The service may end while streams are read, idle, or at their end; the streams go later. */
static void test_end(void **state)
{
    const struct backup_listener listener = {NULL, NULL};
    struct backup_stream *streams[4];

    (void)state;
    set_passphrase();
    run(NULL, "head -c 40000000 /dev/urandom >var/lib/qubes/appvms/work/private.img");
    for (int i = 0; i < 4; i++)
        assert_int_equal(backup_stream_new(plan, "work", &streams[i]), 0);
    for (int i = 0; i < 3; i++)
        assert_true(read_at(streams[i], 0) > 0);
    backup_stream_free(streams[0]);
    backup_service_free(service);
    for (int i = 1; i < 4; i++) {
        assert_int_equal(read_at(streams[i], 1 << 20), -ECANCELED);
        backup_stream_free(streams[i]);
    }
    assert_int_equal(
        backup_service_new(host, host->root, host->catalogue_path, NULL, &listener, &service), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lists),    TEST(test_passphrase), TEST(test_reports), TEST(test_selection),
        TEST(test_backup),   TEST(test_busy),       TEST(test_sizes),   TEST(test_r4),
        TEST(test_r3_as_r4), TEST(test_exact),      TEST(test_changes), TEST(test_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
