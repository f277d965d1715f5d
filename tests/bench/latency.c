/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * latency URI DOMAIN STATE-FILE COUNT: pauses and unpauses a running domain COUNT times, and tells
 * how much later than libvirt's own event inotify's came for the file, both received in this
 * process: each by a thread of its own that stamps it first thing.  Prints "median p90 p99 max" in
 * microseconds.
 *
 * An inotify event after which the file does not yet read the new state is an error: that would be
 * fast but wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#define WAIT_SECONDS 10
#define PAUSE_NS     2000000 /* between two changes: each is to find everybody asleep */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the four below */
static pthread_cond_t came;
static int64_t libvirt_ns, inotify_ns; /* when the awaited event came; 0: not yet */
static const char *wanted;             /* the state that the file must read then */
static bool wrong;

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void die(const char *what)
{
    const char *words = virGetLastErrorCode() ? virGetLastErrorMessage() : strerror(errno);

    fprintf(stderr, "latency: %s: %s\n", what, words);
    exit(1);
}

static int on_lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail,
                        void *cookie)
{
    int64_t time = now();

    (void)connection, (void)detail;
    if (strcmp(virDomainGetName(domain), cookie) != 0)
        return 0;
    if (event != VIR_DOMAIN_EVENT_SUSPENDED && event != VIR_DOMAIN_EVENT_RESUMED)
        return 0;
    pthread_mutex_lock(&lock);
    if (!libvirt_ns)
        libvirt_ns = time;
    pthread_cond_signal(&came);
    pthread_mutex_unlock(&lock);
    return 0;
}

static void *libvirt_thread(void *cookie)
{
    (void)cookie;
    for (;;)
        if (virEventRunDefaultImpl() < 0)
            die("libvirt's event loop");
    return NULL;
}

static bool file_reads(const char *path, const char *state)
{
    char content[64] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, content, sizeof(content) - 1);

    if (fd >= 0)
        close(fd);
    return size > 0 && strncmp(content, state, strlen(state)) == 0;
}

struct watch {
    int fd;
    const char *path;
};

static void *inotify_thread(void *cookie)
{
    struct watch *watch = cookie;
    char events[4096];

    while (read(watch->fd, events, sizeof(events)) > 0) {
        int64_t time = now();
        const char *state;
        bool awaited;

        pthread_mutex_lock(&lock);
        awaited = !inotify_ns;
        state = wanted;
        pthread_mutex_unlock(&lock);
        if (!awaited)
            continue;
        /* before it is told: the next change must not be there yet */
        bool good = file_reads(watch->path, state);

        pthread_mutex_lock(&lock);
        inotify_ns = time;
        wrong = wrong || !good;
        pthread_cond_signal(&came);
        pthread_mutex_unlock(&lock);
    }
    die("inotify");
    return NULL;
}

static int64_t measure(virDomainPtr domain, bool pause)
{
    int64_t difference;
    struct timespec until;

    pthread_mutex_lock(&lock);
    libvirt_ns = inotify_ns = 0;
    wanted = pause ? "Paused" : "Running";
    pthread_mutex_unlock(&lock);
    if ((pause ? virDomainSuspend(domain) : virDomainResume(domain)) < 0)
        die(pause ? "virDomainSuspend" : "virDomainResume");
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WAIT_SECONDS;
    pthread_mutex_lock(&lock);
    while (!libvirt_ns || !inotify_ns) {
        if (pthread_cond_timedwait(&came, &lock, &until) == ETIMEDOUT) {
            fprintf(stderr, "latency: no event of %s\n", libvirt_ns ? "inotify" : "libvirt");
            exit(1);
        }
    }
    difference = inotify_ns - libvirt_ns;
    if (wrong) {
        fprintf(stderr, "latency: inotify told, but the file did not read %s\n", wanted);
        exit(1);
    }
    pthread_mutex_unlock(&lock);
    return difference;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    size_t count = argc == 5 ? strtoul(argv[4], NULL, 10) : 0;
    int64_t *differences = calloc(count + 1, sizeof(*differences));
    const struct timespec rest = {0, PAUSE_NS};
    pthread_condattr_t monotonic;
    virConnectPtr actor, listener;
    struct watch watch;
    virDomainPtr domain;
    pthread_t thread;

    if (count < 1 || !differences) {
        fprintf(stderr, "usage: latency URI DOMAIN STATE-FILE COUNT\n");
        return 2;
    }
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&came, &monotonic);

    virEventRegisterDefaultImpl();
    actor = virConnectOpen(argv[1]);
    listener = actor ? virConnectOpen(argv[1]) : NULL;
    domain = listener ? virDomainLookupByName(actor, argv[2]) : NULL;
    if (!domain)
        die(argv[1]);
    if (virConnectDomainEventRegisterAny(listener, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                         VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), argv[2],
                                         NULL) < 0)
        die("events");
    watch.path = argv[3];
    watch.fd = inotify_init1(IN_CLOEXEC);
    if (watch.fd < 0 || inotify_add_watch(watch.fd, watch.path, IN_MODIFY) < 0)
        die(watch.path);
    if (pthread_create(&thread, NULL, libvirt_thread, NULL) ||
        pthread_create(&thread, NULL, inotify_thread, &watch))
        die("threads");

    measure(domain, true); /* the first pair is for warming up */
    measure(domain, false);
    for (size_t i = 0; i < count; i++) {
        nanosleep(&rest, NULL);
        differences[i] = measure(domain, i % 2 == 0) / 1000;
    }
    if (count % 2)
        virDomainResume(domain);
    qsort(differences, count, sizeof(*differences), compare);
    printf("%lld %lld %lld %lld\n", (long long)differences[count / 2],
           (long long)differences[count * 90 / 100], (long long)differences[count * 99 / 100],
           (long long)differences[count - 1]);
    free(differences);
    return 0;
}
