/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a catalogue.  What is taken must keep its promises: sorted lists, valid names, a
 * second reading that shares every entry, and a document that survives being marked and printed.
 */
#include <errno.h>
#include <string.h>

#include "catalogue/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise)
{
    if (!promise)
        abort();
}

static void check_list(const struct name_value *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        require(file_name_ok(list[i].name) && list[i].value);
        require(i == 0 || strcmp(list[i - 1].name, list[i].name) < 0);
        require(name_value_find(list, count, list[i].name) == list[i].value);
    }
}

static void check_entry(const struct catalogue_entry *entry)
{
    require(!vm_name_reason(entry->name));
    require(entry->qid >= 0 && entry->qid <= QID_MAX);
    require(!entry->dir_path || (entry->dir_path[0] == '/' && path_ok(entry->dir_path)));
    require(!entry->netvm_name || !vm_name_reason(entry->netvm_name));
    require(!entry->template_name || !vm_name_reason(entry->template_name) ||
            strncmp(entry->template_name, "qid ", 4) == 0);
    require(strlen(entry->uuid) == 0 || strlen(entry->uuid) == 36);
    check_list(entry->prefs, entry->pref_count);
    check_list(entry->services, entry->service_count);
    check_list(entry->features, entry->feature_count);
    check_list(entry->tags, entry->tag_count);
    for (size_t i = 0; i < entry->volume_count; i++) {
        require(file_name_ok(entry->volumes[i].name));
        require(!entry->volumes[i].vid || path_ok(entry->volumes[i].vid));
    }
}

/* Marked and printed, it must be a catalogue still, of the same VMs. */
static void check_document(const struct catalogue *catalogue, const uint8_t *data, size_t size)
{
    const struct catalogue_mark mark = {.qid = 1, .backup_path = "vm1", .backup_size = size};
    const struct catalogue *again;
    struct error error;
    xmlDoc *document;
    char *printed;
    size_t length;

    require(document_parse("fuzz", data, size, &document, &error) == 0);
    if (catalogue->form == CATALOGUE_R3)
        mark_document("fuzz", document, CATALOGUE_R3, &mark, 1, &error);
    require(document_print(document, false, &printed, &length) == 0);
    xmlFreeDoc(document);
    require(catalogue_parse("fuzz", printed, length, NULL, &again, &error) == 0);
    require(again->entry_count == catalogue->entry_count);
    catalogue_unref(again);
    free(printed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct catalogue *catalogue, *again;
    struct error error = {0};
    int result;

    result = catalogue_parse("fuzz", data, size, NULL, &catalogue, &error);
    if (result) {
        require(result == error.code && strncmp(error.text, "fuzz:", 5) == 0);
        return 0;
    }
    for (size_t i = 0; i < catalogue->entry_count; i++) {
        check_entry(catalogue->entries[i]);
        require(i == 0 || strcmp(catalogue->entries[i - 1]->name, catalogue->entries[i]->name) < 0);
    }
    require(catalogue_parse("fuzz", data, size, catalogue, &again, &error) == 0);
    require(catalogue_equal(catalogue, again));
    for (size_t i = 0; i < again->entry_count; i++)
        require(again->entries[i] == catalogue->entries[i]);
    catalogue_unref(again);
    check_document(catalogue, data, size);
    catalogue_unref(catalogue);
    return 0;
}
