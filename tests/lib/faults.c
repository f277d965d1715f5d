/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * To be preloaded into a daemon: something happens at one of its calls that change a disk.
 *
 *   FAULTS_ARM    calls count from when this file exists (looked for at each)
 *   FAULTS_AT     which call it is, from 1; 0: none, they are only counted
 *   FAULTS_WHAT   `kill` (before the call), `killed` (after it), or an errno's number that it fails with
 *   FAULTS_LOG    each counted call adds a line here: its name and the path
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long calls;

static void note(const char *name, int fd, const char *path)
{
    const char *log = getenv("FAULTS_LOG");
    char line[2 * PATH_MAX], link[64], of_fd[PATH_MAX] = "";
    int file = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

    if (fd >= 0) {
        ssize_t length;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        length = readlink(link, of_fd, sizeof(of_fd) - 1);
        of_fd[length > 0 ? length : 0] = '\0';
    }
    snprintf(line, sizeof(line), "%s %s%s%s\n", name, of_fd, *of_fd && *path ? "/" : "", path);
    /* the system call itself: not to be counted */
    if (file >= 0) {
        syscall(SYS_write, file, line, strlen(line));
        close(file);
    }
}

/* True if it is to fail; `errno` is set then.  `ret_kill`: after the call. */
static int fault(const char *name, int fd, const char *path, int *ret_kill)
{
    const char *arm = getenv("FAULTS_ARM"), *at = getenv("FAULTS_AT"), *what = getenv("FAULTS_WHAT");
    struct stat status;

    *ret_kill = 0;
    if (!arm || stat(arm, &status))
        return 0;
    note(name, fd, path);
    if (!at || atol(at) != atomic_fetch_add(&calls, 1) + 1)
        return 0;
    if (strcmp(what, "kill") == 0)
        kill(getpid(), SIGKILL);
    *ret_kill = strcmp(what, "killed") == 0;
    errno = atoi(what);
    return errno != 0;
}

#define WRAP(name, fd, path, parameters, arguments)                                                \
    int name parameters;                                                                           \
    int name parameters                                                                            \
    {                                                                                              \
        int (*real) parameters = (int(*) parameters)dlsym(RTLD_NEXT, #name);                       \
        int dies, result;                                                                          \
                                                                                                   \
        if (fault(#name, fd, path, &dies))                                                         \
            return -1;                                                                             \
        result = real arguments;                                                                   \
        if (dies)                                                                                  \
            kill(getpid(), SIGKILL);                                                               \
        return result;                                                                             \
    }

WRAP(fsync, fd, "", (int fd), (fd))
WRAP(syncfs, fd, "", (int fd), (fd))
WRAP(ftruncate64, fd, "", (int fd, off_t length), (fd, length))
WRAP(rename, -1, to, (const char *from, const char *to), (from, to))
WRAP(renameat, to_fd, to, (int from_fd, const char *from, int to_fd, const char *to),
     (from_fd, from, to_fd, to))
WRAP(renameat2, to_fd, to,
     (int from_fd, const char *from, int to_fd, const char *to, unsigned flags),
     (from_fd, from, to_fd, to, flags))
WRAP(unlinkat, fd, path, (int fd, const char *path, int flags), (fd, path, flags))
WRAP(rmdir, -1, path, (const char *path), (path))
WRAP(mkdir, -1, path, (const char *path, mode_t mode), (path, mode))
WRAP(mkdirat, fd, path, (int fd, const char *path, mode_t mode), (fd, path, mode))

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset)
{
    ssize_t (*real)(int, const void *, size_t, off64_t) =
        (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    int dies;
    ssize_t result;

    if (fault("pwrite", fd, "", &dies))
        return -1;
    result = real(fd, data, length, offset);
    if (dies)
        kill(getpid(), SIGKILL);
    return result;
}
