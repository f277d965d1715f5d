/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qubesfs/secret.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

/* The whole object lives in pages of its own: mlock and madvise work on pages. */
struct secret {
    atomic_uint references;
    size_t length;
    size_t mapped;
    unsigned char data[];
};

int secret_new(const void *bytes, size_t length, struct secret **ret_secret)
{
    size_t mapped = sizeof(struct secret) + length;
    struct secret *secret =
        mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int result;

    if (secret == MAP_FAILED)
        return -ENOMEM;
    if (mlock(secret, mapped) || madvise(secret, mapped, MADV_DONTDUMP) ||
        madvise(secret, mapped, MADV_DONTFORK)) {
        result = -errno;
        munmap(secret, mapped);
        return result;
    }
    atomic_init(&secret->references, 1);
    secret->length = length;
    secret->mapped = mapped;
    if (length > 0)
        memcpy(secret->data, bytes, length);
    *ret_secret = secret;
    return 0;
}

struct secret *secret_ref(struct secret *secret)
{
    if (secret)
        atomic_fetch_add(&secret->references, 1);
    return secret;
}

void secret_unref(struct secret *secret)
{
    size_t mapped;

    if (!secret || atomic_fetch_sub(&secret->references, 1) != 1)
        return;
    mapped = secret->mapped;
    OPENSSL_cleanse(secret, mapped);
    munmap(secret, mapped);
}

const void *secret_data(const struct secret *secret)
{
    return secret->data;
}

size_t secret_length(const struct secret *secret)
{
    return secret->length;
}
