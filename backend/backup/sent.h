/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was sent of a backup: not its bytes, but a keyed digest of every piece of them, so that a
 * copy that was cut off goes on with the very same bytes or not at all.
 *
 * The stream is made of parts (header, catalogue, each inner archive), at the beginning of which
 * the work can be taken up again.  Each part is cut into pieces of SENT_PIECE bytes.  After
 * sent_rewind what is made again is held back, a piece at a time, until its digest is that of what
 * was sent: nothing else is ever encrypted with the same salt and leaves.
 *
 * The digest is GMAC with a key of its own: as strong as is needed against who can choose what a VM
 * holds, and a fraction of what SHA-256 costs.
 */
#ifndef BACKUP_SENT_H
#define BACKUP_SENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SENT_PIECE (4u << 20)

struct sent;

/** 0, -ENOMEM or -EIO (no random numbers). */
int sent_new(struct sent **ret_sent);
void sent_free(struct sent *sent); /* NULL is fine */

/** The next part begins.  -EBUSY: after a rewind, and it began elsewhere before. */
int sent_part(struct sent *sent);
/** Takes the next bytes, and hands on what may leave: `out` gets it with its offset in the stream,
 * and its error is handed on.  -EBUSY: these are not the bytes that were sent before. */
int sent_take(struct sent *sent, const void *data, size_t length,
              int (*out)(void *cookie, uint64_t offset, const void *data, size_t length),
              void *cookie);
/** How far it was sent. */
uint64_t sent_length(const struct sent *sent);

/** Goes back to the last beginning of a part at or before `offset`; its number is in `ret_part`,
 * counted from 0, and its place in `ret_begin`.  -ESPIPE: so far nothing was sent; -ENOMEM. */
int sent_rewind(struct sent *sent, uint64_t offset, size_t *ret_part, uint64_t *ret_begin);
/** The end was reached, and nothing is held back.  -EBUSY: what was made again is shorter. */
int sent_finish(struct sent *sent);

#endif
