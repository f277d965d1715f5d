/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * damage FILE KIND [STEP] [CHUNK]: reads the backup FILE over and over, each time with another
 * damage, with the passphrase of the environment's PASSPHRASE.  What is not refused must come to
 * the very same files.
 *
 *     flips      each STEPth byte, changed in one bit
 *     cuts       each STEPth length
 *     swaps      each two outer members exchanged: as they stand, and their contents under the same
 *                names; and each two chunks together with their .hmac
 *
 * Prints how many were tried, refused, the same; and for `cuts` how many ended between two archives
 * (of a backup without a manifest only the catalogue knows more).  Status 1 if something else came.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qubesfs/archive_reader.h"

#define MEMBERS_MAX 200

struct member {
    char name[101];
    size_t begin, end; /* with its headers and padding */
    size_t content, content_end;
};

static struct member members[MEMBERS_MAX];
static size_t member_count;
static unsigned char *original;
static size_t original_length;
static struct secret *secret;
static size_t chunk_size;
static size_t tried, refused, same, between;

/*
 * What came, as one number for all archives in any order.
 */

struct sums {
    uint64_t total, archive;
    unsigned archives;
    bool manifest;
};

static void add(uint64_t *sum, const void *data, size_t length)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < length; i++)
        *sum = (*sum ^ bytes[i]) * 0x100000001b3 + 1;
}

static int on_header(void *cookie, const struct archive_header *header, struct error *error)
{
    struct sums *sums = cookie;

    (void)error;
    sums->manifest = header->manifest;
    sums->archive = header->version;
    add(&sums->archive, header->filter, strlen(header->filter));
    sums->total += sums->archive;
    return 0;
}

static int on_catalogue(void *cookie, const void *document, size_t length, struct error *error)
{
    struct sums *sums = cookie;

    (void)error;
    sums->archive = 7;
    add(&sums->archive, document, length);
    sums->total += sums->archive;
    sums->archives++;
    return 0;
}

static int on_archive_begin(void *cookie, const struct archive_entry *entry,
                            struct archive_wish *wish, struct error *error)
{
    struct sums *sums = cookie;

    (void)error, (void)wish;
    sums->archive = 11;
    add(&sums->archive, entry->name, strlen(entry->name));
    return 0;
}

static int on_member_begin(void *cookie, const struct archive_member *member, struct error *error)
{
    struct sums *sums = cookie;
    uint64_t numbers[] = {
        member->type, member->mode, member->uid, member->gid, (uint64_t)member->mtime,
        member->size};

    (void)error;
    add(&sums->archive, numbers, sizeof(numbers));
    add(&sums->archive, member->path, strlen(member->path));
    return 0;
}

static int on_member_data(void *cookie, uint64_t offset, const void *data, size_t length,
                          struct error *error)
{
    struct sums *sums = cookie;
    const unsigned char *bytes = data;

    (void)error;
    /* in whatever pieces it comes */
    for (size_t i = 0; i < length; i++)
        sums->archive += (bytes[i] + 1) * (offset + i + 1) * 0x9e3779b97f4a7c15;
    return 0;
}

static int on_member_end(void *cookie, struct error *error)
{
    (void)error;
    add(&((struct sums *)cookie)->archive, "e", 1);
    return 0;
}

static int on_archive_end(void *cookie, const struct archive_report *report, struct error *error)
{
    struct sums *sums = cookie;

    (void)error, (void)report;
    sums->total += sums->archive;
    sums->archives++;
    return 0;
}

static int on_manifest(void *cookie, struct error *error)
{
    (void)cookie, (void)error;
    return 0;
}

