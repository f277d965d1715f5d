/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a killed daemon left is finished or removed, whole. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "qubesfs/catalogue.h"
#include "qubesfs/log.h"
#include "qubesfs/restore.h"
#include "qubesfs/text.h"
#include "staging.h"

#define LOCK_SECONDS 15

/* One VM is enough: they are saved together, and others may have removed some since. */
static bool holds_one(const struct catalogue *catalogue, const struct staging *staging)
{
    for (size_t i = 0; i < staging->vm_count; i++) {
        const struct catalogue_entry *entry = catalogue_find(catalogue, staging->vms[i].name);

        if (entry && strcmp(entry->uuid, staging->vms[i].uuid) == 0)
            return true;
    }
    return false;
}

static int is_committed(const struct staging *staging, const char *catalogue_path,
                        bool *ret_committed, struct error *ret_error)
{
    const struct catalogue *catalogue;
    struct stat status;
    int result;

    *ret_committed = false;
    if (staging->phase != STAGING_COMMITTING)
        return 0;
    if (staging->vm_count == 0) {
        *ret_committed = staging->count > 0 && lstat(staging->items[0].target, &status) == 0 &&
                         status.st_ino == staging->items[0].inode;
        return 0;
    }
    /* this start may have been given another catalogue */
    if (staging->catalogue)
        catalogue_path = staging->catalogue;
    result = catalogue_load(catalogue_path, LOCK_SECONDS, NULL, &catalogue, ret_error);
    /* where there was none, the save would have made it; where there was one, nobody can tell */
    if (result == -ENOENT && !staging->catalogue_there)
        return 0;
    if (result < 0)
        return result;
    *ret_committed = holds_one(catalogue, staging);
    catalogue_unref(catalogue);
    return 0;
}

static int recover_one(const char *state, const char *name, const char *catalogue_path,
                       struct error *ret_error)
{
    struct staging *staging;
    bool committed;
    int result = staging_adopt(state, name, &staging, ret_error);

    if (result == -EBUSY) /* a living daemon's */
        return 0;
    if (result < 0)
        return result;
    result = is_committed(staging, catalogue_path, &committed, ret_error);
    if (result == 0)
        result = staging_remove(staging, !committed, ret_error);
    if (result == 0)
        log_info("a restore that was cut off has been %s", committed ? "finished" : "taken back");
    staging_free(staging);
    return result;
}

static void close_directory(DIR **directory)
{
    if (*directory)
        closedir(*directory);
}

int restore_recover(const char *state, const char *catalogue_path, struct error *ret_error)
{
    char *path CLEANUP_FREE = text_format("%s/restore", state);
    int result = catalogue_remove_left(catalogue_path, ret_error);
    DIR *directory CLEANUP(close_directory) = path ? opendir(path) : NULL;
    struct dirent *entry;

    if (!directory && path && errno == ENOENT)
        return result;
    if (!directory)
        return error_set(ret_error, path ? -errno : -ENOMEM, "%s/restore can't be read: %s", state,
                         strerror(path ? errno : ENOMEM));
    while ((entry = readdir(directory)) != NULL) {
        struct error error;
        int one =
            entry->d_name[0] == '.' ? 0 : recover_one(state, entry->d_name, catalogue_path, &error);

        if (one < 0 && result == 0) {
            result = one;
            if (ret_error)
                *ret_error = error;
        }
    }
    return result;
}
