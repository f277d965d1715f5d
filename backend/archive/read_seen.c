/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "read_seen.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_MAX ((size_t)1 << 20)

static bool is_free(const struct seen_name *name)
{
    static const struct seen_name none;

    return !memcmp(name, &none, sizeof(none));
}

/* The place that has it, or that it belongs to. */
static struct seen_name *find(const struct seen *seen, const struct seen_name *name)
{
    size_t at;

    memcpy(&at, name->digest, sizeof(at));
    for (at &= seen->capacity - 1;; at = (at + 1) & (seen->capacity - 1))
        if (is_free(&seen->names[at]) || !memcmp(&seen->names[at], name, sizeof(*name)))
            return &seen->names[at];
}

static int grow(struct seen *seen)
{
    struct seen bigger = {.capacity = seen->capacity > 0 ? 2 * seen->capacity : 64};

    bigger.names = calloc(bigger.capacity, sizeof(*bigger.names));
    if (!bigger.names)
        return -ENOMEM;
    for (size_t i = 0; i < seen->capacity; i++)
        if (!is_free(&seen->names[i]))
            *find(&bigger, &seen->names[i]) = seen->names[i];
    bigger.count = seen->count;
    free(seen->names);
    *seen = bigger;
    return 0;
}

int seen_add(struct seen *seen, const char *untrusted_name)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    struct seen_name name, *place;

    if (!EVP_Digest(untrusted_name, strlen(untrusted_name), digest, NULL, EVP_sha256(), NULL))
        return -EIO;
    memcpy(name.digest, digest, sizeof(name.digest));
    if (seen->count == COUNT_MAX)
        return -E2BIG;
    if (2 * seen->count >= seen->capacity && grow(seen) < 0)
        return -ENOMEM;
    place = find(seen, &name);
    if (!is_free(place))
        return -EEXIST;
    *place = name;
    seen->count++;
    return 0;
}

void seen_free(struct seen *seen)
{
    free(seen->names);
    *seen = (struct seen){NULL, 0, 0};
}
