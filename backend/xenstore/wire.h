/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the XenStore room share: one request and its answer. */
#ifndef QUBESFS_XENSTORE_WIRE_H
#define QUBESFS_XENSTORE_WIRE_H

#include <errno.h>
#include <stdint.h>
#include <xen/io/xs_wire.h>

#include "qubesfs/xenstore.h"

struct queued_token {
    struct queued_token *next;
    char token[XENSTORE_TOKEN_MAX];
};

struct xenstore {
    int fd;
    bool lost;
    uint32_t next_request, transaction;
    struct queued_token *first, **last; /* events not yet handed out, each token once */
    size_t filled, taken;               /* of `input`: read so far, and used up */
    char input[16 * 1024];
};

/** Sends a request and waits for its answer; `ret_answer` holds XENSTORE_VALUE_MAX + 1 bytes, the
 * last one for a NUL behind the answer. */
int wire_request(struct xenstore *store, uint32_t type, const void *payload, size_t length,
                 char *ret_answer, size_t *ret_length);

/** Takes in what has come, waiting until `deadline_ns` (0: not at all) for the first message;
 * -EAGAIN when none came.  Events are queued. */
int wire_pump(struct xenstore *store, uint64_t deadline_ns, int wake_fd);

#endif
