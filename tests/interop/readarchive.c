/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * readarchive [KEY=VALUE]... [DIRECTORY]: reads a backup from stdin with the passphrase of the
 * environment's PASSPHRASE, and unpacks it into the directory, which must exist; without one it is
 * only read.  What comes is told on stdout, a line each.
 *
 *     piece=BYTES     as much is handed to the reader at a time (default 1 MiB; `random`)
 *     threads=N  kdf-memory=MIB  chunk=BYTES
 *     flush=BYTES     asks after so many bytes whether it is complete, and goes on
 *     skip=NAME       that archive is not unpacked
 *     max=BYTES       no archive may unpack to more
 *
 * Status 0: whole; 1: an error, on stderr `ERRNO: TEXT`; 3: not complete, likewise.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qubesfs/archive_reader.h"

struct state {
    int directory; /* -1: none */
    int file;
    const char *skip;
    uint64_t max, members;
    mode_t mode;
    time_t mtime;
    char path[4096];
};

static int sink_header(void *cookie, const struct archive_header *header, struct error *error)
{
    (void)cookie, (void)error;
    printf("header version=%u absent=%d encrypted=%d filter=%s hmac=%s id=%s manifest=%d\n",
           header->version, header->absent, header->encrypted, header->filter, header->hmac,
           header->backup_id, header->manifest);
    return 0;
}

/* Makes the directories above a path. */
static void make_above(const struct state *state, const char *path)
{
    char above[4096];

    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(above, sizeof(above), "%.*s", (int)(slash - path), path);
        mkdirat(state->directory, above, 0755);
    }
}

