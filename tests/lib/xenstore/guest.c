/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest XENSTORED_PID DOMAIN: speaks with xenstored over the domain's ring, so with that guest's
 * rights.
 *
 * Each line of its input is one request, its answer a line of output ("error ENOENT" where it
 * failed): read PATH | write PATH VALUE | mkdir PATH | rm PATH flood COUNT PATH...     COUNT writes
 * of other values, in turn to each PATH, as fast as it goes hold SECONDS PATH...    the same until
 * so long after, 10000 a second at most In VALUE, \xNN is a byte.  The environment has
 * XENSTORE_DOMAINS.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <xen/io/xs_wire.h>

#define ANSWER_SECONDS 30
#define PER_SECOND     10000

static volatile struct xenstore_domain_interface *ring;
static pid_t xenstored;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void kick(void)
{
    if (kill(xenstored, SIGUSR1)) {
        fprintf(stderr, "xenstored has gone\n");
        exit(2);
    }
}

/* A moment for the other side; ends the program when nothing moves for long. */
static void pause_for(uint64_t began)
{
    const struct timespec moment = {.tv_nsec = 50000};

    if (now_ns() - began > ANSWER_SECONDS * 1000000000ull) {
        fprintf(stderr, "no answer\n");
        exit(2);
    }
    nanosleep(&moment, NULL);
}

static void put(const void *data, size_t length)
{
    const char *from = data;

    while (length-- > 0) {
        uint64_t began = now_ns();

        while (ring->req_prod - ring->req_cons == XENSTORE_RING_SIZE) {
            kick();
            pause_for(began);
        }
        ring->req[MASK_XENSTORE_IDX(ring->req_prod)] = *from++;
        __sync_synchronize();
        ring->req_prod++;
    }
}

static void get(void *ret_data, size_t length)
{
    char *to = ret_data;

    while (length-- > 0) {
        uint64_t began = now_ns();

        while (ring->rsp_prod == ring->rsp_cons)
            pause_for(began);
        __sync_synchronize();
        *to++ = ring->rsp[MASK_XENSTORE_IDX(ring->rsp_cons)];
        ring->rsp_cons++;
    }
}

static bool request(uint32_t type, const char *path, const char *value, size_t value_length,
                    char *ret_answer)
{
    static uint32_t number;
    struct xsd_sockmsg header = {.type = type, .req_id = ++number};

    header.len = (uint32_t)(strlen(path) + 1 + value_length);
    put(&header, sizeof(header));
    put(path, strlen(path) + 1);
    put(value, value_length);
    kick();
    do {
        get(&header, sizeof(header));
        if (header.len > XENSTORE_PAYLOAD_MAX)
            exit(2);
        get(ret_answer, header.len);
        ret_answer[header.len] = '\0';
        kick();
    } while (header.type == XS_WATCH_EVENT);
    return header.type != XS_ERROR;
}

/* \xNN becomes a byte. */
static size_t unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; to++) {
        unsigned byte;

        if (sscanf(from, "\\x%2x", &byte) == 1) {
            *to = (char)byte;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
    return (size_t)(to - text);
}

static void flood(char *arguments, bool timed)
{
    char *paths[64], *place = NULL, answer[XENSTORE_PAYLOAD_MAX + 1], value[32];
    unsigned long amount = strtoul(strtok_r(arguments, " ", &place), NULL, 10), done = 0;
    uint64_t began = now_ns(), end = began + amount * 1000000000u;
    size_t count = 0;
    char *word;

    while (count < 64 && (word = strtok_r(NULL, " ", &place)) != NULL)
        paths[count++] = word;
    while (count && (timed ? now_ns() < end : done < amount)) {
        int size = snprintf(value, sizeof(value), "%lu", 1000000 + done);

        if (timed && done * (1000000000u / PER_SECOND) > now_ns() - began) {
            sched_yield();
            continue;
        }
        if (!request(XS_WRITE, paths[done++ % count], value, (size_t)size, answer))
            exit(1);
    }
    printf("%lu in %.3f s\n", done, (double)(now_ns() - began) / 1e9);
}

static void serve_line(char *line)
{
    char *command = line, *path = strchr(line, ' '), *value = NULL;
    char answer[XENSTORE_PAYLOAD_MAX + 1];
    uint32_t type = XS_READ;
    size_t length = 0;

    if (!path) {
        printf("error EINVAL\n");
        return;
    }
    *path++ = '\0';
    if (strcmp(command, "flood") == 0 || strcmp(command, "hold") == 0) {
        flood(path, *command == 'h');
        return;
    }
    if (strcmp(command, "write") == 0) {
        type = XS_WRITE;
        value = strchr(path, ' ');
        if (value)
            *value++ = '\0';
        length = value ? unescape(value) : 0;
    } else if (strcmp(command, "mkdir") == 0) {
        type = XS_MKDIR;
    } else if (strcmp(command, "rm") == 0) {
        type = XS_RM;
    }
    printf("%s%s\n", request(type, path, value ? value : "", length, answer) ? "" : "error ",
           answer);
}

int main(int argc, char **argv)
{
    const char *directory = getenv("XENSTORE_DOMAINS");
    char path[4096], *line = NULL;
    size_t size = 0;
    ssize_t length;
    int fd;

    if (argc != 3 || !directory) {
        fprintf(stderr, "usage: guest XENSTORED_PID DOMAIN\n");
        return 2;
    }
    xenstored = atoi(argv[1]);
    snprintf(path, sizeof(path), "%s/%s.ring", directory, argv[2]);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        perror(path);
        return 2;
    }
    ring = mmap(NULL, sizeof(*ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (ring == MAP_FAILED)
        return 2;
    while ((length = getline(&line, &size, stdin)) > 0) {
        if (line[length - 1] == '\n')
            line[length - 1] = '\0';
        serve_line(line);
        fflush(stdout);
    }
    free(line);
    return 0;
}
