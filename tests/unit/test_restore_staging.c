/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Staging: what is moved into place, taken back, and found again after a crash at any point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qubesfs/disk.h"
#include "qubesfs/restore.h"
#include "restore/staging.h"
#include "restore/landing.h"

static char base[64];

static char *path_of(const char *name)
{
    static char paths[4][300];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", base, name);
    return path;
}

static bool exists(const char *name)
{
    struct stat status;

    return lstat(path_of(name), &status) == 0;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void write_catalogue(const char *name, const char *uuid)
{
    char text[600];

    snprintf(text, sizeof(text),
             "<QubesVmCollection default_template=\"1\"><QubesTemplateVm qid=\"1\" name=\"%s\" "
             "uuid=\"%s\" dir_path=\"/x\" template_qid=\"none\" "
             "label=\"red\"/></QubesVmCollection>",
             name, uuid);
    write_file("qubes.xml", text);
}

#define UUID "8b1e5f6a-3c6d-4d0e-9a52-0c6f0f6b2a01"

static int setup(void **state)
{
    (void)state;
    snprintf(base, sizeof(base), "/tmp/qubesfs-staging.XXXXXX");
    return mkdtemp(base) && mkdir(path_of("vms"), 0755) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    int fd = open("/tmp", O_RDONLY | O_DIRECTORY);
    int result = disk_remove_tree(fd, base + strlen("/tmp/"));

    (void)state;
    close(fd);
    return result;
}

static struct staging *stage(const char *vm)
{
    struct staging *staging;
    struct error error;
    char target[100];
    int fd;

    snprintf(target, sizeof(target), "%s/vms/new/%s", base, vm);
    assert_int_equal(staging_new(path_of("state"), &staging, &error), 0);
    assert_int_equal(staging_add(staging, target, 1000, &error), 0);
    assert_int_equal(staging_prepare(staging, &error), 0);
    fd = openat(staging->items[0].fd, "private.img", O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "data", 4), 4);
    close(fd);
    assert_false(exists("vms/new"));
    return staging;
}

static void assert_no_trace(void)
{
    assert_false(exists("vms/new"));
    assert_int_equal(rmdir(path_of("state/restore")), 0);
}

/* What a crash leaves: nothing is closed in order but by the kernel. */
static void recover(int expected)
{
    struct error error;

    assert_int_equal(restore_recover(path_of("state"), path_of("qubes.xml"), &error), expected);
}

static void test_taken_back(void **state)
{
    struct staging *staging = stage("work");
    struct error error;

    (void)state;
    assert_int_equal(staging_remove(staging, true, &error), 0);
    staging_free(staging);
    assert_no_trace();
}

static void test_crash_while_receiving(void **state)
{
    struct staging *staging = stage("work");

    (void)state;
    recover(0); /* it lives: left alone */
    assert_true(exists("state/restore"));
    assert_int_not_equal(rmdir(path_of("state/restore")), 0);
    staging_free(staging);
    recover(0);
    assert_no_trace();
}

static struct staging *commit(bool move)
{
    struct staging *staging = stage("work");
    struct error error;

    assert_int_equal(staging_add_vm(staging, "work", UUID), 0);
    assert_int_equal(staging_set_phase(staging, STAGING_COMMITTING, &error), 0);
    if (move)
        assert_int_equal(staging_move(staging, &error), 0);
    return staging;
}

static void test_crash_before_moving(void **state)
{
    (void)state;
    write_catalogue("other", UUID);
    staging_free(commit(false));
    recover(0);
    assert_no_trace();
}

static void test_crash_before_the_save(void **state)
{
    (void)state;
    write_catalogue("work", "00000000-0000-0000-0000-000000000001"); /* somebody else's */
    staging_free(commit(true));
    assert_true(exists("vms/new/work/private.img"));
    recover(0);
    assert_no_trace();
}

static void test_crash_after_the_save(void **state)
{
    (void)state;
    staging_free(commit(true));
    write_catalogue("work", UUID);
    recover(0);
    assert_true(exists("vms/new/work/private.img"));
    assert_int_equal(rmdir(path_of("state/restore")), 0);
}

/* Without a catalogue that can be read nobody can tell, so nothing is touched. */
static void test_broken_catalogue(void **state)
{
    (void)state;
    staging_free(commit(true));
    write_file("qubes.xml", "<nonsense");
    recover(-EINVAL);
    assert_true(exists("vms/new/work/private.img"));
    write_catalogue("work", UUID);
    recover(0);
    assert_true(exists("vms/new/work/private.img"));
    assert_int_equal(rmdir(path_of("state/restore")), 0);
}

/* The next start has another catalogue, or the one that was there is gone for now. */
static void test_other_catalogue(void **state)
{
    struct staging *staging;
    struct error error;

    (void)state;
    write_catalogue("other", UUID);
    staging = stage("work");
    assert_int_equal(staging_add_vm(staging, "work", UUID), 0);
    assert_int_equal(staging_set_catalogue(staging, path_of("qubes.xml")), 0);
    assert_int_equal(staging_set_phase(staging, STAGING_COMMITTING, &error), 0);
    assert_int_equal(staging_move(staging, &error), 0);
    staging_free(staging);
    assert_int_equal(unlink(path_of("qubes.xml")), 0);
    recover(-ENOENT);
    assert_true(exists("vms/new/work/private.img"));
    write_catalogue("work", UUID);
    write_file("elsewhere.xml", "<QubesVmCollection/>");
    assert_int_equal(restore_recover(path_of("state"), path_of("elsewhere.xml"), &error), 0);
    assert_true(exists("vms/new/work/private.img"));
    assert_int_equal(rmdir(path_of("state/restore")), 0);
}

