/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The catalogue that goes into a backup.  Its form is the format's, not the host's, as each reader
 * of Qubes parses only its own:
 *
 *     file --reading--> [ the other form, convert.c ] --> marks, marks.c --> text, read back
 */
#include "convert.h"

#include <errno.h>
#include <stdlib.h>

/* Only what reads well as a catalogue of that form, with no VM lost, goes into a backup. */
static int check(const char *path, enum catalogue_form form, size_t vm_count, const char *document,
                 size_t length, struct error *ret_error)
{
    const struct catalogue *again;
    struct error error;
    bool good;
    int result = catalogue_parse(path, document, length, NULL, &again, &error);

    if (result)
        return error_set(ret_error, result, "%s: cannot be put into a backup: %s", path,
                         error.text);
    /* dom0 may be added */
    good =
        again->form == form && again->entry_count >= vm_count && again->entry_count <= vm_count + 1;
    catalogue_unref(again);
    return good ? 0 : error_set(ret_error, -EINVAL, "%s: cannot be put into a backup", path);
}

static int export_reading(struct reading *reading, xmlDoc *document, enum catalogue_form form,
                          const struct catalogue_mark *marks, size_t mark_count,
                          char **ret_document, size_t *ret_length, struct text *left_out)
{
    char *printed CLEANUP_FREE = NULL;
    xmlDoc *converted = NULL;
    size_t length = 0;
    int result = 0;

    if (reading->form != form)
        result = convert(reading, marks, mark_count, left_out, &converted, &marks);
    if (!result)
        result = mark_document(reading->path, converted ? converted : document, form, marks,
                               mark_count, reading->ret_error);
    if (!result) {
        result =
            document_print(converted ? converted : document, converted != NULL, &printed, &length);
        if (result)
            error_set(reading->ret_error, result, "%s: out of memory", reading->path);
    }
    xmlFreeDoc(converted);
    if (!result)
        result =
            check(reading->path, form, reading->draft_count, printed, length, reading->ret_error);
    if (result)
        return result;
    *ret_document = MOVE_POINTER(printed);
    *ret_length = length;
    return 0;
}

int export_bytes(const char *path, const void *untrusted_data, size_t length,
                 enum catalogue_form form, const struct catalogue_mark *marks, size_t mark_count,
                 char **ret_document, size_t *ret_length, char **ret_left_out,
                 struct error *ret_error)
{
    struct reading reading = {.path = path, .ret_error = ret_error};
    struct text left_out CLEANUP_TEXT = TEXT_INIT;
    char *made = NULL;
    xmlDoc *document;
    int result;

    result = document_parse(path, untrusted_data, length, &document, ret_error);
    if (result)
        return result;
    result = reading_fill(&reading, document);
    if (!result)
        result = export_reading(&reading, document, form, marks, mark_count, &made, ret_length,
                                &left_out);
    arena_free(&reading.arena);
    xmlFreeDoc(document);
    if (!result && ret_left_out && (result = text_take(&left_out, ret_left_out, NULL)))
        error_set(ret_error, result, "%s: out of memory", path);
    if (result)
        free(made);
    else
        *ret_document = made;
    return result;
}

int catalogue_export(const char *path, enum catalogue_form form, const struct catalogue_mark *marks,
                     size_t mark_count, char **ret_document, size_t *ret_length,
                     char **ret_left_out, struct error *ret_error)
{
    const struct patience patience = {.seconds = 15, .cancel_fd = -1};
    char *data CLEANUP_FREE = NULL;
    size_t length;
    int result = load_bytes(path, &patience, &data, &length, NULL, ret_error);

    if (result)
        return result;
    return export_bytes(path, data, length, form, marks, mark_count, ret_document, ret_length,
                        ret_left_out, ret_error);
}
