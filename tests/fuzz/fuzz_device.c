/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a VM says of its devices: names, values, the path of a back end; and what is made of them.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "qubesfs/devices.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Six strings, each to its NUL or the end. */
#define FIELDS 6

static void check_names(const char *untrusted_text)
{
    char name[DEVICE_FRONTEND_MAX];
    struct block_name parts;
    unsigned major, minor, devid;

    if (block_name_parse(untrusted_text, &parts) == 0 && parts.disk < 0)
        abort();
    block_name_number(untrusted_text, &major, &minor);
    block_name_overlap(untrusted_text, "sda");
    if (frontend_to_devid(untrusted_text, &devid) && !frontend_from_devid(devid, name))
        abort();
}

static void check_rendered(const struct offer *offer)
{
    struct device device = {.offer = *offer, .known = true};
    struct text text CLEANUP_TEXT = TEXT_INIT;
    size_t lines = 0;

    strcpy(device.backend, "sys-usb");
    device_render(&device, &text);
    /* whatever a VM says, it adds no line and no key */
    for (size_t i = 0; i < text.length; i++)
        lines += text.data[i] == '\n';
    if (text_status(&text) || lines != 9 || !utf8_valid(text.data, text.length))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + FIELDS), *fields[FIELDS];
    size_t place = 0;
    struct offer offer;
    const char *why = NULL;
    unsigned backend;
    int result;

    if (!copy)
        return 0;
    memcpy(copy, data, size);
    memset(copy + size, 0, FIELDS);
    for (size_t i = 0; i < FIELDS; i++) {
        fields[i] = copy + place;
        place += strlen(copy + place);
        place += place < size + i;
    }
    check_names(fields[0]);
    device_owner_ok(fields[0]);
    result = offer_check(fields[0], fields[1], fields[2], fields[3], *fields[4] ? fields[4] : NULL,
                         &offer, &why);
    if (result == 0 && why)
        abort();
    if (result == 0)
        check_rendered(&offer);
    else if (!why)
        abort();
    backend_path_check(fields[5], 5, 51712, &backend);
    free(copy);
    return 0;
}
