/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The XenStore client against a xenstored that misbehaves; mount tests run it with the real one. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/clock.h"
#include "xenstore/wire.h"

/* What the server does with each request. */
enum manner { ANSWER, SILENT, GARBAGE, CLOSE, FLOOD };

struct server {
    int listening;
    _Atomic int client;
    char path[108];
    pthread_t thread;
    _Atomic int manner; /* enum manner */
};

static void send_message(int fd, uint32_t type, uint32_t request, const char *data, size_t length)
{
    struct xsd_sockmsg header = {.type = type, .req_id = request, .len = (uint32_t)length};

    send(fd, &header, sizeof(header), MSG_NOSIGNAL);
    send(fd, data, length, MSG_NOSIGNAL);
}

static void answer(struct server *server, int fd, const struct xsd_sockmsg *header,
                   const char *payload)
{
    static const char names[] = "b\0a\0c", event[] = "/x\0token", other[] = "/y\0other";

    int manner = server->manner; /* clang 14 takes no atomic one in a switch */

    switch (manner) {
    case SILENT:
        return;
    case GARBAGE:
        send(fd, "0123456789abcdef0123456789abcdef", 32, MSG_NOSIGNAL);
        return;
    case FLOOD:
        for (unsigned i = 0; i < 1000; i++)
            send_message(fd, XS_WATCH_EVENT, 0, event, sizeof(event));
        send_message(fd, XS_WATCH_EVENT, 0, other, sizeof(other));
        break;
    default:
        break;
    }
    if (header->type == XS_DIRECTORY)
        send_message(fd, header->type, header->req_id, names, sizeof(names));
    else if (strcmp(payload, "/missing") == 0)
        send_message(fd, XS_ERROR, header->req_id, "ENOENT", 7);
    else if (strcmp(payload, "/nul") == 0)
        send_message(fd, header->type, header->req_id, "a\0b", 3);
    else if (header->type == XS_TRANSACTION_START)
        send_message(fd, header->type, header->req_id, "7", 2);
    else if (header->type == XS_TRANSACTION_END)
        send_message(fd, XS_ERROR, header->req_id, "EAGAIN", 7);
    else
        send_message(fd, header->type, header->req_id, "value", 5);
}

static void *serve(void *cookie)
{
    struct server *server = cookie;
    int fd;

    while ((fd = accept(server->listening, NULL, NULL)) >= 0) {
        struct xsd_sockmsg header;
        char payload[XENSTORE_PAYLOAD_MAX + 1];

        server->client = fd;
        while (server->manner != CLOSE &&
               recv(fd, &header, sizeof(header), MSG_WAITALL) == sizeof(header) &&
               recv(fd, payload, header.len, MSG_WAITALL) == (ssize_t)header.len) {
            payload[header.len] = '\0';
            answer(server, fd, &header, payload);
        }
        server->client = -1;
        close(fd);
    }
    return NULL;
}

static int setup(void **state)
{
    struct server *server = calloc(1, sizeof(*server));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *directory = getenv("TEST_TMP");

    snprintf(server->path, sizeof(server->path), "%s/xs.%d", directory ? directory : "/tmp",
             getpid());
    server->client = -1;
    unlink(server->path);
    strcpy(address.sun_path, server->path);
    server->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listening, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(server->listening, 5), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
    *state = server;
    return 0;
}

static int teardown(void **state)
{
    struct server *server = *state;

    /* also when a test has failed with a connection open */
    shutdown(server->listening, SHUT_RDWR);
    if (server->client >= 0)
        shutdown(server->client, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listening);
    unlink(server->path);
    free(server);
    return 0;
}

static struct xenstore *connected(struct server *server)
{
    struct xenstore *store = NULL;
    struct error error;

    assert_int_equal(xenstore_open(server->path, &store, &error), 0);
    return store;
}

static void test_requests(void **state)
{
    struct xenstore *store = connected(*state);
    struct xenstore_names names;
    char value[16], small[5];

    assert_int_equal(xenstore_read(store, "/a", value, sizeof(value)), 0);
    assert_string_equal(value, "value");
    assert_int_equal(xenstore_read(store, "/a", small, sizeof(small)), -EINVAL);
    assert_int_equal(xenstore_read(store, "/nul", value, sizeof(value)), -EINVAL);
    assert_int_equal(xenstore_read(store, "/missing", value, sizeof(value)), -ENOENT);
    assert_int_equal(xenstore_list(store, "/a", &names), 0);
    assert_int_equal(names.count, 3);
    assert_string_equal(names.names[0], "a");
    assert_string_equal(names.names[2], "c");
    xenstore_names_free(&names);
    assert_int_equal(xenstore_set_permissions(store, "/a", "n1 r0"), 0);
    xenstore_close(store);
}

