/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Archives, read: formats 2, 3 and 4 of Qubes' backups, as qubesfs and as Qubes' own tools write
 * them.  Bytes are pushed in as they come, in pieces of any size; what they hold comes out as calls
 * of a sink.  Source of the formats: docs/FORMAT.md and Qubes' own writers and readers.
 *
 * The bytes may come from an attacker.  Nothing is decrypted, decompressed or parsed before it is
 * authenticated by the passphrase, but for the outer tar headers, `.hmac` texts and the headers of
 * scrypt containers, which are bounded.  Nothing is ever executed.
 *
 *     writer's thread: outer tar -> members, each whole in memory
 *     restore-check:   MAC or scrypt container of each; order of names, manifest
 *     restore-unpack:  decrypt -> decompress (members of ours side by side) -> inner tar -> sink
 *
 * Memory, whatever the archive: two chunks (200 MiB), 2 MiB and some for each thread that
 * decompresses, up to 64 MiB for the sparse map of one file, and for one key of format 4 what its
 * container asks for, at most `kdf_memory_max`.
 *
 * Errors, here and as `code` of struct error:
 *     -EINVAL        this is no Qubes backup, or one that nobody may have made like that
 *     -EKEYREJECTED  wrong passphrase (or the first authenticated block is damaged: the same thing)
 *     -EBADMSG       damaged, incomplete in the middle, or put together by somebody else
 *     -ENOTSUP       a cipher, digest, filter or cost that is not read; the text says which
 *     -E2BIG         more files, or more in a file, than any backup has
 *     -ECANCELED, -ENOMEM, and whatever the sink returned
 */
#ifndef QUBESFS_ARCHIVE_READER_H
#define QUBESFS_ARCHIVE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "qubesfs/error.h"
#include "qubesfs/secret.h"

/** What one key of format 4 may take unless the options say else.  Qubes' own take 1 GiB. */
#define ARCHIVE_KDF_MEMORY_DEFAULT ((uint64_t)2 << 30)
/** The catalogue inside is no bigger. */
#define ARCHIVE_CATALOGUE_MAX ((size_t)64 << 20)

struct archive_reader_options {
    struct secret *passphrase; /* the reader takes a reference */
    /** Bytes that deriving one key may take; 0: ARCHIVE_KDF_MEMORY_DEFAULT.  What asks for more is
     * -ENOTSUP with a text that names the option `--kdf-memory`. */
    uint64_t kdf_memory_max;
    unsigned threads;  /* that decompress side by side; 0: one for each core; 1: none */
    size_t chunk_size; /* 0: that of the formats, 100 MiB.  For tests: chunks are cut there */
};

/** What backup-header says, after it was authenticated. */
struct archive_header {
    unsigned version; /* 2, 3 or 4 */
    bool absent;      /* there is none (an old format 2): what follows was found out otherwise */
    bool encrypted;
    bool compressed;
    const char *filter;    /* "gzip", "bzip2", "xz", "lzma", "zstd"; "" if not compressed */
    const char *hmac;      /* "SHA512", ..., "scrypt" */
    const char *backup_id; /* "": it has none */
    bool manifest;         /* qubesfs-manifest=1: the closing manifest must come */
};

/** An inner archive, all of NAME.000, NAME.001, ... */
struct archive_entry {
    /** `vm2/private.img`, `vm1/.` (a whole directory), `appvms/work/private.img`,
     * `dom0-home/user`.  Relative, no empty part and no `..`; valid UTF-8 or not.  Authenticated in
     * format 4, in formats 2 and 3 only if there is a manifest, and there only at the end. */
    const char *name;
};

/** What the sink makes of it; filled in with { true, UINT64_MAX } before it is asked. */
struct archive_wish {
    /** False: its chunks are authenticated, not unpacked: archive_end comes next. */
    bool unpack;
    /** The inner archive may have so many bytes when unpacked (headers, maps and padding
     * included); more is -EBADMSG. */
    uint64_t bytes_max;
};

enum archive_member_type {
    ARCHIVE_FILE,
    ARCHIVE_DIRECTORY,
    ARCHIVE_SYMLINK,
    ARCHIVE_HARD_LINK,
    ARCHIVE_SPECIAL, /* FIFO or device: nothing that anybody should make */
};

