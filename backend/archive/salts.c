/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "salts.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "mac.h"
#include "qubesfs/archive.h"
#include "qubesfs/locked.h"

struct salts {
    unsigned char seed[ARCHIVE_SEED_SIZE];
};

int salts_new(const unsigned char *seed, struct salts **ret_salts)
{
    struct salts *salts = locked_alloc(sizeof(*salts));

    if (!salts)
        return -ENOMEM;
    if (seed) {
        memcpy(salts->seed, seed, sizeof(salts->seed));
    } else if (getentropy(salts->seed, sizeof(salts->seed)) != 0) {
        salts_free(salts);
        return -EIO;
    }
    *ret_salts = salts;
    return 0;
}

void salts_free(struct salts *salts)
{
    locked_free(salts, sizeof(*salts));
}

int salt_make(const struct salts *salts, const char *name, unsigned char *ret_salt, size_t length)
{
    unsigned char digest[MAC_SIZE_MAX];
    int result = mac_once(MAC_SHA256, salts->seed, sizeof(salts->seed), name, strlen(name), digest);

    if (result == 0)
        memcpy(ret_salt, digest, length);
    return result;
}
