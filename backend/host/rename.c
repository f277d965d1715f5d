/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM gets another name: in the catalogue at once, with all that refers to it; its directory, its
 * definition and the backup plans follow.  What is to follow is written down first
 * (STATE/renames/QID), so that it is done even when the daemon or the machine ends in between.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "edits.h"
#include "qubesfs/log.h"

#define NOTE_BYTES_MAX 65536

/* What a rename is about.  Strings are owned. */
struct renaming {
    int qid;
    char *uuid, *old_name, *new_name;
    /* on this host, with root; NULL: none to be moved.  The VM's own, and those of R4's pools */
    char *from[4], *to[4];
    size_t count;
};

static void renaming_free(struct renaming *renaming)
{
    free(renaming->uuid);
    free(renaming->old_name);
    free(renaming->new_name);
    for (size_t i = 0; i < renaming->count; i++) {
        free(renaming->from[i]);
        free(renaming->to[i]);
    }
}

#define CLEANUP_RENAMING CLEANUP(renaming_free)

/* Adds a directory that has the VM's name; others stay where they are.  0 or -ENOMEM. */
static int add_directory(struct renaming *renaming, const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    char *from, *to;

    if (!slash || strcmp(slash + 1, renaming->old_name) != 0 ||
        renaming->count == ARRAY_SIZE(renaming->from))
        return 0;
    for (size_t i = 0; i < renaming->count; i++)
        if (strcmp(renaming->from[i], path) == 0)
            return 0;
    from = strdup(path);
    to = text_format("%.*s/%s", (int)(slash - path), path, renaming->new_name);
    if (!from || !to) {
        free(from);
        free(to);
        return -ENOMEM;
    }
    renaming->from[renaming->count] = from;
    renaming->to[renaming->count++] = to;
    return 0;
}

/* What the rename of this VM is about. */
static int plan(struct host *host, const struct host_snapshot *snapshot, const struct vm *vm,
                const char *new_name, struct renaming *ret_renaming)
{
    static const char *const volumes[] = {"root", "private", "volatile"};
    char *directory CLEANUP_FREE = entry_directory(host, vm->entry);
    int result;

    *ret_renaming = (struct renaming){.qid = vm->entry->qid,
                                      .uuid = strdup(vm->uuid),
                                      .old_name = strdup(vm->name),
                                      .new_name = strdup(new_name)};
    if (!ret_renaming->uuid || !ret_renaming->old_name || !ret_renaming->new_name)
        return -ENOMEM;
    result = add_directory(ret_renaming, directory);
    for (size_t i = 0; !result && vm->entry->form == CATALOGUE_R4 && i < ARRAY_SIZE(volumes); i++) {
        char *path CLEANUP_FREE = volume_path(host, snapshot->catalogue, vm->entry, volumes[i]);

        if (path && strncmp(path, "/dev/", 5) != 0)
            result = add_directory(ret_renaming, dirname(path));
    }
    return result;
}

static char *note_path(const struct host *host, int qid)
{
    return text_format("%s/renames/%d", host->state, qid);
}

