/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists that are sorted by name, in strcmp's order. */
#ifndef QUBESFS_SORTED_H
#define QUBESFS_SORTED_H

#include <stddef.h>

/** The place of `name` among the `count` items of the list, whose names `name_of` tells; SIZE_MAX:
 * it is not among them. */
size_t sorted_find(const void *list, size_t count, const char *name,
                   const char *(*name_of)(const void *list, size_t index));

#endif
