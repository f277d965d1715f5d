/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where an inner archive's bytes go. */
#ifndef ARCHIVE_SINK_H
#define ARCHIVE_SINK_H

#include <stddef.h>

struct sink;

struct sink_operations {
    /** Takes all bytes.  0 or a negative errno, which is final. */
    int (*write)(struct sink *sink, const void *data, size_t length);
    /** Memory to read bytes into that come next, at least one byte and up to `ret_length`; then
     * `advance` takes those that were filled in.  Both may be NULL. */
    int (*room)(struct sink *sink, void **ret_data, size_t *ret_length);
    void (*advance)(struct sink *sink, size_t length);
};

/** First member of each sink's own struct. */
struct sink {
    const struct sink_operations *operations;
};

static inline int sink_write(struct sink *sink, const void *data, size_t length)
{
    return sink->operations->write(sink, data, length);
}

#endif
