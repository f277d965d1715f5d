/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What may go wrong while a backup is read: a disk that fails, no memory, no thread, no descriptor,
 * a cancel or a reader that leaves, at every stage.  Each time the read fails or the backup is
 * whole; nothing is left behind; the next one works.  FAULTS=all: every single call fails once, not
 * some of them.
 */
#include "faults.h"

#include "backup_helper.h"

#include <dirent.h>

#include "backup/making.h"
#include "qubesfs/clock.h"

/* so many calls of a kind fail, evenly spread; fewer where each backup needs keys */
#define POINTS      8
#define POINTS_KEYS 4

static unsigned entries(const char *directory)
{
    DIR *open_directory = opendir(directory);
    unsigned count = 0;

    assert_non_null(open_directory);
    while (readdir(open_directory))
        count++;
    closedir(open_directory);
    return count;
}

static unsigned threads_before, files_before;

static void settle(void)
{
    uint64_t end = clock_monotonic_ns() + 60000000000ull;

    while (entries("/proc/self/task") > threads_before && clock_monotonic_ns() < end)
        usleep(500);
    /* what is kept for going on has images open */
    backup_control(plan, "cancel\n", 7, NULL);
    assert_int_equal(entries("/proc/self/task"), threads_before);
    assert_int_equal(entries("/proc/self/fd"), files_before);
}

static int setup_faults(void **state)
{
    if (setup(state))
        return -1;
    set_passphrase();
    set_option(BACKUP_FORMAT, "3");
    set_option(BACKUP_COMPRESSION, "none");
    /* so that sizes are exact: a home may grow meanwhile */
    set_option(BACKUP_DOM0_HOME, "0");
    run(NULL, "head -c 3000000 /dev/urandom >var/lib/qubes/appvms/work/private.img");
    /* what is loaded once, at the first time, stays */
    assert_int_equal(read_all(NULL, NULL), 0);
    backup_control(plan, "cancel\n", 7, NULL);
    usleep(1000);
    threads_before = 2; /* this one and the plans' keeper */
    files_before = entries("/proc/self/fd");
    threads_before += 2; /* "." and ".." */
    settle();
    return 0;
}

/* One that nothing happens to is whole: as long as was told. */
static void works(void)
{
    uint64_t size;
    off_t length;

    assert_int_equal(backup_size(plan, NULL, &size), 0);
    assert_int_equal(read_all(NULL, &length), 0);
    assert_int_equal((uint64_t)length, size);
    settle();
}

/* A backup in which one call fails. */
static ssize_t attempt(enum fault fault, unsigned long at, off_t *ret_length,
                       unsigned long *ret_count)
{
    struct backup_stream *stream;
    ssize_t got;

    *ret_length = 0;
    fault_arm(fault, at);
    got = backup_stream_new(plan, NULL, &stream);
    if (got == 0) {
        while ((got = read_at(stream, *ret_length)) > 0)
            *ret_length += got;
        backup_stream_free(stream);
    }
    *ret_count = fault_disarm();
    settle();
    return got;
}

static void check(enum fault fault, const char *what, unsigned points)
{
    unsigned long count, step, ignored;
    unsigned failed = 0, tried = 0;
    uint64_t size;
    off_t length;

    assert_int_equal(backup_size(plan, NULL, &size), 0);
    assert_int_equal(attempt(fault, 0, &length, &count), 0);
    assert_true(count > 0);
    step = count / points + 1;
    if (getenv("FAULTS") && strcmp(getenv("FAULTS"), "all") == 0)
        step = 1;
    for (unsigned long at = 1; at <= count; at += step) {
        ssize_t got = attempt(fault, at, &length, &ignored);

        tried++;
        failed += got < 0;
        if (got == 0)
            assert_int_equal((uint64_t)length, size);
        works();
    }
    printf("%s: %lu calls, %u failed, %u backups with them\n", what, count, tried, failed);
    assert_true(failed > 0);
}

static void each_format(enum fault fault, const char *what)
{
    check(fault, what, POINTS);
    set_option(BACKUP_FORMAT, "4");
    check(fault, what, POINTS_KEYS);
}

static void test_memory(void **state)
{
    (void)state;
    each_format(FAULT_MEMORY, "memory");
}

static void test_threads(void **state)
{
    (void)state;
    each_format(FAULT_THREAD, "threads");
}

static void test_descriptors(void **state)
{
    (void)state;
    each_format(FAULT_DESCRIPTOR, "descriptors");
}

/* A disk that can't be read in the middle of an image, and says so. */
static void test_reads(void **state)
{
    unsigned long count, ignored;
    bool named = false;
    off_t length;

    (void)state;
    assert_int_equal(attempt(FAULT_READ, 0, &length, &count), 0);
    for (unsigned long at = 1; at <= count && !named; at++) {
        char *text, *status;

        attempt(FAULT_READ, at, &length, &ignored);
        assert_int_equal(backup_error_get(plan, &text), 0);
        assert_int_equal(backup_status_get(plan, &status), 0);
        named = strstr(text, "private.img at byte ") && strstr(text, ": Input/output error");
        assert_true(!named || strstr(status, "state=failed\n"));
        free(text);
        free(status);
    }
    assert_true(named);
    check(FAULT_READ, "reads", POINTS);
}

/* What the plan's status says once nothing runs any more. */
static void assert_state(const char *expected)
{
    uint64_t end = clock_monotonic_ns() + 60000000000ull;
    char *text = NULL;

    do {
        free(text);
        usleep(500);
        assert_int_equal(backup_status_get(plan, &text), 0);
    } while (strstr(text, "state=running\n") && clock_monotonic_ns() < end);
    if (!strstr(text, expected))
        fail_msg("not %s: %s", expected, text);
    free(text);
}

/* Cancelled, or left by its reader, when so much has been read. */
static void stop_at(off_t at, bool cancel)
{
    struct backup_stream *stream;
    off_t length = 0;
    ssize_t got = 1;

    assert_int_equal(backup_stream_new(plan, NULL, &stream), 0);
    while (got > 0 && length < at) {
        got = read_at(stream, length);
        length += got > 0 ? got : 0;
    }
    if (cancel) {
        assert_int_equal(backup_control(plan, "cancel\n", 7, NULL), 0);
        got = read_at(stream, length);
        assert_true(got == 0 || got == -ECANCELED);
        assert_state(got == 0 ? "state=done\n" : "state=cancelled\n");
    }
    backup_stream_free(stream);
    settle();
    works();
}

static void test_stops(void **state)
{
    uint64_t size;

    (void)state;
    for (unsigned format = 3; format <= 4; format++) {
        set_option(BACKUP_FORMAT, format == 3 ? "3" : "4");
        assert_int_equal(backup_size(plan, NULL, &size), 0);
        for (unsigned i = 1; i <= 3; i++) {
            stop_at((off_t)(size * i / 3), true);
            stop_at((off_t)(size * i / 3), false);
        }
        stop_at(1, true);
        stop_at(1, false);
        stop_at(0, false);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_faults, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_memory), TEST(test_threads),
                                       TEST(test_descriptors), TEST(test_reads), TEST(test_stops)};

#if defined(__SANITIZE_THREAD__)
    puts("skipped: it would take minutes with TSan, and is about no races");
    return 77;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
