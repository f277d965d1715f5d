/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file: Qubes' lock against another process, export, and saves. */
#include "catalogue_helper.h"

#include <signal.h>
#include <sys/wait.h>

#include "qubesfs/clock.h"

static char directory[64], path[96];

static int make_directory(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/catalogue.XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/qubes.xml", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(directory); /* fails when a save has left something behind */
}

static void copy_sample(const char *name)
{
    char *data CLEANUP_FREE = slurp(name);

    write_file(path, data);
}

/* Another process that takes a POSIX lock as Qubes' lockf does and keeps it until killed, or for
 * `milliseconds`; with `then` it renames a new document over the old file before it lets go. */
static pid_t locker(short type, unsigned milliseconds, const char *then)
{
    int ready[2];
    char byte;
    pid_t child;

    assert_int_equal(pipe(ready), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
        int fd = open(path, O_RDWR);

        if (fd < 0 || fcntl(fd, F_SETLKW, &lock) < 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        usleep(milliseconds * 1000);
        if (then)
            replace(path, then);
        _exit(0);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return child;
}

static void reap(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
}

static int load(unsigned seconds, const struct catalogue **ret_catalogue, struct error *ret_error)
{
    return catalogue_load(path, seconds, NULL, ret_catalogue, ret_error);
}

static void no_file(void **state)
{
    const struct catalogue *catalogue;
    struct error error;

    (void)state;
    assert_int_equal(load(0, &catalogue, &error), -ENOENT);
    assert_non_null(strstr(error.text, path));
    assert_int_equal(catalogue_load(directory, 0, NULL, &catalogue, &error), -EINVAL);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(load(0, &catalogue, &error), -EINVAL);
    unlink(path);
}

static void too_large(void **state)
{
    const struct catalogue *catalogue;
    struct error error;

    (void)state;
    write_file(path, "");
    assert_int_equal(truncate(path, (off_t)CATALOGUE_BYTES_MAX + 1), 0);
    assert_int_equal(load(0, &catalogue, &error), -EINVAL);
    assert_non_null(strstr(error.text, "larger than 64 MiB"));
}

static void reader_and_writer(void **state)
{
    const struct catalogue *catalogue;
    struct error error;
    uint64_t begin;
    pid_t child;

    (void)state;
    copy_sample("tests/data/r3.xml");
    child = locker(F_WRLCK, 20000, NULL);
    begin = clock_monotonic_ns();
    assert_int_equal(load(1, &catalogue, &error), -ETIMEDOUT);
    assert_non_null(strstr(error.text, path));
    assert_true((clock_monotonic_ns() - begin) / 1000000 >= 900);
    kill(child, SIGKILL);
    reap(child);
    assert_int_equal(load(1, &catalogue, &error), 0);
    catalogue_unref(catalogue);

    /* another reader is no obstacle to a reader, but to a writer */
    child = locker(F_RDLCK, 20000, NULL);
    assert_int_equal(load(0, &catalogue, &error), 0);
    catalogue_unref(catalogue);

    const struct patience patience = {.seconds = 0, .cancel_fd = -1};
    struct stat status;
    int fd;

    assert_int_equal(lock_file(path, true, &patience, &fd, &status, &error), -ETIMEDOUT);
    kill(child, SIGKILL);
    reap(child);
}

/* Whoever waited for the old file's lock must read the new one. */
static void replaced_while_waiting(void **state)
{
    const struct catalogue *catalogue;
    struct error error;
    pid_t child;

    (void)state;
    write_file(path, R3(""));
    child = locker(F_WRLCK, 300, R3(R3_APP("")));
    assert_int_equal(load(10, &catalogue, &error), 0);
    assert_int_equal(catalogue->entry_count, 2);
    catalogue_unref(catalogue);
    reap(child);
}

/* Our exclusive lock keeps Qubes' lockf out, and another close in this process does not end it. */
static void our_lock_holds(void **state)
{
    const struct patience patience = {.seconds = 1, .cancel_fd = -1};
    struct error error;
    struct stat status;
    int fd, other;

    (void)state;
    copy_sample("tests/data/r3.xml");
    assert_int_equal(lock_file(path, true, &patience, &fd, &status, &error), 0);
    other = open(path, O_RDONLY);
    close(other);
    for (int round = 0; round < 2; round++) {
        pid_t child = fork();
        int result;

        if (child == 0) {
            int mine = open(path, O_RDWR);

            _exit(mine >= 0 && lockf(mine, F_TLOCK, 0) == 0);
        }
        assert_int_equal(waitpid(child, &result, 0), child);
        assert_int_equal(WEXITSTATUS(result), round);
        if (round == 0)
            close(fd);
    }
}

static void export_marks(void **state)
{
    const struct catalogue_mark marks[] = {
        {.qid = 5, .backup_path = "appvms/work", .backup_size = 123456789012},
        {.qid = 0, .backup_path = "dom0-home/j\xc3\xb6rg & \"co\"", .backup_size = 4096},
        {.qid = 6, .backup_path = NULL, .backup_size = 7},
    };
    char *original CLEANUP_FREE = slurp("tests/data/r3.xml");
    char *document CLEANUP_FREE = NULL;
    const struct catalogue *catalogue = NULL;
    struct error error;
    size_t length;

    (void)state;
    write_file(path, original);
    assert_int_equal(catalogue_export(path, CATALOGUE_R3, marks, ARRAY_SIZE(marks), &document,
                                      &length, NULL, &error),
                     0);
    assert_int_equal(length, strlen(document));
    assert_int_equal(catalogue_parse("t.xml", document, length, NULL, &catalogue, &error), 0);
    assert_text(pref(catalogue, "work", "backup_content"), "True");
    assert_text(pref(catalogue, "work", "backup_path"), "appvms/work");
    assert_text(pref(catalogue, "work", "backup_size"), "123456789012");
    assert_text(pref(catalogue, "dom0", "backup_path"), "dom0-home/j\xc3\xb6rg & \"co\"");
    assert_text(pref(catalogue, "vault", "backup_content"), "False");
    assert_text(pref(catalogue, "archlinux", "backup_content"), "False");
    assert_text(pref(catalogue, "archlinux", "backup_path"), "");
    assert_text(pref(catalogue, "archlinux", "backup_size"), "0");
    assert_non_null(strstr(document, "j\xc3\xb6rg")); /* UTF-8 itself, no reference */
    catalogue_unref(catalogue);

    /* line by line: only VMs whose marks have changed differ */
    char *mine = document, *theirs = original;
    unsigned different = 0;

    while (*mine && *theirs) {
        size_t one = strcspn(mine, "\n"), other = strcspn(theirs, "\n");

        different += one != other || memcmp(mine, theirs, one) != 0;
        mine += one + (mine[one] == '\n');
        theirs += other + (theirs[other] == '\n');
    }
    assert_true(!*mine && !*theirs);
    assert_int_equal(different, 3);

    char *after CLEANUP_FREE = slurp(path);

    assert_string_equal(after, original);
}

static void export_refusals(void **state)
{
    const struct catalogue_mark gone = {.qid = 99, .backup_path = "vm99", .backup_size = 1};
    const struct catalogue_mark dom0 = {.qid = 0, .backup_path = "dom0-home/u", .backup_size = 1};
    const struct catalogue *catalogue;
    char *document = NULL;
    struct error error;
    size_t length;

    (void)state;
    write_file(path, R3(""));
    assert_int_equal(
        catalogue_export(path, CATALOGUE_R3, &gone, 1, &document, &length, NULL, &error), -ENOENT);
    assert_null(document);
    /* an old catalogue without dom0 */
    assert_int_equal(
        catalogue_export(path, CATALOGUE_R3, &dom0, 1, &document, &length, NULL, &error), 0);
    catalogue = parse(document);
    assert_int_equal(entry_of(catalogue, "dom0")->vm_class, VM_CLASS_ADMIN);
    assert_text(pref(catalogue, "dom0", "backup_path"), "dom0-home/u");
    catalogue_unref(catalogue);
    free(document);
    document = NULL;
    /* the other form, from a file */
    copy_sample("tests/data/r4.xml");
    assert_int_equal(
        catalogue_export(path, CATALOGUE_R3, NULL, 0, &document, &length, NULL, &error), 0);
    catalogue = parse(document);
    assert_int_equal(catalogue->form, CATALOGUE_R3);
    assert_int_equal(entry_of(catalogue, "sys-net")->vm_class, VM_CLASS_NET);
    catalogue_unref(catalogue);
    free(document);
    document = NULL;
    write_file(path, "<QubesVmCollection>");
    assert_int_equal(
        catalogue_export(path, CATALOGUE_R3, NULL, 0, &document, &length, NULL, &error), -EINVAL);
    assert_null(document);
}

static void stamps(void **state)
{
    static const char *const samples[] = {"tests/data/r3.xml", "tests/data/r4.xml"};
    static const int qids[] = {0, 5, 6, 4711};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        const struct catalogue *catalogue;
        struct stat before, after;
        struct error error;

        copy_sample(samples[i]);
        assert_int_equal(chmod(path, 0640), 0);
        if (geteuid() == 0)
            assert_int_equal(chown(path, 1, 2), 0);
        assert_int_equal(stat(path, &before), 0);
        if (catalogue_mark_backup(path, qids, ARRAY_SIZE(qids), 1700000000, &error))
            fail_msg("%s", error.text);
        assert_int_equal(stat(path, &after), 0);
        assert_int_not_equal(before.st_ino, after.st_ino);
        assert_int_equal(before.st_mode, after.st_mode);
        assert_int_equal(before.st_uid, after.st_uid);
        assert_int_equal(before.st_gid, after.st_gid);
        assert_int_equal(load(1, &catalogue, &error), 0);
        for (size_t at = 0; at < catalogue->entry_count; at++) {
            const struct catalogue_entry *entry = catalogue->entries[at];
            bool stamped = entry->qid == 0 || entry->qid == 5 || entry->qid == 6;

            assert_text(name_value_find(entry->prefs, entry->pref_count, "backup_timestamp"),
                        stamped ? "1700000000" : NULL);
        }
        catalogue_unref(catalogue);
    }
    /* the R4 form's other lines are as they were */
    char *saved CLEANUP_FREE = slurp(path);

    assert_non_null(strstr(saved, "\n        <property name=\"backup_timestamp\">1700000000"
                                  "</property>\n        <property name=\"qid\">0</property>"));
    assert_non_null(strstr(saved, "<property name=\"name\">far-away</property>"));
}

static void saves_that_fail(void **state)
{
    static const int qid = 2;
    struct error error;
    pid_t child;

    (void)state;
    write_file(path, "<QubesVmCollection>");
    assert_int_equal(catalogue_mark_backup(path, &qid, 1, 1, &error), -EINVAL);
    char *after CLEANUP_FREE = slurp(path);

    assert_string_equal(after, "<QubesVmCollection>");
    /* waits for another writer and then edits that one's file */
    write_file(path, R3(""));
    child = locker(F_WRLCK, 200, R3(R3_APP("")));
    assert_int_equal(catalogue_mark_backup(path, &qid, 1, 12, &error), 0);
    reap(child);
    const struct catalogue *catalogue;

    assert_int_equal(load(1, &catalogue, &error), 0);
    assert_text(pref(catalogue, "app", "backup_timestamp"), "12");
    catalogue_unref(catalogue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_file, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(too_large, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(reader_and_writer, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(replaced_while_waiting, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(our_lock_holds, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(export_marks, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(export_refusals, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(stamps, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(saves_that_fail, make_directory, remove_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
