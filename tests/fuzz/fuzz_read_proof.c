/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `.hmac` texts: the digest that is read is that of the text, in any of its forms. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/read_proof.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proof proof, again;
    char text[2 * MAC_SIZE_MAX + 8] = "x= ";

    if (!proof_parse((const char *)data, size, &proof))
        return 0;
    for (size_t i = 0; i < mac_size(proof.digest); i++)
        sprintf(text + 3 + 2 * i, "%02x", proof.bytes[i]);
    if (!memmem(data, size, text + 3, strlen(text + 3)) ||
        !proof_parse(text, strlen(text), &again) || again.digest != proof.digest ||
        memcmp(again.bytes, proof.bytes, mac_size(proof.digest)) != 0)
        abort();
    return 0;
}
