/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes that users write, on their way to the catalogue. */
#ifndef QUBESFS_HOST_EDITS_H
#define QUBESFS_HOST_EDITS_H

#include "internal.h"

/* edits.c */
int edits_init(struct edits *edits);
/** Nobody waits for the catalogue's lock any more. */
void edits_cancel(struct edits *edits);
void edits_free(struct edits *edits);
/** Returns when what is in the catalogue's file stands in the snapshot. */
void edits_show(struct host *host);

/** Has the worker look for renames that were cut off. */
void edits_redo_renames(struct host *host);

#define EDIT_LOCK_SECONDS 60 /* somebody who clones a large VM holds the lock for long */

/* rename.c: on the worker of edits.c */
/** Makes an edit of the kind CATALOGUE_RENAME, and all that follows; its `error` is filled. */
void rename_vm(struct host *host, const struct host_snapshot *snapshot, const struct vm *vm,
               struct catalogue_edit *edit);
/** Does what is still to be done of renames that were cut off. */
void renames_redo(struct host *host);

#endif
