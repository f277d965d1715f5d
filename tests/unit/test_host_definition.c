/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a start on Xen would define, for each kind of VM: compared with tests/golden/definitions/NAME.xml.
 * With UPDATE_GOLDEN=1 these are written anew, to be looked at and committed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "host/definition.h"
#include "host/internal.h"
#include "hypervisor/room.h"

#define GOLDEN "tests/golden/definitions"

static char driver[8] = "Xen", no_root[] = "";
static struct hypervisor hypervisor = {.lock = PTHREAD_MUTEX_INITIALIZER, .driver = driver};
static struct host host = {.root = no_root, .hypervisor = &hypervisor};
static const struct catalogue *catalogue;

static char *read_file(const char *path)
{
    FILE *stream = fopen(path, "r");
    char *data = calloc(1, 65536);

    if (!stream)
        fail_msg("%s: %s", path, strerror(errno));
    assert_true(fread(data, 1, 65535, stream) > 0);
    fclose(stream);
    return data;
}

static char *define(const char *name)
{
    const struct catalogue_entry *entry = catalogue_find(catalogue, name);
    struct definition_parts parts;
    struct error error = {.text = ""};
    char *xml = NULL;

    assert_non_null(entry);
    if (definition_collect(&host, catalogue, entry, entry->uuid, &parts, &error) ||
        definition_make(driver, NULL, &parts.definition, &xml, &error))
        fail_msg("%s: %s", name, error.text);
    definition_release(&parts);
    return xml;
}

static void test_golden(void **state)
{
    (void)state;
    for (size_t i = 0; i < catalogue->entry_count; i++) {
        const char *name = catalogue->entries[i]->name;
        char path[200], *xml, *expected;
        FILE *stream;

        if (strcmp(name, "dom0") == 0)
            continue;
        xml = define(name);
        snprintf(path, sizeof(path), GOLDEN "/%s.xml", name);
        if (getenv("UPDATE_GOLDEN")) {
            stream = fopen(path, "w");
            assert_non_null(stream);
            fputs(xml, stream);
            fclose(stream);
        }
        expected = read_file(path);
        if (strcmp(xml, expected) != 0)
            fail_msg("%s is not as in %s, but:\n%s", name, path, xml);
        free(expected);
        free(xml);
    }
}

/* Elsewhere the same VM has plain disks, and the template's root is not written to. */
static void test_qemu(void **state)
{
    char *xml;

    (void)state;
    strcpy(driver, "QEMU");
    xml = define("pv-app-net");
    assert_non_null(strstr(xml, "<source file=\"/var/lib/qubes/vm-templates/pv-template-net/root.img\"/>"));
    assert_non_null(strstr(xml, "<transient shareBacking=\"yes\"/>"));
    assert_non_null(strstr(xml, "<source file=\"/var/lib/qubes/appvms/pv-app-net/volatile.img\"/>"));
    assert_null(strstr(xml, "block-"));
    assert_null(strstr(xml, "dmroot"));
    free(xml);
    xml = define("hvm-standalone");
    assert_non_null(strstr(xml, "device=\"cdrom\""));
    assert_null(strstr(xml, "<transient"));
    free(xml);
    strcpy(driver, "Xen");
}

static void expect_refusal(const char *name, int code, const char *words)
{
    struct definition_parts parts;
    struct error error;

    assert_int_equal(definition_collect(&host, catalogue, catalogue_find(catalogue, name), "",
                                        &parts, &error),
                     code);
    assert_non_null(strstr(error.text, words));
    definition_release(&parts);
}

static void test_refused(void **state)
{
    (void)state;
    strcpy(driver, "QEMU");
    expect_refusal("hvm-standalone-net", -EOPNOTSUPP, "the VM \"sys-net\", which only Xen");
    strcpy(driver, "Xen");
}

static int load(void **state)
{
    char *document = read_file(GOLDEN "/qubes.xml");
    struct error error;
    int result =
        catalogue_parse("qubes.xml", document, strlen(document), NULL, &catalogue, &error);

    (void)state;
    free(document);
    return result;
}

static int unload(void **state)
{
    (void)state;
    catalogue_unref(catalogue);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_qemu),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, load, unload);
}
