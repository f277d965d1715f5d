/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qubesfs/locked.h"

#include <string.h>
#include <sys/mman.h>

void *locked_alloc(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    if (mlock(memory, size) || madvise(memory, size, MADV_DONTDUMP) ||
        madvise(memory, size, MADV_DONTFORK)) {
        munmap(memory, size);
        return NULL;
    }
    return memory;
}

void locked_free(void *memory, size_t size)
{
    if (!memory)
        return;
    explicit_bzero(memory, size);
    munmap(memory, size);
}
