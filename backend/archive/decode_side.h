/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pieces of a compressed stream, decoded side by side.  Where a piece ends is a hint, which may
 * lie: a thread decodes exactly that much, by the very code that decodes a stream, and unless it
 * then is at the piece's end, the caller goes on from that piece's begin by itself.  So both ways
 * come to the same, in output and errors.
 */
#ifndef ARCHIVE_DECODE_SIDE_H
#define ARCHIVE_DECODE_SIDE_H

#include "decode.h"

/** `threads`: at least 2.  They start when there is work.  0 or -ENOMEM. */
int decode_side_new(unsigned threads, struct decode_side **ret_side);
void decode_side_free(struct decode_side *side); /* NULL is fine */

/** Decodes what it can from the front of `data`, and writes it in order; `*ret_taken` bytes are
 * done then, perhaps none.  0, -ENOMEM, or what the sink returned. */
int decode_side_run(struct decode_side *side, const struct decode_codec *codec,
                    const struct decode_sink *sink, const unsigned char *data, size_t length,
                    size_t *ret_taken, struct error *ret_error);

#endif
