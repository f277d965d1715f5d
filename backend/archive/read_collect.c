/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "read_collect.h"

#include <errno.h>
#include <string.h>

static int begin(void *cookie, const struct archive_member *member, struct error *ret_error)
{
    struct collector *collector = cookie;

    if (collector->any || member->type != ARCHIVE_FILE || strchr(member->path, '/'))
        return error_set(ret_error, -EINVAL, "there is more in it than one file");
    if (member->size > collector->length_max)
        return error_set(ret_error, -E2BIG, "it is bigger than %zu MiB",
                         collector->length_max >> 20);
    collector->any = true;
    return 0;
}

/* A hole reads as zeros; sizes are bounded by `begin`. */
static int data(void *cookie, uint64_t offset, const void *bytes, size_t length,
                struct error *ret_error)
{
    static const char zeros[4096];
    struct collector *collector = cookie;

    (void)ret_error;
    while (collector->text.length < offset && !collector->text.failed) {
        uint64_t hole = offset - collector->text.length;

        text_append(&collector->text, zeros, hole < sizeof(zeros) ? (size_t)hole : sizeof(zeros));
    }
    text_append(&collector->text, bytes, length);
    return text_status(&collector->text);
}

static int end(void *cookie, struct error *ret_error)
{
    (void)cookie, (void)ret_error;
    return 0;
}

struct tar_events collector_events(struct collector *collector)
{
    return (struct tar_events){collector, begin, data, end};
}
