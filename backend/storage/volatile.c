/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Scratch images: made when a VM starts, as Qubes R3 makes them. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/storage.h"

#define MIB    ((uint64_t)1024 * 1024)
#define SECTOR 512u

/* An entry of a DOS partition table: status, CHS (none), type, CHS, first sector, sectors. */
static void put_partition(unsigned char *entry, unsigned char type, uint64_t begin, uint64_t length)
{
    const unsigned char beyond[] = {0xfe, 0xff, 0xff}; /* as all do that count in sectors */
    uint32_t values[2] = {htole32((uint32_t)(begin / SECTOR)),
                          htole32((uint32_t)(length / SECTOR))};

    memcpy(entry + 1, beyond, sizeof(beyond));
    entry[4] = type;
    memcpy(entry + 5, beyond, sizeof(beyond));
    memcpy(entry + 8, values, sizeof(values));
}

static int write_table(int fd, uint64_t root_size)
{
    unsigned char sector[SECTOR] = {0};

    put_partition(sector + 446, 0x82, MIB, STORAGE_SWAP_MIB * MIB);
    put_partition(sector + 462, 0x83, MIB + STORAGE_SWAP_MIB * MIB, root_size);
    sector[510] = 0x55;
    sector[511] = 0xaa;
    return pwrite(fd, sector, sizeof(sector), 0) == (ssize_t)sizeof(sector) ? 0 : -EIO;
}

static int fill(int fd, uint64_t size, uint64_t root_size)
{
    if (ftruncate(fd, (off_t)size))
        return -errno;
    if (fchmod(fd, 0660))
        return -errno;
    return root_size ? write_table(fd, root_size) : 0;
}

static int make(const char *path, uint64_t size, uint64_t root_size, struct error *ret_error)
{
    int fd CLEANUP_CLOSE = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int result = fd < 0 ? -errno : fill(fd, size, root_size);

    if (result == 0)
        return 0;
    if (fd >= 0)
        unlink(path);
    return error_set(ret_error, result, "can't make %s: %s", path, strerror(-result));
}

int storage_make_sparse(const char *path, uint64_t size, struct error *ret_error)
{
    return make(path, size, 0, ret_error);
}

int storage_make_volatile(const char *path, uint64_t root_size, struct error *ret_error)
{
    root_size = (root_size + MIB - 1) / MIB * MIB;
    return make(path, root_size + (STORAGE_SWAP_MIB + 512) * MIB, root_size, ret_error);
}
