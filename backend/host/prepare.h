/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QUBESFS_HOST_PREPARE_H
#define QUBESFS_HOST_PREPARE_H

#include "definition.h"

/** What a start has made, to be kept (prepare_done) or taken back (prepare_undo). */
struct preparation {
    char *volatile_image, *old_volatile; /* owned; NULL: not touched */
    bool made, has_old;
};

/** All files are there that a start does not make.  -ENOENT with the one that is missing. */
int prepare_check(const struct definition_parts *parts, struct error *ret_error);

/** Makes the scratch images, and room for the console's log.  After an error there is nothing to undo. */
int prepare_start(struct host *host, const struct definition_parts *parts,
                  struct preparation *ret_preparation, struct error *ret_error);
void prepare_done(struct preparation *preparation);
void prepare_undo(struct preparation *preparation);

#endif
