/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Archives: the format of Qubes' backups, written here and (later) read.  docs/FORMAT.md has the
 * bytes. Source: Qubes' own writers and readers, as summed up in docs/FORMAT.md.
 *
 * Writing is a pipeline, each stage on threads of its own:
 *
 *     source -> inner tar -> blocks of 1 MiB, compressed side by side -> in order again ->
 *     chunks of 100 MiB, encrypted -> authenticated -> outer tar -> output
 *
 * Reading sources happens on the thread that calls these functions, which may block on the disk and
 * while the output takes nothing.
 *
 * Memory, whatever the size of the archive: two chunks (200 MiB, page by page as they fill); with
 * compression 72 MiB at most for blocks, 2 MiB and some for each of 2 a thread and 2 more; and for
 * the keys of format 4 128 * 8 << kdf_log2_n bytes (128 MiB with 17, 1 GiB with 20).
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

enum archive_compression { ARCHIVE_NONE, ARCHIVE_GZIP, ARCHIVE_ZSTD };
/** 0 is the default, so that options that say nothing are good ones. */
enum archive_level { ARCHIVE_DEFAULT, ARCHIVE_FAST, ARCHIVE_SMALL };

#define ARCHIVE_KDF_MIN     14u
#define ARCHIVE_KDF_MAX     20u
#define ARCHIVE_SEED_SIZE   32u
#define ARCHIVE_ID_SIZE     64u /* with its NUL */
#define ARCHIVE_THREADS_MAX 64u

/* Names in every archive: its first file, the catalogue, and its last one. */
#define ARCHIVE_CATALOGUE "qubes.xml"
#define ARCHIVE_MANIFEST  "qubesfs-manifest"

/** What the closing manifest will tell: of each chunk that was written its size and SHA-256 (40
 * bytes), of each file its name. */
struct archive_manifest;

/** 0 or -ENOMEM. */
int archive_manifest_new(struct archive_manifest **ret_manifest);
void archive_manifest_free(struct archive_manifest *manifest); /* NULL is fine */
/** Forgets all but the first `files` files: a writer will go on behind them. */
void archive_manifest_rewind(struct archive_manifest *manifest, size_t files);

struct archive_options {
    unsigned format; /* 3 or 4 */
    bool encrypted;  /* must be true in format 4 */
    enum archive_compression compression;
    enum archive_level level;
    time_t time;                     /* mtime of the outer members */
    const struct secret *passphrase; /* needed in any case: it authenticates */
    unsigned threads;                /* that compress; 0: one for each core, within reason */

    char backup_id[ARCHIVE_ID_SIZE]; /* letters, digits and `-`, which isn't the first */

    /* format 4 only */
    unsigned kdf_log2_n; /* cost of scrypt: 128 * 8 << kdf_log2_n bytes of memory for each key */

    /** ARCHIVE_SEED_SIZE random bytes (copied), or NULL: the writer makes its own.  All salts are
     * derived from them, so that the same options and sources make the same bytes again.  To be
     * used again for just that: two archives with one seed, passphrase and id and with different
     * content give that content away to whoever has both.  Not shown to others before the archive
     * is. */
    const unsigned char *salt_seed;
    /** For an archive that was cut off: no header is written, the archive goes on with the next
     * source, as a writer with the same seed and options would have written it there. */
    bool continue_without_header;
    /** Where the writer notes what it writes, and, going on, finds what was written before;
     * borrowed. NULL: the writer has one of its own (and begins with a header). */
    struct archive_manifest *manifest;
};

/** Where the archive goes.  Called on the writer's own threads and on those that call the writer,
 * `begin` and `write` never two at once; none of them may call the writer. */
