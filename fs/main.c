/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Start and stop order; into the background when, and only when, the mount answers. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "fs.h"
#include "options.h"
#include "qubesfs/clock.h"
#include "qubesfs/log.h"
#include "qubesfs/restore.h"
#include "ready.h"
#include "session.h"

#define STOP_SECONDS 5

static void vm_renamed(void *cookie, const char *old_name, const char *new_name)
{
    struct fs *fs = cookie;

    backup_vm_renamed(fs->backups, old_name, new_name);
    backup_service_flush(fs->backups);
}

static void host_changed(void *cookie, const struct host_snapshot *before,
                         const struct host_snapshot *after, const struct host_change *changes,
                         size_t change_count)
{
    struct fs *fs = cookie;

    vms_changed(fs, changes, change_count);
    if (before->devices == after->devices)
        devices_keep(fs, after);
    for (size_t i = 0; i < change_count; i++)
        if (changes[i].before && changes[i].after &&
            strcmp(changes[i].before->name, changes[i].after->name) != 0)
            backup_vm_renamed(fs->backups, changes[i].before->name, changes[i].after->name);
    if (memcmp(&before->error_changed, &after->error_changed, sizeof(struct timespec)) != 0)
        root_file_changed(fs, "error");
}

static void host_devices_changed(void *cookie, const struct host_snapshot *before,
                                 const struct host_snapshot *after)
{
    devices_changed(cookie, before, after);
}

static void journal_grew(void *cookie)
{
    root_file_changed(cookie, "events");
}

static void plan_file_changed(void *cookie, struct backup_plan *plan, const char *file_name)
{
    backups_file_changed(cookie, plan, file_name);
}

static void refresh(struct fs *fs)
{
    struct error error;

    if (host_refresh(fs->host, &error))
        log_warning("refresh: %s", error.text);
}

static void set_owner(struct fs *fs)
{
    const struct group *group = getgrnam("qubes");

    fs->tree.owner = geteuid();
    fs->tree.group = group && geteuid() == 0 ? group->gr_gid : getegid();
}

static int start(struct fs *fs, const struct options *options, struct session **ret_session,
                 struct error *ret_error)
{
    const struct host_options host_options = {
        .root = options->root,
        .catalogue_path = options->store,
        .catalogue_required = options->store_given,
        .connect = options->connect,
        .templates = options->templates,
        .xenstore = options->without_xenstore ? NULL : options->xenstore,
        .without_xenstore = options->without_xenstore,
        .state = options->state,
    };
    const struct host_listener host_listener = {fs, host_changed, host_devices_changed, vm_renamed,
                                                journal_grew};
    const struct backup_listener backup_listener = {fs, plan_file_changed};
    const struct host_snapshot *snapshot;
    char *state CLEANUP_FREE = NULL;
    struct error error;
    int result;

    fs->started = clock_wall_unique();
    fs->debug_changed = fs->started;
    set_owner(fs);
    notifier_init(fs);
    handles_init(fs);
    if (!options->state && asprintf(&state, "%s/var/lib/qubesfs", options->root) < 0)
        return error_set(ret_error, -ENOMEM, "out of memory");
    /* before anybody looks at the catalogue */
    if (restore_recover(options->state ? options->state : state, options->store, &error))
        log_error("a restore that was cut off is still there: %s", error.text);
    result = host_new(&host_options, &fs->host, ret_error);
    if (result)
        return result;
    result =
        backup_service_new(fs->host, options->root, options->store,
                           options->state ? options->state : state, &backup_listener, &fs->backups);
    if (!result)
        backup_service_set_kdf_memory(fs->backups, options->kdf_memory);
    if (!result)
        result = pool_new("qfs-disk", 16, &fs->workers);
    if (!result)
        result = pool_new("qfs-volume", 16, &fs->readers);
    if (!result)
        result = waits_start(fs);
    if (!result)
        result = tree_init(fs, &fs->tree, &root_type);
    if (!result) {
        snapshot = host_snapshot(fs->host);
        result = vms_populate(fs, snapshot);
        if (!result)
            result = devices_populate(fs, snapshot);
        host_snapshot_unref(snapshot);
    }
    if (result)
        return error_set(ret_error, result, "cannot start: %s", strerror(-result));
    /* before the mount: a refusal waits for the host's thread; what changes waits for the notifier
     */
    result = host_listen(fs->host, &host_listener);
    if (result)
        return error_set(ret_error, result, "cannot follow the host: %s", strerror(-result));
    result = session_start(fs, options->mountpoint, options->fuse_options, ret_session, ret_error);
    if (result)
        return result;
    result = notifier_start(fs, options->mountpoint);
    if (result)
        return error_set(ret_error, result, "the mount at \"%s\" does not answer: %s",
                         options->mountpoint, strerror(-result));
    return 0;
}

