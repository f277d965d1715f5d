/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One stage of the chain that an inner archive's bytes go through. */
#ifndef ARCHIVE_SINK_H
#define ARCHIVE_SINK_H

#include <stddef.h>

struct sink;

struct sink_operations {
    /** Takes all bytes (keeping some back if it likes).  0 or a negative errno, which is final. */
    int (*write)(struct sink *sink, const void *data, size_t length);
    /** No more bytes: hands on what was kept back and finishes the next stage. */
    int (*finish)(struct sink *sink);
    /** Frees this stage alone, finished or not. */
    void (*free)(struct sink *sink);
};

/** First member of each stage's own struct. */
struct sink {
    const struct sink_operations *operations;
    struct sink *next; /* borrowed; NULL for the last stage */
};

static inline int sink_write(struct sink *sink, const void *data, size_t length)
{
    return sink->operations->write(sink, data, length);
}

static inline int sink_finish(struct sink *sink)
{
    return sink->operations->finish(sink);
}

static inline void sink_free(struct sink *sink)
{
    if (sink)
        sink->operations->free(sink);
}

#endif
