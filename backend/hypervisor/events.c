/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt's event loop, one a process.  Callbacks run on its thread; they may only post to a queue:
 * a call to libvirt from here could wait for an answer that this very thread has to read.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "qubesfs/log.h"
#include "room.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards holders, thread, registered */
static unsigned holders;
static pthread_t thread;
static bool registered;
static int timer = -1; /* has no time of its own: made due to get the loop out of poll() */
static atomic_bool ending;

/* libvirt would print each error to stderr; they are told with the call that failed. */
static void keep_silent(void *cookie, virErrorPtr error)
{
    (void)cookie;
    (void)error;
}

static void woken(int which, void *cookie)
{
    (void)cookie;
    virEventUpdateTimeout(which, -1);
}

static void *run(void *cookie)
{
    (void)cookie;
    pthread_setname_np(pthread_self(), "libvirt-events");
    while (!atomic_load(&ending))
        if (virEventRunDefaultImpl() < 0) {
            log_warning("libvirt's event loop failed: %s", virGetLastErrorMessage());
            sleep(1); /* it may fail again at once, and then for ever */
        }
    /* closed connections give back their callbacks' data in the loop's next rounds */
    for (int round = 0; round < 3; round++) {
        virEventUpdateTimeout(timer, 0);
        virEventRunDefaultImpl();
    }
    return NULL;
}

int events_hold(struct error *ret_error)
{
    int result;

    LOCK_SCOPE(&lock);
    if (!registered) {
        virSetErrorFunc(NULL, keep_silent);
        if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0 ||
            (timer = virEventAddTimeout(-1, woken, NULL, NULL)) < 0)
            return error_set(ret_error, -EIO, "libvirt can't be used: %s",
                             virGetLastErrorMessage());
        registered = true;
    }
    if (holders == 0) {
        atomic_store(&ending, false);
        result = pthread_create(&thread, NULL, run, NULL);
        if (result)
            return error_set(ret_error, -result, "libvirt's event loop gets no thread: %s",
                             strerrordesc_np(result));
    }
    holders++;
    return 0;
}

void events_release(void)
{
    LOCK_SCOPE(&lock);
    if (--holders > 0)
        return;
    atomic_store(&ending, true);
    virEventUpdateTimeout(timer, 0);
    pthread_join(thread, NULL);
}
