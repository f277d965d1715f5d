/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread that follows the catalogue.  Its rounds: put the watch in place, look, tell, sleep
 * until something happens or 30 s are over.  A change between two looks is never lost, because the
 * watch is in place before the look.
 */
#include "internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "directory.h"
#include "qubesfs/clock.h"
#include "qubesfs/log.h"

#define LOOK_MS         30000 /* for what inotify does not tell: other hosts, mounts over it */
#define LOCKED_AGAIN_MS 500
#define LOCK_SECONDS    5

struct catalogue_watch {
    /* set before the thread starts, then constant */
    char *path;
    struct catalogue_listener listener;
    pthread_t thread;
    int stop_fd; /* eventfd: readable for ever once the thread is to end */
    int wake_fd; /* eventfd: somebody asked for a refresh */

    /* the thread's alone */
    struct directory directory;
    const struct catalogue *state; /* the last good one; NULL: none yet */
    struct stat seen;              /* of the file as it was last read; st_ino 0: not read */
    char broken[sizeof(((struct error *)NULL)->text)]; /* as told; "": it is good */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t done;  /* answered has grown */
    uint64_t asked, answered;
};

static bool same_file_state(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino &&
           one->st_size == other->st_size && one->st_mtim.tv_sec == other->st_mtim.tv_sec &&
           one->st_mtim.tv_nsec == other->st_mtim.tv_nsec &&
           one->st_ctim.tv_sec == other->st_ctim.tv_sec &&
           one->st_ctim.tv_nsec == other->st_ctim.tv_nsec;
}

static void tell_broken(struct catalogue_watch *watch, const struct error *error)
{
    if (strcmp(watch->broken, error->text) == 0)
        return;
    snprintf(watch->broken, sizeof(watch->broken), "%s", error->text);
    watch->listener.broken(watch->listener.cookie, error);
}

/* Takes over the reference. */
static void tell_loaded(struct catalogue_watch *watch, const struct catalogue *state)
{
    bool news = !watch->state || watch->broken[0] || !catalogue_equal(watch->state, state);

    if (!news) {
        catalogue_unref(state);
        return;
    }
    catalogue_unref(watch->state);
    watch->state = state;
    watch->broken[0] = '\0';
    watch->listener.loaded(watch->listener.cookie, state);
}

/* True when the file could be judged; false when it stayed locked or the thread is to end. */
static bool look(struct catalogue_watch *watch, bool forced)
{
    const struct patience patience = {.seconds = LOCK_SECONDS, .cancel_fd = watch->stop_fd};
    const struct catalogue *state;
    struct error error;
    struct stat now;
    int result;

    if (!forced && watch->seen.st_ino != 0 && stat(watch->path, &now) == 0 &&
        same_file_state(&now, &watch->seen))
        return true;
    watch->seen.st_ino = 0;
    result = load_file(watch->path, &patience, watch->state, &state, &watch->seen, &error);
    if (result == -ETIMEDOUT || result == -ECANCELED) {
        /* a writer may keep its lock for minutes, when it clones a large VM: nothing is broken */
        log_debug("%s", error.text);
        return false;
    }
    if (result == 0)
        tell_loaded(watch, state);
    else
        tell_broken(watch, &error);
    return true;
}

