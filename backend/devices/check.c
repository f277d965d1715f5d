/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a VM says of its devices, checked.  (The forms are those of Qubes' own agent and manager.)
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "qubesfs/devices.h"
#include "qubesfs/text.h"

/* True if it is `least` to `most` of the characters. */
static bool consists(const char *untrusted_text, const char *characters, size_t most)
{
    size_t length = strnlen(untrusted_text, most + 1);

    return length >= 1 && length <= most && strspn(untrusted_text, characters) == length;
}

#define SMALL  "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

bool device_name_ok(const char *untrusted_name)
{
    return consists(untrusted_name, SMALL DIGITS "-", 12);
}

bool device_description_ok(const char *untrusted_text)
{
    size_t length = strnlen(untrusted_text, DEVICE_DESCRIPTION_MAX);

    if (length < 1 || length >= DEVICE_DESCRIPTION_MAX || !utf8_valid(untrusted_text, length))
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)untrusted_text[i];

        /* C0, DEL, and C1 (U+0080 to U+009F) */
        if (byte < 0x20 || byte == 0x7f ||
            (byte == 0xc2 && (unsigned char)untrusted_text[i + 1] < 0xa0))
            return false;
    }
    return true;
}

bool device_mode_ok(const char *untrusted_mode)
{
    return strcmp(untrusted_mode, "r") == 0 || strcmp(untrusted_mode, "w") == 0;
}

bool device_size_ok(const char *untrusted_size, uint64_t *ret_bytes)
{
    uint64_t value = 0;

    /* 18 digits are below 2^63 */
    if (!consists(untrusted_size, DIGITS, 18))
        return false;
    for (const char *digit = untrusted_size; *digit; digit++)
        value = 10 * value + (uint64_t)(*digit - '0');
    *ret_bytes = value;
    return true;
}

bool device_path_ok(const char *untrusted_path)
{
    return consists(untrusted_path, SMALL DIGITS "/-", 64) &&
           strncmp(untrusted_path, "/dev/", 5) == 0 && untrusted_path[5];
}

bool device_owner_ok(const char *untrusted_name)
{
    return consists(untrusted_name, SMALL "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "_.-", 63) &&
           *untrusted_name != '.';
}

int offer_check(const char *untrusted_name, const char *untrusted_description,
                const char *untrusted_size, const char *untrusted_mode, const char *untrusted_path,
                struct offer *ret_offer, const char **ret_why)
{
    struct offer offer = {.name = ""};

    *ret_why = "its name is malformed";
    if (!device_name_ok(untrusted_name))
        return -EINVAL;
    *ret_why = "it lacks desc, size or mode";
    if (!untrusted_description || !untrusted_size || !untrusted_mode)
        return -ENOENT;
    *ret_why = "its description is malformed";
    if (!device_description_ok(untrusted_description))
        return -EINVAL;
    *ret_why = "its size is malformed";
    if (!device_size_ok(untrusted_size, &offer.size))
        return -EINVAL;
    *ret_why = "its mode is malformed";
    if (!device_mode_ok(untrusted_mode))
        return -EINVAL;
    *ret_why = "its path is malformed";
    if (untrusted_path && !device_path_ok(untrusted_path))
        return -EINVAL;
    *ret_why = NULL;
    strcpy(offer.name, untrusted_name);
    strcpy(offer.description, untrusted_description);
    if (untrusted_path)
        strcpy(offer.path, untrusted_path);
    else
        snprintf(offer.path, sizeof(offer.path), "/dev/%s", offer.name);
    offer.read_only = *untrusted_mode == 'r';
    offer.numbered = block_name_number(offer.name, &offer.major, &offer.minor);
    *ret_offer = offer;
    return 0;
}

int backend_path_check(const char *untrusted_path, unsigned domain, unsigned devid,
                       unsigned *ret_backend)
{
    unsigned backend, front, disk;
    char kind[16], again[128];

    if (sscanf(untrusted_path, "/local/domain/%5u/backend/%15[a-z0-9]/%5u/%10u", &backend, kind,
               &front, &disk) != 4 ||
        front != domain || disk != devid)
        return -EINVAL;
    /* nothing before, behind or between */
    snprintf(again, sizeof(again), "/local/domain/%u/backend/%s/%u/%u", backend, kind, front, disk);
    if (strcmp(again, untrusted_path) != 0)
        return -EINVAL;
    *ret_backend = backend;
    return 0;
}
