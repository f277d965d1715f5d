/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of block devices and of front ends, and the numbers that belong to them. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/devices.h"

#define NUMBER_MAX 1048575   /* Linux' minors */
#define DISKS_MAX  (26 * 27) /* xvda to xvdzz */

/* A decimal number; NULL: there is none, or it is too large. */
static const char *number(const char *text, int *ret_number)
{
    long value = 0;
    const char *end = text;

    for (; isdigit((unsigned char)*end); end++)
        if ((value = 10 * value + (*end - '0')) > NUMBER_MAX)
            return NULL;
    *ret_number = (int)value;
    return end == text ? NULL : end;
}

/* a: 0, z: 25, aa: 26, ... */
static const char *letters(const char *text, int *ret_disk)
{
    int value = 0;
    const char *end = text;

    for (; *end >= 'a' && *end <= 'z'; end++)
        if ((value = 26 * value + (*end - 'a' + 1)) > 26 * 26 * 26)
            return NULL;
    *ret_disk = value - 1;
    return end == text ? NULL : end;
}

static int parse_lettered(const char *name, struct block_name *ret_name)
{
    static const char *const prefixes[] = {"xvd", "sd", "vd", "hd"};

    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        size_t length = strlen(prefixes[i]);
        const char *rest;

        if (strncmp(name, prefixes[i], length) != 0)
            continue;
        rest = letters(name + length, &ret_name->disk);
        if (!rest)
            continue;
        strcpy(ret_name->prefix, prefixes[i]);
        if (!*rest)
            return 0;
        rest = number(rest, &ret_name->partition);
        return rest && !*rest ? 0 : -EINVAL;
    }
    return -EINVAL;
}

int block_name_parse(const char *name, struct block_name *ret_name)
{
    /* a number follows; those with `parts` then have pN */
    static const struct {
        const char *prefix;
        bool parts;
    } numbered[] = {{"loop", true}, {"mmcblk", true}, {"nbd", true}, {"md", true},
                    {"dm-", false}, {"sr", false},    {"scd", false}};
    const char *rest;

    *ret_name = (struct block_name){.controller = -1, .disk = -1, .partition = -1};
    if (strncmp(name, "nvme", 4) == 0) {
        strcpy(ret_name->prefix, "nvme");
        rest = number(name + 4, &ret_name->controller);
        if (!rest || *rest++ != 'n')
            return -EINVAL;
        rest = number(rest, &ret_name->disk);
        if (rest && *rest == 'p')
            rest = number(rest + 1, &ret_name->partition);
        return rest && !*rest ? 0 : -EINVAL;
    }
    for (size_t i = 0; i < ARRAY_SIZE(numbered); i++) {
        size_t length = strlen(numbered[i].prefix);

        if (strncmp(name, numbered[i].prefix, length) != 0)
            continue;
        strcpy(ret_name->prefix, numbered[i].prefix);
        rest = number(name + length, &ret_name->disk);
        if (rest && *rest == 'p' && numbered[i].parts)
            rest = number(rest + 1, &ret_name->partition);
        return rest && !*rest ? 0 : -EINVAL;
    }
    return parse_lettered(name, ret_name);
}

/* SCSI disks: sixteen to a major, in three ranges of majors. */
static unsigned scsi_major(int disk)
{
    unsigned group = (unsigned)disk / 16;

    return group == 0 ? 8 : group < 8 ? 64 + group : 128 + group - 8;
}

