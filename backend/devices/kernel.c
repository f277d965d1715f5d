/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dom0's own block devices as sysfs has them, without those that the system itself uses. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "kernel.h"
#include "qubesfs/cleanup.h"
#include "qubesfs/text.h"

#define CLASS "/sys/class/block"

/* A device while the others are looked at. */
struct seen {
    struct offer offer;
    char parent[DEVICE_NAME_MAX]; /* of a partition; else "" */
    bool used, hidden;
};

struct scan {
    struct seen *seen;
    size_t count, capacity;
    dev_t *used; /* mounted, or swapped to */
    size_t used_count, used_capacity;
    const char *image_directory;
};

/* An attribute without its newline; false: it has none. */
static bool attribute(int directory, const char *name, char *ret_value, size_t size)
{
    int fd CLEANUP_CLOSE = openat(directory, name, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, ret_value, size - 1) : -1;

    if (length < 0)
        return false;
    while (length > 0 && (ret_value[length - 1] == '\n' || ret_value[length - 1] == ' '))
        length--;
    ret_value[length] = '\0';
    return true;
}

static bool has_entries(int directory, const char *name)
{
    int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    bool any = false;

    if (!entries) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    while (!any && (entry = readdir(entries)) != NULL)
        any = entry->d_name[0] != '.';
    closedir(entries);
    return any;
}

static void note_used(struct scan *scan, dev_t number)
{
    if (scan->used_count == scan->used_capacity) {
        size_t capacity = scan->used_capacity ? 2 * scan->used_capacity : 64;
        dev_t *grown = reallocarray(scan->used, capacity, sizeof(*grown));

        if (!grown)
            return;
        scan->used = grown;
        scan->used_capacity = capacity;
    }
    scan->used[scan->used_count++] = number;
}

static void note_used_node(struct scan *scan, const char *path)
{
    struct stat attributes;

    if (strncmp(path, "/dev/", 5) == 0 && stat(path, &attributes) == 0 &&
        S_ISBLK(attributes.st_mode))
        note_used(scan, attributes.st_rdev);
}

/* What is mounted: by its number, and by its source, as the number of btrfs is nobody's. */
static void note_mounts(struct scan *scan)
{
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    char *line CLEANUP_FREE = NULL;
    size_t size = 0;

    while (mounts && getline(&line, &size, mounts) > 0) {
        const char *type = strstr(line, " - ");
        unsigned high, low;
        char source[256];

        if (sscanf(line, "%*s %*s %u:%u", &high, &low) == 2 && high)
            note_used(scan, makedev(high, low));
        if (type && sscanf(type, " - %*s %255s", source) == 1)
            note_used_node(scan, source);
    }
    if (mounts)
        fclose(mounts);
}

static void note_swaps(struct scan *scan)
{
    FILE *swaps = fopen("/proc/swaps", "re");
    char *line CLEANUP_FREE = NULL;
    size_t size = 0;
    char path[256];

    while (swaps && getline(&line, &size, swaps) > 0)
        if (sscanf(line, "%255s", path) == 1)
            note_used_node(scan, path);
    if (swaps)
        fclose(swaps);
}

static bool is_used(const struct scan *scan, unsigned high, unsigned low)
{
    for (size_t i = 0; i < scan->used_count; i++)
        if (scan->used[i] == makedev(high, low))
            return true;
    return false;
}

/* One line of printable UTF-8, short enough; a USB stick's maker is not trusted either. */
static void describe(struct offer *offer, const char *untrusted_text)
{
    struct text text CLEANUP_TEXT = TEXT_INIT;
    size_t length;

    text_escape(&text, untrusted_text, strlen(untrusted_text));
    if (text_status(&text) || text.length == 0)
        return;
    length = text.length < DEVICE_DESCRIPTION_MAX ? text.length : DEVICE_DESCRIPTION_MAX - 1;
    /* not in the middle of a character */
    while (length < text.length && length > 0 && ((unsigned char)text.data[length] & 0xc0) == 0x80)
        length--;
    memcpy(offer->description, text.data, length);
    offer->description[length] = '\0';
    if (!device_description_ok(offer->description))
        snprintf(offer->description, sizeof(offer->description), "%s", offer->name);
}

static void read_description(int directory, struct seen *seen, const struct scan *scan)
{
    char value[1024], model[256];
    size_t length = strlen(scan->image_directory);

    if (attribute(directory, "loop/backing_file", value, sizeof(value))) {
        describe(&seen->offer, value);
        seen->hidden = length > 0 && strncmp(value, scan->image_directory, length) == 0 &&
                       (value[length] == '/' || value[length - 1] == '/');
    } else if (attribute(directory, "dm/name", value, sizeof(value))) {
        describe(&seen->offer, value);
        /* LVM doubles a hyphen within a name: vm-NAME-private, a volume of Qubes */
        seen->hidden = strstr(value, "-vm--") != NULL;
    } else if (attribute(directory, "device/model", model, sizeof(model))) {
        if (!attribute(directory, "device/vendor", value, 256) || strncmp(value, "0x", 2) == 0)
            value[0] = '\0';
        snprintf(value + strlen(value), sizeof(value) - strlen(value), "%s%s", value[0] ? " " : "",
                 model);
        describe(&seen->offer, value);
    } else if (attribute(directory, "device/name", value, sizeof(value))) {
        describe(&seen->offer, value);
    }
}

