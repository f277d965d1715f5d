/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Start and end of the room, and its small answers. */
#include <errno.h>
#include <libxml/parser.h>
#include <stdio.h>
#include <string.h>

#include "qubesfs/clock.h"
#include "room.h"

static void free_hypervisor(struct hypervisor *hypervisor)
{
    queue_unref(hypervisor->queue);
    pthread_mutex_destroy(&hypervisor->lock);
    pthread_cond_destroy(&hypervisor->idle);
    free(hypervisor->driver);
    free(hypervisor->templates);
    free(hypervisor->uri);
    free(hypervisor);
}

static struct hypervisor *new_hypervisor(const char *uri, const char *templates,
                                         const struct hypervisor_listener *listener)
{
    struct hypervisor *hypervisor = calloc(1, sizeof(*hypervisor));
    pthread_condattr_t monotonic;

    if (!hypervisor)
        return NULL;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&hypervisor->lock, NULL);
    pthread_cond_init(&hypervisor->idle, &monotonic);
    pthread_condattr_destroy(&monotonic);
    hypervisor->listener = *listener;
    hypervisor->uri = uri ? strdup(uri) : NULL;
    hypervisor->templates = templates ? strdup(templates) : NULL;
    error_set(&hypervisor->last_error, -ENOTCONN, "%s",
              uri ? "the hypervisor has not answered yet; try again"
                  : "there is no hypervisor here (mounted with --connect none)");
    if (queue_new(&hypervisor->queue) < 0 || (uri && !hypervisor->uri) ||
        (templates && !hypervisor->templates)) {
        free_hypervisor(hypervisor);
        return NULL;
    }
    return hypervisor;
}

int hypervisor_start(const char *uri, const char *templates, unsigned first_seconds,
                     const struct hypervisor_listener *listener, struct hypervisor **ret_hypervisor,
                     struct error *ret_error)
{
    struct hypervisor *hypervisor = new_hypervisor(uri, templates, listener);
    uint64_t first;
    int result;

    if (!hypervisor)
        return error_set(ret_error, -ENOMEM, "the hypervisor can't be watched: out of memory");
    xmlInitParser();
    if (!uri) {
        *ret_hypervisor = hypervisor;
        return 0;
    }
    result = events_hold(ret_error);
    if (result < 0)
        goto err1;
    first = queue_sweep(hypervisor->queue);
    result = -pthread_create(&hypervisor->thread, NULL, query_thread, hypervisor);
    if (result < 0) {
        error_set(ret_error, result, "the hypervisor can't be watched: no thread: %s",
                  strerrordesc_np(-result));
        goto err2;
    }
    queue_wait(hypervisor->queue, first, first_seconds);
    *ret_hypervisor = hypervisor;
    return 0;

err2: /* nobody heard of it yet */
    events_release();
err1:
    free_hypervisor(hypervisor);
    return result;
}

/* Waits until no command is being made and none can begin; false when time is up. */
static bool end_commands(struct hypervisor *hypervisor, uint64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                             .tv_nsec = (long)(deadline_ns % 1000000000u)};

    LOCK_SCOPE(&hypervisor->lock);
    hypervisor->stopping = true;
    while (hypervisor->commands > 0)
        if (pthread_cond_timedwait(&hypervisor->idle, &hypervisor->lock, &until) == ETIMEDOUT)
            break;
    return hypervisor->commands == 0;
}

int hypervisor_stop(struct hypervisor *hypervisor, unsigned seconds)
{
    uint64_t now = clock_monotonic_ns(), deadline = now + seconds * 1000000000ull;

    queue_stop(hypervisor->queue);
    if (!end_commands(hypervisor, deadline))
        return -ETIMEDOUT;
    if (hypervisor->uri) {
        now = clock_monotonic_ns();
        /* at least a second for a thread that only has to be woken */
        if (!queue_wait_ended(hypervisor->queue,
                              deadline > now ? (unsigned)((deadline - now) / 1000000000u) + 1 : 1))
            return -ETIMEDOUT;
        pthread_join(hypervisor->thread, NULL);
        if (hypervisor->command_connection)
            virConnectClose(hypervisor->command_connection);
        events_release();
    }
    free_hypervisor(hypervisor);
    return 0;
}

const char *hypervisor_driver(struct hypervisor *hypervisor)
{
    LOCK_SCOPE(&hypervisor->lock);
    return hypervisor->driver;
}

int hypervisor_refresh(struct hypervisor *hypervisor, unsigned seconds, struct error *ret_error)
{
    if (hypervisor->uri && !queue_wait(hypervisor->queue, queue_sweep(hypervisor->queue), seconds))
        return error_set(ret_error, -ETIMEDOUT,
                         "the hypervisor at %s did not answer within %u s; try again later",
                         hypervisor->uri, seconds);
    LOCK_SCOPE(&hypervisor->lock);
    if (hypervisor->connected)
        return 0;
    return error_set(ret_error, -ENOTCONN, "%s", hypervisor->last_error.text);
}

void hypervisor_look(struct hypervisor *hypervisor, const char *uuid, unsigned seconds)
{
    if (hypervisor->uri)
        queue_wait(hypervisor->queue, queue_look(hypervisor->queue, uuid, false), seconds);
}

int hypervisor_definition(struct hypervisor *hypervisor, const struct definition *definition,
                          char **ret_xml, struct error *ret_error)
{
    const char *driver = hypervisor_driver(hypervisor);

    if (!driver)
        return error_set(ret_error, -ENOTCONN,
                         "%s can't be defined: the hypervisor has not been reached yet",
                         definition->name);
    return definition_make(driver, hypervisor->templates, definition, ret_xml, ret_error);
}
