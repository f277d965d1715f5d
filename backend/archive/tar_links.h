/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files with several names: which name of one came into the archive first. */
#ifndef ARCHIVE_TAR_LINKS_H
#define ARCHIVE_TAR_LINKS_H

#include <sys/stat.h>

struct tar_links {
    void *tree; /* of tsearch; NULL: empty */
};

/** The member name under which the file is in the archive already, or NULL after having noted
 * `name` for it.  A file that has changed since then, or another one with its number, is not.
 * `ret_name` borrows.  0 or -ENOMEM. */
int tar_links_find(struct tar_links *links, const struct stat *status, const char *name,
                   const char **ret_name);
/** It did not come into the archive after all: its other names must not lead there. */
void tar_links_forget(struct tar_links *links, const struct stat *status);
void tar_links_free(struct tar_links *links);

#endif
