/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scrypt containers: no cost beyond the limit is accepted; with any key the rest is refused or
 * opened.  Its checksum, which anybody can make, is made right, so that what is behind it is met.
 */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "archive/read_container.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct container_key key = {.cipher = {1}, .mac = {2}};
    static const uint64_t limit = (uint64_t)2 << 30;
    struct container_cost cost;
    struct error error = {.code = 0};
    unsigned char *copy = malloc(size + 1), digest[EVP_MAX_MD_SIZE];
    int result;

    if (!copy)
        return 0;
    memcpy(copy, data, size);
    if (size >= 64 && EVP_Digest(copy, 48, digest, NULL, EVP_sha256(), NULL))
        memcpy(copy + 48, digest, 16);
    result = container_cost(copy, size, limit, &cost, &error);
    if (result < 0 && !error.text[0])
        abort();
    if (result == 0) {
        if (container_memory(&cost) > limit || cost.r < 1 || cost.p < 1 ||
            (uint64_t)cost.p * container_memory(&cost) > 16 * limit)
            abort();
        if (container_open(&key, copy, size) == 0)
            abort(); /* nobody has that key */
    }
    free(copy);
    return 0;
}
