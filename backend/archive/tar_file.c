/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Regular files, whole or with holes, of a host that may change them meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "qubesfs/log.h"
#include "tar_writer.h"

/* how often a small file that somebody writes to is read again for a quiet moment */
#define LIVE_ATTEMPTS 3

static bool changed(const struct stat *a, const struct stat *b)
{
    if (S_ISBLK(b->st_mode))
        return false; /* nothing tells */
    return a->st_size != b->st_size || a->st_mtim.tv_sec != b->st_mtim.tv_sec ||
           a->st_mtim.tv_nsec != b->st_mtim.tv_nsec || a->st_ctim.tv_sec != b->st_ctim.tv_sec ||
           a->st_ctim.tv_nsec != b->st_ctim.tv_nsec;
}

/* Reads until `length` bytes are there or the file ends; returns their number. */
static ssize_t read_full(int fd, void *buffer, size_t length, uint64_t offset)
{
    size_t have = 0;

    while (have < length) {
        ssize_t got = pread(fd, (char *)buffer + have, length - have, (off_t)(offset + have));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

/* Reads the next piece of a file right into the sink where that has room for it, else by way of the
 * buffer.  Returns the number of bytes, fewer than `ret_wanted` at the file's end; -EBADE and the
 * sink's errno in `ret_sink_error` when it was the sink that failed. */
static ssize_t pass_on(struct tar_writer *writer, int fd, uint64_t at, uint64_t left,
                       size_t *ret_wanted, int *ret_sink_error)
{
    struct sink *sink = writer->sink;
    void *data = writer->buffer;
    size_t room = TAR_BUFFER;
    ssize_t got;

    *ret_sink_error = 0;
    if (sink->operations->room)
        *ret_sink_error = sink->operations->room(sink, &data, &room);
    if (*ret_sink_error < 0)
        return -EBADE;
    *ret_wanted = left < room ? (size_t)left : room;
    got = read_full(fd, data, *ret_wanted, at);
    if (got < (ssize_t)*ret_wanted)
        return got;
    if (!sink->operations->room) {
        *ret_sink_error = tar_write_bytes(writer, data, *ret_wanted);
        return *ret_sink_error < 0 ? -EBADE : got;
    }
    sink->operations->advance(sink, *ret_wanted);
    writer->written += *ret_wanted;
    return got;
}

static int write_extent(struct tar_writer *writer, int fd, const struct storage_extent *extent,
                        const char *path, struct error *ret_error)
{
    uint64_t at = extent->offset, end = extent->offset + extent->length;

    while (at < end) {
        size_t wanted;
        ssize_t got;
        int result;

        if (writer->output->cancelled(writer->output->cookie))
            return error_set(ret_error, -ECANCELED, "the backup was given up");
        got = pass_on(writer, fd, at, end - at, &wanted, &result);
        if (result < 0)
            return error_set(ret_error, result, "can't store %s: %s", path, strerror(-result));
        if (got < 0)
            return error_set(ret_error, (int)got, "can't read %s at byte %llu: %s", path,
                             (unsigned long long)at, strerror((int)-got));
        if ((size_t)got < wanted)
            return error_set(ret_error, -EBUSY,
                             "%s became shorter while it was read: something else uses it; try "
                             "again when it is left alone",
                             path);
        at += wanted;
    }
    return 0;
}

static int check_unchanged(int fd, const struct stat *before, enum tar_care care, const char *path,
                           struct error *ret_error)
{
    struct stat after;

    if (fstat(fd, &after))
        return error_set(ret_error, -errno, "can't look at %s: %s", path, strerror(errno));
    if (!changed(before, &after) || (care == TAR_STILL && before->st_size == after.st_size))
        return 0;
    if (care != TAR_LIVE)
        return error_set(ret_error, -EBUSY,
                         "%s was changed while it was read: something else uses it; try again when "
                         "it is left alone",
                         path);
    log_info("%s was changed while it was backed up", path);
    return 0;
}

/* A small file of a live tree: read first, so that its header tells what was there.  1: nothing was
 * stored, it is a small one no more; `status` tells what it is now. */
static int write_small_live(struct tar_writer *writer, struct tar_member *member, int fd,
                            struct stat *status, const char *path, struct error *ret_error)
{
    struct stat after;
    ssize_t got;
    int result;

    for (int attempt = 1;; attempt++) {
        bool quiet;

        got = read_full(fd, writer->buffer, TAR_BUFFER, 0);
        if (got < 0)
            return error_set(ret_error, (int)got, "can't read %s: %s", path, strerror((int)-got));
        if (fstat(fd, &after))
            return error_set(ret_error, -errno, "can't look at %s: %s", path, strerror(errno));
        quiet = !changed(status, &after);
        *status = after;
        if (after.st_size >= (off_t)TAR_BUFFER)
            return 1; /* there may be more of it than was read */
        if (quiet)
            break;
        if (attempt == LIVE_ATTEMPTS) {
            log_info("%s was changed while it was backed up", path);
            break;
        }
    }
    member->size = (uint64_t)got;
    member->time = after.st_mtim.tv_sec;
    result = tar_write_header(writer, member, NULL);
    if (result == 0)
        result = tar_write_bytes(writer, writer->buffer, (uint64_t)got);
    if (result == 0)
        result = tar_write_padding(writer);
    if (result < 0)
        return error_set(ret_error, result, "can't store %s: %s", path, strerror(-result));
    return 0;
}

/* Finds the file's data, as large as `status` says that it is. */
static int find_data(struct tar_member *member, int fd, const struct stat *status,
                     struct storage_map *ret_map, const char *path, struct error *ret_error)
{
    int result;

    member->size = (uint64_t)status->st_size;
    member->time = status->st_mtim.tv_sec;
    storage_map_free(ret_map);
    result = storage_map_read(fd, member->size, STORAGE_EXTENTS_MAX, ret_map);
    if (result < 0)
        error_set(ret_error, result, "can't find the data of %s: %s", path, strerror(-result));
    return result;
}

int tar_write_file(struct tar_writer *writer, struct tar_member *member, int fd,
                   const struct stat *status, enum tar_care care, const char *path,
                   struct error *ret_error)
{
    struct storage_map map CLEANUP(storage_map_free) = STORAGE_MAP_INIT;
    struct stat now = *status;
    int result = find_data(member, fd, &now, &map, path, ret_error);

    writer->disk_bytes += (uint64_t)status->st_blocks * 512;
    member->type = TAR_FILE;
    if (result == 0 && writer->sink && care == TAR_LIVE && !storage_map_has_holes(&map) &&
        member->size < TAR_BUFFER) {
        result = write_small_live(writer, member, fd, &now, path, ret_error);
        if (result <= 0)
            return result;
        result = find_data(member, fd, &now, &map, path, ret_error);
    }
    if (result < 0)
        return result;
    result = tar_write_header(writer, member, storage_map_has_holes(&map) ? &map : NULL);
    if (result < 0)
        return error_set(ret_error, result, "can't store %s: %s", path, strerror(-result));
    if (!writer->sink) {
        writer->written += map.data_bytes + tar_padding(map.data_bytes, TAR_BLOCK);
        return 0;
    }
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    for (size_t i = 0; i < map.count; i++) {
        result = write_extent(writer, fd, &map.extents[i], path, ret_error);
        if (result < 0)
            return result;
    }
    result = check_unchanged(fd, &now, care, path, ret_error);
    if (result == 0) {
        result = tar_write_padding(writer);
        if (result < 0)
            error_set(ret_error, result, "can't store %s: %s", path, strerror(-result));
    }
    return result;
}

int tar_count_file(struct tar_writer *writer, struct tar_member *member, const struct stat *status)
{
    uint64_t size = (uint64_t)status->st_size;

    writer->disk_bytes += (uint64_t)status->st_blocks * 512;
    member->type = TAR_FILE;
    writer->written += size + tar_padding(size, TAR_BLOCK);
    return tar_write_header(writer, member, NULL);
}
