/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any edit of any catalogue: a byte for the kind, one for the VM, a line with a name, a line with a
 * value, then the document.  What is taken must be shown, must leave all other VMs and lists as
 * they were, and be a good catalogue; what is refused must leave the very same bytes.
 */
#include <string.h>

#include "catalogue/edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise)
{
    if (!promise)
        abort();
}

/* A line of the input, to be freed; the rest is left. */
static char *take_line(const uint8_t **data, size_t *size)
{
    const uint8_t *end = memchr(*data, '\n', *size);
    size_t length = end ? (size_t)(end - *data) : *size;
    char *line = calloc(1, length + 1);

    require(line != NULL);
    memcpy(line, *data, length);
    *data += length + (end != NULL);
    *size -= length + (end != NULL);
    return line;
}

static bool same_list(const struct name_value *one, size_t one_count,
                      const struct name_value *other, size_t other_count)
{
    if (one_count != other_count)
        return false;
    for (size_t i = 0; i < one_count; i++)
        if (strcmp(one[i].name, other[i].name) != 0 || strcmp(one[i].value, other[i].value) != 0)
            return false;
    return true;
}

static void check_taken(const struct catalogue *before, const struct catalogue *after,
                        const struct catalogue_edit *edit)
{
    const struct catalogue_entry *entry = edit->entry;
    const struct catalogue_entry *now =
        catalogue_find(after, edit->kind == CATALOGUE_RENAME ? edit->name : entry->name);
    const char *shown;

    require(before->entry_count == after->entry_count && before->form == after->form);
    require(now && now->qid == entry->qid && now->vm_class == entry->vm_class);
    if (edit->kind == CATALOGUE_RENAME) {
        require(!catalogue_find(after, entry->name));
        return;
    }
    /* a netvm that changes is shown by others that have it by default; lists are never */
    for (size_t i = 0; i < before->entry_count; i++) {
        const struct catalogue_entry *one = before->entries[i], *two = after->entries[i];

        require(strcmp(one->name, two->name) == 0);
        require(one == entry ||
                (same_list(one->services, one->service_count, two->services, two->service_count) &&
                 same_list(one->features, one->feature_count, two->features, two->feature_count) &&
                 same_list(one->tags, one->tag_count, two->tags, two->tag_count)));
    }
    if (edit->kind == CATALOGUE_SET_SERVICE) {
        shown = name_value_find(now->services, now->service_count, edit->name);
        require(edit->untrusted_value ? shown && strcmp(shown, edit->untrusted_value) == 0
                                      : !shown);
    } else if (edit->kind == CATALOGUE_SET_FEATURE) {
        shown = name_value_find(now->features, now->feature_count, edit->name);
        require(edit->untrusted_value ? shown && strcmp(shown, edit->untrusted_value) == 0
                                      : !shown);
    } else if (edit->kind == CATALOGUE_SET_TAG) {
        require(!name_value_find(now->tags, now->tag_count, edit->name) == !edit->untrusted_value);
    } else {
        require(catalogue_pref_settable(now, edit->name));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct catalogue *before, *after;
    struct catalogue_edit edit = {0};
    struct edit_batch batch = {.root = "/nonexistent", .edits = &edit, .count = 1};
    uint8_t kind, which;
    char *name, *value, *made;
    struct error error;
    size_t length;

    if (size < 3)
        return 0;
    kind = *data++;
    which = *data++;
    size -= 2;
    name = take_line(&data, &size);
    value = take_line(&data, &size);
    if (catalogue_parse("fuzz", data, size, NULL, &before, &error) == 0) {
        edit.kind = (enum catalogue_edit_kind)(kind % (CATALOGUE_RENAME + 1));
        edit.active = kind & 0x20;
        edit.name = name;
        /* properties are not removed, and neither are names of VMs */
        edit.untrusted_value = kind & 0x40 && edit.kind != CATALOGUE_SET_PREF ? NULL : value;
        if (before->entry_count > 0) {
            edit.entry = before->entries[which % before->entry_count];
            require(edit_all(&batch, "fuzz", (const char *)data, size, &made, &length, &error) ==
                    0);
            require(edit.error.code <= 0 && (edit.error.code == 0 || edit.error.text[0]));
            if (edit.error.code) {
                require(length == size && memcmp(made, data, size) == 0);
            } else {
                require(catalogue_parse("fuzz", made, length, NULL, &after, &error) == 0);
                check_taken(before, after, &edit);
                catalogue_unref(after);
            }
            free(made);
        }
        catalogue_unref(before);
    }
    free(name);
    free(value);
    return 0;
}
