/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "qubesfs/log.h"

#define THREADS 4

/* How long the connection may take to end after its last mount. */
#define CONNECTION_END_MS 1000

/* A write up to this size may hold a passphrase: the receive buffer is wiped after it. */
#define WIPED_SIZE 8192

struct session {
    struct fs *fs;
    struct fuse_session *fuse;
    pthread_t threads[THREADS];
    size_t thread_count;
    int ended; /* eventfd: a thread saw the end of the connection */
    int signals;
    int mounts; /* /proc/self/mountinfo: readable as an exception when the mount table changes */
    char device[32]; /* "MAJOR:MINOR" of the mount, as mountinfo has it */
};

static void wake(int sig)
{
    (void)sig;
}

void session_block_signals(void)
{
    struct sigaction nothing = {.sa_handler = wake};
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    /* ends a thread's read of the device; no SA_RESTART */
    sigaction(SIGUSR2, &nothing, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void *serve(void *cookie)
{
    struct session *session = cookie;
    struct fuse_buf buffer = {0};
    uint64_t one = 1;

    pthread_setname_np(pthread_self(), "qfs-fuse");
    while (!fuse_session_exited(session->fuse)) {
        int size = fuse_session_receive_buf(session->fuse, &buffer);

        if (size == -EINTR || size == -EAGAIN)
            continue;
        if (size <= 0)
            break;
        fuse_session_process_buf(session->fuse, &buffer);
        if (size <= WIPED_SIZE && buffer.mem && !(buffer.flags & FUSE_BUF_IS_FD))
            explicit_bzero(buffer.mem, (size_t)size);
    }
    free(buffer.mem);
    if (write(session->ended, &one, sizeof(one)) < 0)
        log_error("cannot tell that the mount has ended: %m");
    return NULL;
}

/* libfuse's own words, kept for the one line that we say; it may tell a line in several calls. */
static char fuse_words[256];
static pthread_mutex_t fuse_words_lock = PTHREAD_MUTEX_INITIALIZER; /* guards them; a leaf */

static void PRINTF(2, 0)
    keep_words(enum fuse_log_level level, const char *format, va_list arguments)
{
    static bool line_ended;
    size_t length;

    (void)level;
    LOCK_SCOPE(&fuse_words_lock);
    if (line_ended)
        fuse_words[0] = '\0';
    length = strlen(fuse_words);
    vsnprintf(fuse_words + length, sizeof(fuse_words) - length, format, arguments);
    length += strcspn(fuse_words + length, "\n");
    line_ended = fuse_words[length] == '\n' || length == sizeof(fuse_words) - 1;
    fuse_words[length] = '\0';
    if (line_ended)
        log_debug("libfuse: %s", fuse_words);
}

/* mountinfo writes space, tab, newline and backslash as \ and three octal digits. */
static void decode_octal(char *path)
{
    char *to = path;

    for (const char *from = path; *from; to++) {
        unsigned value;
        int length = 0;

        if (sscanf(from, "\\%3o%n", &value, &length) == 1 && length == 4) {
            *to = (char)value;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* True if a living or dead qubesfs is mounted there; does not touch it. */
static bool is_ours(const char *mountpoint)
{
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    char *line CLEANUP_FREE = NULL;
    bool found = false;
    size_t size = 0;

    while (mounts && getline(&line, &size, mounts) > 0) {
        char place[4096], *type = strstr(line, " - ");

        if (!type || sscanf(line, "%*s %*s %*s %*s %4095s", place) != 1)
            continue;
        decode_octal(place);
        if (strcmp(place, mountpoint) == 0)
            found = strncmp(type, " - fuse.qubesfs ", 16) == 0;
    }
    if (mounts)
        fclose(mounts);
    return found;
}

/* The directory of a dead daemon's mount may still be answered from the kernel's cache; a file is
 * not. */
static bool is_alive(const char *mountpoint)
{
    char *version CLEANUP_FREE = NULL;
    struct stat attributes;

    return asprintf(&version, "%s/version", mountpoint) < 0 || stat(version, &attributes) == 0 ||
           errno != ENOTCONN;
}

static int prepare_mountpoint(const char *mountpoint, struct error *ret_error)
{
    struct stat attributes;
    bool ours = is_ours(mountpoint);

    errno = ENOTCONN;
    if (!(ours && !is_alive(mountpoint)) && stat(mountpoint, &attributes) == 0) {
        if (ours)
            return error_set(ret_error, -EBUSY,
                             "\"%s\" has a qubesfs mounted already; end it with: umount %s",
                             mountpoint, mountpoint);
        if (!S_ISDIR(attributes.st_mode))
            return error_set(ret_error, -ENOTDIR, "mount point \"%s\" is not a directory",
                             mountpoint);
        return 0;
    }
    if (errno != ENOTCONN)
        return error_set(ret_error, -errno, "mount point \"%s\": %s", mountpoint, strerror(errno));
    if (umount2(mountpoint, MNT_DETACH))
        return error_set(ret_error, -errno, "cannot remove the stale mount at \"%s\": %s",
                         mountpoint, strerror(errno));
    log_info("removed the stale mount at %s", mountpoint);
    return 0;
}

static int make_fuse(struct session *session, const char *fuse_options, struct error *ret_error)
{
    struct fuse_args arguments = FUSE_ARGS_INIT(0, NULL);
    int failed =
        fuse_opt_add_arg(&arguments, "qubesfs") ||
        fuse_opt_add_arg(&arguments, "-odefault_permissions,fsname=qubesfs,subtype=qubesfs") ||
        (geteuid() == 0 && fuse_opt_add_arg(&arguments, "-oallow_other,nosuid,nodev"));

    if (!failed && fuse_options)
        failed = fuse_opt_add_arg(&arguments, "-o") || fuse_opt_add_arg(&arguments, fuse_options);
    fuse_set_log_func(keep_words);
    if (!failed)
        session->fuse = fuse_session_new(&arguments, &operations, sizeof(operations), session->fs);
    fuse_opt_free_args(&arguments);
    if (!session->fuse)
        return error_set(ret_error, -EINVAL, "libfuse refused: %s",
                         fuse_words[0] ? fuse_words : "out of memory");
    return 0;
}

static int start_threads(struct session *session, struct error *ret_error)
{
    for (size_t i = 0; i < THREADS; i++) {
        int result = pthread_create(&session->threads[i], NULL, serve, session);

        if (result)
            return error_set(ret_error, -result, "cannot start a thread: %s", strerror(result));
        session->thread_count++;
    }
    return 0;
}

int session_start(struct fs *fs, const char *mountpoint, const char *fuse_options,
                  struct session **ret_session, struct error *ret_error)
{
    struct session *session;
    struct stat attributes;
    sigset_t set;
    int result = prepare_mountpoint(mountpoint, ret_error);

    if (result)
        return result;
    session = calloc(1, sizeof(*session));
    if (!session)
        return error_set(ret_error, -ENOMEM, "out of memory");
    session->fs = fs;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    session->signals = signalfd(-1, &set, SFD_CLOEXEC);
    session->ended = eventfd(0, EFD_CLOEXEC);
    session->mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (session->signals < 0 || session->ended < 0 || session->mounts < 0)
        result = error_set(ret_error, -errno, "cannot prepare to wait: %s", strerror(errno));
    if (!result)
        result = make_fuse(session, fuse_options, ret_error);
    if (!result && fuse_session_mount(session->fuse, mountpoint)) {
        result = error_set(ret_error, -EIO, "cannot mount at \"%s\": %s", mountpoint,
                           fuse_words[0] ? fuse_words : strerror(errno));
        fuse_session_destroy(session->fuse);
        session->fuse = NULL;
    }
    if (!result) {
        fs->session = session->fuse;
        result = start_threads(session, ret_error);
    }
    if (!result && stat(mountpoint, &attributes))
        result = error_set(ret_error, -errno, "the mount at \"%s\" does not answer: %s", mountpoint,
                           strerror(errno));
    if (result) {
        session_end(session);
        session_free(session);
        return result;
    }
    snprintf(session->device, sizeof(session->device), "%u:%u", major(attributes.st_dev),
             minor(attributes.st_dev));
    *ret_session = session;
    return 0;
}

/* Reading it also arms the next exception. */
static bool still_mounted(struct session *session)
{
    struct text table CLEANUP_TEXT = TEXT_INIT;
    char block[16384], wanted[40];
    ssize_t size;

    lseek(session->mounts, 0, SEEK_SET);
    while ((size = read(session->mounts, block, sizeof(block))) > 0)
        text_append(&table, block, (size_t)size);
    snprintf(wanted, sizeof(wanted), " %s ", session->device);
    return size < 0 || text_status(&table) || !table.data || strstr(table.data, wanted);
}

void session_wait(struct session *session, void (*refresh)(struct fs *fs))
{
    struct pollfd waits[] = {
        {.fd = session->signals, .events = POLLIN},
        {.fd = session->ended, .events = POLLIN},
        {.fd = session->mounts, .events = POLLPRI},
    };

    while (still_mounted(session)) {
        struct signalfd_siginfo info;

        if (poll(waits, ARRAY_SIZE(waits), -1) < 0 && errno != EINTR)
            return;
        if (waits[1].revents)
            return;
        if (waits[0].revents && read(session->signals, &info, sizeof(info)) == sizeof(info)) {
            if (info.ssi_signo != SIGHUP)
                return;
            refresh(session->fs);
        }
    }
}

/*
 * libfuse unmounts by path, unless it sees that its connection has ended; and it ends a moment
 * after the last mount has gone.  Where others have unmounted us, something else may be mounted at
 * the path already, the next qubesfs for one: that must stay.
 */
static void unmount(struct session *session)
{
    struct pollfd connection = {.fd = fuse_session_fd(session->fuse)};
    bool others_did = session->device[0] && !still_mounted(session);

    if (others_did && poll(&connection, 1, CONNECTION_END_MS) != 1) {
        log_debug("unmounted here, still mounted elsewhere");
        return;
    }
    fuse_session_unmount(session->fuse);
}

void session_end(struct session *session)
{
    if (!session || !session->fuse)
        return;
    fuse_session_exit(session->fuse);
    for (size_t i = 0; i < session->thread_count; i++) {
        struct timespec until;

        /* a thread may come to its read just after the signal: again until it has ended */
        do {
            pthread_kill(session->threads[i], SIGUSR2);
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec += 20000000;
            if (until.tv_nsec >= 1000000000) {
                until.tv_nsec -= 1000000000;
                until.tv_sec++;
            }
        } while (pthread_timedjoin_np(session->threads[i], NULL, &until) == ETIMEDOUT);
    }
    session->thread_count = 0;
    unmount(session);
}

void session_free(struct session *session)
{
    if (!session)
        return;
    if (session->fuse)
        fuse_session_destroy(session->fuse);
    close(session->signals);
    close(session->ended);
    close(session->mounts);
    free(session);
}