bool block_name_number(const char *name, unsigned *ret_major, unsigned *ret_minor)
{
    struct block_name parts;
    int partition, within = 0;

    if (block_name_parse(name, &parts))
        return false;
    partition = parts.partition < 0 ? 0 : parts.partition;
    if (strcmp(parts.prefix, "sd") == 0 && parts.disk < 256 && partition < 16) {
        *ret_major = scsi_major(parts.disk);
        within = parts.disk % 16 * 16 + partition;
    } else if (strcmp(parts.prefix, "xvd") == 0 && parts.disk < 16 && partition < 16) {
        *ret_major = 202;
        within = parts.disk * 16 + partition;
    } else if (strcmp(parts.prefix, "hd") == 0 && parts.disk < 4 && partition < 64) {
        *ret_major = parts.disk < 2 ? 3 : 22;
        within = parts.disk % 2 * 64 + partition;
    } else if (strcmp(parts.prefix, "mmcblk") == 0 && parts.disk < 32 && partition < 8) {
        *ret_major = 179;
        within = parts.disk * 8 + partition;
    } else if (parts.partition >= 0) {
        return false; /* given one after the other, whatever the disk */
    } else if (strcmp(parts.prefix, "loop") == 0) {
        *ret_major = 7;
        within = parts.disk;
    } else if (strcmp(parts.prefix, "md") == 0) {
        *ret_major = 9;
        within = parts.disk;
    } else if (strcmp(parts.prefix, "dm-") == 0) {
        *ret_major = 253;
        within = parts.disk;
    } else if (strcmp(parts.prefix, "sr") == 0 || strcmp(parts.prefix, "scd") == 0) {
        *ret_major = 11;
        within = parts.disk;
    } else {
        return false;
    }
    *ret_minor = (unsigned)within;
    return true;
}

bool block_name_overlap(const char *a, const char *b)
{
    struct block_name x, y;

    if (block_name_parse(a, &x) || block_name_parse(b, &y))
        return false;
    return strcmp(x.prefix, y.prefix) == 0 && x.controller == y.controller && x.disk == y.disk &&
           (x.partition < 0) != (y.partition < 0);
}

/* Xen's three ways of numbering (docs/misc/vbd-interface): 202 << 8 with 16 minors a disk, 1 << 28
 * with 256 a disk for what is beyond, and Linux' own for IDE and SCSI. */
bool frontend_from_devid(unsigned devid, char *ret_name)
{
    unsigned disk, partition;
    const char *prefix;
    char letter[3] = "";

    if (devid & 1u << 28) {
        prefix = "xvd";
        disk = (devid & ~(1u << 28)) >> 8;
        partition = devid & 255;
    } else {
        disk = (devid & 255) / 16;
        partition = devid & 15;
        switch (devid >> 8) {
        case 202:
            prefix = "xvd";
            break;
        case 8:
            prefix = "sd";
            break;
        case 3:
        case 22:
            prefix = "hd";
            disk = (devid & 255) / 64 + (devid >> 8 == 22 ? 2 : 0);
            partition = devid & 63;
            break;
        default:
            return false;
        }
    }
    if (disk >= DISKS_MAX)
        return false;
    if (disk < 26) {
        letter[0] = (char)('a' + disk);
    } else {
        letter[0] = (char)('a' + disk / 26 - 1);
        letter[1] = (char)('a' + disk % 26);
    }
    if (partition)
        snprintf(ret_name, DEVICE_FRONTEND_MAX, "%s%s%u", prefix, letter, partition);
    else
        snprintf(ret_name, DEVICE_FRONTEND_MAX, "%s%s", prefix, letter);
    return true;
}

bool frontend_to_devid(const char *name, unsigned *ret_devid)
{
    struct block_name parts;
    unsigned partition, disk;

    if (block_name_parse(name, &parts))
        return false;
    partition = parts.partition < 0 ? 0 : (unsigned)parts.partition;
    disk = (unsigned)parts.disk;
    if (strcmp(parts.prefix, "xvd") == 0 && disk < DISKS_MAX) {
        if (disk < 16 && partition < 16)
            *ret_devid = 202u << 8 | disk << 4 | partition;
        else
            *ret_devid = 1u << 28 | disk << 8 | partition;
        return partition < 256;
    }
    if (strcmp(parts.prefix, "sd") == 0 && disk < 16 && partition < 16) {
        *ret_devid = 8u << 8 | disk << 4 | partition;
        return true;
    }
    return false;
}

bool frontend_candidate(const char *prefix, unsigned index, char *ret_name)
{
    if (index >= 26)
        return false;
    snprintf(ret_name, DEVICE_FRONTEND_MAX, "%s%c", prefix, (char)('a' + (index + 8) % 26));
    return true;
}