static int sync_directory(const char *path)
{
    int fd CLEANUP_CLOSE = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int write_note(const struct host *host, const struct renaming *renaming)
{
    char *directory CLEANUP_FREE = text_format("%s/renames", host->state);
    char *path CLEANUP_FREE = note_path(host, renaming->qid);
    char *new_path CLEANUP_FREE = path ? text_format("%s.new", path) : NULL;
    struct text text CLEANUP_TEXT = TEXT_INIT;
    int fd CLEANUP_CLOSE = -1;

    text_printf(&text, "qid=%d\nuuid=%s\nold=%s\nnew=%s\n", renaming->qid, renaming->uuid,
                renaming->old_name, renaming->new_name);
    for (size_t i = 0; i < renaming->count; i++)
        text_printf(&text, "from=%s\nto=%s\n", renaming->from[i], renaming->to[i]);
    if (!directory || !new_path || text_status(&text))
        return -ENOMEM;
    /* what can't be made can't be opened */
    (void)!mkdir(host->state, 0700);
    (void)!mkdir(directory, 0700);
    fd = open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (write(fd, text.data, text.length) != (ssize_t)text.length)
        return -EIO;
    if (fsync(fd) < 0 || rename(new_path, path) < 0)
        return -errno;
    return sync_directory(directory);
}

static void remove_note(const struct host *host, int qid)
{
    char *path CLEANUP_FREE = note_path(host, qid);

    if (path && unlink(path) < 0 && errno != ENOENT)
        log_warning("%s: %m", path);
}

static int take_line(struct renaming *renaming, char *line)
{
    char *value = strchr(line, '='), *copy;

    if (!value)
        return -EINVAL;
    *value++ = '\0';
    if (strcmp(line, "qid") == 0) {
        renaming->qid = atoi(value);
        return 0;
    }
    copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    if (strcmp(line, "uuid") == 0 && !renaming->uuid)
        renaming->uuid = copy;
    else if (strcmp(line, "old") == 0 && !renaming->old_name)
        renaming->old_name = copy;
    else if (strcmp(line, "new") == 0 && !renaming->new_name)
        renaming->new_name = copy;
    else if (strcmp(line, "from") == 0 && renaming->count < ARRAY_SIZE(renaming->from))
        renaming->from[renaming->count++] = copy;
    else if (strcmp(line, "to") == 0 && renaming->count > 0 && !renaming->to[renaming->count - 1])
        renaming->to[renaming->count - 1] = copy;
    else
        free(copy);
    return 0;
}

/* A note that was cut off is none: it is renamed into its place when it is whole. */
static int read_note(const char *path, struct renaming *ret_renaming)
{
    int fd CLEANUP_CLOSE = open(path, O_RDONLY | O_CLOEXEC);
    char *text CLEANUP_FREE = malloc(NOTE_BYTES_MAX + 1);
    struct renaming renaming = {.qid = -1};
    char *rest = text, *line;
    ssize_t length;
    int result = 0;

    if (fd < 0 || !text)
        return fd < 0 ? -errno : -ENOMEM;
    length = read(fd, text, NOTE_BYTES_MAX);
    if (length < 0)
        return -errno;
    text[length] = '\0';
    while (!result && (line = strsep(&rest, "\n")) != NULL)
        if (*line)
            result = take_line(&renaming, line);
    if (!result && (renaming.qid < 0 || !renaming.uuid || !renaming.old_name ||
                    !renaming.new_name || (renaming.count > 0 && !renaming.to[renaming.count - 1])))
        result = -EINVAL;
    if (result)
        renaming_free(&renaming);
    else
        *ret_renaming = renaming;
    return result;
}

/* Done already, or done now, or there is nothing to do. */
static int move_directory(const struct renaming *renaming, const char *from, const char *to)
{
    char *old_conf CLEANUP_FREE = text_format("%s/%s.conf", to, renaming->old_name);
    char *new_conf CLEANUP_FREE = text_format("%s/%s.conf", to, renaming->new_name);
    char *parent CLEANUP_FREE = strdup(to);

    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) < 0 && errno != ENOENT)
        return -errno;
    /* Qubes' own definition, which it makes anew at each start */
    if (old_conf && new_conf && rename(old_conf, new_conf) < 0 && errno != ENOENT)
        log_warning("%s: %m", old_conf);
    return parent ? sync_directory(dirname(parent)) : -ENOMEM;
}

/* All that follows when the catalogue has the new name. */
static int follow(struct host *host, const struct renaming *renaming, struct error *ret_error)
{
    const struct domain_key key = {renaming->uuid, renaming->old_name};
    struct host_listener listener;
    int result = 0, first = 0;

    for (size_t i = 0; i < renaming->count; i++) {
        result = move_directory(renaming, renaming->from[i], renaming->to[i]);
        if (result && result != -ENOENT) {
            error_set(ret_error, result,
                      "\"%s\" is renamed to \"%s\", but its directory %s could not be: %s; move it "
                      "by hand",
                      renaming->old_name, renaming->new_name, renaming->from[i], strerror(-result));
            first = first ? first : result;
        }
    }
    if (host->hypervisor) {
        struct error error;

        result = hypervisor_rename(host->hypervisor, &key, renaming->new_name,
                                   renaming->count ? renaming->from[0] : NULL,
                                   renaming->count ? renaming->to[0] : NULL, &error);
        if (result && !first) {
            first = result;
            error_set(ret_error, result,
                      "\"%s\" is renamed to \"%s\", but its definition could not be yet: %s",
                      renaming->old_name, renaming->new_name, error.text);
        }
    }
    pthread_mutex_lock(&host->lock);
    listener = host->listener;
    pthread_mutex_unlock(&host->lock);
    if (listener.renamed)
        listener.renamed(listener.cookie, renaming->old_name, renaming->new_name);
    return first;
}