/** A member of an inner archive.  Valid during the call. */
struct archive_member {
    enum archive_member_type type;
    /** The archive's name or a path below it: relative, parts separated by one slash, none of them
     * empty, `.` or `..`.  So `vm1/./root.img` comes as `vm1/root.img`, and the directory `vm1/./`
     * as `vm1`.  Any other byte but NUL may be in it. */
    const char *path;
    /** Symbolic link: its untrusted text.  Hard link: a path as above.  Else NULL. */
    const char *link;
    mode_t mode; /* permission bits, 07777 */
    uid_t uid;
    gid_t gid;
    time_t mtime;
    uint64_t size; /* of a file, holes included; below 2^62 */
    bool sparse;   /* it has a map: what member_data does not bring is a hole */
};

/** All of an archive came, and is right. */
struct archive_report {
    uint64_t stored_bytes;   /* its chunks' content, as stored */
    uint64_t unpacked_bytes; /* of the inner archive; 0 if it was not unpacked */
    unsigned chunks;
};

/**
 * What is told of an archive.  All is called on one thread of the reader's, in the order of the
 * stream, and may block: then the reader takes no more.  A negative errno ends the reading and is
 * handed on, with what the function wrote to `ret_error` or else strerror; after that nothing more
 * is called.  No function may be NULL, and none may call the reader.
 *
 *     header (catalogue | archive_begin (member_begin member_data* member_end)* archive_end)*
 *     manifest?
 *
 * Nothing is final before archive_reader_complete returned 0: an error may come at any time, also
 * after archive_end, and then all that was told may be a lie.
 */
struct archive_reader_sink {
    void *cookie;
    int (*header)(void *cookie, const struct archive_header *header, struct error *ret_error);
    /** The whole `qubes.xml`, at most ARCHIVE_CATALOGUE_MAX.  Once; before any archive, but for
     * backups that were put in another order by somebody. */
    int (*catalogue)(void *cookie, const void *untrusted_document, size_t length,
                     struct error *ret_error);
    int (*archive_begin)(void *cookie, const struct archive_entry *entry, struct archive_wish *wish,
                         struct error *ret_error);
    int (*member_begin)(void *cookie, const struct archive_member *member, struct error *ret_error);
    /** Offsets rise; no two pieces overlap, none goes beyond the member's size; holes are not
     * sent.  Only for files. */
    int (*member_data)(void *cookie, uint64_t offset, const void *data, size_t length,
                       struct error *ret_error);
    int (*member_end)(void *cookie, struct error *ret_error);
    int (*archive_end)(void *cookie, const struct archive_report *report, struct error *ret_error);
    /** The closing manifest came, and agrees with all that came before. */
    int (*manifest)(void *cookie, struct error *ret_error);
};

struct archive_reader;

/** `sink` is copied.  Returns 0, -ENOMEM or another negative errno. */
int archive_reader_new(const struct archive_reader_options *options,
                       const struct archive_reader_sink *sink, struct archive_reader **ret_reader,
                       struct error *ret_error);

/**
 * Takes the next bytes, and blocks while there is no room for them.  One thread at a time.  Until
 * the header (or what stands for it) was checked, it waits for that, so that a wrong passphrase is
 * told by the very call that brings the header; later an error may come some calls after the bytes
 * that it is about.  The first error stays: each later call returns it.
 */
int archive_reader_write(struct archive_reader *reader, const void *untrusted_data, size_t length,
                         struct error *ret_error);

/**
 * Waits until all bytes so far were worked on.  0: what came is a whole backup, as far as it says
 * itself: the header and the catalogue came, each archive was begun and ended, and the manifest
 * came if one was promised; nothing but zeros may follow.  Without a manifest nobody but the
 * catalogue knows which archives should be there: compare.  -EIO: not yet, the stream may go on.
 * Else the first error.  May be called at any time between calls of archive_reader_write.
 */
int archive_reader_complete(struct archive_reader *reader, struct error *ret_error);

/** Ends the work soon: -ECANCELED.  From any thread, at any time before archive_reader_free.  What
 * waits in a sink's function the caller must wake by itself. */
void archive_reader_cancel(struct archive_reader *reader);

/** Ends and joins the threads, wipes all keys.  No other call may be under way.  NULL is fine. */
void archive_reader_free(struct archive_reader *reader);

#endif
