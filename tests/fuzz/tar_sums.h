/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For targets that take tar archives: a sum that is wrong would hide all that is behind it. */
#ifndef TAR_SUMS_H
#define TAR_SUMS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A copy, to be freed, in which each block with ustar's magic has the right sum. */
static inline uint8_t *with_sums(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);

    if (!copy)
        abort();
    memcpy(copy, data, size);
    for (size_t at = 0; at + 512 <= size; at += 512) {
        unsigned sum = 0;

        if (memcmp(copy + at + 257, "ustar", 5) != 0 && copy[at + 156] != 'M')
            continue;
        memset(copy + at + 148, ' ', 8);
        for (size_t i = 0; i < 512; i++)
            sum += copy[at + i];
        snprintf((char *)copy + at + 148, 8, "%06o", sum);
    }
    return copy;
}

#endif