/* Nothing that is in the way of what is to follow. */
static int check_directories(const struct renaming *renaming, struct error *ret_error)
{
    struct stat attributes;

    for (size_t i = 0; i < renaming->count; i++)
        if (lstat(renaming->to[i], &attributes) == 0)
            return error_set(ret_error, -EEXIST,
                             "\"%s\": it can't be called \"%s\": there is a directory %s; move it "
                             "away first",
                             renaming->old_name, renaming->new_name, renaming->to[i]);
    return 0;
}

/* What is to follow, written down; 0 or the refusal. */
static int prepare(struct host *host, const struct host_snapshot *snapshot, const struct vm *vm,
                   const char *new_name, struct renaming *ret_renaming, struct error *ret_error)
{
    int result = plan(host, snapshot, vm, new_name, ret_renaming);

    if (result)
        return error_set(ret_error, result, "out of memory");
    result = check_directories(ret_renaming, ret_error);
    if (result)
        return result;
    result = write_note(host, ret_renaming);
    if (result)
        error_set(ret_error, result, "what is to be renamed can't be written down in %s: %s",
                  host->state, strerror(-result));
    return result;
}

void rename_vm(struct host *host, const struct host_snapshot *snapshot, const struct vm *vm,
               struct catalogue_edit *edit)
{
    struct renaming renaming CLEANUP_RENAMING = {0};
    struct error error = {0};
    /* what the catalogue's rules refuse for sure they shall put in words */
    bool hopeless = vm_name_reason(edit->name) || host_find_vm(snapshot, edit->name) ||
                    edit->active || vm->vm_class == VM_CLASS_ADMIN;

    if (!hopeless && prepare(host, snapshot, vm, edit->name, &renaming, &edit->error))
        return;
    if (catalogue_edit(host->catalogue_path, host->root, EDIT_LOCK_SECONDS, host->edits.cancel_fd,
                       edit, 1, &error))
        edit->error = error;
    if (edit->error.code || hopeless) {
        if (!hopeless)
            remove_note(host, renaming.qid);
        return;
    }
    if (follow(host, &renaming, &error) == 0)
        remove_note(host, renaming.qid);
    /* the VM has its new name; what did not follow is told, and tried again */
    host_report(host, vm->identity, "rename", error.code ? &error : NULL);
    edits_show(host);
}

/* What of a rename is still to be done. */
static void redo(struct host *host, const struct catalogue *catalogue, const char *path)
{
    struct renaming renaming CLEANUP_RENAMING = {0};
    const struct catalogue_entry *entry;
    struct error error = {0};

    if (read_note(path, &renaming)) {
        log_warning("%s: not understood, and left as it is", path);
        return;
    }
    entry = catalogue_find(catalogue, renaming.new_name);
    /* not decided, or renamed or removed again since */
    if (!entry || entry->qid != renaming.qid) {
        remove_note(host, renaming.qid);
        return;
    }
    if (follow(host, &renaming, &error) == 0) {
        log_info("\"%s\" is renamed to \"%s\": done now", renaming.old_name, renaming.new_name);
        remove_note(host, renaming.qid);
    } else {
        log_warning("%s", error.text);
    }
}

void renames_redo(struct host *host)
{
    const struct host_snapshot *snapshot = host_snapshot(host);

    for (size_t i = 0; snapshot->catalogue && i < snapshot->catalogue->entry_count; i++) {
        int qid = snapshot->catalogue->entries[i]->qid;
        char *path CLEANUP_FREE = note_path(host, qid);

        if (path && access(path, F_OK) == 0)
            redo(host, snapshot->catalogue, path);
    }
    host_snapshot_unref(snapshot);
}