struct archive_output {
    void *cookie;
    /** Takes all bytes, or returns a negative errno, which ends the writing and is handed on.  It
     * may block; then it must come back soon after `cancelled` has become true. */
    int (*write)(void *cookie, const void *data, size_t length);
    /** Asked some times a second and for every block read from a disk: true ends the writing with
     * -ECANCELED. */
    bool (*cancelled)(void *cookie);
    /** The next byte that `write` gets is the first one of this name: of an archive_write_data or
     * archive_write_source, or of `backup-header`.  There a later writer may go on that continues
     * without a header.  NULL is fine. */
    void (*begin)(void *cookie, const char *name);
    /** About the next `length` bytes bring what this name's inner archive holds, before
     * compression, up to `tar_bytes`.  Called as `begin` is, and after it.  NULL is fine. */
    void (*progress)(void *cookie, uint64_t tar_bytes, uint64_t length);
};

/** Names of owners for the tar headers.  Answers stay valid while the source is used; NULL: none.
 */
struct archive_owners {
    void *cookie;
    const char *(*user)(void *cookie, uid_t uid);
    const char *(*group)(void *cookie, gid_t gid);
};

/** An image that the caller has opened: a regular file or a block device. */
struct archive_image {
    int fd;
    const char *path; /* for messages */
    const char *base; /* see archive_source.images */
    bool still;       /* nobody can change its content: only a size that is another is -EBUSY */
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
    /** In place of all that `path` leads to (which may be NULL then): one image with a `base` of
     * NULL, stored as `name`; or, `name` being a directory's (`vm1/.`), that directory with the
     * images in it, each as its `base`. */
    const struct archive_image *images;
    size_t image_count;
    struct archive_owners owners;
    /** About how long its inner archive will be, or 0 for unknown: format 4 derives no keys for
     * chunks that won't come. */
    uint64_t tar_bytes;
    /** Name of the source that will follow; NULL: none.  Format 4 derives its first key meanwhile.
     */
    const char *next_name;
};

struct archive_writer;

/** Begins an archive: makes and writes `backup-header` and its MAC.  `options` are copied, its
 * passphrase must live as long as the writer.  Returns 0 or a negative errno with `ret_error`. */
int archive_writer_new(const struct archive_options *options, const struct archive_output *output,
                       struct archive_writer **ret_writer, struct error *ret_error);
/** Writes a file from memory, as one inner archive with one member `name`, mode 0600, root's.  No
 * name has a newline: -EINVAL. */
int archive_write_data(struct archive_writer *writer, const char *name, const void *data,
                       size_t length, struct error *ret_error);
/** Writes a source.  -EBUSY: it changed while it was read.  When it returns, the source was read;
 * its last bytes may be on their way yet, and what goes wrong with them the next call tells.  After
 * any error only archive_writer_free may follow. */
int archive_write_source(struct archive_writer *writer, const struct archive_source *source,
                         struct error *ret_error);
/** Writes the closing manifest and waits until the output has taken all.  An archive is whole only
 * after this returned 0. */
int archive_writer_finish(struct archive_writer *writer, struct error *ret_error);
/**
 * The backup failed while `name` was stored, its writer is gone: begins one more outer member of it
 * and leaves that cut.  What came before may end between two members, and whoever overlooks a
 * reader's error would have a well-formed archive that lacks files.  `length` bytes of zeros follow
 * the header.  0, -ENOMEM, or the output's errno.
 */
int archive_write_cut(const struct archive_options *options, const struct archive_output *output,
                      const char *name, size_t length);

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

/**
 * How long an archive will be: exactly that without compression, at most that with it.
 *
 *     struct archive_bound bound;
 *     archive_bound_begin(&bound, &options);
 *     archive_bound_add(&bound, "qubes.xml", archive_data_size(length));
 *     archive_bound_add(&bound, "vm2/private.img", size.tar_bytes);
 *     archive_bound_end(&bound)
 */
struct archive_bound {
    const struct archive_options *options; /* borrowed */
    uint64_t bytes;                        /* of header and files */
    uint64_t files, manifest_length;       /* what the manifest tells of them */
};

void archive_bound_begin(struct archive_bound *bound, const struct archive_options *options);
/** A file with an inner archive of `tar_bytes`. */
void archive_bound_add(struct archive_bound *bound, const char *name, uint64_t tar_bytes);
/** The whole archive's length, with its manifest. */
uint64_t archive_bound_end(const struct archive_bound *bound);

#endif
