/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inner archives, byte for byte against what GNU tar makes as Qubes called it. */
#include "archive_helper.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "archive/tar_links.h"

/* Compares a source below the test's directory with GNU tar's archive of it. */
static void compare(const char *subdir, const char *base, const char *name, bool dereference,
                    const char *more)
{
    struct memory_sink memory = MEMORY_SINK;
    struct text theirs = TEXT_INIT;
    struct error error = {0};
    char *path = below(base);
    struct archive_source source = {.name = name,
                                    .path = path,
                                    .root = "",
                                    .dereference = dereference,
                                    .live = !dereference,
                                    .owners = test_owners};

    run(&theirs, "tar -Pc --sparse --sort=name %s %s --xform 's:^%s:%s\\0:S' %s",
        dereference ? "--dereference" : "", more, base, subdir, base);
    if (inner_tar(&source, &memory, &error))
        fail_msg("%s", error.text);
    assert_same(&memory.text, &theirs, name);
    text_free(&theirs);
    text_free(&memory.text);
    free(path);
}

static void test_plain(void **state)
{
    (void)state;
    make_file("empty", 0, NULL, 0);
    compare("vm2/", "empty", "vm2/empty", true, "");
    make_file("one", 1, &(struct piece){0, 1}, 1);
    compare("vm2/", "one", "vm2/one", true, "");
    make_file("block", 512, &(struct piece){0, 512}, 1);
    compare("vm2/", "block", "vm2/block", true, "");
    /* fills the record to the byte, and one block more */
    make_file("record", 8704, &(struct piece){0, 8704}, 1);
    compare("vm2/", "record", "vm2/record", true, "");
    make_file("record", 9216, &(struct piece){0, 9216}, 1);
    compare("vm2/", "record", "vm2/record", true, "");
    make_file("big", 1000001, &(struct piece){0, 1000001}, 1);
    compare("vm2/", "big", "vm2/big", true, "");
    compare("vm2/", "big", "vm2/big", false, "");
}

/* `count` regions of one page with pages of hole between them; the last one touches the end or not.
 */
static void sparse(size_t count, off_t page, bool to_end)
{
    struct piece *pieces = calloc(count + 1, sizeof(*pieces));
    off_t size = (off_t)(2 * count + 1) * page;

    for (size_t i = 0; i < count; i++)
        pieces[i] = (struct piece){(off_t)(2 * i + 1) * page, (size_t)page};
    if (to_end)
        size = (off_t)(2 * count) * page - 100;
    if (to_end)
        pieces[count - 1].length -= 100;
    make_file("private.img", size, pieces, count);
    compare("vm2/", "private.img", "vm2/private.img", true, "");
    free(pieces);
}

static void test_sparse(void **state)
{
    static const size_t counts[] = {0, 1, 2, 3, 4, 5, 23, 24, 25, 26, 45, 46, 47, 130};

    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        sparse(counts[i], 65536, false);
        if (counts[i] > 0)
            sparse(counts[i], 65536, true);
    }
}

static void test_huge(void **state)
{
    struct piece pieces[] = {{0, 4096}, {(off_t)9 << 30, 8192}, {(off_t)20 << 30, 4096}};

    (void)state;
    /* sizes and offsets beyond 11 octal digits */
    make_file("private.img", (off_t)30 << 30, pieces, 3);
    compare("vm2/", "private.img", "vm2/private.img", true, "");
}

static void test_owner_and_times(void **state)
{
    (void)state;
    make_file("f", 3, &(struct piece){0, 3}, 1);
    if (geteuid() == 0)
        run(NULL, "chown 123456:2097151 f; chmod 7711 f");
    compare("vm2/", "f", "vm2/f", true, "");
    if (geteuid() == 0)
        run(NULL, "chown 2097152:4000000000 f");
    compare("vm2/", "f", "vm2/f", true, "");
    run(NULL, "touch -d '1960-01-01' f");
    compare("vm2/", "f", "vm2/f", true, "");
    run(NULL, "touch -d '2400-01-01' f");
    compare("vm2/", "f", "vm2/f", true, "");
}

static void test_long_names(void **state)
{
    char name[260];
    char member[300];

    (void)state;
    /* vm2/ + length: the field holds 100, an 'L' member the rest */
    for (size_t length = 95; length <= 98; length++) {
        memset(name, 'n', length);
        name[length] = '\0';
        make_file(name, 10, &(struct piece){0, 10}, 1);
        snprintf(member, sizeof(member), "vm2/%s", name);
        compare("vm2/", name, member, true, "");
    }
    memset(name, 'm', 255);
    name[255] = '\0';
    make_file(name, 200000, &(struct piece){100000, 10}, 1);
    snprintf(member, sizeof(member), "vm2/%s", name);
    compare("vm2/", name, member, true, "");
}

