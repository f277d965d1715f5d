/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Scoped release of memory, descriptors and locks (gcc and clang's cleanup attribute). */
#ifndef QUBESFS_CLEANUP_H
#define QUBESFS_CLEANUP_H

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))
#define PRINTF(string, first) __attribute__((format(printf, string, first)))
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

static inline void cleanup_free(void *pointer)
{
    free(*(void **)pointer);
}

static inline void cleanup_close(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void cleanup_unlock(pthread_mutex_t **lock)
{
    if (*lock)
        pthread_mutex_unlock(*lock);
}

static inline pthread_mutex_t *cleanup_lock(pthread_mutex_t *lock)
{
    if (pthread_mutex_lock(lock))
        abort();
    return lock;
}

#define CLEANUP_FREE  CLEANUP(cleanup_free)
#define CLEANUP_CLOSE CLEANUP(cleanup_close)

#define LOCK_NAME_2(line) scope_lock_##line
#define LOCK_NAME(line)   LOCK_NAME_2(line)
/** Holds `mutex` (a pthread_mutex_t *) until the end of the enclosing scope. */
#define LOCK_SCOPE(mutex)                                                                          \
    pthread_mutex_t *LOCK_NAME(__LINE__) CLEANUP(cleanup_unlock)                                   \
        __attribute__((unused)) = cleanup_lock(mutex)

/** Takes the pointer or descriptor out of a scoped variable, so that its cleanup does nothing. */
#define MOVE_POINTER(pointer)                                                                      \
    __extension__({                                                                                \
        __typeof__(pointer) moved_pointer_ = (pointer);                                            \
        (pointer) = NULL;                                                                          \
        moved_pointer_;                                                                            \
    })
#define MOVE_FD(fd)                                                                                \
    __extension__({                                                                                \
        int moved_fd_ = (fd);                                                                      \
        (fd) = -1;                                                                                 \
        moved_fd_;                                                                                 \
    })

#endif
