/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread that keeps a connection to XenStore. */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/clock.h"
#include "qubesfs/log.h"
#include "wire.h"

#define BACK_OFF_FIRST 100 /* milliseconds */
#define BACK_OFF_MAX   2000
#define FIRST_SECONDS  2

struct xenstore_follower {
    char *path;
    struct xenstore_listener listener;
    pthread_t thread;
    int wake; /* eventfd: look at what follows */

    pthread_mutex_t lock; /* guards all below; a leaf */
    pthread_cond_t moved;
    bool ending;
    unsigned wanted;  /* how often a new connection was asked for */
    unsigned reached; /* ... and how far that was done, whether it could be made or not */
    bool connected;
    struct error error; /* why not */
};

static bool is_ending(struct xenstore_follower *follower)
{
    LOCK_SCOPE(&follower->lock);
    return follower->ending;
}

static bool is_wanted_anew(struct xenstore_follower *follower, unsigned served)
{
    LOCK_SCOPE(&follower->lock);
    return follower->ending || follower->wanted != served;
}

static void clear_wake(struct xenstore_follower *follower)
{
    uint64_t count;

    if (read(follower->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
        log_error("eventfd: %m");
}

static void settle_state(struct xenstore_follower *follower, unsigned served, bool connected,
                         const struct error *error)
{
    LOCK_SCOPE(&follower->lock);
    follower->connected = connected;
    if (error)
        follower->error = *error;
    follower->reached = served;
    pthread_cond_broadcast(&follower->moved);
}

/* Serves one connection until it breaks, or another one is asked for (0). */
static int serve(struct xenstore_follower *follower, struct xenstore *store, unsigned served,
                 bool *ret_was_good)
{
    const struct xenstore_listener *listener = &follower->listener;
    char token[XENSTORE_TOKEN_MAX];
    int milliseconds = 0, result = listener->connected(listener->cookie, store);

    if (!result)
        result = listener->settle(listener->cookie, store, &milliseconds);
    if (result)
        return result;
    *ret_was_good = true;
    settle_state(follower, served, true, NULL);
    for (;;) {
        result = xenstore_next(store, milliseconds, follower->wake, token);
        /* only what is there now: events that never cease must not keep us from settling */
        while (result == 1) {
            result = listener->event(listener->cookie, store, token);
            if (!result && store->first)
                result = xenstore_next(store, 0, -1, token);
        }
        if (result < 0)
            return result;
        clear_wake(follower);
        if (is_wanted_anew(follower, served))
            return 0;
        result = listener->settle(listener->cookie, store, &milliseconds);
        if (result)
            return result;
    }
}

static void *follow_thread(void *cookie)
{
    struct xenstore_follower *follower = cookie;
    int back_off = BACK_OFF_FIRST;
    bool told = false;

    pthread_setname_np(pthread_self(), "qfs-xenstore");
    while (!is_ending(follower)) {
        struct pollfd wake = {.fd = follower->wake, .events = POLLIN};
        struct xenstore *store = NULL;
        struct error error;
        unsigned served;
        int result;

        pthread_mutex_lock(&follower->lock);
        served = follower->wanted;
        pthread_mutex_unlock(&follower->lock);
        result = xenstore_open(follower->path, &store, &error);
        if (!result) {
            bool was_good = false;

            result = serve(follower, store, served, &was_good);
            xenstore_close(store);
            if (was_good) {
                back_off = BACK_OFF_FIRST;
                told = false;
            }
            if (result == 0)
                continue;
            error_set(&error, -ENOTCONN, "the connection to XenStore broke: %s", strerror(-result));
        }
        if (!told)
            follower->listener.disconnected(follower->listener.cookie, &error);
        told = true;
        settle_state(follower, served, false, &error);
        poll(&wake, 1, back_off);
        clear_wake(follower);
        back_off = 2 * back_off < BACK_OFF_MAX ? 2 * back_off : BACK_OFF_MAX;
    }
    return NULL;
}

static void wake_up(struct xenstore_follower *follower)
{
    uint64_t one = 1;

    if (write(follower->wake, &one, sizeof(one)) < 0)
        log_error("eventfd: %m");
}

static void free_follower(struct xenstore_follower *follower)
{
    pthread_mutex_destroy(&follower->lock);
    pthread_cond_destroy(&follower->moved);
    if (follower->wake >= 0)
        close(follower->wake);
    free(follower->path);
    free(follower);
}

/* True if the connection that was asked for has been made, or could not be. */
static bool wait_reached(struct xenstore_follower *follower, unsigned wanted, unsigned seconds)
{
    uint64_t end = clock_monotonic_ns() + seconds * 1000000000ull;
    struct timespec until = {(time_t)(end / 1000000000), (long)(end % 1000000000)};

    LOCK_SCOPE(&follower->lock);
    while ((int)(follower->reached - wanted) < 0 && !follower->ending)
        if (pthread_cond_timedwait(&follower->moved, &follower->lock, &until) == ETIMEDOUT)
            return false;
    return true;
}

int xenstore_follow(const char *path, const struct xenstore_listener *listener,
                    struct xenstore_follower **ret_follower)
{
    struct xenstore_follower *follower = calloc(1, sizeof(*follower));
    pthread_condattr_t monotonic;
    int result = 0;

    if (!follower)
        return -ENOMEM;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&follower->lock, NULL);
    pthread_cond_init(&follower->moved, &monotonic);
    pthread_condattr_destroy(&monotonic);
    follower->listener = *listener;
    follower->path = path ? strdup(path) : NULL;
    follower->wanted = 1;
    follower->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (follower->wake < 0)
        result = -errno;
    else if (path && !follower->path)
        result = -ENOMEM;
    else
        result = -pthread_create(&follower->thread, NULL, follow_thread, follower);
    if (result) {
        free_follower(follower);
        return result;
    }
    /* so that what there is is known from the first moment */
    wait_reached(follower, 1, FIRST_SECONDS);
    *ret_follower = follower;
    return 0;
}

int xenstore_follow_again(struct xenstore_follower *follower, unsigned seconds,
                          struct error *ret_error)
{
    unsigned mine;

    pthread_mutex_lock(&follower->lock);
    mine = ++follower->wanted;
    pthread_mutex_unlock(&follower->lock);
    wake_up(follower);
    if (!wait_reached(follower, mine, seconds))
        return error_set(ret_error, -ETIMEDOUT,
                         "XenStore did not answer within %u s; try again later", seconds);
    LOCK_SCOPE(&follower->lock);
    if (follower->connected)
        return 0;
    return error_set(ret_error, -ENOTCONN, "%s", follower->error.text);
}

void xenstore_follow_stop(struct xenstore_follower *follower)
{
    if (!follower)
        return;
    pthread_mutex_lock(&follower->lock);
    follower->ending = true;
    pthread_cond_broadcast(&follower->moved);
    pthread_mutex_unlock(&follower->lock);
    wake_up(follower);
    pthread_join(follower->thread, NULL);
    free_follower(follower);
}
