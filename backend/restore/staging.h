/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Staging: where restored directories grow before they are moved into place as a whole.
 *
 *     STATE/restore/ID/           one restore's; locked (flock) as long as it lives
 *         journal                 what there is elsewhere, and what is to be moved where
 *         0, 1, ...               the directories that will be moved
 *     PARENT/.qubesfs-restore-ID/ the same for targets on another file system than STATE
 *
 *     RECEIVING   nothing outside of the staging directories has changed
 *     COMMITTING  some directories may be in place; whether the restore holds is told by the
 *                 catalogue: it has the VMs that the journal names, or not (without VMs: by the
 *                 first directory, which is in its place or not)
 */
#ifndef RESTORE_STAGING_H
#define RESTORE_STAGING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "qubesfs/error.h"

enum staging_phase { STAGING_RECEIVING, STAGING_COMMITTING };

/** A directory that will be moved as a whole. */
struct staged {
    char *target;      /* where to, with root */
    char *path;        /* where it grows */
    uint64_t promised; /* bytes that it may take */
    ino_t inode;       /* its number, which it keeps when it is moved */
    int fd;            /* it, while it grows; -1 */
    bool moved;
};

/** A VM that the catalogue will hold if, and only if, the restore has been committed. */
struct staged_vm {
    char *name, *uuid;
};

struct staging {
    char *directory; /* STATE/restore/ID */
    int fd;          /* it, locked */
    char id[48];
    enum staging_phase phase;
    struct staged *items;
    size_t count;
    struct staged_vm *vms;
    size_t vm_count;
    char *catalogue;      /* which one will hold them, absolute where it can be known; NULL: not told */
    bool catalogue_there; /* it was there before */
    char **elsewhere; /* staging directories on other file systems */
    size_t elsewhere_count;
    char **parents; /* directories that had to be made, outer ones first */
    size_t parent_count;
};

/** Makes an empty staging directory below `state`.  To be given to staging_free, or rolled back. */
int staging_new(const char *state, struct staging **ret_staging, struct error *ret_error);
/** Adds a directory that is to become `target`, with up to `promised` bytes in it.  -EEXIST: there
 * is something already.  Its index is the number of those before. */
int staging_add(struct staging *staging, const char *target, uint64_t promised,
                struct error *ret_error);
/** Checks that there is room for all that was added (-ENOSPC), writes the journal and makes the
 * directories.  To be called once. */
int staging_prepare(struct staging *staging, struct error *ret_error);
/** A VM that the catalogue's save will bring. */
int staging_add_vm(struct staging *staging, const char *name, const char *uuid);

/** Which catalogue will bring them. */
int staging_set_catalogue(struct staging *staging, const char *path);

/** The journal's next state, durably. */
int staging_set_phase(struct staging *staging, enum staging_phase phase, struct error *ret_error);
/** Moves all directories to their targets, durably; none is overwritten: -EEXIST.  After a failure
 * some may have been moved: staging_remove takes them back. */
int staging_move(struct staging *staging, struct error *ret_error);
/** Removes the staging, and with `take_back` all that was moved out of it as well.  What could not
 * be removed is left for the next start, with its journal; 0 or a negative errno. */
int staging_remove(struct staging *staging, bool take_back, struct error *ret_error);
/** Closes and frees it; removes nothing.  NULL is fine. */
void staging_free(struct staging *staging);

/** Takes what a dead daemon left at `name` in STATE/restore.  -EBUSY: another daemon lives with it.
 * -ENOENT: it has no journal, so there is nothing outside of it. */
int staging_adopt(const char *state, const char *name, struct staging **ret_staging,
                  struct error *ret_error);

/* journal.c */
int journal_write(const struct staging *staging, struct error *ret_error);
/** Fills in what the journal holds; -ENOENT: there is none. */
int journal_read(struct staging *staging, struct error *ret_error);
/** A copy of `string` at the end of a list. */
int strings_add(char ***strings, size_t *count, const char *string);
/** A new staged directory, `fd` -1, in the list. */
struct staged *staging_append(struct staging *staging, const char *target, const char *path);

/* place.c */
/** True if a directory can be moved between these two by rename. */
bool same_mount(const char *a, const char *b);
/** The nearest directory above `path` that is there; to be freed.  NULL: out of memory. */
char *nearest_directory(const char *path);
/** -ENOSPC when there is not the room for all items. */
int room_check(const struct staging *staging, struct error *ret_error);

#endif
