/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small file out of an inner archive, kept in memory: the catalogue, the manifest. */
#ifndef ARCHIVE_READ_COLLECT_H
#define ARCHIVE_READ_COLLECT_H

#include "qubesfs/text.h"
#include "read_tar.h"

struct collector {
    struct text text;
    size_t length_max;
    bool any;
};

/** Events for an archive with that one file in it, whose name is the archive's. */
struct tar_events collector_events(struct collector *collector);

#endif