/* The disk of a partition is the directory that it is in. */
static void read_parent(const char *name, char *ret_parent)
{
    char path[DEVICE_NAME_MAX + 32], target[512], *slash;
    ssize_t length;

    snprintf(path, sizeof(path), CLASS "/%s", name);
    length = readlink(path, target, sizeof(target) - 1);
    if (length <= 0)
        return;
    target[length] = '\0';
    slash = strrchr(target, '/');
    if (!slash)
        return;
    *slash = '\0';
    slash = strrchr(target, '/');
    snprintf(ret_parent, DEVICE_NAME_MAX, "%.*s", DEVICE_NAME_MAX - 1, slash ? slash + 1 : target);
}

/* False: it is no device to show, or has gone meanwhile. */
static bool read_device(struct scan *scan, const char *name, struct seen *ret_seen)
{
    struct offer *offer = &ret_seen->offer;
    char path[DEVICE_NAME_MAX + 32], value[64];
    int directory CLEANUP_CLOSE = -1;
    unsigned long long sectors;
    struct stat node;

    *ret_seen = (struct seen){.used = false};
    if (strlen(name) >= DEVICE_NAME_MAX || strncmp(name, "ram", 3) == 0 ||
        strncmp(name, "zram", 4) == 0 ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != strlen(name))
        return false;
    snprintf(path, sizeof(path), CLASS "/%s", name);
    directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0 || !attribute(directory, "size", value, sizeof(value)))
        return false;
    sectors = strtoull(value, NULL, 10);
    if (sectors == 0 || sectors > UINT64_MAX / 512)
        return false; /* an empty loop device or drive */
    offer->size = sectors * 512;
    if (attribute(directory, "diskseq", value, sizeof(value)))
        offer->sequence = strtoull(value, NULL, 10);
    snprintf(offer->name, sizeof(offer->name), "%s", name);
    snprintf(offer->path, sizeof(offer->path), "/dev/%s", name);
    snprintf(offer->description, sizeof(offer->description), "%s", name);
    offer->numbered = attribute(directory, "dev", value, sizeof(value)) &&
                      sscanf(value, "%u:%u", &offer->major, &offer->minor) == 2;
    if (stat(offer->path, &node) == 0 && S_ISBLK(node.st_mode)) {
        offer->numbered = true;
        offer->major = major(node.st_rdev);
        offer->minor = minor(node.st_rdev);
    }
    offer->read_only = (attribute(directory, "ro", value, sizeof(value)) && value[0] == '1') ||
                       strncmp(name, "sr", 2) == 0;
    if (attribute(directory, "partition", value, sizeof(value)))
        read_parent(name, ret_seen->parent);
    else if (strncmp(name, "loop", 4) == 0 && !has_entries(directory, "loop"))
        return false;
    read_description(directory, ret_seen, scan);
    ret_seen->used = has_entries(directory, "holders") ||
                     (offer->numbered && is_used(scan, offer->major, offer->minor));
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct seen *)a)->offer.name, ((const struct seen *)b)->offer.name);
}

static int read_all(struct scan *scan)
{
    DIR *entries = opendir(CLASS);
    const struct dirent *entry;
    int result = 0;

    if (!entries)
        return errno == ENOENT ? 0 : -errno;
    while (!result && (entry = readdir(entries)) != NULL) {
        if (scan->count == scan->capacity) {
            size_t capacity = scan->capacity ? 2 * scan->capacity : 64;
            struct seen *grown = reallocarray(scan->seen, capacity, sizeof(*grown));

            if (!grown) {
                result = -ENOMEM;
                break;
            }
            scan->seen = grown;
            scan->capacity = capacity;
        }
        if (read_device(scan, entry->d_name, &scan->seen[scan->count]))
            scan->count++;
    }
    closedir(entries);
    if (scan->count)
        qsort(scan->seen, scan->count, sizeof(*scan->seen), by_name);
    return result;
}

/* A disk is used when one of its partitions is; a partition when its disk as a whole is. */
static void spread(struct scan *scan)
{
    for (size_t i = 0; i < scan->count; i++) {
        struct seen *part = &scan->seen[i], key, *disk;

        if (!part->parent[0])
            continue;
        key = (struct seen){.used = false};
        strcpy(key.offer.name, part->parent);
        disk = bsearch(&key, scan->seen, scan->count, sizeof(key), by_name);
        if (!disk)
            continue;
        part->hidden |= disk->hidden | disk->used;
        strcpy(part->offer.description, disk->offer.description);
        part->offer.sequence = disk->offer.sequence;
    }
    for (size_t i = 0; i < scan->count; i++) {
        struct seen *part = &scan->seen[i], key, *disk;

        if (!part->parent[0] || !part->used)
            continue;
        key = (struct seen){.used = false};
        strcpy(key.offer.name, part->parent);
        disk = bsearch(&key, scan->seen, scan->count, sizeof(key), by_name);
        if (disk)
            disk->hidden = true;
    }
}

int kernel_devices_read(const char *image_directory, struct kernel_devices **ret_devices)
{
    struct scan scan = {.image_directory = image_directory};
    struct kernel_devices *devices = calloc(1, sizeof(*devices));
    int result;

    if (!devices)
        return -ENOMEM;
    devices->references = 1;
    note_mounts(&scan);
    note_swaps(&scan);
    result = read_all(&scan);
    if (!result) {
        spread(&scan);
        devices->offers = calloc(scan.count + 1, sizeof(*devices->offers));
        if (!devices->offers)
            result = -ENOMEM;
    }
    for (size_t i = 0; !result && i < scan.count; i++)
        if (!scan.seen[i].used && !scan.seen[i].hidden)
            devices->offers[devices->count++] = scan.seen[i].offer;
    free(scan.seen);
    free(scan.used);
    if (result)
        kernel_devices_unref(devices);
    else
        *ret_devices = devices;
    return result;
}

void kernel_devices_unref(struct kernel_devices *devices)
{
    if (!devices || __atomic_sub_fetch(&devices->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    free(devices->offers);
    free(devices);
}
