/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory for secrets: never swapped out, not in core dumps, not inherited, wiped when freed. */
#ifndef QUBESFS_LOCKED_H
#define QUBESFS_LOCKED_H

#include <stddef.h>

/** Zeroed pages of at least `size` bytes, or NULL (RLIMIT_MEMLOCK, memory). */
void *locked_alloc(size_t size);
/** Wipes and frees; `size` as given to locked_alloc.  NULL is fine. */
void locked_free(void *memory, size_t size);

#endif
