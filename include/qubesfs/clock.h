/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QUBESFS_CLOCK_H
#define QUBESFS_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/** Nanoseconds of CLOCK_MONOTONIC. */
uint64_t clock_monotonic_ns(void);

/** Wall clock, strictly later than every earlier answer in this process, so that two changes never
 * bear the same time. */
struct timespec clock_wall_unique(void);

/** `when` as 2026-11-21T19:10:24Z into `ret_text` (at least 32 bytes). */
void clock_format(struct timespec when, char *ret_text);

/** True if both are the same moment. */
bool clock_same(struct timespec a, struct timespec b);

#endif
