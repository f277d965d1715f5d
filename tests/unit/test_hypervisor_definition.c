/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Definitions from templates: the built-in ones, the user's, hostile values, broken templates. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "hypervisor/room.h"

static const struct definition_volume volumes[] = {
    {.name = "root", .path = "/vm/root & <co>.img", .target = "vda", .transient = true},
    {.name = "private", .path = "/dev/vg/private", .target = "vdb", .block = true},
    {.name = "modules", .path = "/vm/modules.img", .target = "vdc", .readonly = true},
};

static struct definition example(void)
{
    return (struct definition){
        .name = "wörk",
        .uuid = "12345678-1234-4234-8234-123456789abc",
        .vm_class = "AppVM",
        .memory_mib = 400,
        .maxmem_mib = 4000,
        .vcpus = 2,
        .kernel = "/k/vmlinuz",
        .initrd = "/k/initramfs",
        .kernelopts = "root=/dev/vda \"a\" 'b' <c> &amp; ]]> ${x}",
        .console_log = "/log/guest-work.log",
        .volumes = volumes,
        .volume_count = ARRAY_SIZE(volumes),
    };
}

static char directory[] = "/tmp/qubesfs-definition-XXXXXX";

static void write_template(const char *file, const char *text)
{
    char path[200];
    FILE *stream;

    snprintf(path, sizeof(path), "%s/%s", directory, file);
    stream = fopen(path, "w");
    assert_non_null(stream);
    fputs(text, stream);
    fclose(stream);
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    static const char *const files[] = {"qemu.xml", "test.xml"};
    char path[200];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, files[i]);
        remove(path);
    }
    return remove(directory);
}

/* libvirt's own schema check, where it is installed. */
static void validate(const char *xml)
{
    char path[200], command[500];

    if (system("command -v virt-xml-validate xmllint >/dev/null 2>&1") != 0)
        return;
    snprintf(path, sizeof(path), "%s/test.xml", directory);
    write_template("test.xml", xml);
    snprintf(command, sizeof(command), "virt-xml-validate %s domain >/dev/null 2>&1", path);
    assert_int_equal(system(command), 0);
    remove(path);
}

static void test_builtin(void **state)
{
    struct definition definition = example();
    struct error error;
    char *xml;

    (void)state;
    assert_int_equal(definition_make("QEMU", NULL, &definition, &xml, &error), 0);
    assert_non_null(strstr(xml, "<domain type=\"qemu\">"));
    assert_non_null(strstr(xml, "<name>wörk</name>"));
    assert_non_null(strstr(xml, "<uuid>12345678-1234-4234-8234-123456789abc</uuid>"));
    assert_non_null(strstr(xml, "<memory unit=\"MiB\">4000</memory>"));
    assert_non_null(strstr(xml, "<currentMemory unit=\"MiB\">400</currentMemory>"));
    assert_non_null(strstr(xml, "<source file=\"/vm/root &amp; &lt;co&gt;.img\"/>"));
    assert_non_null(strstr(xml, "<source dev=\"/dev/vg/private\"/>"));
    assert_non_null(strstr(xml, "&lt;c&gt; &amp;amp; ]]&gt; ${x}</cmdline>"));
    assert_non_null(strstr(xml, "file=\"/log/guest-work.log\""));
    assert_null(strstr(xml, "template/1"));
    assert_null(strstr(xml, "SPDX"));
    assert_null(strstr(xml, "<boot"));
    assert_true(definition_marked(xml));
    validate(xml);
    free(xml);

    definition.kernel = definition.initrd = definition.kernelopts = NULL;
    definition.console_log = NULL;
    definition.uuid = "";
    definition.volume_count = 0;
    assert_int_equal(definition_make("QEMU", NULL, &definition, &xml, &error), 0);
    assert_null(strstr(xml, "kernel"));
    assert_null(strstr(xml, "<uuid"));
    assert_null(strstr(xml, "<disk"));
    assert_null(strstr(xml, "<log"));
    assert_non_null(strstr(xml, "<boot dev=\"hd\"/>"));
    validate(xml);
    free(xml);

    definition = example();
    assert_int_equal(definition_make("test", NULL, &definition, &xml, &error), 0);
    validate(xml);
    free(xml);
    assert_int_equal(definition_make("ESX", NULL, &definition, &xml, &error), -ENODEV);
    assert_non_null(strstr(error.text, "esx.xml"));
}

static void test_hostile_values(void **state)
{
    static const char *const bad[] = {"a\nb", "a\tb",     "\x1b[2J",      "a\x7f",
                                      "\xff", "\xc2\x80", "\xef\xbf\xbe", "\xed\xa0\x80"};
    struct definition definition = example();
    struct error error;
    char *xml = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        definition.kernelopts = bad[i];
        assert_int_equal(definition_make("QEMU", NULL, &definition, &xml, &error), -EINVAL);
        assert_non_null(strstr(error.text, "kernelopts"));
        assert_null(strchr(error.text, '\n'));
    }
    definition = example();
    definition.name = "</name><evil/><name>&lt;!--";
    definition.console_log = "\"/><evil a='&#10;";
    assert_int_equal(definition_make("QEMU", NULL, &definition, &xml, &error), 0);
    assert_null(strstr(xml, "<evil"));
    char *name = definition_name(xml);

    assert_string_equal(name, definition.name);
    free(name);
    free(xml);
}

