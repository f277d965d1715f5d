/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Archives: the format of Qubes' backups, written here and (later) read.  docs/FORMAT.md has the
 * bytes. Source: Qubes' own writers and readers, as summed up in docs/FORMAT.md.
 *
 * Writing is a chain of stages, each of which pushes bytes into the next one:
 *
 *     source -> inner tar -> codec -> cipher -> chunks of 100 MiB, authenticated -> outer tar ->
 * output
 *
 * All of it runs on the thread that calls these functions, which may block on the disk and in
 * `output`. Memory: one chunk (grown page by page as it fills) and buffers below 1 MiB.
 */
#ifndef QUBESFS_ARCHIVE_H
#define QUBESFS_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "qubesfs/error.h"
#include "qubesfs/secret.h"

enum archive_compression { ARCHIVE_STORE, ARCHIVE_GZIP };

struct archive_options {
    unsigned format; /* 3 */
    bool encrypted;
    enum archive_compression compression;
    int level;                       /* 1 to 9; 0: the codec's default */
    time_t time;                     /* mtime of the outer members */
    const struct secret *passphrase; /* needed in any case: it authenticates */
};

/** Where the archive goes.  Both are called on the writer's thread only. */
struct archive_output {
    void *cookie;
    /** Takes all bytes, or returns a negative errno, which ends the writing and is handed on. */
    int (*write)(void *cookie, const void *data, size_t length);
    /** Asked at least for every 256 KiB read from a disk: true ends the writing with -ECANCELED. */
    bool (*cancelled)(void *cookie);
};

/** Names of owners for the tar headers.  Answers stay valid while the source is used; NULL: none.
 */
struct archive_owners {
    void *cookie;
    const char *(*user)(void *cookie, uid_t uid);
    const char *(*group)(void *cookie, gid_t gid);
};

/** What becomes one inner archive: a file, or a directory with all that is in it. */
struct archive_source {
    /** Outer member without its `.NNN`, and name of the inner member: `vm2/private.img`, `vm1/.` (a
     * directory whose members then are `vm1/./`, `vm1/./root.img`), `dom0-home/user`. */
    const char *name;
    const char *path; /* on this host */
    /** Absolute symbolic links that are followed lead below this directory; "" for none. */
    const char *root;
    /** Follow symbolic links (as tar --dereference does).  One that leads nowhere is stored as a
     * link.  A file with several names is then stored under each of them in full. */
    bool dereference;
    /**
     * Other programs are at work in the tree (dom0's home): what vanishes meanwhile is left out,
     * what changes is stored as it was read, with a line in the log.  False: any change is -EBUSY.
     */
    bool live;
    /** It must be a regular file or a link to one: anything else is -EINVAL. */
    bool image;
    struct archive_owners owners;
};

struct archive_writer;

/** Begins an archive: makes and writes `backup-header` and its MAC.  `options` are copied, its
 * passphrase must live as long as the writer.  Returns 0 or a negative errno with `ret_error`. */
int archive_writer_new(const struct archive_options *options, const struct archive_output *output,
                       struct archive_writer **ret_writer, struct error *ret_error);
/** Writes a file from memory, as one inner archive with one member `name`, mode 0600, root's. */
int archive_write_data(struct archive_writer *writer, const char *name, const void *data,
                       size_t length, struct error *ret_error);
/** Writes a source.  -EBUSY: it changed while it was read.  After any error only
 * archive_writer_free may follow. */
int archive_write_source(struct archive_writer *writer, const struct archive_source *source,
                         struct error *ret_error);
/** Frees the writer and wipes what it derived from the passphrase.  NULL is fine. */
void archive_writer_free(struct archive_writer *writer);

/** How big a source is, in bytes. */
struct archive_size {
    uint64_t tar_bytes;  /* its inner archive, uncompressed: exact for what is there now */
    uint64_t disk_bytes; /* what its files take on the disk (st_blocks) */
};

/** Walks a source without reading its files.  Errors as archive_write_source. */
int archive_measure(const struct archive_source *source, struct archive_size *ret_size,
                    struct error *ret_error);
/** The inner archive of archive_write_data. */
uint64_t archive_data_size(size_t length);

/** An upper bound for what a file with an inner archive of `tar_bytes` adds to the whole. */
uint64_t archive_bound_file(const struct archive_options *options, uint64_t tar_bytes);
/** What archive_writer_new writes at most. */
uint64_t archive_bound_header(const struct archive_options *options);

#endif
