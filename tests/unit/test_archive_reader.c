/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reader and its threads: what the writer wrote comes back; cancelled, refused by the sink, cut
 * anywhere; lengths in gzip members that lie. */
#include "archive_helper.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "archive/codec.h"
#include "archive/decode_side.h"
#include "qubesfs/archive_reader.h"

#define PASSPHRASE "reader \xc3\xa4"
#define IMAGE_SIZE ((size_t)5 << 20)

static struct secret *secret;
static unsigned char *image;

static int make_secret(void **state)
{
    (void)state;
    image = malloc(IMAGE_SIZE);
    for (size_t i = 0; i < IMAGE_SIZE; i++)
        image[i] = (unsigned char)((i >> 3) * 2654435761u >> 24);
    return secret_new(PASSPHRASE, strlen(PASSPHRASE), &secret);
}

static int drop_secret(void **state)
{
    (void)state;
    free(image);
    secret_unref(secret);
    return 0;
}

static void make(unsigned format, bool encrypted, enum archive_compression compression,
                 struct text *text)
{
    struct archive_options options = {.format = format,
                                      .encrypted = encrypted,
                                      .compression = compression,
                                      .passphrase = secret,
                                      .kdf_log2_n = ARCHIVE_KDF_MIN,
                                      .backup_id = "20161020T123455-1234",
                                      .threads = 2};
    struct archive_output output = output_to(text);
    struct archive_writer *writer;
    struct error error;

    assert_int_equal(archive_writer_new(&options, &output, &writer, &error), 0);
    assert_int_equal(archive_write_data(writer, "qubes.xml", "<x/>", 4, &error), 0);
    assert_int_equal(archive_write_data(writer, "vm2/private.img", image, IMAGE_SIZE, &error), 0);
    assert_int_equal(archive_writer_finish(writer, &error), 0);
    archive_writer_free(writer);
}

/* a sink that compares */

struct state {
    unsigned headers, catalogues, archives, manifests;
    uint64_t bytes;
    int refuse;           /* what member_data returns */
    atomic_bool reached;  /* data came */
    atomic_bool released; /* member_data may return */
    bool block;
};

static int on_header(void *cookie, const struct archive_header *header, struct error *error)
{
    (void)error;
    assert_true(header->manifest);
    ((struct state *)cookie)->headers++;
    return 0;
}

static int on_catalogue(void *cookie, const void *document, size_t length, struct error *error)
{
    (void)error;
    assert_int_equal(length, 4);
    assert_memory_equal(document, "<x/>", 4);
    ((struct state *)cookie)->catalogues++;
    return 0;
}

static int on_archive_begin(void *cookie, const struct archive_entry *entry,
                            struct archive_wish *wish, struct error *error)
{
    (void)cookie, (void)error;
    assert_string_equal(entry->name, "vm2/private.img");
    assert_true(wish->unpack);
    return 0;
}

static int on_member_begin(void *cookie, const struct archive_member *member, struct error *error)
{
    (void)cookie, (void)error;
    assert_int_equal(member->size, IMAGE_SIZE);
    return 0;
}

static int on_member_data(void *cookie, uint64_t offset, const void *data, size_t length,
                          struct error *error)
{
    struct state *state = cookie;

    assert_memory_equal(data, image + offset, length);
    state->bytes += length;
    atomic_store(&state->reached, true);
    while (state->block && !atomic_load(&state->released))
        usleep(1000);
    return state->refuse < 0 ? error_set(error, state->refuse, "the disk is full") : 0;
}

static int on_member_end(void *cookie, struct error *error)
{
    (void)cookie, (void)error;
    return 0;
}

static int on_archive_end(void *cookie, const struct archive_report *report, struct error *error)
{
    (void)error;
    assert_int_equal(report->chunks, 1);
    ((struct state *)cookie)->archives++;
    return 0;
}

static int on_manifest(void *cookie, struct error *error)
{
    (void)error;
    ((struct state *)cookie)->manifests++;
    return 0;
}

static struct archive_reader *reader_for(struct state *state, unsigned threads)
{
    const struct archive_reader_sink sink = {
        state,          on_header,     on_catalogue,   on_archive_begin, on_member_begin,
        on_member_data, on_member_end, on_archive_end, on_manifest};
    const struct archive_reader_options options = {.passphrase = secret, .threads = threads};
    struct archive_reader *reader;

    assert_int_equal(archive_reader_new(&options, &sink, &reader, NULL), 0);
    return reader;
}

static void check_round_trip(unsigned format, bool encrypted, enum archive_compression compression,
                             unsigned threads)
{
    struct text text = TEXT_INIT;
    struct state state = {.headers = 0};
    struct archive_reader *reader = reader_for(&state, threads);
    struct error error;

    make(format, encrypted, compression, &text);
    /* in pieces that fit nothing; not complete before the end */
    for (size_t at = 0; at < text.length; at += 99999) {
        size_t piece = text.length - at < 99999 ? text.length - at : 99999;

        assert_int_equal(archive_reader_complete(reader, &error), -EIO);
        assert_int_equal(archive_reader_write(reader, text.data + at, piece, &error), 0);
    }
    assert_int_equal(archive_reader_complete(reader, &error), 0);
    assert_int_equal(archive_reader_complete(reader, &error), 0);
    archive_reader_free(reader);
    assert_int_equal(state.headers, 1);
    assert_int_equal(state.catalogues, 1);
    assert_int_equal(state.archives, 1);
    assert_int_equal(state.manifests, 1);
    assert_int_equal(state.bytes, IMAGE_SIZE);
    text_free(&text);
}

