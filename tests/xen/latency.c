/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * latency DIRECTORY XENSTORE-PATH: waits for a name that appears in DIRECTORY, and prints how long after
 * XenStore's first event below that path inotify told it.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>
#include <xenstore.h>

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
    struct xs_handle *store = xs_open(0);
    int inotify = inotify_init1(IN_CLOEXEC);
    double first = 0;
    unsigned initial = 1;

    if (argc != 3 || !store || inotify < 0 || inotify_add_watch(inotify, argv[1], IN_CREATE) < 0 ||
        !xs_watch(store, argv[2], "w")) {
        perror("latency");
        return 2;
    }
    for (;;) {
        struct pollfd fds[] = {{.fd = xs_fileno(store), .events = POLLIN},
                               {.fd = inotify, .events = POLLIN}};

        if (poll(fds, 2, 60000) <= 0) {
            printf("nothing within 60 s\n");
            return 1;
        }
        if (fds[1].revents) {
            printf("inotify %.2f ms after XenStore's event\n", first > 0 ? now_ms() - first : 0);
            return 0;
        }
        if (fds[0].revents) {
            char **event = xs_check_watch(store);

            if (!event)
                continue;
            /* the first one only says that the watch is there */
            if (initial)
                initial = 0;
            else if (first == 0)
                first = now_ms();
            free(event);
        }
    }
}
