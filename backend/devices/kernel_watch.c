/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread that follows dom0's devices: kernel uevents, the mount table, the list of swaps.  Each
 * says no more than "look again"; a burst of them is one look.
 */
#include <errno.h>
#include <fcntl.h>
#include <libudev.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "kernel.h"
#include "qubesfs/cleanup.h"
#include "qubesfs/clock.h"
#include "qubesfs/log.h"

#define SWEEP_MS    30000
#define BUFFER_SIZE (4 * 1024 * 1024)

struct kernel_watch {
    char *image_directory;
    struct devices_listener listener;
    struct udev *udev;
    struct udev_monitor *monitor; /* NULL: there are no events, only the sweep */
    int mounts, swaps;            /* polled for exceptions; -1: not there */
    int wake;
    struct kernel_devices *told; /* the thread's own */
    pthread_t thread;

    pthread_mutex_t lock; /* guards all below; a leaf */
    pthread_cond_t moved;
    bool ending;
    unsigned wanted, done; /* looks that were asked for, and made */
};

static bool same_offers(const struct kernel_devices *a, const struct kernel_devices *b)
{
    bool same = a && a->count == b->count;

    for (size_t i = 0; same && i < a->count; i++)
        same = offer_equal(&a->offers[i], &b->offers[i]);
    return same;
}

static void look(struct kernel_watch *watch)
{
    struct kernel_devices *devices = NULL;
    int result = kernel_devices_read(watch->image_directory, &devices);

    if (result) {
        log_error("dom0's block devices cannot be read: %s", strerror(-result));
        return;
    }
    if (same_offers(watch->told, devices)) {
        kernel_devices_unref(devices);
        return;
    }
    kernel_devices_unref(watch->told);
    watch->told = devices;
    __atomic_add_fetch(&devices->references, 1, __ATOMIC_RELAXED);
    watch->listener.kernel(watch->listener.cookie, devices);
}

/* Takes in all events that are there.  One that was lost for want of room is made good by the look.
 */
static void drain(struct kernel_watch *watch)
{
    struct udev_device *device;
    uint64_t count;

    while (watch->monitor && (device = udev_monitor_receive_device(watch->monitor)) != NULL)
        udev_device_unref(device);
    if (read(watch->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
        log_error("eventfd: %m");
}

static void *watch_thread(void *cookie)
{
    struct kernel_watch *watch = cookie;
    struct pollfd fds[] = {
        {.fd = watch->wake, .events = POLLIN},
        {.fd = watch->monitor ? udev_monitor_get_fd(watch->monitor) : -1, .events = POLLIN},
        {.fd = watch->mounts, .events = POLLPRI},
        {.fd = watch->swaps, .events = POLLPRI},
    };

    pthread_setname_np(pthread_self(), "qfs-devices");
    for (;;) {
        unsigned wanted;
        bool ending;

        poll(fds, ARRAY_SIZE(fds), SWEEP_MS);
        drain(watch);
        pthread_mutex_lock(&watch->lock);
        ending = watch->ending;
        wanted = watch->wanted;
        pthread_mutex_unlock(&watch->lock);
        if (ending)
            return NULL;
        look(watch);
        pthread_mutex_lock(&watch->lock);
        watch->done = wanted;
        pthread_cond_broadcast(&watch->moved);
        pthread_mutex_unlock(&watch->lock);
    }
}

static void open_monitor(struct kernel_watch *watch)
{
    watch->udev = udev_new();
    if (watch->udev)
        watch->monitor = udev_monitor_new_from_netlink(watch->udev, "kernel");
    if (watch->monitor) {
        udev_monitor_filter_add_match_subsystem_devtype(watch->monitor, "block", NULL);
        udev_monitor_set_receive_buffer_size(watch->monitor, BUFFER_SIZE);
    }
    if (!watch->monitor || udev_monitor_enable_receiving(watch->monitor) < 0) {
        log_warning("the kernel tells no events of devices: changes show within 30 s only");
        if (watch->monitor)
            udev_monitor_unref(watch->monitor);
        watch->monitor = NULL;
    }
}

static void free_watch(struct kernel_watch *watch)
{
    if (watch->monitor)
        udev_monitor_unref(watch->monitor);
    if (watch->udev)
        udev_unref(watch->udev);
    if (watch->mounts >= 0)
        close(watch->mounts);
    if (watch->swaps >= 0)
        close(watch->swaps);
    if (watch->wake >= 0)
        close(watch->wake);
    kernel_devices_unref(watch->told);
    pthread_mutex_destroy(&watch->lock);
    pthread_cond_destroy(&watch->moved);
    free(watch->image_directory);
    free(watch);
}

int kernel_watch_start(const char *image_directory, const struct devices_listener *listener,
                       struct kernel_watch **ret_watch)
{
    struct kernel_watch *watch = calloc(1, sizeof(*watch));
    pthread_condattr_t monotonic;
    int result = 0;

    if (!watch)
        return -ENOMEM;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&watch->lock, NULL);
    pthread_cond_init(&watch->moved, &monotonic);
    pthread_condattr_destroy(&monotonic);
    watch->listener = *listener;
    watch->image_directory = strdup(image_directory);
    watch->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    watch->mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    watch->swaps = open("/proc/swaps", O_RDONLY | O_CLOEXEC);
    if (!watch->image_directory || watch->wake < 0)
        result = -ENOMEM;
    if (!result) {
        open_monitor(watch);
        look(watch);
        result = -pthread_create(&watch->thread, NULL, watch_thread, watch);
    }
    if (result) {
        free_watch(watch);
        return result;
    }
    *ret_watch = watch;
    return 0;
}

static void wake_up(struct kernel_watch *watch)
{
    uint64_t one = 1;

    if (write(watch->wake, &one, sizeof(one)) < 0)
        log_error("eventfd: %m");
}

void kernel_watch_refresh(struct kernel_watch *watch, unsigned seconds)
{
    uint64_t end = clock_monotonic_ns() + seconds * 1000000000ull;
    struct timespec until = {(time_t)(end / 1000000000), (long)(end % 1000000000)};
    unsigned mine;

    pthread_mutex_lock(&watch->lock);
    mine = ++watch->wanted;
    pthread_mutex_unlock(&watch->lock);
    wake_up(watch);
    LOCK_SCOPE(&watch->lock);
    while ((int)(watch->done - mine) < 0)
        if (pthread_cond_timedwait(&watch->moved, &watch->lock, &until) == ETIMEDOUT)
            return;
}

void kernel_watch_stop(struct kernel_watch *watch)
{
    if (!watch)
        return;
    pthread_mutex_lock(&watch->lock);
    watch->ending = true;
    pthread_mutex_unlock(&watch->lock);
    wake_up(watch);
    pthread_join(watch->thread, NULL);
    free_watch(watch);
}
