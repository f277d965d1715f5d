/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The outer archive, read as its bytes come: any flavour of tar (v7, ustar, pax, GNU long names),
 * one archive or many with zeros between them.  Regular files only; entries of directories are
 * skipped. Nothing in here is authenticated: names and sizes are bounded, and checked by who gets
 * them.
 */
#ifndef ARCHIVE_READ_OUTER_H
#define ARCHIVE_READ_OUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qubesfs/error.h"

#define OUTER_NAME_MAX 1024u

struct outer_events {
    void *cookie;
    /** A member begins.  `*ret_data` is where its bytes go, which the callee owns. */
    int (*begin)(void *cookie, const char *untrusted_name, uint64_t untrusted_size,
                 unsigned char **ret_data, struct error *ret_error);
    /** All of them are there. */
    int (*end)(void *cookie, struct error *ret_error);
};

struct outer_reader;

/** 0 or -ENOMEM. */
int outer_reader_new(const struct outer_events *events, struct outer_reader **ret_reader);
void outer_reader_free(struct outer_reader *reader); /* NULL is fine */
/** Takes the next bytes.  0; -EINVAL: this is no tar archive, or has what no backup has; -EBADMSG:
 * it is damaged; or what an event returned.  After an error it must not be called again. */
int outer_reader_write(struct outer_reader *reader, const void *untrusted_data, size_t length,
                       struct error *ret_error);
/** No member, and nothing that belongs to one, is only half there. */
bool outer_reader_is_between(const struct outer_reader *reader);

#endif
