/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Headers of inner archives: what a header block and the extensions before it say together. */
#ifndef ARCHIVE_READ_TAR_HEADER_H
#define ARCHIVE_READ_TAR_HEADER_H

#include "qubesfs/archive_reader.h"
#include "read_block.h"

/** What extensions say about the next member.  All zero: nothing. */
struct tar_extras {
    char *name, *link; /* owned */
    bool has_size, has_mtime, has_uid, has_gid;
    uint64_t size, uid, gid;
    int64_t mtime;
    bool sparse, has_real_size; /* pax sparse 1.0 */
    bool major_1, minor_0;
    uint64_t real_size;
};

/** Frees and zeroes it. */
void tar_extras_clear(struct tar_extras *extras);
/** Takes an extension's body: type 'L', 'K' or 'x'.  0, -EBADMSG, -ENOTSUP, -EINVAL, -ENOMEM. */
int tar_extras_take(struct tar_extras *extras, char type, const char *body, size_t length,
                    struct error *ret_error);

struct tar_head {
    struct archive_member member; /* its path and link are the next two */
    char *path, *link;            /* owned, plain */
    uint64_t stored;              /* bytes that follow, without padding */
    bool old_sparse, pax_sparse;
};

/** Puts both together.  `root`: what all paths must be below.  0 or as above. */
int tar_head_make(const unsigned char *block, const struct tar_extras *extras, const char *root,
                  struct tar_head *ret_head, struct error *ret_error);
/** Frees and zeroes it. */
void tar_head_clear(struct tar_head *head);

#endif
