/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For the tests of the archive room: memory as a stage and as an output, a directory of one's own,
 * and other programs' answers. */
#ifndef ARCHIVE_HELPER_H
#define ARCHIVE_HELPER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/sink.h"
#include "archive/tar_tree.h"
#include "qubesfs/archive.h"
#include "qubesfs/text.h"

/* a stage that keeps everything */

struct memory_sink {
    struct sink sink;
    struct text text;
};

static inline int memory_write(struct sink *sink, const void *data, size_t length)
{
    text_append(&((struct memory_sink *)sink)->text, data, length);
    return 0;
}

static const struct sink_operations memory_operations = {memory_write, NULL, NULL};

#define MEMORY_SINK                                                                                \
    {                                                                                              \
        {&memory_operations}, TEXT_INIT                                                            \
    }

/* an output that keeps everything */

static inline int output_write(void *cookie, const void *data, size_t length)
{
    text_append(cookie, data, length);
    return 0;
}

static inline bool output_cancelled(void *cookie)
{
    (void)cookie;
    return false;
}

static inline struct archive_output output_to(struct text *text)
{
    return (struct archive_output){
        .cookie = text, .write = output_write, .cancelled = output_cancelled};
}

/* a directory that goes away with the test */

static char test_directory[64];

static inline int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status, (void)type, (void)ftw;
    return remove(path);
}

static inline int directory_setup(void **state)
{
    (void)state;
    strcpy(test_directory, "/tmp/qubesfs-unit-XXXXXX");
    return mkdtemp(test_directory) ? 0 : -1;
}

static inline int directory_teardown(void **state)
{
    (void)state;
    return nftw(test_directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline char *below(const char *name)
{
    char *path;

    assert_true(asprintf(&path, "%s/%s", test_directory, name) > 0);
    return path;
}

/* Makes the file `name`; each piece is put at its offset, the rest is a hole. */
struct piece {
    off_t offset;
    size_t length;
};

static inline void make_file(const char *name, off_t size, const struct piece *pieces, size_t count)
{
    char *path = below(name);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0640);

    assert_true(fd >= 0);
    for (size_t i = 0; i < count; i++) {
        unsigned char *data = malloc(pieces[i].length);

        for (size_t j = 0; j < pieces[i].length; j++)
            data[j] = (unsigned char)(j * 7 + i + (j >> 9) + 1);
        assert_int_equal(pwrite(fd, data, pieces[i].length, pieces[i].offset), pieces[i].length);
        free(data);
    }
    assert_int_equal(ftruncate(fd, size), 0);
    fsync(fd); /* so that the file system has made up its mind about holes */
    close(fd);
    free(path);
}

/* Runs a shell command in the directory and returns its output; it must succeed. */
static inline void run(struct text *text, const char *format, ...) PRINTF(2, 3);
static inline void run(struct text *text, const char *format, ...)
{
    char command[4096], in_place[4200], buffer[65536];
    va_list arguments;
    size_t got;
    FILE *pipe;

    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    snprintf(in_place, sizeof(in_place), "cd %s && LC_ALL=C; export LC_ALL; %s", test_directory,
             command);
    pipe = popen(in_place, "r");
    assert_non_null(pipe);
    while ((got = fread(buffer, 1, sizeof(buffer), pipe)) > 0)
        if (text)
            text_append(text, buffer, got);
    if (pclose(pipe) != 0)
        fail_msg("%s", command);
}

static inline void put_file(const char *name, const void *data, size_t length)
{
    char *path = below(name);
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    free(path);
}

static inline bool have(const char *program)
{
    char command[128];

    snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", program);
    return system(command) == 0;
}

/* owners as tar finds them */

static inline const char *user_of(void *cookie, uid_t uid)
{
    struct passwd *entry = getpwuid(uid);

    (void)cookie;
    return entry ? entry->pw_name : NULL;
}

static inline const char *group_of(void *cookie, gid_t gid)
{
    struct group *entry = getgrgid(gid);

    (void)cookie;
    return entry ? entry->gr_name : NULL;
}

static const struct archive_owners test_owners = {NULL, user_of, group_of};

/* The inner archive of a source, and what measuring says of it, which must agree. */
static inline int inner_tar(const struct archive_source *source, struct memory_sink *memory,
                            struct error *error)
{
    struct text unused = TEXT_INIT;
    struct archive_output output = output_to(&unused);
    unsigned char *buffer = malloc(TAR_BUFFER);
    struct tar_writer tar = {.sink = &memory->sink, .output = &output, .buffer = buffer};
    int result = tar_write_tree(&tar, source, error);

    free(buffer);
    if (result == 0)
        result = tar_write_end(&tar);
    if (result == 0) {
        struct archive_size size;

        assert_int_equal(memory->text.length, tar.written);
        assert_int_equal(archive_measure(source, &size, error), 0);
        assert_int_equal(size.tar_bytes, tar.written);
        assert_int_equal(size.disk_bytes, tar.disk_bytes);
    }
    return result;
}

static inline void assert_same(const struct text *ours, const struct text *theirs, const char *what)
{
    for (size_t i = 0; i < ours->length && i < theirs->length; i++)
        if (ours->data[i] != theirs->data[i])
            fail_msg("%s: byte %zu (block %zu + %zu) is %02x, not %02x", what, i, i / 512, i % 512,
                     (unsigned char)ours->data[i], (unsigned char)theirs->data[i]);
    assert_int_equal(ours->length, theirs->length);
}

#endif