static void test_too_long(void **state)
{
    struct xenstore *store = connected(*state);
    char value[XENSTORE_VALUE_MAX + 1];

    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    assert_int_equal(xenstore_write(store, "/a", value), -EINVAL);
    value[XENSTORE_VALUE_MAX - 3] = '\0';
    assert_int_equal(xenstore_write(store, "/a", value), 0);
    assert_false(xenstore_is_lost(store));
    xenstore_close(store);
}

/* Others are in the way for ever: it gives up. */
static void test_transaction(void **state)
{
    const struct xenstore_entry entries[] = {{"/a", "1", "n1 r0"}, {"/b", "2", NULL}};
    struct xenstore *store = connected(*state);

    assert_int_equal(xenstore_write_all(store, entries, 2), -EAGAIN);
    assert_false(xenstore_is_lost(store));
    xenstore_close(store);
}

static void test_silent(void **state)
{
    struct server *server = *state;
    struct xenstore *store = connected(server);
    char value[16];

    server->manner = SILENT;
    assert_int_equal(xenstore_read(store, "/a", value, sizeof(value)), -ETIMEDOUT);
    /* the late answer would be taken for another's */
    assert_true(xenstore_is_lost(store));
    assert_int_equal(xenstore_read(store, "/a", value, sizeof(value)), -ENOTCONN);
    xenstore_close(store);
}

static void test_garbage(void **state)
{
    struct server *server = *state;
    struct xenstore *store = connected(server);
    char value[16];

    server->manner = GARBAGE;
    assert_int_equal(xenstore_read(store, "/a", value, sizeof(value)), -ENOTCONN);
    assert_true(xenstore_is_lost(store));
    xenstore_close(store);
}

/* Events take no memory however many they are: one of each watch. */
static void test_flood(void **state)
{
    struct server *server = *state;
    struct xenstore *store = connected(server);
    char value[16], token[XENSTORE_TOKEN_MAX];

    server->manner = FLOOD;
    assert_int_equal(xenstore_read(store, "/a", value, sizeof(value)), 0);
    assert_string_equal(value, "value");
    assert_int_equal(xenstore_next(store, 1000, -1, token), 1);
    assert_string_equal(token, "token");
    assert_int_equal(xenstore_next(store, 1000, -1, token), 1);
    assert_string_equal(token, "other");
    assert_int_equal(xenstore_next(store, 0, -1, token), 0);
    xenstore_close(store);
}

struct followed {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    unsigned connects, disconnects;
};

static int follow_connected(void *cookie, struct xenstore *store)
{
    struct followed *followed = cookie;
    char value[16];
    int result = xenstore_read(store, "/a", value, sizeof(value));

    LOCK_SCOPE(&followed->lock);
    followed->connects += result == 0;
    pthread_cond_broadcast(&followed->moved);
    return result;
}

static int follow_event(void *cookie, struct xenstore *store, const char *token)
{
    (void)cookie;
    (void)store;
    (void)token;
    return 0;
}

static int follow_settle(void *cookie, struct xenstore *store, int *ret_milliseconds)
{
    (void)cookie;
    (void)store;
    *ret_milliseconds = -1;
    return 0;
}

static void follow_disconnected(void *cookie, const struct error *error)
{
    struct followed *followed = cookie;

    (void)error;
    LOCK_SCOPE(&followed->lock);
    followed->disconnects++;
    pthread_cond_broadcast(&followed->moved);
}

static void test_follow(void **state)
{
    struct server *server = *state;
    struct followed followed = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
    const struct xenstore_listener listener = {&followed, follow_connected, follow_event,
                                               follow_settle, follow_disconnected};
    struct xenstore_follower *follower = NULL;
    struct error error;

    server->manner = CLOSE;
    assert_int_equal(xenstore_follow(server->path, &listener, &follower), 0);
    pthread_mutex_lock(&followed.lock);
    while (followed.disconnects == 0)
        pthread_cond_wait(&followed.moved, &followed.lock);
    pthread_mutex_unlock(&followed.lock);
    assert_int_equal(xenstore_follow_again(follower, 60, &error), -ENOTCONN);
    /* it comes back by itself */
    server->manner = ANSWER;
    pthread_mutex_lock(&followed.lock);
    while (followed.connects == 0)
        pthread_cond_wait(&followed.moved, &followed.lock);
    assert_int_equal(followed.disconnects, 1); /* told once */
    pthread_mutex_unlock(&followed.lock);
    assert_int_equal(xenstore_follow_again(follower, 60, &error), 0);
    assert_int_equal(followed.connects, 2);
    xenstore_follow_stop(follower);
}

static void test_nobody(void **state)
{
    struct xenstore *store = NULL;
    struct error error;

    (void)state;
    assert_int_equal(xenstore_open("/nonexistent/socket", &store, &error), -ENOTCONN);
    assert_non_null(strstr(error.text, "/nonexistent/socket"));
    assert_null(store);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_requests),    TEST(test_too_long),
        TEST(test_transaction), TEST(test_silent),
        TEST(test_garbage),     TEST(test_flood),
        TEST(test_follow),      cmocka_unit_test(test_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
