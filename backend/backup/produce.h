/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes the bytes of a backup in the making. */
#ifndef BACKUP_PRODUCE_H
#define BACKUP_PRODUCE_H

#include "making.h"
#include "progress.h"
#include "stream.h"

/** Writes the stream from `offset` on to `output`, which is that of `stream`.  What was sent before
 * is made again, and proven to be the same before anything follows it. */
int produce(struct making *making, struct backup_stream *stream, uint64_t offset,
            const struct archive_output *output, struct progress *progress,
            struct error *ret_error);

#endif
