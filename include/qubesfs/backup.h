/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Backups: plans with their options, what is in one, and the stream that a read of `backup` gives.
 * Any function here may read the disk, so all but the ones marked "quick" belong on worker threads.
 */
#ifndef QUBESFS_BACKUP_H
#define QUBESFS_BACKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "qubesfs/error.h"

struct host;
struct backup_service;
struct backup_plan;
struct backup_stream;
struct backup_receiver;

/** Told from any thread of this room, with no lock held: the content of one of the plan's files is
 * now another (to be told by inotify). */
struct backup_listener {
    void *cookie;
    void (*file_changed)(void *cookie, struct backup_plan *plan, const char *file_name);
};

/** `root` goes before every path of the host; `catalogue_path` is the catalogue's file.  Plans are
 * kept below the directory `state`, which is made when there is something to keep; what is there is
 * loaded, and what of it makes no sense left out with a line in the log.  NULL: plans are kept
 * nowhere. */
int backup_service_new(struct host *host, const char *root, const char *catalogue_path,
                       const char *state, const struct backup_listener *listener,
                       struct backup_service **ret_service);
/** Quick, before anything is restored: what deriving one key of a backup may take in bytes; 0: the
 * default. */
void backup_service_set_kdf_memory(struct backup_service *service, uint64_t bytes);
/** Ends restores and verifications: what is written is answered with -ECANCELED, also from now on,
 * and what is not in force is taken back.  Waits up to 5 s for that. */
void backup_service_end_restores(struct backup_service *service);
/** Ends running streams loudly (their reads fail with -ECANCELED), waits up to 5 s for their
 * threads, and wipes secrets.  The host must live until this returns.  What is asked of plans is
 * still answered.  Fine with NULL. */
void backup_service_end(struct backup_service *service);
/** backup_service_end where that was not done, and frees everything: nobody else uses the service
 * any more, but that streams may still be freed afterwards.  Fine with NULL. */
void backup_service_free(struct backup_service *service);

/*
 * Plans.  A plan lives as long as the service, also once it was removed: all that is asked of it is
 * still answered, but a stream is -ENOENT.  All of this is quick: a plan is made and removed in
 * memory, and on the disk right after.
 */
/** The plan of that name, or NULL. */
struct backup_plan *backup_plan_find(struct backup_service *service, const char *name);
/** All plans, the first is `default`; `ret_plans` is to be freed.  0 or -ENOMEM. */
int backup_plan_list(struct backup_service *service, struct backup_plan ***ret_plans,
                     size_t *ret_count);
const char *backup_plan_name(const struct backup_plan *plan);
/** A new plan with the options that are defaults.  -EINVAL: no good name; -EEXIST; -ENOSPC: there
 * are too many. */
int backup_plan_make(struct backup_service *service, const char *untrusted_name,
                     struct backup_plan **ret_plan, struct error *ret_error);
/** Wipes its passphrase, too.  -EPERM: it is `default`; -EBUSY: it is read now. */
int backup_plan_remove(struct backup_plan *plan, struct error *ret_error);

/** Quick.  A plan's options, each one word of a few. */
enum backup_option {
    BACKUP_FORMAT,
    BACKUP_ENCRYPTED,
    BACKUP_KDF,
    BACKUP_COMPRESSION,
    BACKUP_LEVEL,
    BACKUP_CONFLICT,
    BACKUP_MISSING,
    BACKUP_DOM0_HOME,
    BACKUP_OPTION_COUNT
};
/** Its file's name: "format", ... */
const char *backup_option_name(enum backup_option option);
/** BACKUP_OPTION_COUNT: there is no such option. */
enum backup_option backup_option_find(const char *name);
/** One final newline is taken off.  -EINVAL, with the words that there are, changes nothing. */
int backup_option_set(struct backup_plan *plan, enum backup_option option,
                      const char *untrusted_value, size_t length, struct error *ret_error);
/** Its value; a constant. */
const char *backup_option_get(struct backup_plan *plan, enum backup_option option);
/** When it last changed. */
struct timespec backup_option_time(struct backup_plan *plan, enum backup_option option);

/** Quick.  VM names, one a line: `include` and `exclude`. */
enum backup_list { BACKUP_INCLUDE, BACKUP_EXCLUDE };
/** Sets the whole list from text; unknown VMs are allowed (they may come later), malformed names
 * are -EINVAL and change nothing. */
int backup_list_set(struct backup_plan *plan, enum backup_list list, const char *untrusted_text,
                    size_t length, struct error *ret_error);
/** Quick.  A VM has another name now: it has it in all plans' lists, too. */
void backup_vm_renamed(struct backup_service *service, const char *old_name, const char *new_name);
/** Waits until all that was changed in plans is on the disk, or could not be written. */
void backup_service_flush(struct backup_service *service);
/** The list, one a line; to be freed. */
int backup_list_get(struct backup_plan *plan, enum backup_list list, char **ret_text);
/** When it last changed. */
struct timespec backup_list_time(struct backup_plan *plan, enum backup_list list);

/** Quick.  Takes the passphrase: one final newline is taken off; the empty line wipes it; anything
 * but 1 to 1024 bytes of printable UTF-8 without control characters is -EINVAL and changes nothing.
 * The caller wipes its own copy. */
