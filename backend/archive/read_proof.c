/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "read_proof.h"

#include <openssl/crypto.h>
#include <string.h>

#include "qubesfs/cleanup.h"

static bool is_space(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

bool proof_parse(const char *untrusted_text, size_t length, struct proof *ret_proof)
{
    static const enum mac_digest digests[] = {MAC_SHA1, MAC_SHA256, MAC_SHA384, MAC_SHA512};
    const char *text, *end = untrusted_text + length, *next;
    size_t bytes;

    if (length > PROOF_TEXT_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        if (untrusted_text[i] == '\0' || (unsigned char)untrusted_text[i] > 127)
            return false;
    text = memchr(untrusted_text, '=', length);
    if (!text)
        return false;
    text++;
    next = memchr(text, '=', (size_t)(end - text));
    if (next)
        end = next;
    while (text < end && is_space(*text))
        text++;
    while (text < end && is_space(end[-1]))
        end--;
    bytes = (size_t)(end - text) / 2;
    if ((end - text) % 2)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(digests); i++) {
        if (mac_size(digests[i]) != bytes)
            continue;
        ret_proof->digest = digests[i];
        for (size_t at = 0; at < bytes; at++) {
            int high = hex_digit(text[2 * at]), low = hex_digit(text[2 * at + 1]);

            if (high < 0 || low < 0)
                return false;
            ret_proof->bytes[at] = (unsigned char)(high << 4 | low);
        }
        return true;
    }
    return false;
}

int proof_check(const struct proof *proof, const struct secret *passphrase, const void *data,
                size_t length)
{
    unsigned char digest[MAC_SIZE_MAX];
    int result = mac_once(proof->digest, secret_data(passphrase), secret_length(passphrase), data,
                          length, digest);

    if (result < 0)
        return result;
    return CRYPTO_memcmp(digest, proof->bytes, mac_size(proof->digest)) == 0;
}
