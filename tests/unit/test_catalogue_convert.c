/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The catalogue inside a backup, in the form that the host has not.  Golden files are compared byte
 * for byte; GOLDEN=write makes them anew, to be looked at before they are kept.
 */
#include "catalogue_helper.h"

static const struct catalogue_mark r4_marks[] = {
    {.qid = 5, .backup_path = "vm5/", .backup_size = 123456789012},
    {.qid = 0, .backup_path = "dom0-home/user", .backup_size = 4096},
    {.qid = 6, .backup_path = NULL, .backup_size = 7},
};

static const struct catalogue_mark r3_marks[] = {
    {.qid = 5, .backup_path = "vm5", .backup_size = 123456789012},
    {.qid = 1042, .backup_path = "vm1042", .backup_size = 1},
    {.qid = 0, .backup_path = "dom0-home/user", .backup_size = 4096},
};

static char *export(const char *document, enum catalogue_form form,
                    const struct catalogue_mark *marks, size_t count, char **ret_left_out)
{
    char *made = NULL;
    struct error error;
    size_t length;

    if (export_bytes("t.xml", document, strlen(document), form, marks, count, &made, &length,
                     ret_left_out, &error))
        fail_msg("%s", error.text);
    assert_int_equal(length, strlen(made));
    return made;
}

static void golden(void **state)
{
    char *r3 CLEANUP_FREE = slurp("tests/data/r3.xml"),
             *r4 CLEANUP_FREE = slurp("tests/data/r4.xml");
    char *left_out CLEANUP_FREE = NULL, *other CLEANUP_FREE = NULL;
    char *to_r4 CLEANUP_FREE = export(r3, CATALOGUE_R4, r4_marks, ARRAY_SIZE(r4_marks), &left_out);
    char *to_r3 CLEANUP_FREE = export(r4, CATALOGUE_R3, r3_marks, ARRAY_SIZE(r3_marks), &other);

    (void)state;
    compare_golden(to_r4, "catalogue/r3-to-r4.xml");
    compare_golden(left_out, "catalogue/r3-to-r4.left-out");
    compare_golden(to_r3, "catalogue/r4-to-r3.xml");
    compare_golden(other, "catalogue/r4-to-r3.left-out");
}

static const char *or_none(const char *text)
{
    return text ? text : "none";
}

/* What both forms can tell is told alike. */
static void same_vms(const struct catalogue *one, const struct catalogue *other)
{
    static const char *const prefs[] = {"memory", "backup_timestamp", "mac", "label"};

    assert_int_equal(one->entry_count, other->entry_count);
    for (size_t i = 0; i < one->entry_count; i++) {
        const struct catalogue_entry *left = one->entries[i], *right = other->entries[i];
        bool is_template =
            left->vm_class == VM_CLASS_TEMPLATE || left->vm_class == VM_CLASS_TEMPLATE_HVM;

        assert_string_equal(left->name, right->name);
        if (left->vm_class != VM_CLASS_ADMIN)
            assert_string_equal(left->uuid, right->uuid);
        assert_int_equal(left->include_in_backups, right->include_in_backups);
        assert_int_equal(left->internal, right->internal);
        assert_int_equal(left->installed_by_rpm, right->installed_by_rpm);
        assert_int_equal(left->updateable, right->updateable);
        if (left->vm_class != VM_CLASS_DISP)
            assert_string_equal(or_none(left->template_name), or_none(right->template_name));
        /* by default a template has one in R3 and none in R4 */
        if (!is_template)
            assert_string_equal(or_none(left->netvm_name), or_none(right->netvm_name));
        for (size_t at = 0; at < ARRAY_SIZE(prefs); at++) {
            const char *mine = name_value_find(left->prefs, left->pref_count, prefs[at]);
            const char *theirs = name_value_find(right->prefs, right->pref_count, prefs[at]);

            if (mine && theirs)
                assert_string_equal(mine, theirs);
        }
    }
}

static void r3_and_back(void **state)
{
    char *original CLEANUP_FREE = slurp("tests/data/r3.xml");
    char *made CLEANUP_FREE = export(original, CATALOGUE_R4, NULL, 0, NULL);
    char *back CLEANUP_FREE = export(made, CATALOGUE_R3, NULL, 0, NULL);
    const struct catalogue *before = parse(original), *between = parse(made), *after = parse(back);

    (void)state;
    same_vms(before, between);
    same_vms(before, after);
    for (size_t i = 0; i < before->entry_count; i++) {
        const struct catalogue_entry *one = before->entries[i], *other = after->entries[i];

        assert_int_equal(one->qid, other->qid);
        assert_int_equal(one->vm_class, other->vm_class);
        assert_text(one->dir_path, other->dir_path);
        assert_int_equal(one->service_count, other->service_count);
        for (size_t at = 0; at < one->service_count; at++)
            assert_text(service(after, one->name, one->services[at].name), one->services[at].value);
        assert_text(pref(after, one->name, "netvm"), pref(before, one->name, "netvm"));
        assert_text(pref(after, one->name, "pcidevs"), pref(before, one->name, "pcidevs"));
        assert_text(pref(after, one->name, "kernel"), pref(before, one->name, "kernel"));
        assert_text(pref(after, one->name, "autostart"), pref(before, one->name, "autostart"));
    }
    for (size_t i = 0; i < before->global_count; i++)
        assert_text(name_value_find(after->globals, after->global_count, before->globals[i].name),
                    before->globals[i].value);
    catalogue_unref(before);
    catalogue_unref(between);
    catalogue_unref(after);
}