static int sink_catalogue(void *cookie, const void *document, size_t length, struct error *error)
{
    const struct state *state = cookie;

    (void)error;
    printf("catalogue %zu\n", length);
    if (state->directory >= 0) {
        int fd =
            openat(state->directory, "qubes.xml", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        if (fd < 0 || write(fd, document, length) != (ssize_t)length)
            return -EIO;
        close(fd);
    }
    return 0;
}

static int sink_archive_begin(void *cookie, const struct archive_entry *entry,
                              struct archive_wish *wish, struct error *error)
{
    const struct state *state = cookie;

    (void)error;
    if (wish->bytes_max > state->max)
        wish->bytes_max = state->max;
    wish->unpack = !state->skip || strcmp(state->skip, entry->name) != 0;
    printf("archive %s\n", entry->name);
    return 0;
}

static int make(struct state *state, const struct archive_member *member)
{
    const char *path = member->path;
    int result = 0;

    make_above(state, path);
    switch (member->type) {
    case ARCHIVE_FILE:
        state->file = openat(state->directory, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        result = state->file < 0 || ftruncate(state->file, (off_t)member->size);
        break;
    case ARCHIVE_DIRECTORY:
        result = mkdirat(state->directory, path, 0755) && errno != EEXIST;
        break;
    case ARCHIVE_SYMLINK:
        result = symlinkat(member->link, state->directory, path);
        break;
    case ARCHIVE_HARD_LINK:
        result = linkat(state->directory, member->link, state->directory, path, 0);
        break;
    case ARCHIVE_SPECIAL:
        break;
    }
    return result ? -errno : 0;
}

static int sink_member_begin(void *cookie, const struct archive_member *member, struct error *error)
{
    struct state *state = cookie;

    state->file = -1;
    state->mode = member->mode;
    state->mtime = member->mtime;
    state->members++;
    if (state->members <= 10000)
        printf("member %c %o %u %u %lld %llu%s %s%s%s\n", "fdlhs"[member->type], member -> mode,
               member -> uid, member -> gid, (long long)member -> mtime,
               (unsigned long long)member -> size, member -> sparse ? " sparse" : "", member->path,
               member->link ? " -> " : "", member->link ? member->link : "");
    if (state->directory < 0)
        return 0;
    int result = make(state, member);

    return result < 0
               ? error_set(error, result, "can't make %s: %s", member->path, strerror(-result))
               : 0;
}

static int sink_member_data(void *cookie, uint64_t offset, const void *data, size_t length,
                            struct error *error)
{
    const struct state *state = cookie;

    (void)error;
    if (state->file < 0)
        return 0;
    for (size_t at = 0; at < length;) {
        ssize_t done =
            pwrite(state->file, (const char *)data + at, length - at, (off_t)(offset + at));

        if (done < 0)
            return -errno;
        at += (size_t)done;
    }
    return 0;
}

static int sink_member_end(void *cookie, struct error *error)
{
    struct state *state = cookie;
    struct timespec times[2] = {{.tv_sec = state->mtime}, {.tv_sec = state->mtime}};

    (void)error;
    if (state->file < 0)
        return 0;
    fchmod(state->file, state->mode);
    futimens(state->file, times);
    close(state->file);
    state->file = -1;
    return 0;
}

static int sink_archive_end(void *cookie, const struct archive_report *report, struct error *error)
{
    (void)cookie, (void)error;
    printf("end stored=%llu unpacked=%llu chunks=%u\n", (unsigned long long)report->stored_bytes,
           (unsigned long long)report->unpacked_bytes, report->chunks);
    return 0;
}

static int sink_manifest(void *cookie, struct error *error)
{
    (void)cookie, (void)error;
    puts("manifest");
    return 0;
}

static int tell(const struct error *error)
{
    fprintf(stderr, "%s: %s\n", error->code == -ENOTSUP ? "ENOTSUP" : strerrorname_np(-error->code),
            error->text);
    return error->code == -EIO ? 3 : 1;
}

int main(int count, char **words)
{
    const char *passphrase = getenv("PASSPHRASE");
    struct state state = {.directory = -1, .file = -1, .max = UINT64_MAX};
    const struct archive_reader_sink sink = {
        &state,           sink_header,     sink_catalogue,   sink_archive_begin, sink_member_begin,
        sink_member_data, sink_member_end, sink_archive_end, sink_manifest};
    struct archive_reader_options options = {.threads = 0};
    size_t piece = 1 << 20, room = 1 << 20;
    unsigned long long flush = 0, taken = 0;
    struct archive_reader *reader;
    struct secret *secret;
    struct error error = {0};
    bool random_pieces = false;
    char *buffer;
    ssize_t got;
    int at = 1, result = 0;

    for (char *value; at < count && (value = strchr(words[at], '=')) != NULL; at++) {
        unsigned long long number = strtoull(++value, NULL, 10);

        if (!strncmp(words[at], "piece=", 6))
            random_pieces = !strcmp(value, "random"), piece = random_pieces ? room : number;
        else if (!strncmp(words[at], "threads=", 8))
            options.threads = (unsigned)number;
        else if (!strncmp(words[at], "kdf-memory=", 11))
            options.kdf_memory_max = number << 20;
        else if (!strncmp(words[at], "chunk=", 6))
            options.chunk_size = (size_t)number;
        else if (!strncmp(words[at], "flush=", 6))
            flush = number;
        else if (!strncmp(words[at], "skip=", 5))
            state.skip = value;
        else if (!strncmp(words[at], "max=", 4))
            state.max = number;
        else
            return 2;
    }
    if (at < count && (state.directory = open(words[at], O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return 2;
    buffer = malloc(piece > room ? piece : room);
    if (!buffer || !passphrase || secret_new(passphrase, strlen(passphrase), &secret))
        return 2;
    options.passphrase = secret;
    if (archive_reader_new(&options, &sink, &reader, &error))
        return tell(&error);
    while (result == 0 && (got = read(STDIN_FILENO, buffer,
                                      random_pieces ? 1 + (size_t)rand() % room : piece)) > 0) {
        if (flush > taken && flush <= taken + (unsigned long long)got) {
            size_t first = (size_t)(flush - taken);

            result = archive_reader_write(reader, buffer, first, &error);
            if (result == 0) {
                result = archive_reader_complete(reader, &error);
                printf("flush %d\n", result);
                result = result == -EIO ? 0 : result;
            }
            if (result == 0)
                result = archive_reader_write(reader, buffer + first, (size_t)got - first, &error);
        } else {
            result = archive_reader_write(reader, buffer, (size_t)got, &error);
        }
        taken += (unsigned long long)got;
    }
    if (result == 0)
        result = archive_reader_complete(reader, &error);
    archive_reader_free(reader);
    secret_unref(secret);
    free(buffer);
    if (state.members > 10000)
        printf("members %llu\n", (unsigned long long)state.members);
    return result < 0 ? tell(&error) : 0;
}
