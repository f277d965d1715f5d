/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a program asks of the system, and what may be refused: linked in front of the code under
 * test with -Wl,--wrap (see the Makefile).  While armed, calls of a kind are counted, and one of
 * them fails.  The test's own calls are not meant: this comes before its other headers.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum fault { FAULT_NONE, FAULT_MEMORY, FAULT_THREAD, FAULT_DESCRIPTOR, FAULT_READ };

static _Atomic(enum fault) fault_armed;
static atomic_ulong fault_count, fault_at;

/* The call with this number fails, from 1; 0: none does, they are counted. */
static inline void fault_arm(enum fault fault, unsigned long at)
{
    atomic_store(&fault_count, 0);
    atomic_store(&fault_at, at);
    atomic_store(&fault_armed, fault);
}

/* How many calls there were. */
static inline unsigned long fault_disarm(void)
{
    atomic_store(&fault_armed, FAULT_NONE);
    return atomic_load(&fault_count);
}

static inline bool fault_hits(enum fault fault)
{
    return atomic_load(&fault_armed) == fault &&
           atomic_fetch_add(&fault_count, 1) + 1 == atomic_load(&fault_at);
}

/* WRAP(fault, error, what it returns then, type, name, (parameters), (arguments)) */
#define WRAP(fault, code, failed, type, name, parameters, arguments)                               \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        if (fault_hits(fault)) {                                                                   \
            errno = code;                                                                          \
            return failed;                                                                         \
        }                                                                                          \
        return __real_##name arguments;                                                            \
    }

WRAP(FAULT_MEMORY, ENOMEM, NULL, void *, malloc, (size_t size), (size))
WRAP(FAULT_MEMORY, ENOMEM, NULL, void *, calloc, (size_t count, size_t size), (count, size))
WRAP(FAULT_MEMORY, ENOMEM, NULL, void *, realloc, (void *old, size_t size), (old, size))
WRAP(FAULT_MEMORY, ENOMEM, NULL, void *, reallocarray, (void *old, size_t count, size_t size),
     (old, count, size))
WRAP(FAULT_MEMORY, ENOMEM, NULL, char *, strdup, (const char *text), (text))
WRAP(FAULT_MEMORY, ENOMEM, NULL, char *, strndup, (const char *text, size_t length), (text, length))
WRAP(FAULT_MEMORY, ENOMEM, -1, int, vasprintf, (char **to, const char *format, va_list list),
     (to, format, list))
WRAP(FAULT_MEMORY, ENOMEM, MAP_FAILED, void *, mmap64,
     (void *address, size_t size, int protection, int flags, int fd, off_t offset),
     (address, size, protection, flags, fd, offset))
WRAP(FAULT_THREAD, EAGAIN, EAGAIN, int, pthread_create,
     (pthread_t * id, const pthread_attr_t *how, void *(*run)(void *), void *cookie),
     (id, how, run, cookie))
WRAP(FAULT_DESCRIPTOR, EMFILE, NULL, FILE *, fopen64, (const char *path, const char *mode),
     (path, mode))
WRAP(FAULT_READ, EIO, -1, ssize_t, pread64, (int fd, void *data, size_t length, off_t offset),
     (fd, data, length, offset))

int __real_asprintf(char **to, const char *format, ...);
int __wrap_asprintf(char **to, const char *format, ...);
int __wrap_asprintf(char **to, const char *format, ...)
{
    va_list list;
    int result;

    if (fault_hits(FAULT_MEMORY)) {
        errno = ENOMEM;
        return -1;
    }
    va_start(list, format);
    result = __real_vasprintf(to, format, list);
    va_end(list);
    return result;
}

/* the mode is only there when a file may be made */
#define WRAP_OPEN(name, parameters, arguments)                                                     \
    int __real_##name parameters;                                                                  \
    int __wrap_##name parameters;                                                                  \
    int __wrap_##name parameters                                                                   \
    {                                                                                              \
        va_list list;                                                                              \
        mode_t mode = 0;                                                                           \
                                                                                                   \
        if (fault_hits(FAULT_DESCRIPTOR)) {                                                        \
            errno = EMFILE;                                                                        \
            return -1;                                                                             \
        }                                                                                          \
        va_start(list, flags);                                                                     \
        if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE)                                   \
            mode = va_arg(list, mode_t);                                                           \
        va_end(list);                                                                              \
        return __real_##name arguments;                                                            \
    }

WRAP_OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
WRAP_OPEN(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode))

#define malloc       __real_malloc
#define calloc       __real_calloc
#define realloc      __real_realloc
#define reallocarray __real_reallocarray
#define strdup       __real_strdup
#define asprintf     __real_asprintf
#define fopen        __real_fopen64
#define open         __real_open64

#endif
