/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xenstore_latency MOUNT ROUNDS DOMAIN...: how long from a change of a domain's device in XenStore
 * to inotify. Each domain offers a device "sda" already, and bears the name `vmDOMAIN`.  In turn,
 * so that none comes more than five times in a second.  Prints median and the slowest twentieth and
 * hundredth, in milliseconds.
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>
#include <xenstore.h>

#define DOMAINS_MAX 64
#define PAUSE_NS    (250 * 1000000ull) /* of one domain */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Waits for the end of the write that tells a change: IN_MODIFY; -1: not within ten seconds. */
static double wait_event(int inotify, uint64_t began)
{
    char buffer[4096] __attribute__((aligned(8)));

    for (;;) {
        struct pollfd ready = {.fd = inotify, .events = POLLIN};
        ssize_t size;

        if (poll(&ready, 1, 10000) <= 0)
            return -1;
        size = read(inotify, buffer, sizeof(buffer));
        if (size > 0)
            return (double)(now_ns() - began) / 1e6;
    }
}

int main(int argc, char **argv)
{
    struct xs_handle *store = xs_open(0);
    int inotify[DOMAINS_MAX], domains = argc - 3, rounds, lost = 0, count = 0;
    uint64_t last[DOMAINS_MAX] = {0};
    double *took;

    if (domains < 1 || domains > DOMAINS_MAX || !store) {
        fprintf(stderr, "usage: xenstore_latency MOUNT ROUNDS DOMAIN...\n");
        return 2;
    }
    rounds = atoi(argv[2]);
    took = calloc((size_t)rounds, sizeof(*took));
    for (int i = 0; i < domains; i++) {
        char path[4096];

        snprintf(path, sizeof(path), "%s/devices/vm%s:sda", argv[1], argv[i + 3]);
        inotify[i] = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (inotify_add_watch(inotify[i], path, IN_MODIFY) < 0) {
            perror(path);
            return 2;
        }
    }
    for (int round = 0; took && round < rounds; round++) {
        int which = round % domains;
        char path[128], value[32], drop[4096];
        uint64_t began;
        double ms;
        int size;

        while (now_ns() < last[which] + PAUSE_NS)
            usleep(1000);
        while (read(inotify[which], drop, sizeof(drop)) > 0)
            ;
        size = snprintf(value, sizeof(value), "%d", 2000 + round);
        snprintf(path, sizeof(path), "/local/domain/%s/qubes-block-devices/sda/size",
                 argv[which + 3]);
        began = last[which] = now_ns();
        if (!xs_write(store, XBT_NULL, path, value, (unsigned)size)) {
            perror(path);
            return 1;
        }
        ms = wait_event(inotify[which], began);
        if (ms < 0)
            lost++;
        else
            took[count++] = ms;
    }
    if (count == 0)
        return 1;
    qsort(took, (size_t)count, sizeof(*took), by_value);
    printf("%.2f %.2f %.2f %d\n", took[count / 2], took[count * 95 / 100], took[count * 99 / 100],
           lost);
    return 0;
}
