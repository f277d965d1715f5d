/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Edits of the catalogue's document under Qubes' lock.  A save never touches the old file: a new
 * one is written beside it, locked before it can be seen, and renamed over.  So a reader has the
 * old or the new state, and whoever waits for the old file's lock finds it replaced and begins
 * anew.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "qubesfs/disk.h"
#include "qubesfs/log.h"

static int sync_directory_of(const char *path)
{
    char copy[PATH_MAX];

    snprintf(copy, sizeof(copy), "%s", path);
    int fd CLEANUP_CLOSE = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* Whose a file is, and who may do what. */
struct owner {
    uid_t uid;
    gid_t gid;
    mode_t mode;
};

/* Everything that can fail happens to the new file before it has the catalogue's name. */
static int fill_new_file(int fd, const struct owner *owner, const char *data, size_t length)
{
    int result = lock_new_file(fd);

    if (result)
        return result;
    result = disk_write(fd, data, length);
    if (result)
        return result;
    /* the owner first: chown takes set-id bits away */
    if (fchown(fd, owner->uid, owner->gid) < 0) {
        struct stat made;

        if (fstat(fd, &made) < 0 || made.st_uid != owner->uid || made.st_gid != owner->gid)
            return -EPERM;
    }
    if (fchmod(fd, owner->mode) < 0 || fsync(fd) < 0)
        return -errno;
    return 0;
}

/* Only where nothing is: -EEXIST otherwise. */
static int move_to_new(const char *temporary, const char *path)
{
    /* as a move, which is an event of its own for whoever watches for the file */
    return renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) ? -errno : 0;
}

/* Puts a new file at the path; `is_new`: there must be none yet. */
static int put_file(const char *path, bool is_new, const struct owner *owner, const char *data,
                    size_t length, struct error *ret_error)
{
    char temporary[PATH_MAX];
    int result;

    if (snprintf(temporary, sizeof(temporary), "%s" CATALOGUE_LEFT "XXXXXX", path) >= (int)sizeof(temporary))
        return error_set(ret_error, -ENAMETOOLONG, "%s: %s", path, strerror(ENAMETOOLONG));
    /* its lock goes with this scope, that is: after the rename */
    int fd CLEANUP_CLOSE = mkostemp(temporary, O_CLOEXEC);

    if (fd < 0)
        return error_set(ret_error, -errno, "%s: cannot make a new file beside it: %s", path,
                         strerror(errno));
    result = fill_new_file(fd, owner, data, length);
    if (!result && is_new)
        result = move_to_new(temporary, path);
    else if (!result && rename(temporary, path) < 0)
        result = -errno;
    if (result) {
        unlink(temporary);
        return error_set(ret_error, result, "%s: cannot be saved: %s", path, strerror(-result));
    }
    /* the new state is in force already; that it outlives a power cut is all that is in doubt */
    result = sync_directory_of(path);
    if (result)
        log_warning("%s: saved, but its directory could not be synced: %s", path,
                    strerror(-result));
    return 0;
}

static int replace_file(const char *path, const struct stat *old, const char *data, size_t length,
                        struct error *ret_error)
{
    const struct owner owner = {old->st_uid, old->st_gid, old->st_mode & 07777};

    return put_file(path, false, &owner, data, length, ret_error);
}

int create_file(const char *path, const char *data, size_t length, struct error *ret_error)
{
    struct owner owner = {geteuid(), getegid(), 0660};
    char copy[PATH_MAX];
    struct stat directory;

    snprintf(copy, sizeof(copy), "%s", path);
    /* the group `qubes`, where the directory has it */
    if (stat(dirname(copy), &directory) == 0)
        owner.gid = directory.st_gid;
    return put_file(path, true, &owner, data, length, ret_error);
}

/* The edited document as bytes, proven to be a good catalogue still. */
static int print_checked(const char *path, xmlDoc *document, char **ret_data, size_t *ret_length,
                         struct error *ret_error)
{
    const struct catalogue *after;
    char *data CLEANUP_FREE = NULL;
    size_t length;
    int result;

    result = document_print(document, false, &data, &length);
    if (result)
        return error_set(ret_error, result, "%s: %s", path, strerror(-result));
    result = catalogue_parse(path, data, length, NULL, &after, ret_error);
    if (result)
        return result;
    catalogue_unref(after);
    *ret_data = MOVE_POINTER(data);
    *ret_length = length;
    return 0;
}

struct tree_edit {
    document_edit *edit;
    void *cookie;
};

/* As bytes_edit. */
static int edit_document(void *cookie, const char *path, const char *untrusted_data, size_t length,
                         char **ret_data, size_t *ret_length, struct error *ret_error)
{
    const struct tree_edit *tree = cookie;
    const struct catalogue *before;
    enum catalogue_form form;
    xmlDoc *document;
    int result;

    result = document_parse(path, untrusted_data, length, &document, ret_error);
    if (result)
        return result;
    result =
        catalogue_read_document(path, document, (struct timespec){0, 0}, NULL, &before, ret_error);
    if (!result) {
        form = before->form;
        catalogue_unref(before);
        result = tree->edit(tree->cookie, document, form, ret_error);
    }
    if (!result)
        result = print_checked(path, document, ret_data, ret_length, ret_error);
    xmlFreeDoc(document);
    return result;
}

int edit_bytes(const char *path, const struct patience *patience, bytes_edit *edit, void *cookie,
               struct error *ret_error)
{
    char *real CLEANUP_FREE = realpath(path, NULL);
    char *data CLEANUP_FREE = NULL;
    char *edited CLEANUP_FREE = NULL;
    int fd CLEANUP_CLOSE = -1;
    size_t length, edited_length = 0;
    struct stat status;
    int result;

    /* a symbolic link is followed, not replaced */
    if (!real)
        return error_set(ret_error, -errno, "%s: %s", path, strerror(errno));
    result = lock_file(real, true, patience, &fd, &status, ret_error);
    if (result)
        return result;
    result = read_whole_file(real, fd, &data, &length, ret_error);
    if (result)
        return result;
    result = edit(cookie, real, data, length, &edited, &edited_length, ret_error);
    if (result)
        return result;
    if (edited_length == length && memcmp(edited, data, length) == 0)
        return 0;
    return replace_file(real, &status, edited, edited_length, ret_error);
}

int edit_file(const char *path, unsigned seconds, document_edit *edit, void *cookie,
              struct error *ret_error)
{
    const struct patience patience = {.seconds = seconds, .cancel_fd = -1};
    struct tree_edit tree = {edit, cookie};

    return edit_bytes(path, &patience, edit_document, &tree, ret_error);
}
