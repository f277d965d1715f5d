/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Eight processes that change one catalogue at once, four of them by Qubes' own protocol in another
 * language; and savers that are killed.  Nothing that was saved is lost, and whoever reads finds a
 * good catalogue at any time.  QUBESFS_TEST_SAVES is how many saves in all, QUBESFS_TEST_KILLS how
 * many are killed; QUBESFS_TEST_SEED repeats a run's pauses.
 */
#include "import_helper.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define OURS   4
#define THEIRS 4

#define DOMAIN(id, name)                                                                           \
    "    <domain id='domain-" #id "' class='StandaloneVM'>\n      <properties>\n"                  \
    "        <property name='name'>" name "</property>\n"                                          \
    "        <property name='vcpus'>0</property>\n      </properties>\n    </domain>\n"
#define HOST                                                                                       \
    "<?xml version='1.0'?>\n<qubes>\n  <domains>\n" DOMAIN(1, "their-0") DOMAIN(2, "their-1")      \
        DOMAIN(3, "their-2") DOMAIN(4, "their-3") DOMAIN(5, "our-0") DOMAIN(6, "our-1")            \
            DOMAIN(7, "our-2") DOMAIN(8, "our-3") "  </domains>\n</qubes>\n"
#define BACKUP(name)                                                                               \
    "<qubes><domains><domain id='domain-1' class='StandaloneVM'><properties>"                      \
    "<property name='name'>" name "</property></properties><features>"                             \
    "<feature name='backup-content'>1</feature><feature name='backup-path'>vm1/</feature>"         \
    "</features></domain></domains></qubes>"

static unsigned from_environment(const char *name, unsigned usual)
{
    const char *value = getenv(name);

    return value ? (unsigned)strtoul(value, NULL, 10) : usual;
}

/* Adds a VM; writes its uuid to `fd` before and, with a mark, after the save. */
static int add_one(unsigned who, unsigned number, int fd)
{
    const struct catalogue_import_options options = {.conflict = IMPORT_CONFLICT_REFUSE};
    struct catalogue_import *import = NULL;
    struct error error = {0};
    char backup[600];
    int result;

    snprintf(backup, sizeof(backup), BACKUP("new-%u-%u"), who, number);
    do {
        result = catalogue_import_new(host_path, backup, strlen(backup), &options, &import, &error);
        /* whoever waits its 15 s for the lock is told so, nothing has changed */
    } while (result == -ETIMEDOUT);
    if (!result) {
        const char *uuid = catalogue_import_vm(import, 0)->uuid;

        dprintf(fd, "trying %s\n", uuid);
        do {
            result = catalogue_import_save(import, -1, &error);
        } while (result == -ETIMEDOUT);
        if (!result)
            dprintf(fd, "added %s\n", uuid);
    }
    if (result)
        dprintf(fd, "error %s\n", error.text);
    catalogue_import_free(import);
    return result;
}

/* Every other save is one of another kind. */
static int save_ours(unsigned who, unsigned count, int fd)
{
    int qid = (int)(5 + who), result = 0;
    struct error error;

    for (unsigned i = 0; !result && i < count; i++) {
        if (i % 2 == 0)
            result = add_one(who, i, fd);
        else
            while ((result = catalogue_mark_backup(host_path, &qid, 1, i, &error)) == -ETIMEDOUT)
                ;
    }
    if (result)
        dprintf(fd, "error %d\n", result);
    return result;
}

static pid_t start(const char *log, unsigned who, unsigned count, bool ours)
{
    char name[16], number[16];
    pid_t child = fork();

    assert_true(child >= 0);
    if (child > 0)
        return child;
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

    if (ours)
        _exit(save_ours(who, count, fd) ? 1 : 0);
    snprintf(name, sizeof(name), "their-%u", who);
    snprintf(number, sizeof(number), "%u", count);
    dup2(fd, 1);
    execl("tests/lib/catalogue_saver", "catalogue_saver", host_path, name, number, (char *)NULL);
    _exit(127);
}

/* Reads again and again until it is told to end; 0 if it never found anything broken. */
static pid_t start_reader(int end_fd)
{
    struct pollfd end = {.fd = end_fd, .events = POLLIN};
    pid_t child = fork();
    unsigned long count = 0;

    assert_true(child >= 0);
    if (child > 0)
        return child;
    for (; poll(&end, 1, 5) == 0; count++) {
        const struct catalogue *catalogue;
        char *data CLEANUP_FREE = NULL;
        struct error error;
        size_t length;
        int fd CLEANUP_CLOSE = open(host_path, O_RDONLY | O_CLOEXEC);

        /* without the lock as well: what is at the path is always whole */
        if (fd < 0 || read_whole_file(host_path, fd, &data, &length, &error) ||
            catalogue_parse(host_path, data, length, NULL, &catalogue, &error)) {
            fprintf(stderr, "a reader: %s\n", error.text);
            _exit(1);
        }
        for (size_t i = 0; i < OURS + THEIRS; i++) {
            char name[16];

            snprintf(name, sizeof(name), "%s-%zu", i < OURS ? "our" : "their", i % OURS);
            if (!catalogue_find(catalogue, name))
                _exit(2);
        }
        catalogue_unref(catalogue);
    }
    printf("read %lu times\n", count);
    fflush(stdout);
    _exit(0);
}

