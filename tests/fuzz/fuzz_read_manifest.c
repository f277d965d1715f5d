/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The closing manifest: only the one text agrees; and names of outer members, which it is made of:
 * taken apart and put together they are the same. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/read_manifest.h"
#include "archive/read_names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *name)
{
    static const char *const suffixes[] = {"", ".hmac", ".enc"};
    struct names_parts parts;
    char again[5000];

    if (strlen(name) > 4000 || !names_split(name, &parts))
        return;
    snprintf(again, sizeof(again), "%.*s.%03u%s", (int)parts.base_length, name, parts.number,
             suffixes[parts.kind]);
    if (strcmp(again, name) != 0 || name[0] == '/' || strstr(name, "/../") ||
        !strncmp(name, "../", 3) || strchr(name, '\n'))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct archive_manifest *manifest;
    struct text expected = TEXT_INIT;
    unsigned char content[] = "content";
    struct chunk chunk = {
        .data = content, .length = sizeof(content), .file = (char[]){"qubes.xml"}};
    struct error error = {.code = 0};
    char *name = strndup((const char *)data, size);
    int result;

    if (!name || archive_manifest_new(&manifest))
        return 0;
    check_name(name);
    if (manifest_catalogue(manifest, content, 3) || manifest_add(manifest, &chunk))
        abort();
    manifest_text(manifest, "20161020T123455-1", &expected);
    result = read_manifest_compare(manifest, "20161020T123455-1", (const char *)data, size, &error);
    if ((result == 0) != (size == expected.length && !memcmp(data, expected.data, size)) ||
        (result < 0 && !error.text[0]))
        abort();
    text_free(&expected);
    archive_manifest_free(manifest);
    free(name);
    return 0;
}