static void test_user_template(void **state)
{
    struct definition definition = example();
    struct error error;
    char *xml;

    (void)state;
    write_template("qemu.xml",
                   "<domain type='kvm' xmlns:t='https://qubesfs.org/template/1'>"
                   "<name t:text='name'>x<y/></name><!-- gone -->"
                   "<metadata><other xmlns='urn:o'/></metadata>"
                   "<a t:unless='debug' old='1' t:set='old=debug new=class'/><b t:if='debug'/>"
                   "<v t:each='volume' t:if='readonly' t:text='name' t:set='n=volume'/></domain>");
    assert_int_equal(definition_make("QEMU", directory, &definition, &xml, &error), 0);
    assert_non_null(strstr(xml, "<domain type=\"kvm\">"));
    assert_non_null(strstr(xml, "<name>wörk</name>"));
    assert_non_null(strstr(xml, "<other xmlns=\"urn:o\"/>"));
    assert_non_null(strstr(xml, "<a new=\"AppVM\"/>"));
    assert_null(strstr(xml, "<b"));
    assert_non_null(strstr(xml, "<v n=\"modules\">wörk</v>"));
    assert_null(strstr(xml, "n=\"root\""));
    assert_true(definition_marked(xml));
    free(xml);
    /* the built-in one serves what the directory does not hold */
    assert_int_equal(definition_make("test", directory, &definition, &xml, &error), 0);
    free(xml);
}

static void test_broken_templates(void **state)
{
#define Q "<domain xmlns:q='https://qubesfs.org/template/1'>\n\n"
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "qemu.xml:"},
        {"<domain>\n<name>\n</domain>", "qemu.xml:3: "},
        {"\n<network/>", "qemu.xml:2: "},
        {"<!DOCTYPE domain [<!ENTITY a 'b'>]><domain>&a;</domain>", "document type"},
        {Q "<name q:text='nme'/></domain>", "qemu.xml:3: there is no variable \"nme\""},
        {Q "<name q:text='path'/></domain>", "outside of q:each"},
        {Q "<name q:txt='name'/></domain>", "qemu.xml:3: there is no directive \"txt\""},
        {Q "<q:name/></domain>", "qemu.xml:3: directives are attributes"},
        {Q "<a q:each='vms'/></domain>", "qemu.xml:3: there is no list \"vms\""},
        {Q "<a q:each='volume'><b q:each='volume'/></a></domain>", "q:each within q:each"},
        {Q "<a q:set='x'/></domain>", "qemu.xml:3: q:set wants"},
        {Q "<a q:set='1x=name'/></domain>", "qemu.xml:3: q:set wants"},
        {"<domain q:if='name' xmlns:q='https://qubesfs.org/template/1'/>", "outermost"},
    };
#undef Q
    struct definition definition = example();
    struct error error;
    char *xml = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        write_template("qemu.xml", cases[i].text);
        assert_int_equal(definition_make("QEMU", directory, &definition, &xml, &error), -EINVAL);
        if (!strstr(error.text, cases[i].words))
            fail_msg("\"%s\" says no \"%s\"", error.text, cases[i].words);
        assert_non_null(strstr(error.text, directory));
    }
}

static void test_finish(void **state)
{
    struct error error;
    char *xml, *again;

    (void)state;
    assert_false(definition_marked("<domain><description>https://qubesfs.org/domain/1"
                                   "</description></domain>"));
    assert_false(definition_marked("https://qubesfs.org/domain/1"));
    assert_int_equal(definition_finish("<domain><name>a</name></domain>", NULL, &xml, &error), 0);
    assert_true(definition_marked(xml));
    assert_int_equal(definition_finish(xml, "12345678-1234-4234-8234-123456789abc", &again, &error),
                     0);
    assert_non_null(strstr(again, "<uuid>12345678-1234-4234-8234-123456789abc</uuid>"));
    assert_null(strstr(strstr(again, "managed") + 7, "managed"));
    free(xml);
    assert_int_equal(definition_finish(again, "00000000-1234-4234-8234-123456789abc", &xml, &error),
                     0);
    assert_null(strstr(xml, "12345678-"));
    free(xml);
    free(again);
    assert_int_equal(definition_finish("<domain>", NULL, &xml, &error), -EINVAL);
    assert_int_equal(definition_finish("", NULL, &xml, &error), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_builtin),       cmocka_unit_test(test_hostile_values),
        cmocka_unit_test(test_user_template), cmocka_unit_test(test_broken_templates),
        cmocka_unit_test(test_finish),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
