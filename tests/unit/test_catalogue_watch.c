/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The watch tells every change once, whatever becomes of the file and its directory. */
#include "catalogue_helper.h"

#include <pthread.h>

#include "qubesfs/clock.h"

#define WITHIN_MS 5000
#define QUIET_MS  300

static char base[64], directory[96], path[128];

/* What the listener heard. */
static struct {
    pthread_mutex_t lock;
    unsigned loaded, broken;
    size_t entries;
    char error[1000];
    const struct catalogue *last;
} heard = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void on_loaded(void *cookie, const struct catalogue *catalogue)
{
    assert_ptr_equal(cookie, &heard);
    LOCK_SCOPE(&heard.lock);
    heard.loaded++;
    heard.entries = catalogue->entry_count;
    catalogue_unref(heard.last);
    heard.last = catalogue_ref(catalogue);
}

static void on_broken(void *cookie, const struct error *error)
{
    assert_ptr_equal(cookie, &heard);
    LOCK_SCOPE(&heard.lock);
    heard.broken++;
    snprintf(heard.error, sizeof(heard.error), "%s", error->text);
}

static const struct catalogue_listener listener = {&heard, on_loaded, on_broken};

static bool is_heard(unsigned loaded, unsigned broken)
{
    LOCK_SCOPE(&heard.lock);
    return heard.loaded == loaded && heard.broken == broken;
}

/* Soon so often, and not more often a little later. */
static void expect(unsigned loaded, unsigned broken)
{
    for (int i = 0; i < WITHIN_MS / 10 && !is_heard(loaded, broken); i++)
        usleep(10000);
    usleep(QUIET_MS * 1000);
    LOCK_SCOPE(&heard.lock);
    assert_int_equal(heard.loaded, loaded);
    assert_int_equal(heard.broken, broken);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(base, "/tmp/catalogue.XXXXXX");
    assert_non_null(mkdtemp(base));
    snprintf(directory, sizeof(directory), "%s/a/b", base);
    snprintf(path, sizeof(path), "%s/qubes.xml", directory);
    heard.loaded = heard.broken = 0;
    heard.last = NULL;
    return 0;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    catalogue_unref(heard.last);
    snprintf(command, sizeof(command), "rm -rf %s", base);
    return system(command);
}

static void make_directories(void)
{
    char parent[96];

    snprintf(parent, sizeof(parent), "%s/a", base);
    assert_int_equal(mkdir(parent, 0700), 0);
    assert_int_equal(mkdir(directory, 0700), 0);
}

static struct catalogue_watch *start(const struct catalogue *first)
{
    struct catalogue_watch *watch = NULL;

    assert_int_equal(catalogue_watch_start(path, first, &listener, &watch), 0);
    return watch;
}

static void renamed_and_in_place(void **state)
{
    struct catalogue_watch *watch;
    const struct catalogue *first;
    struct error error;
    char other[256];

    (void)state;
    make_directories();
    write_file(path, R3(""));
    assert_int_equal(catalogue_load(path, 1, NULL, &first, &error), 0);
    watch = start(first);
    expect(0, 0); /* known already */
    replace(path, R3(R3_APP("")));
    expect(1, 0);
    assert_int_equal(heard.entries, 2);
    assert_ptr_equal(entry_of(first, "tpl"), entry_of(heard.last, "tpl"));
    replace(path, R3(R3_APP(""))); /* the same again */
    expect(1, 0);
    write_file(path, R3("")); /* in place */
    expect(2, 0);
    assert_int_equal(heard.entries, 1);
    /* of what others do beside it nothing is told */
    snprintf(other, sizeof(other), "%s/other", directory);
    write_file(other, "x");
    unlink(other);
    expect(2, 0);
    catalogue_watch_stop(watch);
    catalogue_unref(first);
}

static void broken_and_good_again(void **state)
{
    struct catalogue_watch *watch;

    (void)state;
    make_directories();
    write_file(path, R3(""));
    watch = start(NULL);
    expect(1, 0);
    replace(path, "<QubesVmCollection>\n<Qubes");
    expect(1, 1);
    assert_non_null(strstr(heard.error, ":2: "));
    assert_int_equal(catalogue_watch_refresh(watch, 5), 0);
    replace(path, "<QubesVmCollection>\n<Qubes"); /* the same cause again */
    expect(1, 1);
    replace(path, "<Qubes");
    expect(1, 2);
    assert_int_equal(unlink(path), 0);
    expect(1, 3);
    replace(path, R3("")); /* what it was before it broke: told, since it can be used again */
    expect(2, 3);
    assert_int_equal(unlink(path), 0);
    expect(2, 4);
    catalogue_watch_stop(watch);
}

static void directory_comes_late(void **state)
{
    struct catalogue_watch *watch = start(NULL);
    char moved[128];

    (void)state;
    expect(0, 1);
    make_directories();
    /* whole at once: a look at the new directory might meet the file half written */
    replace(path, R3(""));
    expect(1, 1);
    /* replaced by another one */
    snprintf(moved, sizeof(moved), "%s/a/moved", base);
    assert_int_equal(rename(directory, moved), 0);
    expect(1, 2);
    assert_int_equal(mkdir(directory, 0700), 0);
    replace(path, R3(R3_APP("")));
    expect(2, 2);
    replace(path, R3(""));
    expect(3, 2);
    catalogue_watch_stop(watch);
}

static void refreshed(void **state)
{
    const struct patience patience = {.seconds = 1, .cancel_fd = -1};
    struct catalogue_watch *watch;
    struct error error;
    struct stat status;
    uint64_t begin;
    int fd;

    (void)state;
    make_directories();
    write_file(path, R3(""));
    watch = start(NULL);
    for (int i = 0; i < 50; i++) {
        replace(path, i % 2 ? R3("") : R3(R3_APP("")));
        assert_int_equal(catalogue_watch_refresh(watch, 10), 0);
        LOCK_SCOPE(&heard.lock);
        assert_int_equal(heard.entries, i % 2 ? 1 : 2);
    }
    /* while a writer keeps its lock nothing is broken, and stopping does not wait for it */
    assert_int_equal(lock_file(path, true, &patience, &fd, &status, &error), 0);
    assert_int_equal(catalogue_watch_refresh(watch, 1), -ETIMEDOUT);
    assert_int_equal(heard.broken, 0);
    begin = clock_monotonic_ns();
    catalogue_watch_stop(watch);
    assert_true(clock_monotonic_ns() - begin < 1000000000u);
    close(fd);
}

/* A writer that lets go after a while: its state is read then, without another event. */
static void lock_let_go(void **state)
{
    const struct patience patience = {.seconds = 1, .cancel_fd = -1};
    struct catalogue_watch *watch;
    struct error error;
    struct stat status;
    int fd;

    (void)state;
    make_directories();
    write_file(path, R3(""));
    watch = start(NULL);
    expect(1, 0);
    assert_int_equal(lock_file(path, true, &patience, &fd, &status, &error), 0);
    /* in place through the locked descriptor's file, by another descriptor */
    write_file(path, R3(R3_APP("")));
    expect(1, 0);
    close(fd);
    expect(2, 0);
    catalogue_watch_stop(watch);
    catalogue_watch_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(renamed_and_in_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(broken_and_good_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(directory_comes_late, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refreshed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lock_let_go, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
