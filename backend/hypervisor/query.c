/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The query thread, which alone says what is true: it owns the connection and its loss, sweeps and
 * looks in the order in which they were asked for, and tells the listener.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "qubesfs/clock.h"
#include "qubesfs/log.h"
#include "room.h"

#define SECOND_NS       1000000000ull
#define SWEEP_NS        (30 * SECOND_NS)
#define BACK_OFF_MIN_NS (SECOND_NS / 10)
#define BACK_OFF_MAX_NS (2 * SECOND_NS)
/* a try at a socket of this machine costs nothing, so it is seen soon when it answers again */
#define BACK_OFF_NEAR_NS (SECOND_NS / 2)

/* The query thread's own; nobody else sees it. */
struct query {
    struct hypervisor *hypervisor;
    virConnectPtr connection; /* NULL: none */
    struct connection_watch watch;
    struct domain **known; /* as told; sorted by uuid */
    size_t known_count, known_capacity;
    uint64_t next_sweep_ns;
    uint64_t back_off_ns, back_off_max_ns;
    bool told_disconnected;
};

static void set_state(struct hypervisor *hypervisor, bool connected, const struct error *error)
{
    LOCK_SCOPE(&hypervisor->lock);
    hypervisor->connected = connected;
    if (error)
        hypervisor->last_error = *error;
}

static void disconnected(struct query *query, const struct error *error)
{
    struct hypervisor *hypervisor = query->hypervisor;

    set_state(hypervisor, false, error);
    if (query->told_disconnected)
        return;
    query->told_disconnected = true;
    log_warning("%s", error->text);
    hypervisor->listener.disconnected(hypervisor->listener.cookie, error);
}

/* Lets the connection go; `error` (NULL: the room ends) is told. */
static void drop_connection(struct query *query, const struct error *error)
{
    struct hypervisor *hypervisor = query->hypervisor;
    virConnectPtr commands = NULL;

    if (!query->connection)
        return;
    if (error)
        disconnected(query, error);
    else
        set_state(hypervisor, false, NULL);
    pthread_mutex_lock(&hypervisor->lock);
    if (hypervisor->command_connection == query->connection) {
        commands = hypervisor->command_connection;
        hypervisor->command_connection = NULL;
    }
    pthread_mutex_unlock(&hypervisor->lock);
    if (commands)
        virConnectClose(commands);
    connection_unwatch(query->connection, &query->watch);
    virConnectClose(query->connection);
    query->connection = NULL;
    query->back_off_ns = BACK_OFF_MIN_NS;
}

/* To be called when a call failed: true if the connection died; it is dropped and told then. */
static bool dropped_dead(struct query *query)
{
    struct error error;

    connection_error(query->connection, &error, NULL,
                     "the connection to the hypervisor at %s is lost", query->hypervisor->uri);
    if (connection_alive(query->connection))
        return false;
    drop_connection(query, &error);
    return true;
}

/* Where the domain of that uuid is in `known`, or would be. */
static size_t place_of(const struct query *query, const char *uuid, bool *ret_found)
{
    size_t low = 0, high = query->known_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(query->known[middle]->uuid, uuid) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = low < query->known_count && strcmp(query->known[low]->uuid, uuid) == 0;
    return low;
}

static int compare_domains(const void *a, const void *b)
{
    return strcmp((*(struct domain *const *)a)->uuid, (*(struct domain *const *)b)->uuid);
}

static void forget(struct query *query)
{
    for (size_t i = 0; i < query->known_count; i++)
        domain_unref(query->known[i]);
    free(query->known);
    query->known = NULL;
    query->known_count = query->known_capacity = 0;
}

/* Puts `domain` (whose reference is taken) at `place`, over the old one or as a new one. */
static bool keep(struct query *query, size_t place, bool found, struct domain *domain)
{
    if (found) {
        domain_unref(query->known[place]);
        query->known[place] = domain;
        return true;
    }
    if (query->known_count == query->known_capacity) {
        size_t capacity = query->known_capacity ? 2 * query->known_capacity : 64;
        struct domain **grown = realloc(query->known, capacity * sizeof(*grown));

        if (!grown) {
            domain_unref(domain);
            return false;
        }
        query->known = grown;
        query->known_capacity = capacity;
    }
    memmove(query->known + place + 1, query->known + place,
            (query->known_count - place) * sizeof(*query->known));
    query->known[place] = domain;
    query->known_count++;
    return true;
}