static void test_round_trips(void **unused)
{
    (void)unused;
    check_round_trip(4, true, ARCHIVE_GZIP, 2);
    check_round_trip(4, true, ARCHIVE_NONE, 1);
    check_round_trip(3, true, ARCHIVE_ZSTD, 2);
    check_round_trip(3, true, ARCHIVE_GZIP, 1);
    check_round_trip(3, false, ARCHIVE_NONE, 2);
}

static void test_sink_refuses(void **unused)
{
    struct text text = TEXT_INIT;
    struct state state = {.refuse = -ENOSPC};
    struct archive_reader *reader = reader_for(&state, 2);
    struct error error = {.code = 0};

    (void)unused;
    make(3, true, ARCHIVE_GZIP, &text);
    archive_reader_write(reader, text.data, text.length, &error);
    assert_int_equal(archive_reader_complete(reader, &error), -ENOSPC);
    assert_string_equal(error.text, "vm2/private.img: the disk is full");
    assert_int_equal(archive_reader_write(reader, "x", 1, &error), -ENOSPC);
    assert_int_equal(state.archives, 0);
    archive_reader_free(reader);
    text_free(&text);
}

struct feed {
    struct archive_reader *reader;
    const struct text *text;
    int result;
};

static void *feed_thread(void *cookie)
{
    struct feed *feed = cookie;

    feed->result = archive_reader_write(feed->reader, feed->text->data, feed->text->length, NULL);
    if (feed->result == 0)
        feed->result = archive_reader_complete(feed->reader, NULL);
    return NULL;
}

/* Somebody cancels while one thread waits for the reader and that for the sink. */
static void test_cancel(void **unused)
{
    struct text text = TEXT_INIT;
    struct state state = {.block = true};
    struct feed feed = {reader_for(&state, 2), &text, 0};
    pthread_t thread;

    (void)unused;
    make(3, true, ARCHIVE_GZIP, &text);
    assert_int_equal(pthread_create(&thread, NULL, feed_thread, &feed), 0);
    while (!atomic_load(&state.reached))
        usleep(1000);
    archive_reader_cancel(feed.reader);
    pthread_join(thread, NULL);
    assert_int_equal(feed.result, -ECANCELED);
    atomic_store(&state.released, true);
    archive_reader_free(feed.reader);
    text_free(&text);
}

/* Freed at any moment. */
static void test_given_up(void **unused)
{
    struct text text = TEXT_INIT;

    (void)unused;
    make(4, true, ARCHIVE_GZIP, &text);
    for (size_t length = 0; length <= text.length; length += text.length / 7) {
        struct state state = {.headers = 0};
        struct archive_reader *reader = reader_for(&state, 2);

        assert_int_equal(archive_reader_write(reader, text.data, length, NULL), 0);
        archive_reader_free(reader);
    }
    text_free(&text);
}

static int keep(void *cookie, const void *data, size_t length, struct error *error)
{
    (void)error;
    text_append(cookie, data, length);
    return 0;
}

static int decode(struct decode_side *side, const struct text *packed, struct text *plain)
{
    struct decode_sink sink = {plain, keep};
    struct decoder *decoder;
    struct error error;
    int result;

    assert_int_equal(decoder_new(FILTER_GZIP, side, &sink, &decoder), 0);
    result = decoder_write(decoder, (const unsigned char *)packed->data, packed->length, &error);
    result = result < 0 ? result : decoder_is_whole(decoder);
    decoder_free(decoder);
    return result;
}

/* Each lie about a member's length, and each damage, comes to the same with and without threads. */
static void test_lying_lengths(void **unused)
{
    static const int lies[] = {0, 1, -1, 8, -20, 5000, -5000, 1 << 20, -(1 << 30)};
    struct text packed = TEXT_INIT;
    unsigned char *member = malloc(1 << 20);
    struct decode_side *side;
    size_t begins[3], made;
    void *context;

    (void)unused;
    assert_int_equal(codec_gzip.open(ARCHIVE_DEFAULT, &context), 0);
    for (size_t i = 0; i < 3; i++) {
        begins[i] = packed.length;
        codec_gzip.pack(context, image + (i << 17), 1 << 17, member, &made);
        text_append(&packed, member, made);
    }
    codec_gzip.close(context);
    assert_int_equal(decode_side_new(2, &side), 0);
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < ARRAY_SIZE(lies); j++)
            for (int damage = 0; damage < 3; damage++) {
                struct text one = TEXT_INIT, other = TEXT_INIT;
                unsigned char *at = (unsigned char *)packed.data + begins[i];
                unsigned char before[20];
                unsigned char *damaged = at + (damage == 1 ? 100 : 3);
                int result;

                memcpy(before, at, sizeof(before));
                for (unsigned k = 0; k < 4; k++)
                    at[16 + k] =
                        (unsigned char)((((unsigned)before[16] | (unsigned)before[17] << 8 |
                                          (unsigned)before[18] << 16) +
                                         (unsigned)lies[j]) >>
                                        (8 * k));
                if (damage)
                    *damaged ^= 0x40;
                result = decode(NULL, &packed, &one);
                assert_int_equal(decode(side, &packed, &other), result);
                assert_int_equal(result, damage ? -EBADMSG : 1);
                assert_int_equal(one.length, other.length);
                assert_true(one.length == 0 || !memcmp(one.data, other.data, one.length));
                if (damage)
                    *damaged ^= 0x40;
                memcpy(at, before, sizeof(before));
                text_free(&one);
                text_free(&other);
            }
    decode_side_free(side);
    free(member);
    text_free(&packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),   cmocka_unit_test(test_sink_refuses),
        cmocka_unit_test(test_cancel),        cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_lying_lengths),
    };

    return cmocka_run_group_tests(tests, make_secret, drop_secret);
}
