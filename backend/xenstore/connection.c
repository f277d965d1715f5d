/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connecting, and the requests. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/clock.h"
#include "wire.h"

#define DEFAULT_DIRECTORY "/var/run/xenstored"
#define WRITE_ATTEMPTS    100

static int connect_socket(const char *path)
{
    uint64_t deadline = clock_monotonic_ns() + XENSTORE_SECONDS * 1000000000ull;
    const struct timespec moment = {.tv_nsec = 20000000};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd CLEANUP_CLOSE = -1;

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    while (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
        /* its queue of connections is full: it is busy, or has stopped */
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        if (clock_monotonic_ns() > deadline)
            return -ETIMEDOUT;
        nanosleep(&moment, NULL);
    }
    return MOVE_FD(fd);
}

static int connect_default(char *ret_path, size_t size)
{
    const char *given = getenv("XENSTORED_PATH"), *directory = getenv("XENSTORED_RUNDIR");
    int fd, error;

    if (given && *given)
        snprintf(ret_path, size, "%s", given);
    else
        snprintf(ret_path, size, "%s/socket", directory ? directory : DEFAULT_DIRECTORY);
    fd = connect_socket(ret_path);
    if (fd >= 0 || (given && *given))
        return fd;
    error = fd;
    fd = open("/dev/xen/xenbus", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    return fd >= 0 ? fd : error;
}

int xenstore_open(const char *path, struct xenstore **ret_store, struct error *ret_error)
{
    struct xenstore *store;
    char used[256] = "";
    int fd = path ? connect_socket(path) : connect_default(used, sizeof(used));

    if (fd < 0)
        return error_set(ret_error, -ENOTCONN, "XenStore cannot be reached at %s: %s",
                         path ? path : used, strerror(-fd));
    store = calloc(1, sizeof(*store));
    if (!store) {
        close(fd);
        return error_set(ret_error, -ENOMEM, "out of memory");
    }
    store->fd = fd;
    store->last = &store->first;
    *ret_store = store;
    return 0;
}

/* Takes an event out of the queue. */
static void drop_first(struct xenstore *store)
{
    struct queued_token *queued = store->first;

    store->first = queued->next;
    if (!store->first)
        store->last = &store->first;
    free(queued);
}

void xenstore_close(struct xenstore *store)
{
    if (!store)
        return;
    while (store->first)
        drop_first(store);
    close(store->fd);
    free(store);
}

bool xenstore_is_lost(const struct xenstore *store)
{
    return store->lost;
}

/* A request whose payload is one or two strings; the second without its NUL where `open`. */
static int request(struct xenstore *store, uint32_t type, const char *first, const char *second,
                   bool open, char *ret_answer, size_t *ret_length)
{
    char payload[XENSTORE_VALUE_MAX];
    size_t first_size = strlen(first) + 1, second_size = second ? strlen(second) + !open : 0;

    if (first_size > XENSTORE_ABS_PATH_MAX || first_size + second_size > sizeof(payload))
        return -EINVAL;
    memcpy(payload, first, first_size);
    if (second)
        memcpy(payload + first_size, second, second_size);
    return wire_request(store, type, payload, first_size + second_size, ret_answer, ret_length);
}

/* One that is answered "OK". */
static int simple(struct xenstore *store, uint32_t type, const char *first, const char *second,
                  bool open)
{
    char answer[XENSTORE_VALUE_MAX + 1];
    size_t length;

    return request(store, type, first, second, open, answer, &length);
}

int xenstore_read(struct xenstore *store, const char *path, char *ret_untrusted_value, size_t size)
{
    char answer[XENSTORE_VALUE_MAX + 1];
    size_t length;
    int result = request(store, XS_READ, path, NULL, false, answer, &length);

    if (result)
        return result;
    if (length >= size || memchr(answer, '\0', length))
        return -EINVAL;
    memcpy(ret_untrusted_value, answer, length);
    ret_untrusted_value[length] = '\0';
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int xenstore_list(struct xenstore *store, const char *path,
                  struct xenstore_names *ret_untrusted_names)
{
    char answer[XENSTORE_VALUE_MAX + 1];
    size_t length;
    int result;

    *ret_untrusted_names = (struct xenstore_names){0};
    result = request(store, XS_DIRECTORY, path, NULL, false, answer, &length);
    if (result == -E2BIG) {
        /* the first part of a directory that is too large: "GENERATION\0NAME\0..." */
        result = request(store, XS_DIRECTORY_PART, path, "0", false, answer, &length);
        if (!result) {
            size_t generation = strlen(answer) + 1;

            length = length > generation ? length - generation : 0;
            memmove(answer, answer + generation, length);
        }
    }
    if (result)
        return result;
    ret_untrusted_names->data = calloc(1, length + 1);
    ret_untrusted_names->names = calloc(XENSTORE_NAMES_MAX, sizeof(char *));
    if (!ret_untrusted_names->data || !ret_untrusted_names->names)
        return -ENOMEM;
    memcpy(ret_untrusted_names->data, answer, length);
    for (size_t place = 0; place < length && ret_untrusted_names->count < XENSTORE_NAMES_MAX;) {
        const char *name = ret_untrusted_names->data + place;

        if (*name)
            ret_untrusted_names->names[ret_untrusted_names->count++] = name;
        place += strlen(name) + 1;
    }
    qsort(ret_untrusted_names->names, ret_untrusted_names->count, sizeof(char *), by_name);
    return 0;
}

void xenstore_names_free(struct xenstore_names *names)
{
    free(names->data);
    free(names->names);
    *names = (struct xenstore_names){0};
}

int xenstore_write(struct xenstore *store, const char *path, const char *value)
{
    return simple(store, XS_WRITE, path, value, true);
}

int xenstore_mkdir(struct xenstore *store, const char *path)
{
    return simple(store, XS_MKDIR, path, NULL, false);
}

int xenstore_remove(struct xenstore *store, const char *path)
{
    return simple(store, XS_RM, path, NULL, false);
}

int xenstore_set_permissions(struct xenstore *store, const char *path, const char *permissions)
{
    char payload[XENSTORE_VALUE_MAX], answer[XENSTORE_VALUE_MAX + 1];
    int size = snprintf(payload, sizeof(payload), "%s %s", path, permissions);
    size_t length;

    if (size < 0 || (size_t)size >= sizeof(payload))
        return -EINVAL;
    /* each a string of its own */
    for (char *space = payload + strlen(path); space < payload + size; space++)
        if (*space == ' ')
            *space = '\0';
    return wire_request(store, XS_SET_PERMS, payload, (size_t)size + 1, answer, &length);
}

int xenstore_is_introduced(struct xenstore *store, unsigned domain)
{
    char number[16], answer[XENSTORE_VALUE_MAX + 1];
    size_t length;
    int result;

    snprintf(number, sizeof(number), "%u", domain);
    result = request(store, XS_IS_DOMAIN_INTRODUCED, number, NULL, false, answer, &length);
    return result ? result : answer[0] == 'T';
}

int xenstore_begin(struct xenstore *store)
{
    char answer[XENSTORE_VALUE_MAX + 1];
    size_t length;
    int result = request(store, XS_TRANSACTION_START, "", NULL, false, answer, &length);

    if (!result)
        store->transaction = (uint32_t)strtoul(answer, NULL, 10);
    return result;
}

static int end_transaction(struct xenstore *store, const char *how)
{
    int result = simple(store, XS_TRANSACTION_END, how, NULL, false);

    store->transaction = 0;
    return result;
}

int xenstore_commit(struct xenstore *store)
{
    return end_transaction(store, "T");
}

void xenstore_abort(struct xenstore *store)
{
    end_transaction(store, "F");
}

int xenstore_write_all(struct xenstore *store, const struct xenstore_entry *entries, size_t count)
{
    int result = -EAGAIN;

    for (unsigned attempt = 0; attempt < WRITE_ATTEMPTS && result == -EAGAIN; attempt++) {
        result = xenstore_begin(store);
        if (result)
            return result;
        for (size_t i = 0; i < count && !result; i++) {
            result = xenstore_write(store, entries[i].path, entries[i].value);
            if (!result && entries[i].permissions)
                result = xenstore_set_permissions(store, entries[i].path, entries[i].permissions);
        }
        if (!result)
            result = xenstore_commit(store);
        else
            xenstore_abort(store);
    }
    return result;
}

int xenstore_watch(struct xenstore *store, const char *path, const char *token)
{
    if (strlen(token) >= XENSTORE_TOKEN_MAX)
        return -EINVAL;
    return simple(store, XS_WATCH, path, token, false);
}

int xenstore_unwatch(struct xenstore *store, const char *path, const char *token)
{
    return simple(store, XS_UNWATCH, path, token, false);
}

int xenstore_next(struct xenstore *store, int milliseconds, int wake_fd, char *ret_token)
{
    uint64_t deadline =
        milliseconds < 0 ? UINT64_MAX : clock_monotonic_ns() + (uint64_t)milliseconds * 1000000u;
    int result = 0;

    while (!store->first && result == 0)
        result = wire_pump(store, milliseconds == 0 ? 0 : deadline, wake_fd);
    if (store->first && (result == 0 || result == -EAGAIN)) {
        memcpy(ret_token, store->first->token, XENSTORE_TOKEN_MAX);
        drop_first(store);
        return 1;
    }
    return result == -EAGAIN ? 0 : result;
}