/*
 * Restores first, so that their writers hear that they were cancelled.  Then waiting requests: writers, since they may block the notifier, and readers of streams, which
 * so fail loudly.  Then the notifier, while the mount still answers it; then the mount.  What hangs
 * in a hypervisor ends with the process.
 */
static void stop(struct fs *fs, struct session *session, int status)
{
    bool hangs = false;

    if (fs->backups)
        backup_service_end_restores(fs->backups);
    waits_stop(fs, ENODEV);
    notifier_stop(fs);
    session_end(session);
    if (fs->workers && pool_stop(fs->workers, STOP_SECONDS))
        hangs = true;
    if (fs->readers && pool_stop(fs->readers, STOP_SECONDS))
        hangs = true;
    /* its streams end before the host that they use */
    if (!hangs)
        backup_service_end(fs->backups);
    if (fs->host && host_stop(fs->host, STOP_SECONDS))
        hangs = true;
    if (hangs) {
        log_warning("the hypervisor or a disk does not answer: not waiting for it");
        _exit(status);
    }
    /* the host's thread told it of renamed VMs until now */
    backup_service_free(fs->backups);
    host_snapshot_unref(fs->devices_shown);
    /* nobody answers any more; what was left open is closed, its secrets wiped */
    session_free(session);
    handles_close(fs);
    pool_free(fs->workers);
    pool_free(fs->readers);
}

/* The parent waits for one byte; without it, it fails as the child did. */
static int go_background(void)
{
    int ready[2];
    pid_t child;
    char byte;

    if (pipe2(ready, O_CLOEXEC))
        return -errno;
    child = fork();
    if (child < 0) {
        int result = -errno;

        close(ready[0]);
        close(ready[1]);
        return result;
    }
    if (child > 0) {
        close(ready[1]);
        _exit(read(ready[0], &byte, 1) == 1 ? 0 : 1);
    }
    close(ready[0]);
    setsid();
    return ready[1];
}

static void tell_parent(int ready)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (chdir("/"))
        log_warning("cannot leave the directory: %m");
    for (int fd = 0; fd <= 2 && null >= 0; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    if (write(ready, "", 1) != 1)
        log_warning("nobody waits for the mount");
    close(ready);
}

int main(int argc, char **argv)
{
    static struct fs fs; /* static: a hanging worker may outlive main's frame */
    struct options options;
    struct session *session = NULL;
    struct error error = {.text = "out of memory"};
    int result = options_read(argc, argv, &options, &error), parent = -1;

    if (result) {
        fprintf(stderr, "qubesfs: %s\n", error.text);
        return 1;
    }
    if (options.help || options.version) {
        fputs(options.help ? options_help : "qubesfs " QUBESFS_VERSION "\n", stdout);
        options_free(&options);
        return 0;
    }
    /* secrets pass through here: no core dumps, no ptrace by others */
    prctl(PR_SET_DUMPABLE, 0);
    umask(077);
    log_set_debug(options.debug);
    if (!options.foreground) {
        parent = go_background();
        if (parent < 0) {
            fprintf(stderr, "qubesfs: cannot go to the background: %s\n", strerror(-parent));
            return 1;
        }
        log_to_syslog();
    }
    session_block_signals();
    result = start(&fs, &options, &session, &error);
    if (result) {
        fprintf(stderr, "qubesfs: %s\n", error.text);
    } else {
        if (parent >= 0)
            tell_parent(parent);
        log_info("%s mounted at %s", QUBESFS_VERSION, options.mountpoint);
        ready_notify("READY=1");
        session_wait(session, refresh);
        ready_notify("STOPPING=1");
        log_info("ending");
    }
    stop(&fs, session, result ? 1 : 0);
    options_free(&options);
    return result ? 1 : 0;
}
