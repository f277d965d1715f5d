/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inner archive with its sparse maps and pax headers, and (first byte odd) its volumes: the
 * same members whether its bytes come at once or in pieces; every path below the archive's name,
 * every piece of data within its file and behind the one before.
 */
#include <stdlib.h>
#include <string.h>

#include "archive/read_names.h"
#include "archive/read_tar.h"
#include "qubesfs/text.h"
#include "tar_sums.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOT   "vm1"
#define VOLUME 2048u

struct seen {
    struct text text;
    uint64_t hash; /* of a member's data */
    bool in_member, is_file;
    uint64_t size, end;
};

static void check_path(const char *path)
{
    char copy[70000];

    if (strlen(path) >= sizeof(copy))
        abort();
    strcpy(copy, path);
    if (!names_plain(copy) || strcmp(copy, path) != 0 || !names_is_below(path, ROOT))
        abort();
}

static int begin(void *cookie, const struct archive_member *member, struct error *ret_error)
{
    struct seen *seen = cookie;

    (void)ret_error;
    if (seen->in_member || member->size >> 62)
        abort();
    seen->in_member = true;
    seen->is_file = member->type == ARCHIVE_FILE;
    seen->size = member->size;
    seen->end = 0;
    if (strlen(member->path) < 60000)
        check_path(member->path);
    if (member->type == ARCHIVE_HARD_LINK && strlen(member->link) < 60000)
        check_path(member->link);
    text_printf(&seen->text, "%d %s %s %o %u %u %lld %llu %d\n", (int)member->type, member->path,
                member->link ? member->link : "", member->mode, member->uid, member->gid,
                (long long)member->mtime, (unsigned long long)member->size, member->sparse);
    return 0;
}

static int data_of(void *cookie, uint64_t offset, const void *data, size_t length,
                   struct error *ret_error)
{
    struct seen *seen = cookie;
    const unsigned char *bytes = data;

    (void)ret_error;
    if (!seen->in_member || !seen->is_file || length == 0 || offset < seen->end ||
        offset > seen->size || length > seen->size - offset)
        abort();
    if (offset != seen->end)
        text_printf(&seen->text, "hole %llu\n", (unsigned long long)(offset - seen->end));
    seen->end = offset + length;
    for (size_t i = 0; i < length; i++)
        seen->hash = (seen->hash ^ bytes[i]) * 0x100000001b3;
    return 0;
}

static int end(void *cookie, struct error *ret_error)
{
    struct seen *seen = cookie;

    (void)ret_error;
    if (!seen->in_member)
        abort();
    seen->in_member = false;
    text_printf(&seen->text, "end %llx\n", (unsigned long long)seen->hash);
    return 0;
}

static struct text parse(const uint8_t *data, size_t size, size_t piece, bool volumes)
{
    struct seen seen = {.text = TEXT_INIT};
    struct tar_events events = {&seen, begin, data_of, end};
    struct tar_reader *reader;
    struct error error = {.code = 0};
    int result = 0;

    if (tar_reader_new(&events, ROOT, UINT64_MAX, &reader))
        abort();
    for (size_t at = 0, take; result == 0 && at < size; at += take) {
        take = size - at < piece ? size - at : piece;
        if (volumes && take > VOLUME - at % VOLUME)
            take = VOLUME - at % VOLUME;
        if (volumes && at > 0 && at % VOLUME == 0)
            result = tar_reader_next_volume(reader, &error);
        if (result == 0)
            result = tar_reader_write(reader, data + at, take, &error);
    }
    text_printf(&seen.text, "result %d %d\n", result, result == 0 && tar_reader_is_whole(reader));
    tar_reader_free(reader);
    return seen.text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool volumes = size > 0 && data[0] & 1;
    struct text whole;
    uint8_t *copy;

    if (size == 0)
        return 0;
    copy = with_sums(data + 1, size - 1);
    size--;
    whole = parse(copy, size, size ? size : 1, volumes);
    for (size_t piece = 1; piece < 1000; piece = piece * 30 + 3) {
        struct text cut = parse(copy, size, piece, volumes);

        if (cut.length != whole.length || memcmp(cut.data, whole.data, cut.length) != 0)
            abort();
        text_free(&cut);
    }
    text_free(&whole);
    free(copy);
    return 0;
}
