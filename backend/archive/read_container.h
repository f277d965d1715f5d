/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scrypt containers, opened (their layout: container.h).  Anybody can write what stands in their
 * first 64 bytes, so the cost that they ask for is bounded before a key is derived.
 */
#ifndef ARCHIVE_READ_CONTAINER_H
#define ARCHIVE_READ_CONTAINER_H

#include <stdatomic.h>
#include <stdint.h>

#include "container.h"
#include "qubesfs/error.h"
#include "qubesfs/secret.h"

struct container_cost {
    unsigned log2_n;
    uint32_t r, p;
};

/** What the container (of `length` bytes) asks for.  0; -EBADMSG: it is none, or damaged; -ENOTSUP:
 * more memory than `memory_max`, or a key that takes an hour. */
int container_cost(const unsigned char *untrusted_container, size_t length, uint64_t memory_max,
                   struct container_cost *ret_cost, struct error *ret_error);

/** Memory of one derivation. */
static inline uint64_t container_memory(const struct container_cost *cost)
{
    return (uint64_t)128 * cost->r << cost->log2_n;
}

/** Derives the keys of the container from the passphrase with `prefix` before it, as format 4 has
 * it.  What takes more than 256 MiB is done one at a time in this process.  `ret_key` is in locked
 * memory.  0, -ENOMEM, -EIO or -ECANCELED. */
int container_derive(const struct container_cost *cost, const unsigned char *untrusted_container,
                     const char *prefix, const struct secret *passphrase,
                     const atomic_bool *cancelled, struct container_key *ret_key);

/** Checks it whole and decrypts it in place: the content is then at CONTAINER_HEADER, and has
 * CONTAINER_OVERHEAD bytes less.  0; -EKEYREJECTED: the passphrase (or the name in it) is another
 * one; -EBADMSG: damaged; -ENOMEM, -EIO. */
int container_open(const struct container_key *key, unsigned char *untrusted_container,
                   size_t length);

#endif