static void test_tree(void **state)
{
    (void)state;
    run(NULL,
        "mkdir -p user/a/deep/deeper user/empty && echo hello >user/a/file &&"
        "ln user/a/file user/z-second-name && ln -s a/file user/link &&"
        "ln -s /nowhere/at/all user/dangling && ln -s \"$(printf %%0150d 7)\" user/longlink &&"
        "d=user/$(printf %%0120d 1) && mkdir $d && echo x >$d/$(printf %%0200d 2) &&"
        "ln $d/$(printf %%0200d 2) user/zz-long && mkfifo -m 600 user/pipe &&"
        "truncate -s 3M user/hole && chmod 1777 user/empty && printf 'n\\303\\244' "
        ">user/n\\303\\244");
    /* tar keeps FIFOs; we leave out what has no content */
    compare("dom0-home/", "user", "dom0-home/user", false, "--exclude=pipe");
}

static void test_socket_left_out(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    run(NULL, "mkdir user2 && echo x >user2/file");
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/user2/socket", test_directory);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    compare("dom0-home/", "user2", "dom0-home/user2", false, "2>/dev/null");
    close(fd);
}

static void test_template(void **state)
{
    struct memory_sink memory = MEMORY_SINK;
    struct text theirs = TEXT_INIT;
    struct error error = {0};
    char *path = below("fedora");
    struct archive_source source = {
        .name = "vm1/.", .path = path, .root = "", .dereference = true, .owners = test_owners};

    (void)state;
    run(NULL, "mkdir -p fedora/apps && truncate -s 5M fedora/root.img && echo a >fedora/apps/a &&"
              "echo icon >theicon && ln -s ../theicon fedora/icon.png");
    run(&theirs,
        "tar -Pc --sparse --sort=name --dereference -C fedora --xform 's:^\\.:vm1/\\0:' .");
    assert_int_equal(inner_tar(&source, &memory, &error), 0);
    assert_same(&memory.text, &theirs, "template");
    text_free(&theirs);
    text_free(&memory.text);
    free(path);
}

/* An absolute link below --root leads below it, and one that leads nowhere stays a link. */
static void test_links_below_root(void **state)
{
    struct memory_sink memory = MEMORY_SINK;
    struct error error = {0};
    char *path = below("icon.png");
    struct archive_source source = {.name = "vm2/icon.png",
                                    .path = path,
                                    .root = test_directory,
                                    .dereference = true,
                                    .owners = test_owners};

    (void)state;
    run(NULL, "ln -s /usr/share/icon icon.png");
    assert_int_equal(inner_tar(&source, &memory, &error), 0);
    assert_int_equal(memory.text.data[156], '2');
    text_free(&memory.text);
    run(NULL, "mkdir -p usr/share && echo red >usr/share/icon");
    assert_int_equal(inner_tar(&source, &memory, &error), 0);
    assert_int_equal(memory.text.data[156], '0');
    assert_memory_equal(memory.text.data + 512, "red\n", 4);
    text_free(&memory.text);
    source.image = true;
    run(NULL, "rm usr/share/icon");
    assert_int_equal(inner_tar(&source, &memory, &error), -EINVAL);
    text_free(&memory.text);
    free(path);
}

static void test_refusals(void **state)
{
    struct memory_sink memory = MEMORY_SINK;
    struct error error = {0};
    char *path = below("loop");
    struct archive_source source = {.name = "vm1/.", .path = path, .root = "", .dereference = true};

    (void)state;
    run(NULL, "mkdir loop && ln -s ../loop loop/again");
    assert_int_equal(inner_tar(&source, &memory, &error), -ELOOP);
    text_free(&memory.text);
    source.path = "/no/such/file";
    assert_int_equal(inner_tar(&source, &memory, &error), -ENOENT);
    assert_non_null(strstr(error.text, "/no/such/file"));
    text_free(&memory.text);
    if (geteuid() != 0) {
        run(NULL, "rm loop/again; echo x >loop/secret; chmod 0 loop/secret");
        source.path = path;
        source.live = true;
        assert_int_equal(inner_tar(&source, &memory, &error), -EACCES);
        text_free(&memory.text);
    }
    free(path);
}

/* A stage that changes the file behind the writer's back. */
static const char *victim;
static int (*change)(const char *path);

static int changing_write(struct sink *sink, const void *data, size_t length)
{
    if (victim && ((struct memory_sink *)sink)->text.length > 400000) {
        assert_int_equal(change(victim), 0);
        victim = NULL;
    }
    return memory_write(sink, data, length);
}

static int cut(const char *path)
{
    return truncate(path, 500000);
}

static int touch(const char *path)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t written = pwrite(fd, "x", 1, 5);

    close(fd);
    return written == 1 ? 0 : -1;
}

static void test_changes(void **state)
{
    static const struct sink_operations changing = {changing_write, NULL, NULL};
    int (*const changes[])(const char *) = {cut, touch};
    char *path = below("changing");

    (void)state;
    for (size_t i = 0; i < 2; i++)
        for (int live = 0; live < 2; live++) {
            struct memory_sink memory = {{&changing}, TEXT_INIT};
            struct archive_source source = {.name = "vm2/changing",
                                            .path = path,
                                            .root = "",
                                            .dereference = true,
                                            .live = live};
            struct text unused = TEXT_INIT;
            struct archive_output output = output_to(&unused);
            unsigned char *buffer = malloc(TAR_BUFFER);
            struct tar_writer tar = {.sink = &memory.sink, .output = &output, .buffer = buffer};
            struct error error = {0};

            make_file("changing", 1000000, &(struct piece){0, 1000000}, 1);
            victim = path;
            change = changes[i];
            assert_int_equal(tar_write_tree(&tar, &source, &error),
                             live && change == touch ? 0 : -EBUSY);
            assert_null(victim);
            text_free(&memory.text);
            free(buffer);
        }
    free(path);
}

