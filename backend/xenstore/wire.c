/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The wire: messages out and in, each within its time. */
#include "wire.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/clock.h"

static int lose(struct xenstore *store, int result)
{
    store->lost = true;
    return result;
}

/* Waits until the connection is ready for `events`; -EAGAIN: time is up, or somebody wakes us. */
static int wait_ready(struct xenstore *store, short events, uint64_t deadline_ns, int wake_fd)
{
    struct pollfd fds[] = {{.fd = store->fd, .events = events}, {.fd = wake_fd, .events = POLLIN}};

    for (;;) {
        uint64_t now = clock_monotonic_ns();
        uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
        int milliseconds = deadline_ns == UINT64_MAX ? -1
                           : left > 3600000000000u   ? 3600000
                                                     : (int)((left + 999999) / 1000000);
        int count = poll(fds, 2, milliseconds);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        if (fds[0].revents)
            return 0;
        if (count == 0 && deadline_ns != UINT64_MAX && clock_monotonic_ns() < deadline_ns)
            continue;
        return -EAGAIN;
    }
}

static int send_all(struct xenstore *store, const char *data, size_t length, uint64_t deadline_ns)
{
    while (length > 0) {
        ssize_t sent = send(store->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        int result;

        if (sent < 0 && errno == ENOTSOCK) /* the kernel's own device */
            sent = write(store->fd, data, length);
        if (sent > 0) {
            data += sent;
            length -= (size_t)sent;
            continue;
        }
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN)
            return lose(store, -ENOTCONN);
        result = wait_ready(store, POLLOUT, deadline_ns, -1);
        if (result)
            return lose(store, result == -EAGAIN ? -ETIMEDOUT : -ENOTCONN);
    }
    return 0;
}

/* Reads what has come.  -EAGAIN: nothing. */
static int fill(struct xenstore *store)
{
    ssize_t got;

    if (store->taken > 0) {
        memmove(store->input, store->input + store->taken, store->filled - store->taken);
        store->filled -= store->taken;
        store->taken = 0;
    }
    do
        got = read(store->fd, store->input + store->filled, sizeof(store->input) - store->filled);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return -EAGAIN;
    if (got <= 0)
        return lose(store, -ENOTCONN);
    store->filled += (size_t)got;
    return 0;
}

/* The next whole message in the input; NULL: there is none yet. */
static const char *next_message(struct xenstore *store, struct xsd_sockmsg *ret_header,
                                int *ret_result)
{
    size_t there = store->filled - store->taken;
    const char *data = store->input + store->taken;

    *ret_result = 0;
    if (there < sizeof(*ret_header))
        return NULL;
    memcpy(ret_header, data, sizeof(*ret_header));
    if (ret_header->len > XENSTORE_VALUE_MAX) {
        *ret_result = lose(store, -ENOTCONN);
        return NULL;
    }
    if (there < sizeof(*ret_header) + ret_header->len)
        return NULL;
    store->taken += sizeof(*ret_header) + ret_header->len;
    return data + sizeof(*ret_header);
}

/* An event is "PATH\0TOKEN\0". */
static void queue_event(struct xenstore *store, const char *data, size_t length)
{
    const char *token = memchr(data, '\0', length);
    struct queued_token *queued;
    size_t size;

    if (!token++)
        return;
    size = strnlen(token, length - (size_t)(token - data));
    if (size == 0 || size >= XENSTORE_TOKEN_MAX)
        return;
    for (queued = store->first; queued; queued = queued->next)
        if (strlen(queued->token) == size && memcmp(queued->token, token, size) == 0)
            return;
    queued = calloc(1, sizeof(*queued));
    if (!queued) {
        store->lost = true; /* a lost event would never be made good; a new connection reads all */
        return;
    }
    memcpy(queued->token, token, size);
    *store->last = queued;
    store->last = &queued->next;
}

int wire_pump(struct xenstore *store, uint64_t deadline_ns, int wake_fd)
{
    struct xsd_sockmsg header;
    const char *data;
    bool any = false;
    int result;

    if (store->lost)
        return -ENOTCONN;
    for (;;) {
        while ((data = next_message(store, &header, &result)) != NULL) {
            /* an answer that nobody waits for any more cannot come: its connection was given up */
            if (header.type == XS_WATCH_EVENT)
                queue_event(store, data, header.len);
            any = true;
        }
        if (result || any)
            return result;
        result = fill(store);
        if (result == -EAGAIN && deadline_ns)
            result = wait_ready(store, POLLIN, deadline_ns, wake_fd);
        else if (result == -EAGAIN)
            return result;
        if (result)
            return result;
    }
}

/* Waits for the answer to a request; events that come meanwhile are queued. */
static const char *wait_answer(struct xenstore *store, uint32_t request, uint64_t deadline_ns,
                               struct xsd_sockmsg *ret_header, int *ret_result)
{
    for (;;) {
        const char *data;

        while ((data = next_message(store, ret_header, ret_result)) != NULL) {
            if (ret_header->type == XS_WATCH_EVENT)
                queue_event(store, data, ret_header->len);
            else if (ret_header->req_id == request)
                return data;
        }
        if (*ret_result)
            return NULL;
        *ret_result = fill(store);
        if (*ret_result == -EAGAIN) {
            *ret_result = wait_ready(store, POLLIN, deadline_ns, -1);
            if (*ret_result == -EAGAIN)
                *ret_result = -ETIMEDOUT;
        } else if (clock_monotonic_ns() > deadline_ns) {
            *ret_result = -ETIMEDOUT; /* events alone come */
        }
        if (*ret_result) {
            lose(store, *ret_result);
            return NULL;
        }
    }
}

static int error_number(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(xsd_errors); i++)
        if (strcmp(name, xsd_errors[i].errstring) == 0)
            return xsd_errors[i].errnum;
    return EIO;
}

int wire_request(struct xenstore *store, uint32_t type, const void *payload, size_t length,
                 char *ret_answer, size_t *ret_length)
{
    struct xsd_sockmsg header = {.type = type,
                                 .req_id = ++store->next_request,
                                 .tx_id = store->transaction,
                                 .len = (uint32_t)length};
    uint64_t deadline = clock_monotonic_ns() + XENSTORE_SECONDS * 1000000000ull;
    char message[sizeof(header) + XENSTORE_VALUE_MAX];
    const char *data;
    int result;

    if (store->lost)
        return -ENOTCONN;
    if (length > XENSTORE_VALUE_MAX)
        return -EINVAL;
    memcpy(message, &header, sizeof(header));
    memcpy(message + sizeof(header), payload, length);
    result = send_all(store, message, sizeof(header) + length, deadline);
    if (result)
        return result;
    data = wait_answer(store, header.req_id, deadline, &header, &result);
    if (!data)
        return result;
    memcpy(ret_answer, data, header.len);
    ret_answer[header.len] = '\0';
    *ret_length = header.len;
    if (header.type == XS_ERROR)
        return -error_number(ret_answer);
    return header.type == type ? 0 : lose(store, -ENOTCONN);
}