static bool drain(int fd)
{
    uint64_t count;

    return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

/* The number of the newest refresh asked for; true in `ret_forced` when it waits for its answer. */
static uint64_t last_asked(struct catalogue_watch *watch, bool *ret_forced)
{
    LOCK_SCOPE(&watch->lock);
    if (watch->asked != watch->answered)
        *ret_forced = true;
    return watch->asked;
}

static void answer(struct catalogue_watch *watch, uint64_t asked)
{
    LOCK_SCOPE(&watch->lock);
    watch->answered = asked;
    pthread_cond_broadcast(&watch->done);
}

/* Sleeps until there is reason to look; false when the thread is to end.  What others do in that
 * directory is no reason: a look then might meet the file half written. */
static bool wait_for_reason(struct catalogue_watch *watch, unsigned at_most_ms, bool *ret_forced)
{
    uint64_t until = clock_monotonic_ns() + at_most_ms * UINT64_C(1000000);
    struct pollfd fds[] = {
        {.fd = watch->stop_fd, .events = POLLIN},
        {.fd = watch->wake_fd, .events = POLLIN},
        {.fd = watch->directory.fd, .events = POLLIN},
    };

    for (;;) {
        uint64_t now = clock_monotonic_ns();

        if (now >= until)
            return true;
        if (poll(fds, ARRAY_SIZE(fds), (int)((until - now) / 1000000 + 1)) < 0)
            continue;
        if (fds[0].revents)
            return false;
        bool woken = drain(watch->wake_fd);

        if (directory_events(&watch->directory) || woken) {
            *ret_forced = true;
            return true;
        }
    }
}

static void *follow(void *cookie)
{
    struct catalogue_watch *watch = cookie;
    bool forced = true, judged;

    pthread_setname_np(pthread_self(), "catalogue");
    do {
        uint64_t asked = last_asked(watch, &forced);

        directory_settle(&watch->directory);
        judged = look(watch, forced);
        if (judged) {
            forced = false;
            answer(watch, asked);
        }
    } while (wait_for_reason(watch, judged ? LOOK_MS : LOCKED_AGAIN_MS, &forced));
    return NULL;
}

static void destroy(struct catalogue_watch *watch)
{
    directory_close(&watch->directory);
    if (watch->stop_fd >= 0)
        close(watch->stop_fd);
    if (watch->wake_fd >= 0)
        close(watch->wake_fd);
    pthread_mutex_destroy(&watch->lock);
    pthread_cond_destroy(&watch->done);
    catalogue_unref(watch->state);
    free(watch->path);
    free(watch);
}

int catalogue_watch_start(const char *path, const struct catalogue *first,
                          const struct catalogue_listener *listener,
                          struct catalogue_watch **ret_watch)
{
    struct catalogue_watch *watch = calloc(1, sizeof(*watch));
    pthread_condattr_t monotonic;
    int result;

    if (!watch)
        return -ENOMEM;
    watch->listener = *listener;
    watch->directory.fd = -1;
    watch->state = first ? catalogue_ref(first) : NULL;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&watch->lock, NULL);
    pthread_cond_init(&watch->done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    watch->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    watch->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (watch->stop_fd < 0 || watch->wake_fd < 0) {
        result = -errno;
        goto fail;
    }
    watch->path = strdup(path);
    if (!watch->path) {
        result = -ENOMEM;
        goto fail;
    }
    result = directory_open(&watch->directory, path);
    if (result)
        goto fail;
    result = -pthread_create(&watch->thread, NULL, follow, watch);
    if (result)
        goto fail;
    *ret_watch = watch;
    return 0;

fail:
    destroy(watch);
    return result;
}

static void raise_event(int fd)
{
    const uint64_t one = 1;

    /* fails only when the counter is full, and then it is readable anyway */
    if (write(fd, &one, sizeof(one)) < 0)
        return;
}

int catalogue_watch_refresh(struct catalogue_watch *watch, unsigned seconds)
{
    struct timespec until;
    uint64_t mine;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    LOCK_SCOPE(&watch->lock);
    mine = ++watch->asked;
    raise_event(watch->wake_fd);
    while (watch->answered < mine)
        if (pthread_cond_timedwait(&watch->done, &watch->lock, &until) == ETIMEDOUT)
            return watch->answered < mine ? -ETIMEDOUT : 0;
    return 0;
}

void catalogue_watch_stop(struct catalogue_watch *watch)
{
    if (!watch)
        return;
    raise_event(watch->stop_fd);
    pthread_join(watch->thread, NULL);
    destroy(watch);
}
