/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "internal.h"

#include <errno.h>

int reading_fill(struct reading *reading, const xmlDoc *document)
{
    xmlNode *root = xmlDocGetRootElement(document);
    int result;

    reading->document = document;
    result = document_form(reading->path, document, &reading->form, reading->ret_error);
    if (result)
        return result;
    result = reading->form == CATALOGUE_R3 ? r3_read(reading, root) : r4_read(reading, root);
    /* a list cut short by lack of memory must not pass for a small catalogue */
    if (!result || arena_status(&reading->arena))
        result = arena_status(&reading->arena);
    if (result == -ENOMEM)
        error_set(reading->ret_error, -ENOMEM, "%s: out of memory", reading->path);
    return result;
}

int catalogue_read_document(const char *path, xmlDoc *document, struct timespec modified,
                            const struct catalogue *previous,
                            const struct catalogue **ret_catalogue, struct error *ret_error)
{
    struct reading reading = {.path = path, .ret_error = ret_error};
    int result = reading_fill(&reading, document);

    if (!result) {
        result = build_catalogue(&reading, modified, previous, ret_catalogue);
        if (result)
            error_set(ret_error, result, "%s: out of memory", path);
    }
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
