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

static const char *pref(const struct catalogue_entry *entry, const char *name)
{
    return name_value_find(entry->prefs, entry->pref_count, name);
}

static bool is_template(const struct catalogue_entry *entry)
{
    return entry->vm_class == VM_CLASS_TEMPLATE || entry->vm_class == VM_CLASS_TEMPLATE_HVM;
}

static bool serves(const struct catalogue_entry *entry)
{
    return entry->vm_class == VM_CLASS_NET || entry->vm_class == VM_CLASS_PROXY;
}

/* What Qubes' own readers break on, in a form that we have made. */
static void check_made(const struct catalogue *made)
{
    for (size_t i = 0; i < made->entry_count; i++) {
        const struct catalogue_entry *entry = made->entries[i];
        const struct catalogue_entry *template =
            entry->template_name ? catalogue_find(made, entry->template_name) : NULL;
        const struct catalogue_entry *netvm =
            entry->netvm_name ? catalogue_find(made, entry->netvm_name) : NULL;

        require(pref(entry, "label") != NULL);
        require(!entry->template_name || template);
        if (made->form == CATALOGUE_R4) {
            require(entry->vm_class != VM_CLASS_APP || template);
            continue;
        }
        require(entry->qid <= 253 && pref(entry, "pcidevs"));
        require(entry->vm_class == VM_CLASS_ADMIN || is_template(entry) || pref(entry, "template"));
        require(!template || is_template(template));
        require(!entry->netvm_name || (netvm && serves(netvm)));
    }
}

static void check_mark(const struct catalogue_entry *entry, enum catalogue_form form)
{
    const char *path = form == CATALOGUE_R3
                           ? pref(entry, "backup_path")
                           : name_value_find(entry->features, entry->feature_count, "backup-path");

    require(path && strcmp(path, "vm1") == 0);
}

/* Exported in either form, it must be a catalogue still, of the same VMs, with the mark in it. */
static void check_export(const struct catalogue *catalogue, enum catalogue_form form,
                         const uint8_t *data, size_t size)
{
    const struct catalogue_entry *marked =
        catalogue->entry_count > 0 ? catalogue->entries[size % catalogue->entry_count] : NULL;
    const struct catalogue_mark mark = {
        .qid = marked ? marked->qid : 0, .backup_path = "vm1", .backup_size = size};
    const struct catalogue *again;
    char *printed, *left_out;
    struct error error;
    size_t length;
    int result;

    result = export_bytes("fuzz", data, size, form, &mark, marked != NULL, &printed, &length,
                          &left_out, &error);
    /* more VMs than R3 can hold */
    if (result == -EOPNOTSUPP && catalogue->entry_count > 253)
        return;
    require(result == 0);
    require(catalogue_parse("fuzz", printed, length, NULL, &again, &error) == 0);
    require(again->form == form);
    require(!*left_out || form != catalogue->form);
    for (size_t i = 0; i < catalogue->entry_count; i++) {
        const struct catalogue_entry *before = catalogue->entries[i];
        const struct catalogue_entry *after = catalogue_find(again, before->name);

        require(after != NULL && after->include_in_backups == before->include_in_backups);
        require(after->qid == catalogue_export_qid(catalogue, form, before->qid));
        if (before == marked)
            check_mark(after, form);
    }
    if (form != catalogue->form)
        check_made(again);
    catalogue_unref(again);
    free(printed);
    free(left_out);
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
    check_export(catalogue, CATALOGUE_R3, data, size);
    check_export(catalogue, CATALOGUE_R4, data, size);
    catalogue_unref(catalogue);
    return 0;
}
