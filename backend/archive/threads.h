/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads of a writer: named, deaf to signals, joined by whoever started them. */
#ifndef ARCHIVE_THREADS_H
#define ARCHIVE_THREADS_H

#include <pthread.h>
#include <signal.h>

/** `name` shows in ps and top (15 bytes).  0 or a negative errno. */
static inline int thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *),
                               void *cookie)
{
    sigset_t all, before;
    int result;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    result = pthread_create(ret_thread, NULL, run, cookie);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result == 0)
        pthread_setname_np(*ret_thread, name);
    return -result;
}

#endif
