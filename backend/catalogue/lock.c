/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Qubes' lock on its catalogue: a record lock on qubes.xml itself, shared to read, exclusive to
 * write.  As a save renames a new file over the old one, whoever got the lock must look whether the
 * file that was locked is still the one at that path, and else begin anew.
 *
 * Qubes' own lockf makes POSIX locks.  Ours are open-file-description locks: they conflict with
 * POSIX ones in both directions, but do not vanish when another thread closes the same file.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "qubesfs/clock.h"

/* Between two tries: short at first, as most hold it for moments only. */
#define POLL_LEAST_MS 1
#define POLL_MOST_MS  50

static int try_lock(int fd, bool exclusive)
{
    struct flock lock = {
        .l_type = exclusive ? F_WRLCK : F_RDLCK,
        .l_whence = SEEK_SET,
    };

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    return errno == EACCES ? -EAGAIN : -errno;
}

int lock_new_file(int fd)
{
    return try_lock(fd, true);
}

/* 0 when it is time for another try. */
static int wait_a_little(const char *path, const struct patience *patience, uint64_t until,
                         int *pause_ms, struct error *ret_error)
{
    struct pollfd cancel = {.fd = patience->cancel_fd, .events = POLLIN};

    if (clock_monotonic_ns() >= until)
        return error_set(ret_error, -ETIMEDOUT,
                         "%s: another program has kept it locked for %u s; end that program or try "
                         "again later",
                         path, patience->seconds);
    if (poll(&cancel, 1, *pause_ms) > 0)
        return error_set(ret_error, -ECANCELED, "%s: given up waiting for its lock", path);
    *pause_ms = *pause_ms < POLL_MOST_MS / 2 ? 2 * *pause_ms : POLL_MOST_MS;
    return 0;
}

/* 0: locked and in place.  -EAGAIN: try again at once, another file is there now. */
static int check_in_place(const char *path, int fd, struct stat *ret_status,
                          struct error *ret_error)
{
    struct stat there;

    if (fstat(fd, ret_status) < 0)
        return error_set(ret_error, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(ret_status->st_mode))
        return error_set(ret_error, -EINVAL, "%s: not a regular file", path);
    if (stat(path, &there) < 0)
        return errno == ENOENT ? -EAGAIN
                               : error_set(ret_error, -errno, "%s: %s", path, strerror(errno));
    return there.st_dev == ret_status->st_dev && there.st_ino == ret_status->st_ino ? 0 : -EAGAIN;
}

/* Opens and locks what is at the path now; -EAGAIN when that is another file by then. */
static int lock_once(const char *path, bool exclusive, const struct patience *patience,
                     uint64_t until, int *pause_ms, int *ret_fd, struct stat *ret_status,
                     struct error *ret_error)
{
    /* not blocking, in case somebody put a FIFO there */
    int flags = (exclusive ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd CLEANUP_CLOSE = open(path, flags);
    int result;

    if (fd < 0)
        return error_set(ret_error, -errno, "%s: %s", path, strerror(errno));
    for (;;) {
        result = check_in_place(path, fd, ret_status, ret_error);
        if (result)
            return result;
        result = try_lock(fd, exclusive);
        if (result == 0)
            break;
        if (result != -EAGAIN)
            return error_set(ret_error, result, "%s: cannot be locked: %s", path,
                             strerror(-result));
        result = wait_a_little(path, patience, until, pause_ms, ret_error);
        if (result)
            return result;
    }
    result = check_in_place(path, fd, ret_status, ret_error);
    if (result == 0)
        *ret_fd = MOVE_FD(fd);
    return result;
}

int lock_file(const char *path, bool exclusive, const struct patience *patience, int *ret_fd,
              struct stat *ret_status, struct error *ret_error)
{
    uint64_t until = clock_monotonic_ns() + (uint64_t)patience->seconds * 1000000000u;
    struct stat status;
    int fd = -1, pause_ms = POLL_LEAST_MS, result;

    /* replaced over and over must end as well, but one more look is always granted */
    for (unsigned tries = 0;; tries++) {
        result = lock_once(path, exclusive, patience, until, &pause_ms, &fd, &status, ret_error);
        if (result != -EAGAIN)
            break;
        if (tries > 0) {
            result = wait_a_little(path, patience, until, &pause_ms, ret_error);
            if (result)
                return result;
        }
    }
    if (result)
        return result;
    *ret_fd = fd;
    *ret_status = status;
    return 0;
}