static int read_one(const unsigned char *data, size_t length, struct sums *sums)
{
    const struct archive_reader_sink sink = {
        sums,           on_header,     on_catalogue,   on_archive_begin, on_member_begin,
        on_member_data, on_member_end, on_archive_end, on_manifest};
    const struct archive_reader_options options = {
        .passphrase = secret, .threads = 1, .chunk_size = chunk_size};
    struct archive_reader *reader;
    struct error error = {0};
    int result;

    *sums = (struct sums){.total = 0};
    if (archive_reader_new(&options, &sink, &reader, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(2);
    }
    result = archive_reader_write(reader, data, length, &error);
    if (result == 0)
        result = archive_reader_complete(reader, &error);
    archive_reader_free(reader);
    if (result < 0 && (!error.text[0] || error.code != result)) {
        printf("an error without words: %d\n", result);
        exit(1);
    }
    return result;
}

static bool wrong;

static void check(const unsigned char *data, size_t length, const struct sums *right,
                  bool may_end_between, const char *what, size_t first, size_t second)
{
    struct sums sums;
    int result = read_one(data, length, &sums);

    tried++;
    if (result < 0) {
        refused++;
    } else if (sums.total == right->total) {
        same++;
    } else if (may_end_between && !right->manifest && sums.archives < right->archives) {
        between++;
    } else {
        printf("%s %zu %zu: taken for whole\n", what, first, second);
        wrong = true;
    }
}

/*
 * The members, found by their headers.
 */

static void find_members(void)
{
    size_t at = 0, begin = 0;
    bool extended = false;

    while (at + 512 <= original_length) {
        const unsigned char *block = original + at;
        size_t size = strtoul((const char *)block + 124, NULL, 8);
        struct member *member = &members[member_count];

        if (!block[0]) {
            at += 512;
            continue;
        }
        if (!extended)
            begin = at;
        extended = block[156] == 'x';
        if (!extended) {
            snprintf(member->name, sizeof(member->name), "%.100s", (const char *)block);
            member->begin = begin;
            member->content = at + 512;
            member->content_end = member->content + size;
            member->end = at + 512 + (size + 511) / 512 * 512;
            if (++member_count == MEMBERS_MAX)
                exit(2);
        }
        at += 512 + (size + 511) / 512 * 512;
    }
}

/* [a, b) and [c, d) of the original change places. */
static size_t exchange(unsigned char *copy, size_t a, size_t b, size_t c, size_t d)
{
    unsigned char *to = copy;
    const size_t from[] = {0, c, b, a, d}, until[] = {a, d, c, b, original_length};

    for (size_t i = 0; i < 5; i++) {
        memcpy(to, original + from[i], until[i] - from[i]);
        to += until[i] - from[i];
    }
    return (size_t)(to - copy);
}

/* The member gets that content in place of its own, if it is as long. */
static bool replace(unsigned char *copy, const struct member *to, const struct member *from)
{
    if (to->content_end - to->content != from->content_end - from->content)
        return false;
    memcpy(copy + to->content, original + from->content, to->content_end - to->content);
    return true;
}

static bool is_proof(const struct member *member)
{
    size_t length = strlen(member->name);

    return length > 5 && !strcmp(member->name + length - 5, ".hmac");
}

static void swaps(unsigned char *copy, const struct sums *right)
{
    for (size_t i = 0; i < member_count; i++)
        for (size_t j = i + 1; j < member_count; j++) {
            const struct member *one = &members[i], *other = &members[j];
            size_t length = exchange(copy, one->begin, one->end, other->begin, other->end);

            check(copy, length, right, false, "places of", i, j);
            memcpy(copy, original, original_length);
            if (replace(copy, one, other) && replace(copy, other, one))
                check(copy, original_length, right, false, "contents of", i, j);
            if (j + 1 >= member_count || !is_proof(one + 1) || !is_proof(other + 1) ||
                other == one + 1)
                continue;
            length = exchange(copy, one->begin, one[1].end, other->begin, other[1].end);
            check(copy, length, right, false, "places of pairs", i, j);
            memcpy(copy, original, original_length);
            if (replace(copy, one, other) && replace(copy, other, one) &&
                replace(copy, one + 1, other + 1) && replace(copy, other + 1, one + 1))
                check(copy, original_length, right, false, "contents of pairs", i, j);
        }
}

int main(int count, char **words)
{
    const char *passphrase = getenv("PASSPHRASE");
    size_t step = count > 3 ? strtoul(words[3], NULL, 10) : 1;
    FILE *file = count > 2 ? fopen(words[1], "re") : NULL;
    unsigned char *copy;
    struct sums right;

    if (!file || !passphrase || step == 0 || secret_new(passphrase, strlen(passphrase), &secret))
        return 2;
    chunk_size = count > 4 ? strtoul(words[4], NULL, 10) : 0;
    original = malloc(1 << 24);
    copy = malloc(1 << 24);
    original_length = fread(original, 1, 1 << 24, file);
    fclose(file);
    find_members();
    if (read_one(original, original_length, &right)) {
        puts("the backup itself is refused");
        return 1;
    }
    memcpy(copy, original, original_length);
    if (!strcmp(words[2], "flips"))
        for (size_t at = 0; at < original_length; at += step) {
            copy[at] ^= (unsigned char)(1 << at % 8);
            check(copy, original_length, &right, false, "flip of byte", at, 0);
            copy[at] = original[at];
        }
    else if (!strcmp(words[2], "cuts"))
        for (size_t at = 0; at < original_length; at += step)
            check(original, at, &right, true, "cut at", at, 0);
    else
        swaps(copy, &right);
    printf("%s %s: %zu members, %zu tried, %zu refused, %zu the same", words[1], words[2],
           member_count, tried, refused, same);
    if (between > 0)
        printf(", %zu end between two archives", between);
    puts("");
    secret_unref(secret);
    free(original);
    free(copy);
    return wrong;
}
