/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qubesfs/archive_reader.h"

#include <errno.h>

int archive_reader_new(const struct archive_reader_options *options,
                       const struct archive_reader_sink *sink, struct archive_reader **ret_reader,
                       struct error *ret_error)
{
    (void)options, (void)sink, (void)ret_reader;
    return error_set(ret_error, -ENOTSUP, "backups can't be read yet");
}

int archive_reader_write(struct archive_reader *reader, const void *untrusted_data, size_t length,
                         struct error *ret_error)
{
    (void)reader, (void)untrusted_data, (void)length;
    return error_set(ret_error, -ENOTSUP, "backups can't be read yet");
}

int archive_reader_complete(struct archive_reader *reader, struct error *ret_error)
{
    (void)reader;
    return error_set(ret_error, -ENOTSUP, "backups can't be read yet");
}

void archive_reader_cancel(struct archive_reader *reader)
{
    (void)reader;
}

void archive_reader_free(struct archive_reader *reader)
{
    (void)reader;
}