static void wait_for(pid_t child)
{
    int status = 0;

    while (waitpid(child, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    assert_int_equal(status, 0);
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;

    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        count++;
    return count;
}

/* What one of the logs says was added is there, or another one says that it was removed. */
static size_t check_added(const char *log, const struct catalogue *catalogue)
{
    size_t added = 0;

    assert_int_equal(count_of(log, "error"), 0);
    for (const char *at = log; (at = strstr(at, "added ")); at += 6, added++) {
        char removed[64];
        bool there = false;

        snprintf(removed, sizeof(removed), "removed %.36s", at + 6);
        for (size_t i = 0; i < catalogue->entry_count; i++)
            there = there || strncmp(catalogue->entries[i]->uuid, at + 6, 36) == 0;
        if (there + count_of(log, removed) != 1)
            fail_msg("%.36s was added, and is %s", at + 6,
                     there ? "there, though removed" : "lost");
    }
    return added;
}

static void eight_processes(void **state)
{
    unsigned count = from_environment("QUBESFS_TEST_SAVES", 240) / (OURS + THEIRS);
    pid_t children[OURS + THEIRS], reader;
    const struct catalogue *catalogue;
    char log_path[320], wanted[16];
    int end[2];

    (void)state;
    snprintf(log_path, sizeof(log_path), "%s/log", test_directory);
    write_file(host_path, HOST);
    assert_int_equal(pipe(end), 0);
    reader = start_reader(end[0]);
    for (unsigned i = 0; i < OURS + THEIRS; i++)
        children[i] = start(log_path, i % OURS, count, i < OURS);
    for (unsigned i = 0; i < OURS + THEIRS; i++)
        wait_for(children[i]);
    assert_int_equal(write(end[1], "", 1), 1);
    wait_for(reader);
    char *saved CLEANUP_FREE = slurp(host_path), *log CLEANUP_FREE = slurp(log_path);

    catalogue = parse(saved);
    snprintf(wanted, sizeof(wanted), "%u", count);
    for (unsigned i = 0; i < THEIRS; i++) {
        char name[16];

        snprintf(name, sizeof(name), "their-%u", i);
        assert_text(pref(catalogue, name, "vcpus"), wanted);
        snprintf(name, sizeof(name), "our-%u", i);
        if (count > 1) {
            snprintf(wanted, sizeof(wanted), "%u", count % 2 == 0 ? count - 1 : count - 2);
            assert_text(pref(catalogue, name, "backup_timestamp"), wanted);
            snprintf(wanted, sizeof(wanted), "%u", count);
        }
    }
    assert_int_equal(check_added(log, catalogue), OURS * ((count + 1) / 2));
    printf("%u saves, %zu VMs added, %zu of them removed\n", count * (OURS + THEIRS),
           count_of(log, "added"), count_of(log, "removed"));
    catalogue_unref(catalogue);
    close(end[0]);
    close(end[1]);
}

/* A saver that goes on until it is killed. */
static pid_t start_victim(const char *log, unsigned who)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child > 0)
        return child;
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

    for (unsigned i = 0; !add_one(who, i, fd); i++)
        ;
    _exit(1);
}

/* Until it has begun to save; the pause after that is random. */
static void wait_for_first(const char *log, long nanoseconds)
{
    struct timespec pause = {.tv_nsec = nanoseconds}, moment = {.tv_nsec = 1000000};

    for (int tries = 0; tries < 60000; tries++) {
        struct stat status;

        if (stat(log, &status) == 0 && status.st_size > 0)
            break;
        nanosleep(&moment, NULL);
    }
    nanosleep(&pause, NULL);
}

static void killed_savers(void **state)
{
    unsigned kills = from_environment("QUBESFS_TEST_KILLS", 30);
    unsigned seed = from_environment("QUBESFS_TEST_SEED", (unsigned)time(NULL));
    unsigned found = 0, all = 0;
    char log_path[320];

    (void)state;
    printf("seed %u\n", seed);
    srandom(seed);
    for (unsigned i = 0; i < kills; i++) {
        long pause = random() % 60000000;
        const struct catalogue *catalogue;
        pid_t victim;
        int status;

        /* what the last one has left of the file would else grow on and on */
        write_file(host_path, HOST);
        snprintf(log_path, sizeof(log_path), "%s/log-%u", test_directory, i);
        victim = start_victim(log_path, i);
        wait_for_first(log_path, pause);
        kill(victim, SIGKILL);
        assert_int_equal(waitpid(victim, &status, 0), victim);
        assert_true(WIFSIGNALED(status));
        char *saved CLEANUP_FREE = slurp(host_path);
        char *log CLEANUP_FREE = access(log_path, F_OK) == 0 ? slurp(log_path) : strdup("");

        catalogue = parse(saved);
        /* the one that was under way is there or not */
        size_t added = check_added(log, catalogue), there = catalogue->entry_count - OURS - THEIRS;

        assert_true(there == added || there == added + 1);
        found += there == added + 1;
        all += (unsigned)there;
        catalogue_unref(catalogue);
    }
    printf("%u killed, %u saves, %u of them not yet told when it was killed\n", kills, all, found);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        TEST(eight_processes),
        TEST(killed_savers),
    };

    if (access("/usr/bin/python3", X_OK)) {
        puts("needs python3");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
