/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of imports share: a backup's catalogue, a host, and a restore from one to the
 * other. */
#ifndef QUBESFS_TEST_IMPORT_HELPER_H
#define QUBESFS_TEST_IMPORT_HELPER_H

#include "catalogue_helper.h"

#include "catalogue/import.h"

/* A directory that a test may fill; the host's catalogue is in it. */
static char test_directory[256];
static char host_path[300];

static inline int make_directory(void **state)
{
    const char *base = getenv("TEST_TMP");

    (void)state;
    snprintf(test_directory, sizeof(test_directory), "%s/import-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(test_directory))
        return -1;
    snprintf(host_path, sizeof(host_path), "%s/qubes.xml", test_directory);
    return 0;
}

static inline int remove_directory(void **state)
{
    char command[300];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", test_directory);
    return system(command);
}

/* The document as a backup of all VMs but disposables would hold it, dom0's home included. */
static inline char *backup_of(const char *document)
{
    const struct catalogue *catalogue = parse(document);
    struct catalogue_mark *marks = calloc(catalogue->entry_count + 1, sizeof(*marks));
    char *made = NULL, (*paths)[32] = calloc(catalogue->entry_count + 1, sizeof(*paths));
    struct error error;
    size_t count = 0, length;

    assert_non_null(marks);
    assert_non_null(paths);
    for (size_t i = 0; i < catalogue->entry_count; i++) {
        const struct catalogue_entry *entry = catalogue->entries[i];

        if (entry->vm_class == VM_CLASS_DISP)
            continue;
        snprintf(paths[count], sizeof(paths[count]), "vm%d%s", entry->qid,
                 catalogue->form == CATALOGUE_R4 ? "/" : "");
        marks[count] = (struct catalogue_mark){
            .qid = entry->qid,
            .backup_path = entry->vm_class == VM_CLASS_ADMIN ? "dom0-home/user" : paths[count],
            .backup_size = 1000 + (uint64_t)entry->qid,
        };
        count++;
    }
    if (export_bytes("t.xml", document, strlen(document), catalogue->form, marks, count, &made,
                     &length, NULL, &error))
        fail_msg("%s", error.text);
    free(marks);
    free(paths);
    catalogue_unref(catalogue);
    return made;
}

static inline struct catalogue_import *import_of(const char *backup,
                                                 const struct catalogue_import_options *options)
{
    struct catalogue_import *import = NULL;
    struct error error = {0};

    if (catalogue_import_new(host_path, backup, strlen(backup), options, &import, &error))
        fail_msg("%s", error.text);
    assert_non_null(import);
    return import;
}

static inline void import_refused(const char *backup,
                                  const struct catalogue_import_options *options, int code,
                                  const char *text)
{
    struct catalogue_import *import = NULL;
    struct error error = {0};

    assert_int_equal(
        catalogue_import_new(host_path, backup, strlen(backup), options, &import, &error), code);
    assert_int_equal(error.code, code);
    assert_null(import);
    if (!strstr(error.text, text))
        fail_msg("'%s' is not in '%s'", text, error.text);
}

static inline const struct catalogue_import_vm *import_vm_of(const struct catalogue_import *import,
                                                             const char *name)
{
    for (size_t i = 0; i < catalogue_import_count(import); i++)
        if (strcmp(catalogue_import_vm(import, i)->name, name) == 0)
            return catalogue_import_vm(import, i);
    fail_msg("there is no %s in the backup", name);
    return NULL;
}

static inline void save_import(struct catalogue_import *import)
{
    struct error error = {0};

    if (catalogue_import_save(import, -1, &error))
        fail_msg("%s", error.text);
}

/* Restores all of it, and hands back the host's catalogue. */
static inline const struct catalogue *restore(const char *backup,
                                              const struct catalogue_import_options *options)
{
    struct catalogue_import *import = import_of(backup, options);
    const struct catalogue *catalogue = NULL;
    struct error error;

    save_import(import);
    catalogue_import_free(import);
    if (catalogue_load(host_path, 1, NULL, &catalogue, &error))
        fail_msg("%s", error.text);
    return catalogue;
}

#endif
