/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the catalogue's tests share. */
#ifndef QUBESFS_TEST_CATALOGUE_HELPER_H
#define QUBESFS_TEST_CATALOGUE_HELPER_H

/* cmocka needs these four before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalogue/internal.h"
#include "qubesfs/text.h"

static inline void write_file(const char *path, const char *data)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(data, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static inline char *slurp(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct error error;
    char *data = NULL;
    size_t length;

    assert_true(fd >= 0);
    assert_int_equal(read_whole_file(path, fd, &data, &length, &error), 0);
    close(fd);
    return data;
}

/* Writes beside it and renames over, as Qubes saves. */
static inline void replace(const char *path, const char *data)
{
    char temporary[4096];

    snprintf(temporary, sizeof(temporary), "%s.new", path);
    write_file(temporary, data);
    assert_int_equal(rename(temporary, path), 0);
}

static inline const struct catalogue *parse(const char *document)
{
    const struct catalogue *catalogue = NULL;
    struct error error = {0};

    if (catalogue_parse("t.xml", document, strlen(document), NULL, &catalogue, &error))
        fail_msg("%s", error.text);
    return catalogue;
}

static inline void refused(const char *document, const char *text)
{
    const struct catalogue *catalogue = NULL;
    struct error error = {0};

    assert_int_equal(catalogue_parse("t.xml", document, strlen(document), NULL, &catalogue, &error),
                     -EINVAL);
    assert_int_equal(error.code, -EINVAL);
    assert_null(catalogue);
    if (!strstr(error.text, text))
        fail_msg("'%s' is not in '%s'", text, error.text);
}

static inline const struct catalogue_entry *entry_of(const struct catalogue *catalogue,
                                                     const char *name)
{
    const struct catalogue_entry *entry = catalogue_find(catalogue, name);

    if (!entry)
        fail_msg("there is no %s", name);
    return entry;
}

static inline const char *pref(const struct catalogue *catalogue, const char *vm, const char *name)
{
    const struct catalogue_entry *entry = entry_of(catalogue, vm);

    return name_value_find(entry->prefs, entry->pref_count, name);
}

static inline const char *service(const struct catalogue *catalogue, const char *vm,
                                  const char *name)
{
    const struct catalogue_entry *entry = entry_of(catalogue, vm);

    return name_value_find(entry->services, entry->service_count, name);
}

/* Compares with a file below tests/golden byte for byte; GOLDEN=write makes it anew, to be looked
 * at before it is kept. */
static inline void compare_golden(const char *made, const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "tests/golden/%s", name);
    if (getenv("GOLDEN"))
        write_file(path, made);
    char *wanted CLEANUP_FREE = slurp(path);

    assert_string_equal(made, wanted);
}

/* A text that may be NULL on either side. */
#define assert_text(text, wanted)                                                                  \
    do {                                                                                           \
        const char *text_ = (text), *wanted_ = (wanted);                                           \
        if (!text_ || !wanted_)                                                                    \
            assert_ptr_equal(text_, wanted_);                                                      \
        else                                                                                       \
            assert_string_equal(text_, wanted_);                                                   \
    } while (0)

#define R3_HEAD     "<QubesVmCollection default_template=\"1\" default_netvm=\"None\">\n"
#define R3_TAIL     "</QubesVmCollection>\n"
#define R3_TEMPLATE "<QubesTemplateVm qid=\"1\" name=\"tpl\" template_qid=\"none\"/>\n"
#define R3_APP(attributes)                                                                         \
    "<QubesAppVm qid=\"2\" name=\"app\" template_qid=\"1\" " attributes "/>\n"
#define R3(body) R3_HEAD R3_TEMPLATE body R3_TAIL

#endif
