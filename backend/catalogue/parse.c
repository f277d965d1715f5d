/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "internal.h"

#include <errno.h>

int catalogue_read_document(const char *path, xmlDoc *document, struct timespec modified,
                            const struct catalogue *previous,
                            const struct catalogue **ret_catalogue, struct error *ret_error)
{
    struct reading reading = {.path = path, .ret_error = ret_error};
    xmlNode *root = xmlDocGetRootElement(document);
    int result;

    result = document_form(path, document, &reading.form, ret_error);
    if (result)
        return result;
    result = reading.form == CATALOGUE_R3 ? r3_read(&reading, root) : r4_read(&reading, root);
    /* a list cut short by lack of memory must not pass for a small catalogue */
    if (!result || arena_status(&reading.arena))
        result = arena_status(&reading.arena);
    if (!result)
        result = build_catalogue(&reading, modified, previous, ret_catalogue);
    if (result == -ENOMEM)
        error_set(ret_error, -ENOMEM, "%s: out of memory", path);
    arena_free(&reading.arena);
    return result;
}

int catalogue_parse(const char *path, const void *untrusted_document, size_t length,
                    const struct catalogue *previous, const struct catalogue **ret_catalogue,
                    struct error *ret_error)
{
    xmlDoc *document;
    int result;

    result = document_parse(path, untrusted_document, length, &document, ret_error);
    if (result)
        return result;
    result = catalogue_read_document(path, document, (struct timespec){0, 0}, previous,
                                     ret_catalogue, ret_error);
    xmlFreeDoc(document);
    return result;
}