static unsigned starting_flag(const struct query *query, const char *uuid)
{
    return start_is_at_work(query->hypervisor, uuid) ? READING_STARTING : 0;
}

/* A start of ours may begin or end between the question and the answer. */
static enum reading read_one(struct query *query, const char *uuid, struct domain *previous,
                             unsigned flags, struct domain **ret_domain)
{
    unsigned starting = starting_flag(query, uuid);
    enum reading result =
        reading_look(query->connection, uuid, previous, flags | starting, ret_domain);

    if (result != READING_DONE || (*ret_domain)->state != DOMAIN_PAUSED || starting ||
        !starting_flag(query, uuid))
        return result;
    domain_unref(*ret_domain);
    return reading_look(query->connection, uuid, previous, flags | READING_STARTING, ret_domain);
}

static void look(struct query *query, const char *uuid, bool redefined)
{
    const struct hypervisor_listener *listener = &query->hypervisor->listener;
    struct domain *previous, *domain;
    enum reading result;
    bool found;
    size_t place = place_of(query, uuid, &found);

    previous = found ? query->known[place] : NULL;
    result = read_one(query, uuid, previous, redefined ? READING_REDEFINED : 0, &domain);
    if (result == READING_FAILED) {
        log_debug("%s can't be looked at: %s", uuid, virGetLastErrorMessage());
        dropped_dead(query);
    } else if (result == READING_GONE && found) {
        memmove(query->known + place, query->known + place + 1,
                (query->known_count - place - 1) * sizeof(*query->known));
        query->known_count--;
        listener->gone(listener->cookie, uuid);
        domain_unref(previous);
    } else if (result == READING_DONE) {
        if (domain == previous)
            domain_unref(domain);
        else if (keep(query, place, found, domain))
            listener->changed(listener->cookie, domain);
    }
}

/* Reads one domain of a sweep; NULL: it is not there (any more). */
static struct domain *sweep_one(struct query *query, virDomainPtr handle, unsigned flags)
{
    struct domain *previous, *domain = NULL;
    char uuid[VIR_UUID_STRING_BUFLEN];
    size_t place;
    bool found;

    if (virDomainGetUUIDString(handle, uuid) < 0)
        return NULL;
    place = place_of(query, uuid, &found);
    previous = found ? query->known[place] : NULL;
    switch (reading_domain(handle, previous, flags | starting_flag(query, uuid), &domain)) {
    case READING_DONE:
        return domain;
    case READING_FAILED:
        log_debug("%s can't be looked at: %s", virDomainGetName(handle), virGetLastErrorMessage());
        return previous ? domain_ref(previous) : NULL;
    case READING_GONE:
        break;
    }
    return NULL;
}

/* Reads all domains and tells them; false: the connection died, or the room is to end. */
static bool sweep(struct query *query, unsigned flags)
{
    struct hypervisor *hypervisor = query->hypervisor;
    struct domain **domains;
    virDomainPtr *handles = NULL;
    size_t count = 0;
    bool going_on = true;
    struct error error;
    int listed;

    query->next_sweep_ns = clock_monotonic_ns() + SECOND_NS; /* if this one comes to nothing */
    listed = virConnectListAllDomains(query->connection, &handles, 0);
    if (listed < 0) {
        connection_error(query->connection, &error, "it is tried again by itself",
                         "the hypervisor at %s does not list its domains", hypervisor->uri);
        if (connection_alive(query->connection)) {
            disconnected(query, &error);
            return true;
        }
        drop_connection(query, &error);
        return false;
    }
    domains = calloc((size_t)listed + 1, sizeof(struct domain *));
    for (int i = 0; i < listed; i++) {
        if (domains && going_on) {
            domains[count] = sweep_one(query, handles[i], flags);
            count += domains[count] != NULL;
            going_on = !queue_stopping(hypervisor->queue) && connection_alive(query->connection);
        }
        virDomainFree(handles[i]);
    }
    free(handles);
    if (!domains)
        return true;
    qsort(domains, count, sizeof(struct domain *), compare_domains);
    if (going_on) {
        forget(query);
        query->known = domains;
        query->known_count = count;
        query->known_capacity = (size_t)listed + 1;
        query->told_disconnected = false;
        set_state(hypervisor, true, NULL);
        hypervisor->listener.all(hypervisor->listener.cookie, domains, count);
        query->next_sweep_ns = clock_monotonic_ns() + SWEEP_NS;
        return true;
    }
    for (size_t i = 0; i < count; i++)
        domain_unref(domains[i]);
    free(domains);
    dropped_dead(query);
    return false;
}