static void r4_and_back(void **state)
{
    char *original CLEANUP_FREE = slurp("tests/data/r4.xml");
    char *made CLEANUP_FREE = export(original, CATALOGUE_R3, NULL, 0, NULL);
    char *back CLEANUP_FREE = export(made, CATALOGUE_R4, NULL, 0, NULL);
    const struct catalogue *before = parse(original), *between = parse(made), *after = parse(back);

    (void)state;
    same_vms(before, between);
    same_vms(before, after);
    for (size_t i = 0; i < before->entry_count; i++) {
        const struct catalogue_entry *one = before->entries[i], *other = after->entries[i];

        /* R3 does not tell which VM a disposable was made from */
        if (one->vm_class != VM_CLASS_DISP)
            assert_int_equal(one->vm_class, other->vm_class);
        for (size_t at = 0; at < one->service_count; at++)
            assert_text(service(after, one->name, one->services[at].name), one->services[at].value);
    }
    catalogue_unref(before);
    catalogue_unref(between);
    catalogue_unref(after);
}

static void marks_in_r4(void **state)
{
    char *original CLEANUP_FREE = slurp("tests/data/r4.xml");
    char *left_out CLEANUP_FREE = NULL;
    char *made CLEANUP_FREE =
        export(original, CATALOGUE_R4, r4_marks, ARRAY_SIZE(r4_marks), &left_out);
    const struct catalogue *before = parse(original), *after = parse(made);

    (void)state;
    assert_string_equal(left_out, "");
    for (size_t i = 0; i < after->entry_count; i++) {
        const struct catalogue_entry *entry = after->entries[i];
        bool marked = entry->qid == 0 || entry->qid == 5;

        assert_text(name_value_find(entry->features, entry->feature_count, "backup-content"),
                    marked ? "1" : "");
        assert_text(name_value_find(entry->features, entry->feature_count, "backup-size"),
                    entry->qid == 5   ? "123456789012"
                    : entry->qid == 0 ? "4096"
                                      : NULL);
        assert_text(name_value_find(entry->features, entry->feature_count, "backup-path"),
                    entry->qid == 5   ? "vm5/"
                    : entry->qid == 0 ? "dom0-home/user"
                                      : NULL);
        assert_int_equal(entry->pref_count, before->entries[i]->pref_count);
    }
    assert_non_null(strstr(made, "far-away")); /* of a class that nobody here knows */
    assert_non_null(strstr(made, "\n        <feature name=\"backup-content\">1</feature>"
                                 "\n        <feature name=\"backup-path\">vm5/</feature>"));
    catalogue_unref(before);
    catalogue_unref(after);
}

/* Marks of an earlier backup and the disposables of this moment stay behind, as Qubes has it. */
static void what_stays_behind(void **state)
{
    static const char document[] =
        "<qubes><domains><domain id='domain-5' class='AppVM'><properties>"
        "<property name='name'>a</property></properties><features>\n"
        "<feature name='backup-content'>True</feature>\n"
        "<feature name='backup-path'>appvms/a</feature>\n"
        "<feature name='preload-dispvm'>disp1 disp2</feature>\n"
        "<feature name='preload-dispvm-in-progress'>disp3</feature>\n"
        "<feature name='preload-dispvm-max'>2</feature>\n"
        "<feature name='x'>&amp;lt;</feature>\n</features></domain></domains></qubes>";
    const struct catalogue_mark dom0 = {.qid = 0, .backup_path = "dom0-home/a&b"};
    char *made CLEANUP_FREE = export(document, CATALOGUE_R4, &dom0, 1, NULL);
    const struct catalogue *catalogue = parse(made);
    const struct catalogue_entry *entry = entry_of(catalogue, "a");

    (void)state;
    assert_int_equal(entry->feature_count, 3);
    assert_text(name_value_find(entry->features, 3, "backup-content"), "");
    assert_text(name_value_find(entry->features, 3, "preload-dispvm-max"), "2");
    assert_text(name_value_find(entry->features, 3, "x"), "&lt;");
    entry = entry_of(catalogue, "dom0");
    assert_text(name_value_find(entry->features, entry->feature_count, "backup-path"),
                "dom0-home/a&b");
    catalogue_unref(catalogue);
}

static void marks_of_none(void **state)
{
    const struct catalogue_mark gone = {.qid = 99, .backup_path = "vm99"};
    const struct catalogue_mark unwanted = {.qid = 99, .backup_path = NULL};
    char *r3 CLEANUP_FREE = slurp("tests/data/r3.xml"),
             *r4 CLEANUP_FREE = slurp("tests/data/r4.xml");
    const char *const samples[] = {r3, r4};
    struct error error;
    size_t length;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const char *sample = samples[i % 2];
        char *made = NULL, *left_out = NULL;

        assert_int_equal(export_bytes("t.xml", sample, strlen(sample), i / 2, &gone, 1, &made,
                                      &length, &left_out, &error),
                         -ENOENT);
        assert_non_null(strstr(error.text, "qid 99"));
        assert_null(made);
        assert_null(left_out);
        free(export(sample, i / 2, &unwanted, 1, NULL));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden),
        cmocka_unit_test(r3_and_back),
        cmocka_unit_test(r4_and_back),
        cmocka_unit_test(marks_in_r4),
        cmocka_unit_test(what_stays_behind),
        cmocka_unit_test(marks_of_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
