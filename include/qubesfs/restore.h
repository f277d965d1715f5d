/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Restoring a backup from a stream of bytes: everything of it, or nothing.
 *
 * What comes is written to staging directories beside its places, on the same file systems.  Only
 * when all of it is there and verified are the directories moved into place, and then one save of
 * the catalogue makes the VMs appear together; that save is the point up to which everything is
 * taken back.  A journal tells the next start what a killed daemon left, and which of both to do.
 */
#ifndef QUBESFS_RESTORE_H
#define QUBESFS_RESTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qubesfs/archive_reader.h"
#include "qubesfs/catalogue_import.h"

struct restore_options {
    bool verify;                   /* everything is checked, nothing is written */
    struct secret *passphrase;     /* it takes a reference */
    uint64_t kdf_memory_max;       /* as of the archive's reader; 0: its default */
    const char *root;              /* before the host's paths; "" for none */
    const char *catalogue_path;    /* with root */
    const char *state;             /* staging is below it; not needed to verify */
    const char *home;              /* dom0's home, with root; NULL: there is none */
    const char *include, *exclude; /* as of the catalogue's import */
    enum import_conflict conflict;
    enum import_missing missing;
    bool dom0_home;
};

/** Told on a thread of the restore's own, or on that of a caller; must not call back. */
struct restore_listener {
    void *cookie;
    /** Bytes of the files in the backup, of those that the catalogue inside promises; `current` is
     * what is at work. */
    void (*progress)(void *cookie, uint64_t done, uint64_t total, const char *current);
};

struct restore;

/** Strings are copied.  Nothing is touched on the disk before the backup has proved to be one. */
int restore_new(const struct restore_options *options, const struct restore_listener *listener,
                struct restore **ret_restore, struct error *ret_error);

/** Takes the next bytes; blocks while there is no room for them.  One thread at a time, and the
 * same holds for all functions here but restore_cancel.  The first error stays. */
int restore_write(struct restore *restore, const void *untrusted_data, size_t length,
                  struct error *ret_error);

/** Waits until all bytes so far were worked on, and, when that was the whole backup, brings it into
 * force (once).  0: all VMs are there, durably, or it was verified; what may still come is zeros.
 * -EIO: it is not whole yet, and may go on.  Else the error that ended it.
 * `may_go_on`: more may follow.  What looks whole but has no closing manifest to prove it is not
 * brought into force then, with 0 all the same. */
int restore_finish(struct restore *restore, bool may_go_on, struct error *ret_error);

/** Ends the work soon with -ECANCELED, unless it came into force already.  From any thread. */
void restore_cancel(struct restore *restore);

/** True once it is in force, or was verified. */
bool restore_is_done(const struct restore *restore);

/** Bytes of files that were read so far, and those that the catalogue inside promises. */
void restore_progress(const struct restore *restore, uint64_t *ret_done, uint64_t *ret_total);

/** Ends what is still under way; then only progress, result and free may be called. */
void restore_stop(struct restore *restore);

/** What was in the backup and what became of it: a line `bytes<TAB>name in the backup<TAB>where to`
 * for each of its files, and lines that begin with `#`.  To be freed.  To be called after
 * restore_stop. */
int restore_result(const struct restore *restore, char **ret_text);

/** Takes everything back unless it is done, and frees it.  NULL is fine. */
void restore_free(struct restore *restore);

/** At the daemon's start, before anything else uses the catalogue at that path: finishes what a
 * killed daemon had brought into force, and takes back everything else that it left below `state`
 * and elsewhere.  What another living daemon does is left alone.  On failure (a catalogue that
 * can't be read, a disk that does not answer) the journal stays for the next start. */
int restore_recover(const char *state, const char *catalogue_path, struct error *ret_error);

#endif
