/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qubesfs/clock.h"

#include <pthread.h>
#include <stdio.h>

#include "qubesfs/cleanup.h"

uint64_t clock_monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct timespec clock_wall_unique(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards last */
    static struct timespec last;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    LOCK_SCOPE(&lock);
    if (now.tv_sec < last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec <= last.tv_nsec)) {
        now = last;
        if (++now.tv_nsec == 1000000000) {
            now.tv_nsec = 0;
            now.tv_sec++;
        }
    }
    last = now;
    return now;
}

void clock_format(struct timespec when, char *ret_text)
{
    struct tm parts;

    gmtime_r(&when.tv_sec, &parts);
    strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

bool clock_same(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}
