/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of devices and front ends, and what is let pass of what a VM says. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/devices.h"

static void test_parse(void **state)
{
    static const struct {
        const char *name, *prefix;
        int controller, disk, partition;
    } good[] = {
        {"sda", "sd", -1, 0, -1},      {"sda1", "sd", -1, 0, 1},
        {"sdaa", "sd", -1, 26, -1},    {"sdaa10", "sd", -1, 26, 10},
        {"xvdi", "xvd", -1, 8, -1},    {"loop5", "loop", -1, 5, -1},
        {"loop5p3", "loop", -1, 5, 3}, {"mmcblk0p1", "mmcblk", -1, 0, 1},
        {"nvme0n1", "nvme", 0, 1, -1}, {"nvme1n2p3", "nvme", 1, 2, 3},
        {"md127p1", "md", -1, 127, 1}, {"md1", "md", -1, 1, -1},
        {"dm-12", "dm-", -1, 12, -1},  {"sr0", "sr", -1, 0, -1},
        {"nbd0p2", "nbd", -1, 0, 2},   {"vdb", "vd", -1, 1, -1},
    };
    static const char *const bad[] = {"",
                                      "sd",
                                      "xvd",
                                      "loop",
                                      "loopp1",
                                      "loop0p",
                                      "sda-",
                                      "mmcblk0boot0",
                                      "dm-crypt",
                                      "md",
                                      "nvme0",
                                      "nvme0n1p",
                                      "sd1",
                                      "sda1p1",
                                      "dm-0p1",
                                      "loop99999999999999",
                                      "sdaaaaaaaaaaaa"};
    struct block_name parts;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(block_name_parse(good[i].name, &parts), 0);
        assert_string_equal(parts.prefix, good[i].prefix);
        assert_int_equal(parts.controller, good[i].controller);
        assert_int_equal(parts.disk, good[i].disk);
        assert_int_equal(parts.partition, good[i].partition);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(block_name_parse(bad[i], &parts), -EINVAL);
}

static void test_numbers(void **state)
{
    static const struct {
        const char *name;
        unsigned major, minor;
    } known[] = {
        {"sda", 8, 0},      {"sda1", 8, 1},     {"sdp", 8, 240},    {"sdq", 65, 0},
        {"sdaa1", 65, 161}, {"sdiv", 135, 240}, {"xvdi", 202, 128}, {"mmcblk1p2", 179, 10},
        {"md1", 9, 1},      {"dm-12", 253, 12}, {"loop5", 7, 5},    {"sr1", 11, 1},
    };
    /* given one after the other by the kernel: the name says nothing */
    static const char *const unknown[] = {"loop5p3", "md127p1", "nvme0n1p1", "vda", "nbd0", "sdiw"};
    unsigned major, minor;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        assert_true(block_name_number(known[i].name, &major, &minor));
        assert_int_equal(major, known[i].major);
        assert_int_equal(minor, known[i].minor);
    }
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
        assert_false(block_name_number(unknown[i], &major, &minor));
    assert_true(block_name_overlap("sda", "sda1"));
    assert_true(block_name_overlap("loop0p1", "loop0"));
    assert_false(block_name_overlap("sda1", "sda2"));
    assert_false(block_name_overlap("sda", "sdb1"));
    assert_false(block_name_overlap("nvme0n1", "nvme0n2p1"));
}

static void test_frontends(void **state)
{
    static const struct {
        unsigned devid;
        const char *name;
    } both[] = {{51712, "xvda"},
                {51713, "xvda1"},
                {51840, "xvdi"},
                {51952, "xvdp"},
                {(1u << 28) | 16 << 8, "xvdq"},
                {(1u << 28) | 26 << 8, "xvdaa"},
                {2048, "sda"},
                {2049, "sda1"}};
    char name[DEVICE_FRONTEND_MAX], first[DEVICE_FRONTEND_MAX];
    unsigned devid, count = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
        assert_true(frontend_from_devid(both[i].devid, name));
        assert_string_equal(name, both[i].name);
        assert_true(frontend_to_devid(both[i].name, &devid));
        assert_int_equal(devid, both[i].devid);
    }
    assert_false(frontend_from_devid(7 << 8, name));
    assert_false(frontend_to_devid("loop0", &devid));
    for (unsigned i = 0; frontend_candidate("xvd", i, name); i++, count++) {
        if (i == 0)
            strcpy(first, name);
        if (i == 18)
            assert_string_equal(name, "xvda");
    }
    assert_string_equal(first, "xvdi");
    assert_string_equal(name, "xvdh");
    assert_int_equal(count, 26);
}

static void test_checks(void **state)
{
    char text[300];
    uint64_t size;

    (void)state;
    assert_true(device_name_ok("nvme0n1p1"));
    assert_true(device_name_ok("mmcblk0boot0"));
    assert_false(device_name_ok(""));
    assert_false(device_name_ok("abcdefghijklm"));
    assert_false(device_name_ok("../../etc"));
    assert_false(device_name_ok("sdA"));
    assert_true(device_description_ok("M\xc3\xbcller's \"stick\""));
    assert_false(device_description_ok(""));
    assert_false(device_description_ok("two\nlines"));
    assert_false(device_description_ok("\x1b[2J"));
    assert_false(device_description_ok("\xff"));
    assert_false(device_description_ok("\xc2\x85"));
    memset(text, 'x', sizeof(text));
    text[255] = '\0';
    assert_true(device_description_ok(text));
    text[255] = 'x';
    text[256] = '\0';
    assert_false(device_description_ok(text));
    assert_true(device_size_ok("0", &size));
    assert_true(device_size_ok("999999999999999999", &size));
    assert_true(size == 999999999999999999u);
    assert_false(device_size_ok("9999999999999999999", &size));
    assert_false(device_size_ok("-1", &size));
    assert_false(device_size_ok("0x10", &size));
    assert_false(device_size_ok("", &size));
    assert_true(device_mode_ok("r"));
    assert_false(device_mode_ok("w\n"));
    assert_false(device_mode_ok("rw"));
    assert_true(device_path_ok("/dev/mapper/a-b"));
    assert_false(device_path_ok("/dev/"));
    assert_false(device_path_ok("/etc/passwd"));
    assert_false(device_path_ok("/dev/../etc"));
    assert_true(device_owner_ok("sys-usb"));
    assert_false(device_owner_ok("a/b"));
    assert_false(device_owner_ok("a:b"));
    assert_false(device_owner_ok(".."));
}

static void test_backend_paths(void **state)
{
    static const char *const bad[] = {"",
                                      "/local/domain/0/backend/vbd/6/51712",
                                      "/local/domain/0/backend/vbd/5/51728",
                                      "/local/domain/0/backend/vbd/5/51712/",
                                      " /local/domain/0/backend/vbd/5/51712",
                                      "/local/domain/00/backend/vbd/5/51712",
                                      "/local/domain/-1/backend/vbd/5/51712",
                                      "/local/domain/0/backend/../5/51712",
                                      "/local/domain/0/backend/vbd/5/ 51712"};
    unsigned backend = 77;

    (void)state;
    assert_int_equal(backend_path_check("/local/domain/3/backend/vbd/5/51712", 5, 51712, &backend),
                     0);
    assert_int_equal(backend, 3);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(backend_path_check(bad[i], 5, 51712, &backend), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),         cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_frontends),     cmocka_unit_test(test_checks),
        cmocka_unit_test(test_backend_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
