/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Backups of both forms into catalogues of both forms, and into none.  What comes out is compared
 * byte for byte with golden files; GOLDEN=write makes them anew, to be looked at before they are
 * kept.
 */
#include "import_helper.h"

/* New uuids are random: each becomes the first letters of its VM's name. */
static char *hide_uuids(const char *document, const struct catalogue_import *import)
{
    struct text text = TEXT_INIT;
    char *hidden = NULL;

    while (*document) {
        const struct catalogue_import_vm *found = NULL;

        for (size_t i = 0; !found && i < catalogue_import_count(import); i++) {
            const struct catalogue_import_vm *vm = catalogue_import_vm(import, i);

            if (*vm->uuid && strncmp(document, vm->uuid, 36) == 0)
                found = vm;
        }
        if (found)
            text_printf(&text, "uuid of %s", found->new_name);
        else
            text_append(&text, document, 1);
        document += found ? 36 : 1;
    }
    assert_int_equal(text_take(&text, &hidden, NULL), 0);
    return hidden;
}

static char *describe(const struct catalogue_import *import)
{
    struct text text = TEXT_INIT;
    char *made = NULL;

    for (size_t i = 0; i < catalogue_import_count(import); i++) {
        const struct catalogue_import_vm *vm = catalogue_import_vm(import, i);

        text_printf(&text, "%s\t%s\n", vm->name,
                    vm->action == IMPORT_RESTORE ? vm->new_name : vm->reason);
        text_printf(&text, "  %s %s %ju %s\n", vm_class_name(vm->vm_class), vm->backup_path,
                    (uintmax_t)vm->backup_size, vm->has_root ? "root" : "");
        if (vm->directory)
            text_printf(&text, "  %s %s\n", vm->directory, vm->image_directory);
        if (vm->menu)
            text_printf(&text, "  menu: %s", vm->menu);
        for (const char *at = vm->notes; *at; at += strcspn(at, "\n") + 1)
            text_printf(&text, "  - %.*s\n", (int)strcspn(at, "\n"), at);
    }
    text_printf(&text, "*\n%s", catalogue_import_notes(import));
    assert_int_equal(text_take(&text, &made, NULL), 0);
    return made;
}

static void one(const char *from, const char *host, const char *name)
{
    const struct catalogue_import_options options = {
        .conflict = IMPORT_CONFLICT_RENAME, .exclude = "nobody\nstandalone\n", .dom0_home = true};
    char *original CLEANUP_FREE = slurp(from), *backup CLEANUP_FREE = backup_of(original);
    char *before CLEANUP_FREE = host ? slurp(host) : NULL;
    char file[64];

    unlink(host_path);
    if (host)
        write_file(host_path, before);
    struct catalogue_import *import = import_of(backup, &options);

    save_import(import);
    char *after CLEANUP_FREE = slurp(host_path), *said CLEANUP_FREE = describe(import);

    char *hidden CLEANUP_FREE = hide_uuids(after, import);

    catalogue_import_free(import);
    snprintf(file, sizeof(file), "import/%s.xml", name);
    compare_golden(hidden, file);
    snprintf(file, sizeof(file), "import/%s.told", name);
    compare_golden(said, file);
}

static void golden(void **state)
{
    (void)state;
    one("tests/data/r3.xml", "tests/data/host-r3.xml", "r3-into-r3");
    one("tests/data/r3.xml", "tests/data/host-r4.xml", "r3-into-r4");
    one("tests/data/r4.xml", "tests/data/host-r3.xml", "r4-into-r3");
    one("tests/data/r4.xml", "tests/data/host-r4.xml", "r4-into-r4");
    one("tests/data/r3.xml", NULL, "r3-into-none");
    one("tests/data/r4.xml", NULL, "r4-into-none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(golden, make_directory, remove_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