/* A live file that was small when it was looked at, and is not when it is read: all of it, or
 * nothing. */
static void test_grown(void **state)
{
    static const size_t sizes[] = {1000, TAR_BUFFER - 1, TAR_BUFFER, TAR_BUFFER + 1, 1000000};
    char *path = below("grown");

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct memory_sink memory = MEMORY_SINK, again = MEMORY_SINK;
        struct text unused = TEXT_INIT;
        struct archive_output output = output_to(&unused);
        unsigned char *buffer = malloc(TAR_BUFFER);
        struct tar_writer tar = {.sink = &memory.sink, .output = &output, .buffer = buffer};
        struct tar_writer whole = {.sink = &again.sink, .output = &output, .buffer = buffer};
        struct tar_member member = {.name = "user/grown", .mode = 0640};
        struct stat before, now;
        struct error error = {0};
        int fd;

        make_file("grown", 10, &(struct piece){0, 10}, 1);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(fstat(fd, &before), 0);
        make_file("grown", (off_t)sizes[i], &(struct piece){0, sizes[i]}, 1);
        assert_int_equal(fstat(fd, &now), 0);
        assert_int_equal(tar_write_file(&tar, &member, fd, &before, TAR_LIVE, path, &error), 0);
        assert_int_equal(tar_write_file(&whole, &member, fd, &now, TAR_WATCHED, path, &error), 0);
        assert_same(&memory.text, &again.text, "grown");
        text_free(&memory.text);
        text_free(&again.text);
        free(buffer);
        close(fd);
    }
    free(path);
}

/* However many holes a VM punches, the map stays small, and no byte is lost. */
static void test_many_holes(void **state)
{
    struct storage_map map = STORAGE_MAP_INIT;
    struct piece pieces[200];
    char *path = below("holes");
    off_t size = 0;
    uint64_t bytes = 0, end = 0;
    size_t found = 0;
    int fd;

    (void)state;
    for (size_t i = 0; i < 200; i++) {
        pieces[i] = (struct piece){size, 65536};
        size += 65536 + (off_t)(65536 << (i % 3));
    }
    make_file("holes", size, pieces, 200);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    for (size_t limit = 2; limit < 260; limit += 7) {
        assert_int_equal(storage_map_read(fd, (uint64_t)size, limit, &map), 0);
        assert_true(map.count <= limit);
        assert_true(limit < 200 || map.count == 200);
        bytes = end = found = 0;
        for (size_t i = 0; i < map.count; i++) {
            assert_true(i == 0 || map.extents[i].offset > end);
            end = map.extents[i].offset + map.extents[i].length;
            bytes += map.extents[i].length;
            for (; found < 200 && (uint64_t)pieces[found].offset < end; found++)
                assert_true((uint64_t)pieces[found].offset >= map.extents[i].offset &&
                            (uint64_t)pieces[found].offset + 65536 <= end);
        }
        assert_int_equal(found, 200);
        assert_int_equal(bytes, map.data_bytes);
        storage_map_free(&map);
    }
    close(fd);
    free(path);
}

/* A further name leads only to what is in the archive, as it is now. */
static void test_links_forgotten(void **state)
{
    struct stat one = {.st_dev = 1, .st_ino = 7, .st_size = 5}, other = one;
    struct tar_links links = {NULL};
    const char *name;

    (void)state;
    assert_int_equal(tar_links_find(&links, &one, "a", &name), 0);
    assert_null(name);
    assert_int_equal(tar_links_find(&links, &one, "b", &name), 0);
    assert_string_equal(name, "a");
    tar_links_forget(&links, &one); /* `a` had gone when it was to be read */
    assert_int_equal(tar_links_find(&links, &one, "b", &name), 0);
    assert_null(name);
    other.st_size = 6; /* the number was given to another file */
    assert_int_equal(tar_links_find(&links, &other, "c", &name), 0);
    assert_null(name);
    assert_int_equal(tar_links_find(&links, &other, "d", &name), 0);
    assert_string_equal(name, "c");
    tar_links_forget(&links, &(struct stat){.st_ino = 8});
    tar_links_free(&links);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plain, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_sparse, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_huge, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_owner_and_times, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_long_names, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_tree, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_socket_left_out, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_template, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_links_below_root, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_refusals, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_changes, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_grown, directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(test_many_holes, directory_setup, directory_teardown),
        cmocka_unit_test(test_links_forgotten),
    };

    if (!have("tar") || system("tar --version | grep -q 'GNU tar'") != 0) {
        puts("skipped: GNU tar is not installed");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
