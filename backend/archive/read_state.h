/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reader's threads and what goes between them.
 *
 *     caller (reader.c)  --members-->  check (read_check.c)  --chunks-->  unpack (read_unpack.c)
 *
 * A piece is an outer member, whole in memory.  Two of them may be big (two chunks: one is received
 * while the other is worked on); the small ones are few.  Who finds no room waits.  The first error
 * of any stage stays, and ends them all.
 */
#ifndef ARCHIVE_READ_STATE_H
#define ARCHIVE_READ_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "manifest.h"
#include "qubesfs/archive_reader.h"
#include "read_header.h"
#include "read_outer.h"

/** What is bigger takes one of the two big buffers. */
#define PIECE_SMALL_MAX ((size_t)1 << 20)
#define PIECES_MAX      128u
#define PIECES_BIG      2u

enum piece_kind {
    PIECE_MEMBER, /* an outer member; behind check: an authenticated chunk */
    PIECE_HEADER, /* behind check: the reader's `header` is known */
    PIECE_FLUSH,  /* somebody waits until all before it was worked on */
};

struct piece {
    struct piece *next;
    enum piece_kind kind;
    bool incomplete; /* FLUSH: something is only half there */
    char *name;      /* of the outer member; behind check: of the inner archive; owned */
    unsigned number; /* of the chunk */
    unsigned char *data;
    size_t length;          /* of the outer member's content */
    size_t offset, payload; /* of the stream's bytes in it */
    bool big;
};

struct lane {
    struct piece *first, *last;
};

struct archive_reader {
    struct archive_reader_sink sink;
    struct secret *passphrase;
    uint64_t kdf_memory_max;
    size_t chunk_size;
    unsigned threads;

    /* the caller's */
    struct outer_reader *outer;
    struct piece *arriving;

    pthread_t check_thread, unpack_thread;
    unsigned thread_count;
    atomic_bool stopped; /* cancelled or failed or closing: nothing goes on */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    struct lane to_check, to_unpack;
    unsigned pieces, checking; /* that are anywhere; that check has not seen yet */
    unsigned char *big[PIECES_BIG];
    bool big_used[PIECES_BIG];
    bool opened; /* the header was checked, or it was found that there is none */
    bool closing;
    struct error failed; /* the first error; code 0: none */
    bool flushing;
    struct error flushed; /* what the last flush came to */

    /* set by check before it hands on PIECE_HEADER; without a header, its digest before the first
     * chunk */
    struct read_header header;
    bool headerless;
    /* of what check has seen, until the manifest begins; the catalogue's line is from unpack */
    struct archive_manifest *manifest;
};

/** The next piece of the lane; waits for one.  NULL: the thread shall end. */
struct piece *reader_take(struct archive_reader *reader, struct lane *lane);
void reader_put(struct archive_reader *reader, struct lane *lane, struct piece *piece);
/** Another name for the piece: NULL is -ENOMEM. */
int piece_rename(struct piece *piece, const char *name, size_t length);
void reader_drop(struct archive_reader *reader, struct piece *piece); /* frees it; NULL is fine */
/** Something went wrong: the first one stays. */
void reader_fail(struct archive_reader *reader, int code, const struct error *error);

/* the threads; their cookie is the reader */
void *read_check_thread(void *cookie);
void *read_unpack_thread(void *cookie);

#endif
