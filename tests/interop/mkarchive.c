/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mkarchive [KEY=VALUE]... [NAME PATH]...: writes an archive of these sources to stdout, with the
 * passphrase of the environment's PASSPHRASE.  A source whose name is `qubes.xml` is written as
 * data.
 *
 *     format=3|4  encrypted=0|1  compression=none|gzip|zstd  level=fast|default|small
 *     kdf=14..20  id=TEXT  seed=CHARACTER (32 times; without: random)  time=SECONDS  threads=N
 *     cut=BYTES (the output fails there)
 *
 * What was told of the size must be true, exactly without compression: else status 3.  With
 * VERBOSE in the environment the offset of each source is told on stderr, `OFFSET NAME`.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qubesfs/archive.h"

struct output {
    uint64_t written, cut;
};

static int take(void *cookie, const void *data, size_t length)
{
    struct output *output = cookie;

    if (output->written + length > output->cut)
        return -ENOSPC;
    for (size_t at = 0; at < length;) {
        ssize_t done = write(STDOUT_FILENO, (const char *)data + at, length - at);

        if (done < 0)
            return -errno;
        at += (size_t)done;
    }
    output->written += length;
    return 0;
}

static bool cancelled(void *cookie)
{
    (void)cookie;
    return false;
}

static void begin(void *cookie, const char *name)
{
    const struct output *output = cookie;

    if (getenv("VERBOSE"))
        fprintf(stderr, "%llu %s\n", (unsigned long long)output->written, name);
}

static const char *root_user(void *cookie, uid_t uid)
{
    (void)cookie, (void)uid;
    return "root";
}

static const char *root_group(void *cookie, gid_t gid)
{
    (void)cookie, (void)gid;
    return "root";
}

static unsigned find(const char *value, const char *const *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!strcmp(value, names[i]))
            return i;
    fprintf(stderr, "mkarchive: what is %s?\n", value);
    exit(2);
}

static void set(struct archive_options *options, struct output *output, const char *key,
                const char *value)
{
    static const char *const compressions[] = {"none", "gzip", "zstd"};
    static const char *const levels[] = {"default", "fast", "small"};
    static const char *const keys[] = {"format",  "encrypted", "compression", "level",
                                       "kdf",     "id",        "seed",        "time",
                                       "threads", "cut"};
    static unsigned char seed[ARCHIVE_SEED_SIZE];
    unsigned number = (unsigned)strtoul(value, NULL, 10);

    switch (find(key, keys, sizeof(keys) / sizeof(keys[0]))) {
    case 0:
        options->format = number;
        break;
    case 1:
        options->encrypted = number != 0;
        break;
    case 2:
        options->compression = (enum archive_compression)find(value, compressions, 3);
        break;
    case 3:
        options->level = (enum archive_level)find(value, levels, 3);
        break;
    case 4:
        options->kdf_log2_n = number;
        break;
    case 5:
        snprintf(options->backup_id, sizeof(options->backup_id), "%s", value);
        break;
    case 6:
        memset(seed, value[0], sizeof(seed));
        options->salt_seed = seed;
        break;
    case 7:
        options->time = (time_t)number;
        break;
    case 8:
        options->threads = number;
        break;
    default:
        output->cut = strtoull(value, NULL, 10);
    }
}

static int write_data(struct archive_writer *writer, const char *name, const char *path,
                      struct archive_bound *bound, struct error *error)
{
    char data[65536];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = read(fd, data, sizeof(data));

    close(fd);
    if (length < 0)
        return error_set(error, -errno, "can't read %s", path);
    archive_bound_add(bound, name, archive_data_size((size_t)length));
    return archive_write_data(writer, name, data, (size_t)length, error);
}

static int write_source(struct archive_writer *writer, char **words, int left,
                        struct archive_bound *bound, struct error *error)
{
    struct archive_source source = {.name = words[0],
                                    .path = words[1],
                                    .root = "",
                                    .owners = {NULL, root_user, root_group},
                                    .next_name = left > 2 ? words[2] : NULL};
    struct archive_size size;
    int result = archive_measure(&source, &size, error);

    if (result == 0)
        archive_bound_add(bound, words[0], source.tar_bytes = size.tar_bytes);
    return result < 0 ? result : archive_write_source(writer, &source, error);
}

int main(int count, char **words)
{
    const char *passphrase = getenv("PASSPHRASE");
    struct archive_options options = {
        .format = 4, .encrypted = true, .kdf_log2_n = 14, .backup_id = "20161020T123455-1234"};
    struct output state = {0, UINT64_MAX};
    struct archive_output output = {
        .cookie = &state, .write = take, .cancelled = cancelled, .begin = begin};
    struct archive_writer *writer;
    struct secret *secret;
    struct error error;
    struct archive_bound bound;
    uint64_t told;
    int at = 1, result;

    for (char *value; at < count && (value = strchr(words[at], '=')) != NULL; at++) {
        *value = '\0';
        set(&options, &state, words[at], value + 1);
    }
    if (!passphrase || secret_new(passphrase, strlen(passphrase), &secret))
        return 2;
    options.passphrase = secret;
    result = archive_writer_new(&options, &output, &writer, &error);
    if (result < 0) {
        fprintf(stderr, "mkarchive: %s\n", error.text);
        return 1;
    }
    archive_bound_begin(&bound, &options);
    for (; result == 0 && at + 1 < count; at += 2)
        result = !strcmp(words[at], "qubes.xml")
                     ? write_data(writer, words[at], words[at + 1], &bound, &error)
                     : write_source(writer, words + at, count - at, &bound, &error);
    if (result == 0)
        result = archive_writer_finish(writer, &error);
    archive_writer_free(writer);
    secret_unref(secret);
    if (result < 0) {
        fprintf(stderr, "mkarchive: %s\n", error.text);
        return 1;
    }
    told = archive_bound_end(&bound);
    if (state.written > told || (options.compression == ARCHIVE_NONE && state.written != told)) {
        fprintf(stderr, "mkarchive: %llu bytes, but %llu were told\n",
                (unsigned long long)state.written, (unsigned long long)told);
        return 3;
    }
    return 0;
}
