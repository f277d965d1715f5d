/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the restore room share. */
#ifndef RESTORE_INTERNAL_H
#define RESTORE_INTERNAL_H

#include <stdatomic.h>

#include "disk_queue.h"
#include "landing.h"
#include "qubesfs/restore.h"
#include "qubesfs/text.h"
#include "staging.h"

/** What comes as a file but goes elsewhere as well is first kept in memory. */
#define SMALL_FILE_MAX ((size_t)1 << 20)

/** A VM of the backup (or dom0's home) while it is restored. */
struct incoming {
    const struct catalogue_import_vm *vm;
    bool placed;                      /* it has directories in staging */
    struct landing directory, images; /* `images` is used where that is another directory */
    bool images_apart;
    /* what came of it */
    bool any, root, private, nothing; /* nothing: Qubes' mark for a VM without files */
    bool menu_came, firewall_came;
    uint64_t bytes;
    size_t files;
    struct text notes; /* lines */
};

enum place {
    PLACE_NOWHERE,   /* counted only */
    PLACE_DIRECTORY, /* the VM's directory */
    PLACE_IMAGE,
    PLACE_FIREWALL, /* from memory, in the host's form */
    PLACE_MENU,     /* from memory, into the catalogue */
};

struct restore {
    struct restore_options options; /* with copies of all strings */
    struct restore_listener listener;
    struct archive_reader *reader;
    atomic_bool cancelled;
    int cancel_fd; /* eventfd: readable once it is cancelled */
    int failed;    /* of the first error; 0 */
    struct error error;
    bool done;
    char *home_target;

    /* used by the reader's thread while bytes are written, else by the caller's */
    bool sink_failed; /* what the reader returns is the sink's own error */
    unsigned version;
    bool manifest_verified;
    enum catalogue_form backup_form;
    struct catalogue_import *import;
    struct staging *staging;  /* NULL: nothing is written */
    struct disk_queue *queue; /* writes the files */
    struct incoming *incoming;
    size_t incoming_count;
    atomic_ullong bytes;
    uint64_t promised, told_ns;
    struct text lines; /* of the result */
    size_t lines_left_out;

    struct { /* the inner archive at work */
        char *name;
        struct incoming *incoming; /* NULL: nobody's */
        uint64_t bytes;
        char *target;
    } archive;
    struct { /* its member at work */
        enum place place;
        char *path; /* below the VM's directory */
        int fd;
        uint64_t size;
        time_t mtime;
        struct text kept;
    } member;
};

/** Decides what becomes of each VM, and makes room and directories for those that are restored.
 * The sink's `catalogue`. */
int restore_plan(struct restore *restore, const void *untrusted_document, size_t length,
                 struct error *ret_error);
/** How the reader's sink is to be filled. */
struct archive_reader_sink restore_sink(struct restore *restore);

/** member.c: a VM's files, and dom0's home's. */
int member_begin(struct restore *restore, const struct archive_member *member,
                 struct error *ret_error);
int member_data(struct restore *restore, uint64_t offset, const void *data, size_t length,
                struct error *ret_error);
int member_end(struct restore *restore, struct error *ret_error);
/** Closes what an error left open. */
void member_drop(struct restore *restore);

/** commit.c */
int restore_commit(struct restore *restore, struct error *ret_error);

/** result.c */
void result_add_archive(struct restore *restore);
PRINTF(2, 3) void incoming_note(struct incoming *incoming, const char *format, ...);

#endif
