/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The outer archive of formats 2 to 4.  Each member is a tar archive of its own, ended by zeros up
 * to a multiple of 10240 bytes, as the one run of tar per member in Qubes' writer made them;
 * readers skip the zeros (tar -i).
 */
#ifndef ARCHIVE_OUTER_H
#define ARCHIVE_OUTER_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "qubesfs/archive.h"

/** Writes one regular member.  0, the output's errno, or -ENAMETOOLONG. */
int outer_member(const struct archive_output *output, const char *name, time_t when,
                 const void *data, size_t length);

/** The length of what outer_member writes. */
uint64_t outer_size(uint64_t length);

#endif