/* Notes the driver, and gives commands their connection where they share it. */
static void publish(struct query *query, const char *driver)
{
    struct hypervisor *hypervisor = query->hypervisor;
    bool embedded = strcasecmp(driver, "test") == 0;
    char *copy = strdup(driver);

    if (embedded)
        virConnectRef(query->connection);
    LOCK_SCOPE(&hypervisor->lock);
    if (hypervisor->driver)
        free(copy);
    else
        hypervisor->driver = copy;
    if (embedded)
        hypervisor->command_connection = query->connection;
}

/* One attempt to connect, and the first sweep. */
static bool connect_now(struct query *query)
{
    struct hypervisor *hypervisor = query->hypervisor;
    uint64_t newest;
    const char *driver;
    struct error error;

    if (connection_open(hypervisor->uri, &query->connection, &error) < 0) {
        disconnected(query, &error);
        return false;
    }
    connection_watch(query->connection, hypervisor->queue, &query->watch);
    driver = virConnectGetType(query->connection);
    if (!driver) {
        connection_error(query->connection, &error, NULL, "the hypervisor at %s does not answer",
                         hypervisor->uri);
        drop_connection(query, &error);
        return false;
    }
    publish(query, driver);
    log_info("connected to %s (%s)", hypervisor->uri, driver);
    /* whatever was asked before is answered by this sweep */
    newest = queue_newest(hypervisor->queue);
    if (!sweep(query, READING_REDEFINED | READING_LATE))
        return false;
#ifdef __GLIBC__
    /* the answers and definitions that made up many domains were several times as large as they */
    if (query->known_count > 1000)
        malloc_trim(0);
#endif
    queue_done(hypervisor->queue, newest);
    return true;
}

static void serve_one(struct query *query)
{
    struct hypervisor *hypervisor = query->hypervisor;
    struct queue_item item;

    queue_next(hypervisor->queue, query->next_sweep_ns, &item);
    switch (item.kind) {
    case QUEUE_STOP:
        break;
    case QUEUE_LOST:
        if (!connection_alive(query->connection)) { /* else it was an older one */
            struct error error;

            error_set(&error, -ENOTCONN,
                      "the connection to the hypervisor at %s is lost; it is made again by itself",
                      hypervisor->uri);
            drop_connection(query, &error);
        }
        break;
    case QUEUE_SWEEP:
        sweep(query, READING_REDEFINED);
        break;
    case QUEUE_LOOK:
        look(query, item.uuid, item.redefined);
        break;
    case QUEUE_TIMEOUT:
        sweep(query, 0);
        break;
    }
    if (item.ticket > 0)
        queue_done(hypervisor->queue, item.ticket);
}

/* True for a URI without a host name. */
static bool is_near(const char *uri)
{
    const char *host = strstr(uri, "://");

    return host && host[3] == '/';
}

void *query_thread(void *cookie)
{
    struct query query = {.hypervisor = cookie, .back_off_ns = BACK_OFF_MIN_NS};
    struct queue *queue = query.hypervisor->queue;

    pthread_setname_np(pthread_self(), "hypervisor");
    query.back_off_max_ns = is_near(query.hypervisor->uri) ? BACK_OFF_NEAR_NS : BACK_OFF_MAX_NS;
    while (!queue_stopping(queue)) {
        if (query.connection) {
            serve_one(&query);
        } else if (!connect_now(&query)) {
            /* who waits is to hear now that there is no connection */
            queue_done(queue, queue_newest(queue));
            queue_pause(queue, clock_monotonic_ns() + query.back_off_ns);
            query.back_off_ns *= 2;
            if (query.back_off_ns > query.back_off_max_ns)
                query.back_off_ns = query.back_off_max_ns;
        } else {
            query.back_off_ns = BACK_OFF_MIN_NS;
        }
    }
    drop_connection(&query, NULL);
    forget(&query);
    queue_ended(queue);
    return NULL;
}
