/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The closing manifest: its text, byte for byte, the lengths that are told of it before, going
 * back. */
#include "archive_helper.h"

#include <errno.h>

#include "archive/manifest.h"

#define ID "20161020T123455-0123456789abcdef0123456789abcdef"

static void add(struct archive_manifest *manifest, char *file, char *content)
{
    struct chunk chunk = {
        .data = (unsigned char *)content, .length = strlen(content), .file = file};

    assert_int_equal(manifest_digest(&chunk), 0);
    assert_int_equal(manifest_add(manifest, &chunk), 0);
}

static void check(const struct archive_manifest *manifest, const char *expected)
{
    struct text text = TEXT_INIT;

    manifest_text(manifest, ID, &text);
    assert_int_equal(text_status(&text), 0);
    assert_string_equal(text.data, expected);
    text_free(&text);
}

/* the digests are sha256sum's of "document", "a", "bb", "", "ccc" */
static const char whole[] =
    "qubesfs-manifest 1\n"
    "backup-id " ID "\n"
    "catalogue 43cc23fa52b87b4cc1d02b5b114154151d6adddb17c9fddc06b027fa99e24008\n"
    "files 3\n"
    "file 1 qubes.xml\n"
    "chunk 1 ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb\n"
    "file 2 vm2/private.img\n"
    "chunk 2 3b64db95cb55c763391c707108489ae18b4112d783300de38e033b4c98c3deaf\n"
    "chunk 0 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"
    "file 1 dom0-home/a user\n"
    "chunk 3 64daa44ad493ff28a96effab6e77f1732a3d97d83241581b37dbd70a7a4900fe\n"
    "end\n";

static void test_text(void **state)
{
    struct archive_manifest *manifest;

    (void)state;
    assert_int_equal(archive_manifest_new(&manifest), 0);
    check(manifest, "qubesfs-manifest 1\nbackup-id " ID "\nfiles 0\nend\n");
    assert_int_equal(manifest_catalogue(manifest, "document", 8), 0);
    add(manifest, "qubes.xml", "a");
    add(manifest, "vm2/private.img", "bb");
    add(manifest, NULL, "");
    add(manifest, "dom0-home/a user", "ccc");
    check(manifest, whole);

    /* going back, and on again */
    archive_manifest_rewind(manifest, 5);
    check(manifest, whole);
    archive_manifest_rewind(manifest, 3);
    check(manifest, whole);
    archive_manifest_rewind(manifest, 1);
    add(manifest, "vm2/private.img", "bb");
    add(manifest, NULL, "");
    add(manifest, "dom0-home/a user", "ccc");
    check(manifest, whole);
    archive_manifest_rewind(manifest, 0);
    check(manifest, "qubesfs-manifest 1\nbackup-id " ID "\nfiles 0\nend\n");
    archive_manifest_free(manifest);
    archive_manifest_free(NULL);
}

static void test_many(void **state)
{
    struct archive_manifest *manifest;
    struct text text = TEXT_INIT;
    uint64_t length = manifest_frame_length(ID, 3000) + manifest_catalogue_length();

    (void)state;
    assert_int_equal(archive_manifest_new(&manifest), 0);
    manifest_catalogue(manifest, "", 0);
    for (unsigned i = 0; i < 3000; i++) {
        char name[40], content[30];

        snprintf(name, sizeof(name), "vm%u/private.img", i);
        snprintf(content, sizeof(content), "%.*s", (int)i % 20, "xxxxxxxxxxxxxxxxxxxx");
        add(manifest, name, content);
        length += manifest_file_length(name, i % 20, 0);
    }
    manifest_text(manifest, ID, &text);
    assert_int_equal(text_status(&text), 0);
    assert_int_equal(text.length, length);
    text_free(&text);
    archive_manifest_free(manifest);
}

/* Lengths of what is too big to make here. */
static void test_lengths(void **state)
{
    const uint64_t digest = 65, big = CHUNK_SIZE;

    (void)state;
    assert_int_equal(manifest_file_length("n", 0, 0), strlen("file 1 n\nchunk 0\n") + digest);
    assert_int_equal(manifest_file_length("n", big - 1, 128),
                     strlen("file 1 n\nchunk 104857727\n") + digest);
    assert_int_equal(manifest_file_length("n", big, 128),
                     strlen("file 2 n\nchunk 104857728\nchunk 128\n") + 2 * digest);
    assert_int_equal(manifest_file_length("n", 9 * big + 1, 0),
                     strlen("file 10 n\nchunk 1\n") + 9 * strlen("chunk 104857600\n") +
                         10 * digest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_lengths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
