/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scrypt (RFC 7914) with r = 8 and p = 1, as containers of format 4 have it.  The library's own
 * takes 1.7 times as long, works for all r and p, can't be stopped, and leaves its 128 MiB
 * (N = 2^17) to the heap as they are.
 *
 * What is worked in is wiped, kept out of core dumps and children, and locked where the limit
 * (RLIMIT_MEMLOCK) allows so much.
 */
#ifndef ARCHIVE_SCRYPT_H
#define ARCHIVE_SCRYPT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define SCRYPT_LOG2_N_MAX 24u

/** The memory of one derivation: 1024 << log2_n bytes, which serve one after the other. */
struct scrypt;

/** 0, -EINVAL (log2_n: 1 to SCRYPT_LOG2_N_MAX) or -ENOMEM. */
int scrypt_new(unsigned log2_n, struct scrypt **ret_scrypt);
/** Wipes it.  NULL is fine. */
void scrypt_free(struct scrypt *scrypt);

/** Fills `ret_key` with `key_length` bytes.  `cancelled` (NULL: never) is looked at every
 * millisecond or so.  0, -ECANCELED, or what mac_once returns; then `ret_key` is left alone. */
int scrypt_run(struct scrypt *scrypt, const void *passphrase, size_t passphrase_length,
               const void *salt, size_t salt_length, void *ret_key, size_t key_length,
               const atomic_bool *cancelled);

/** All of it in one. */
int scrypt_derive(const void *passphrase, size_t passphrase_length, const void *salt,
                  size_t salt_length, unsigned log2_n, void *ret_key, size_t key_length,
                  const atomic_bool *cancelled);

#endif