int backup_passphrase_set(struct backup_plan *plan, const char *untrusted_secret, size_t length,
                          struct error *ret_error);

/** Quick.  The content of the plan's `status` file (to be freed), and when it last changed. */
int backup_status_get(struct backup_plan *plan, char **ret_text);
struct timespec backup_status_time(struct backup_plan *plan);

/** Quick.  Lines of commands: `cancel` ends all reads of the plan's `backup` (-ECANCELED), and
 * forgets the one that could be gone on with; fine when there is none.  -EINVAL: something else. */
int backup_control(struct backup_plan *plan, const char *untrusted_lines, size_t length,
                   struct error *ret_error);

/** Quick.  The lines of the plan's `error` file (to be freed), and when they last changed. */
int backup_error_get(struct backup_plan *plan, char **ret_text);
struct timespec backup_error_time(struct backup_plan *plan);
/** Quick.  Notes that `command` (a word: "backup", "passphrase", "include", ...) failed so, or
 * succeeded
 * (`error` NULL), which takes its line away.  Tells listener, log and the host's events.  Streams
 * report for themselves (those of one VM with host_report); callers report what the functions above
 * refuse. */
void backup_report(struct backup_plan *plan, const char *command, const struct error *error);

/** What a read of `backup` would hold now: `bytes<TAB>name in the archive<TAB>source` a line, to be
 * freed; bytes are those on the disk.  -EINVAL, -ENOENT, ... when a backup would be refused for
 * that. */
int backup_contents(struct backup_plan *plan, char **ret_text, struct error *ret_error);

/** The size to report for `backup` in bytes: never 0, exact or an upper bound.  `vm_name` NULL: the
 * plan's; else of that VM alone (the file vms/NAME/backup).  May take a while when much has changed
 * since the last call (it looks for holes), so not "quick".  0 or -ENOMEM. */
int backup_size(struct backup_plan *plan, const char *vm_name, uint64_t *ret_size);

/** Makes a stream for one open file; does nothing yet.  `vm_name` as above. */
int backup_stream_new(struct backup_plan *plan, const char *vm_name,
                      struct backup_stream **ret_stream);

/**
 * Reads up to `size` bytes at `offset`; `done` is called once, from any thread, maybe before this
 * returns, with data valid during the call and `result` the number of bytes (0 at the end) or a
 * negative errno.  Reads that come out of order from several threads are put in order.  The first
 * read decides and may fail with -ENOKEY, -EBUSY, -ESPIPE, ...; the next one at offset 0 then tries
 * again.
 *
 * Fewer bytes than asked for come only at the end, or when more than 2 MiB were asked for.  The
 * last 8 MiB before the furthest read may be read again; what is older, or more than 6 MiB ahead,
 * is -ESPIPE. `done` must not call into this room.
 */
void backup_stream_read(struct backup_stream *stream, off_t offset, size_t size,
                        void (*done)(void *cookie, ssize_t result, const void *data), void *cookie);

/** Gives up the read that was begun with that `cookie`: its `done` is called with -EINTR unless it
 * was answered already.  Nothing is consumed: the same offset gives the same bytes later. */
void backup_stream_interrupt(struct backup_stream *stream, void *cookie);

/** The reader has gone: ends the work at once and frees the stream (reads still under way are
 * answered with -ECANCELED first).  Never waits for a disk. */
void backup_stream_free(struct backup_stream *stream);

/**
 * What is written into `backup` (restored) or `verify` (only checked), for one open file.  Nothing
 * begins before the first byte.  `append`: the file was opened to append; offsets count from its
 * first.
 */
int backup_receiver_new(struct backup_plan *plan, bool verify, bool append,
                        struct backup_receiver **ret_receiver);

/**
 * Takes the next bytes (copied); `done` is called once, from any thread, maybe before this returns,
 * with their number or a negative errno: -ESPIPE when they are not the next ones, -ENOKEY, -EBUSY,
 * -EEXIST, ... when it may not begin, -EKEYREJECTED, -EBADMSG, -ENOSPC, ... for what was found,
 * -EINVAL for what follows the end.  An error stays, and what came before it was taken back by then.
 * Writes are taken in their order; `done` is called when there is room for more.
 */
void backup_receiver_write(struct backup_receiver *receiver, off_t offset,
                           const void *untrusted_data, size_t size,
                           void (*done)(void *cookie, ssize_t result), void *cookie);
/** Waits until all was worked on, and brings it into force when it is whole.  `done` as above: 0
 * when it is in force (or there was no byte yet), -EIO while it is not whole, else the error.
 * `may_go_on`: the caller has not closed it.  A backup without a closing manifest that looks whole
 * may have more to come then: 0, and it waits for the close. */
void backup_receiver_flush(struct backup_receiver *receiver, bool may_go_on,
                           void (*done)(void *cookie, ssize_t result), void *cookie);
/** Gives up the call with that `cookie`: a write is answered with what of it was taken, or -EINTR
 * when that is nothing; a flush with -EINTR, and goes on. */
void backup_receiver_interrupt(struct backup_receiver *receiver, void *cookie);
/** The writer has gone.  What is not whole is taken back, and `error` and `status` say so.  Never
 * waits.  NULL is fine. */
void backup_receiver_free(struct backup_receiver *receiver);

#endif