/* What has come to the place since is not ours. */
static void test_target_of_others(void **state)
{
    (void)state;
    write_catalogue("other", UUID);
    staging_free(commit(true));
    assert_int_equal(rename(path_of("vms/new/work"), path_of("vms/new/kept")), 0);
    assert_int_equal(mkdir(path_of("vms/new/work"), 0755), 0);
    write_file("vms/new/work/file", "x");
    recover(0);
    assert_true(exists("vms/new/work/file"));
    assert_true(exists("vms/new/kept/private.img"));
}

static void test_nothing_is_overwritten(void **state)
{
    struct staging *staging = stage("work");
    struct error error;

    (void)state;
    assert_int_equal(mkdir(path_of("vms/new"), 0755), 0);
    assert_int_equal(mkdir(path_of("vms/new/work"), 0755), 0);
    assert_int_equal(staging_set_phase(staging, STAGING_COMMITTING, &error), 0);
    assert_int_equal(staging_move(staging, &error), -EEXIST);
    assert_int_equal(staging_remove(staging, true, &error), 0);
    staging_free(staging);
    assert_true(exists("vms/new/work"));
    assert_int_equal(rmdir(path_of("state/restore")), 0);
    assert_int_equal(staging_new(path_of("state"), &staging, &error), 0);
    assert_int_equal(staging_add(staging, path_of("vms/new/work"), 0, &error), -EEXIST);
    assert_int_equal(staging_remove(staging, true, &error), 0);
    staging_free(staging);
}

static void test_no_room(void **state)
{
    struct staging *staging;
    struct error error;

    (void)state;
    assert_int_equal(staging_new(path_of("state"), &staging, &error), 0);
    assert_int_equal(staging_add(staging, path_of("vms/a"), UINT64_MAX / 2, &error), 0);
    assert_int_equal(staging_add(staging, path_of("vms/b"), UINT64_MAX - 5, &error), 0);
    assert_int_equal(staging_prepare(staging, &error), -ENOSPC);
    assert_int_equal(staging_remove(staging, true, &error), 0);
    staging_free(staging);
    assert_no_trace();
}

/* A tree of any depth, with modes that are in the way of others than root. */
static void test_remove_tree(void **state)
{
    int fd, top = open(base, O_RDONLY | O_DIRECTORY), next;

    (void)state;
    assert_int_equal(mkdirat(top, "deep", 0700), 0);
    fd = openat(top, "deep", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 600; i++) {
        assert_int_equal(mkdirat(fd, "directory", 0700), 0);
        assert_int_equal(symlinkat("/etc", fd, "link"), 0);
        next = openat(fd, "directory", O_RDONLY | O_DIRECTORY);
        assert_true(next >= 0);
        assert_int_equal(fchmod(fd, i % 3 ? 0500 : 0), 0);
        close(fd);
        fd = next;
    }
    close(fd);
    assert_int_equal(disk_remove_tree(top, "deep"), 0);
    assert_false(exists("deep"));
    assert_int_equal(disk_remove_tree(top, "deep"), 0);
    close(top);
}

static int add_file(struct landing *landing, const char *path)
{
    struct error error;
    int fd = -1, result = landing_add_file(landing, path, 0640, &fd, &error);

    if (result == 0)
        close(fd);
    return result;
}

static void test_tree(void **state)
{
    int top = open(base, O_RDONLY | O_DIRECTORY);
    struct landing tree;
    struct error error;
    struct stat status;

    (void)state;
    assert_int_equal(landing_init(&tree, top, top), 0);
    assert_int_equal(landing_add_directory(&tree, "a", 0500, 1000, &error), 0);
    assert_int_equal(landing_add_directory(&tree, "a/b", 0555, 2000, &error), 0);
    assert_int_equal(add_file(&tree, "a/b/file"), 0);
    assert_int_equal(add_file(&tree, "a/b/file"), -EILSEQ);
    assert_int_equal(add_file(&tree, "a/b/file/x"), -EILSEQ);
    assert_int_equal(add_file(&tree, "missing/too/file"), 0);
    assert_int_equal(landing_add_symlink(&tree, "a/out", "../..", 0, &error), 0);
    assert_int_equal(add_file(&tree, "a/out/escaped"), -EILSEQ);
    assert_int_equal(landing_add_hard_link(&tree, "a/again", "a/b/file", &error), 0);
    assert_int_equal(landing_add_hard_link(&tree, "a/none", "a/b/none", &error), -EILSEQ);
    assert_int_equal(landing_add_hard_link(&tree, "a/none", "a/out/state", &error), -EILSEQ);
    assert_int_equal(landing_finish(&tree, &error), 0);
    landing_free(&tree);
    assert_int_equal(stat(path_of("a"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0500);
    assert_int_equal(status.st_mtime, 1000);
    assert_int_equal(stat(path_of("a/b"), &status), 0);
    assert_int_equal(status.st_mtime, 2000);
    assert_int_equal(stat(path_of("a/again"), &status), 0);
    assert_int_equal(status.st_nlink, 2);
    assert_int_equal(status.st_mode & 07777, 0640);
    close(top);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_taken_back),
        TEST(test_crash_while_receiving),
        TEST(test_crash_before_moving),
        TEST(test_crash_before_the_save),
        TEST(test_crash_after_the_save),
        TEST(test_broken_catalogue),
        TEST(test_other_catalogue),
        TEST(test_target_of_others),
        TEST(test_nothing_is_overwritten),
        TEST(test_no_room),
        TEST(test_remove_tree),
        TEST(test_tree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
