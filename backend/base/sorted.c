/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qubesfs/sorted.h"

#include <stdint.h>
#include <string.h>

size_t sorted_find(const void *list, size_t count, const char *name,
                   const char *(*name_of)(const void *list, size_t index))
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name_of(list, middle), name);

        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return SIZE_MAX;
}
