/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "internal.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>

#include "qubesfs/text.h"

int read_whole_file(const char *path, int fd, char **ret_data, size_t *ret_length,
                    struct error *ret_error)
{
    struct text content CLEANUP_TEXT = TEXT_INIT;
    char piece[65536];
    off_t at = 0;

    for (;;) {
        ssize_t got = pread(fd, piece, sizeof(piece), at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(ret_error, -errno, "%s: %s", path, strerror(errno));
        if (got == 0)
            break;
        text_append(&content, piece, (size_t)got);
        at += got;
        if (at > (off_t)CATALOGUE_BYTES_MAX)
            return error_set(ret_error, -EINVAL, "%s:1: the document is larger than %u MiB", path,
                             CATALOGUE_BYTES_MAX >> 20);
    }
    if (text_take(&content, ret_data, ret_length))
        return error_set(ret_error, -ENOMEM, "%s: out of memory", path);
    return 0;
}

int load_bytes(const char *path, const struct patience *patience, char **ret_data,
               size_t *ret_length, struct stat *ret_status, struct error *ret_error)
{
    /* held while the bytes are read, not while they are parsed */
    int fd CLEANUP_CLOSE = -1;
    struct stat status;
    int result = lock_file(path, false, patience, &fd, &status, ret_error);

    if (result)
        return result;
    if (ret_status)
        *ret_status = status;
    return read_whole_file(path, fd, ret_data, ret_length, ret_error);
}

int load_file(const char *path, const struct patience *patience, const struct catalogue *previous,
              const struct catalogue **ret_catalogue, struct stat *ret_status,
              struct error *ret_error)
{
    char *data CLEANUP_FREE = NULL;
    struct stat own, *status = ret_status ? ret_status : &own;
    xmlDoc *document;
    size_t length;
    int result;

    result = load_bytes(path, patience, &data, &length, status, ret_error);
    if (result)
        return result;
    result = document_parse(path, data, length, &document, ret_error);
    if (result)
        return result;
    result = catalogue_read_document(path, document, status->st_mtim, previous, ret_catalogue,
                                     ret_error);
    xmlFreeDoc(document);
#ifdef __GLIBC__
    /* the tree of a large catalogue was many times as large as what is kept of it */
    if (length > (1u << 20))
        malloc_trim(0);
#endif
    return result;
}

int catalogue_load(const char *path, unsigned seconds, const struct catalogue *previous,
                   const struct catalogue **ret_catalogue, struct error *ret_error)
{
    const struct patience patience = {.seconds = seconds, .cancel_fd = -1};

    return load_file(path, &patience, previous, ret_catalogue, NULL, ret_error);
}
