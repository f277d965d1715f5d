/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a backup's bytes get from the thread that makes them to the reads that ask for them.
 *
 * The thread runs from the first read to the end and writes into a ring; it waits where the ring is
 * full.
 *
 *          consumed - BACK          consumed      head      consumed + AHEAD
 *     ----------|----------------------|-----------|---------------|-----
 *       gone      may be read again      made        room to make
 *
 * consumed: the end of the furthest read that was answered.  A read that needs bytes beyond `head`
 * waits for them; the thread may always go on to consumed + AHEAD, so every read that ends below
 * that is answered whatever the order of reads is.  One further on is -ESPIPE, as is one of what is
 * gone.
 *
 *     IDLE      no thread; the first read starts one
 *     STARTING  waits a moment for the read with the lowest offset, then `begin` decides; a refusal
 * goes back to IDLE RUNNING   `run` makes bytes DRAINING  all is made, some of it not yet read
 * ENDED     all was read; reads at the end give 0 FAILED    reads of what was not made give the
 * error
 */
#ifndef BACKUP_STREAM_H
#define BACKUP_STREAM_H

#include "qubesfs/archive.h"
#include "qubesfs/backup.h"

/* A read is answered with at most STREAM_READ_MAX bytes, and with fewer than asked for only at the
 * end or when it asked for more than that. */
#define STREAM_AHEAD    (8u << 20)
#define STREAM_BACK     (8u << 20)
#define STREAM_READ_MAX (2u << 20)

/** What a stream is made of.  All but `free` are called on the stream's thread, with no lock held.
 */
struct stream_work {
    /** May the stream begin, at `offset`?  It is 0, or where the first read after an open is: then
     * the stream goes on from there.  Refused with a negative errno. */
    int (*begin)(void *cookie, uint64_t offset, struct error *ret_error);
    /** Writes all of it, from that offset on, to `output`; ends soon once output's `cancelled` is
     * true. */
    int (*run)(void *cookie, const struct archive_output *output, struct error *ret_error);
    /** How it went, told before any read is answered accordingly: 0 when all `bytes` were made and
     * read, -ECANCELED when the reader left before or the service ended, else what begin or run
     * said. */
    void (*ended)(void *cookie, int result, uint64_t bytes, const struct error *error);
    /** The last of all, on any thread. */
    void (*free)(void *cookie);
};

/** Makes an idle stream; `work` and `cookie` are the stream's from then on, on failure not.  0 or
 * -ENOMEM. */
int stream_new(const struct stream_work *work, void *cookie, struct backup_stream **ret_stream);

/** How far it was read. */
uint64_t stream_consumed(struct backup_stream *stream);

/** Ends the work; all reads from now on fail with -ECANCELED, and so has the work.  Nothing happens
 * to one that was read to its end (the last read, of 0 bytes, apart), or has failed.  The caller sees
 * to it that the stream is not freed meanwhile (its `free` may be under way, but waits). */
void stream_shut(struct backup_stream *stream);

#endif
