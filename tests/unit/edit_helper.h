/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of edits share: a directory with a catalogue and a kernel, and one edit at a time.
 */
#ifndef QUBESFS_TEST_EDIT_HELPER_H
#define QUBESFS_TEST_EDIT_HELPER_H

#include "catalogue_helper.h"

static char directory[64], path[96];

static inline int make_directory(void **state)
{
    char kernel[160];

    (void)state;
    strcpy(directory, "/tmp/catalogue.XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/qubes.xml", directory);
    snprintf(kernel, sizeof(kernel), "mkdir -p %s/var/lib/qubes/vm-kernels/4.1.13-9", directory);
    return system(kernel);
}

static inline int remove_directory(void **state)
{
    char command[160];

    (void)state;
    unlink(path);
    snprintf(command, sizeof(command), "rm -r %s/var", directory);
    if (system(command))
        return -1;
    return rmdir(directory); /* fails when a save has left something behind */
}

static inline const struct catalogue *load(void)
{
    const struct catalogue *catalogue = NULL;
    struct error error;

    if (catalogue_load(path, 1, NULL, &catalogue, &error))
        fail_msg("%s", error.text);
    return catalogue;
}

/* One edit; returns how it ended, its words in `last`. */
static struct error last;

static inline int edit(const char *vm, enum catalogue_edit_kind kind, const char *name,
                       const char *value, bool active)
{
    const struct catalogue *catalogue = load();
    struct catalogue_edit one = {.kind = kind,
                                 .entry = entry_of(catalogue, vm),
                                 .active = active,
                                 .name = name,
                                 .untrusted_value = value};
    struct error error = {0};

    if (catalogue_edit(path, directory, 1, -1, &one, 1, &error))
        fail_msg("%s", error.text);
    last = one.error;
    catalogue_unref(catalogue);
    return last.code;
}

static inline int set(const char *vm, const char *name, const char *value)
{
    return edit(vm, CATALOGUE_SET_PREF, name, value, false);
}

/* Set, and then shown as `shown`; NULL: not there any more. */
static inline void takes(const char *vm, const char *name, const char *value, const char *shown)
{
    const struct catalogue *catalogue;

    if (set(vm, name, value))
        fail_msg("%s %s=%s: %s", vm, name, value, last.text);
    catalogue = load();
    assert_text(pref(catalogue, vm, name), shown);
    catalogue_unref(catalogue);
}

/* Refused, with these words, and the file is as it was. */
static inline void refuses(const char *vm, const char *name, const char *value, int code,
                           const char *words)
{
    char *before CLEANUP_FREE = slurp(path);
    char *after CLEANUP_FREE = NULL;

    if (set(vm, name, value) != code || !strstr(last.text, words))
        fail_msg("%s %s=%s: %d '%s', not '%s'", vm, name, value, last.code, last.text, words);
    after = slurp(path);
    assert_string_equal(before, after);
}

/* What is now at the place of `old`, and that all around it is the same. */
static inline void changed_only(const char *before, const char *old, const char *new)
{
    char *after CLEANUP_FREE = slurp(path);
    const char *place = strstr(before, old);
    size_t head;

    assert_non_null(place);
    head = (size_t)(place - before);
    if (strncmp(before, after, head) != 0 || strncmp(after + head, new, strlen(new)) != 0 ||
        strcmp(after + head + strlen(new), place + strlen(old)) != 0)
        fail_msg("not '%s' in place of '%s':\n%s", new, old, after);
}

static inline void copy_sample(const char *name)
{
    char *data CLEANUP_FREE = slurp(name);

    write_file(path, data);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

#endif
