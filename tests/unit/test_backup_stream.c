/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring between the thread that makes a backup and those that read it.  Run it under SAN=tsan,
 * too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/stream.h"
#include "qubesfs/cleanup.h"
#include "qubesfs/clock.h"

#define MIB (1u << 20)

/* A stream whose byte at each offset is known. */
struct fake {
    uint64_t length;
    uint64_t goes_on_at, skipped;
    int begin_result, run_result; /* run_result: after `length` bytes */
    size_t piece;
    atomic_int begun, freed;
    atomic_int ended_result; /* 1: not yet */
    atomic_ullong made;
};

static unsigned char byte_at(uint64_t offset)
{
    return (unsigned char)(offset ^ (offset >> 8) ^ (offset >> 16) * 31);
}

static int fake_begin(void *cookie, uint64_t offset, struct error *error)
{
    struct fake *fake = cookie;

    atomic_fetch_add(&fake->begun, 1);
    if (offset > 0 && offset != fake->goes_on_at)
        return error_set(error, -ESPIPE, "not there");
    fake->skipped = offset;
    return fake->begin_result ? error_set(error, fake->begin_result, "no") : 0;
}

static int fake_run(void *cookie, const struct archive_output *output, struct error *error)
{
    struct fake *fake = cookie;
    unsigned char *data CLEANUP_FREE = malloc(fake->piece);
    uint64_t at = fake->skipped;

    while (at < fake->length) {
        size_t piece = fake->length - at < fake->piece ? (size_t)(fake->length - at) : fake->piece;
        int result;

        for (size_t i = 0; i < piece; i++)
            data[i] = byte_at(at + i);
        result = output->write(output->cookie, data, piece);
        if (result < 0)
            return error_set(error, result, "write");
        at += piece;
        atomic_store(&fake->made, at);
    }
    return fake->run_result ? error_set(error, fake->run_result, "broken") : 0;
}

static void fake_ended(void *cookie, int result, uint64_t bytes, const struct error *error)
{
    struct fake *fake = cookie;

    (void)error;
    if (result == 0)
        assert_int_equal(bytes, fake->length);
    atomic_store(&fake->ended_result, result);
}

static void fake_free(void *cookie)
{
    atomic_fetch_add(&((struct fake *)cookie)->freed, 1);
}

static const struct stream_work fake_work = {fake_begin, fake_run, fake_ended, fake_free};

static struct fake fake_new(uint64_t length)
{
    return (struct fake){.length = length, .piece = 100000, .ended_result = 1};
}

static void wait_freed(struct fake *fake)
{
    while (!atomic_load(&fake->freed))
        usleep(1000);
}

/* A read that can be waited for. */
struct answer {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned calls;
    ssize_t result;
    unsigned char *data;
};

static void answer_init(struct answer *answer)
{
    memset(answer, 0, sizeof(*answer));
    pthread_mutex_init(&answer->lock, NULL);
    pthread_cond_init(&answer->changed, NULL);
}

static void done(void *cookie, ssize_t result, const void *data)
{
    struct answer *answer = cookie;

    if (result > 0) {
        answer->data = malloc((size_t)result);
        memcpy(answer->data, data, (size_t)result);
    }
    pthread_mutex_lock(&answer->lock);
    answer->result = result;
    answer->calls++;
    pthread_cond_signal(&answer->changed);
    pthread_mutex_unlock(&answer->lock);
}

/* Waits, checks the bytes and forgets them. */
static ssize_t wait_answer(struct answer *answer, uint64_t offset)
{
    pthread_mutex_lock(&answer->lock);
    while (answer->calls == 0)
        pthread_cond_wait(&answer->changed, &answer->lock);
    pthread_mutex_unlock(&answer->lock);
    for (ssize_t i = 0; i < answer->result; i++)
        if (answer->data[i] != byte_at(offset + (uint64_t)i))
            fail_msg("wrong byte at %llu", (unsigned long long)offset + (unsigned long long)i);
    free(answer->data);
    answer->data = NULL;
    return answer->result;
}

static bool is_answered(struct answer *answer)
{
    LOCK_SCOPE(&answer->lock);
    return answer->calls > 0;
}

static ssize_t read_at(struct backup_stream *stream, uint64_t offset, size_t size)
{
    struct answer answer;

    answer_init(&answer);
    backup_stream_read(stream, (off_t)offset, size, done, &answer);
    return wait_answer(&answer, offset);
}

static void test_forward(void **state)
{
    static const size_t sizes[] = {MIB, 128 * 1024, 10240, 4 * MIB, 300001};

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        struct fake fake = fake_new(40 * MIB + 12345);
        struct backup_stream *stream;
        uint64_t at = 0;
        ssize_t got;

        assert_int_equal(stream_new(&fake_work, &fake, &stream), 0);
        while ((got = read_at(stream, at, sizes[i])) > 0) {
            /* short only at the end, or at the limit */
            if (at + sizes[i] <= fake.length)
                assert_int_equal(got, sizes[i] < STREAM_READ_MAX ? sizes[i] : STREAM_READ_MAX);
            at += (uint64_t)got;
        }
        assert_int_equal(got, 0);
        assert_int_equal(at, fake.length);
        assert_int_equal(atomic_load(&fake.ended_result), 0); /* told before the 0 is */
        assert_int_equal(read_at(stream, at + 100 * MIB, 4096), 0);
        assert_int_equal(read_at(stream, at - 1, 4096), 1);
        assert_int_equal(read_at(stream, at - 4 * MIB, MIB), MIB); /* the window */
        assert_int_equal(read_at(stream, 0, MIB), -ESPIPE);
        backup_stream_free(stream);
        wait_freed(&fake);
        assert_int_equal(atomic_load(&fake.begun), 1);
    }
}

static void test_window(void **state)
{
    struct fake fake = fake_new(100 * MIB);
    struct backup_stream *stream;

    (void)state;
    assert_int_equal(stream_new(&fake_work, &fake, &stream), 0);
    for (uint64_t at = 0; at < 30 * MIB; at += MIB)
        assert_int_equal(read_at(stream, at, MIB), MIB);
    assert_int_equal(read_at(stream, 29 * MIB, MIB), MIB);
    assert_int_equal(read_at(stream, 23 * MIB, 1), 1);
    assert_int_equal(read_at(stream, 1 * MIB, MIB), -ESPIPE);
    assert_int_equal(read_at(stream, 60 * MIB, MIB), -ESPIPE);
    assert_int_equal(read_at(stream, 30 * MIB, MIB), MIB); /* none of it did harm */
    backup_stream_free(stream);
    wait_freed(&fake);
    assert_int_equal(atomic_load(&fake.ended_result), -ECANCELED);
}

static void test_back_pressure(void **state)
{
    struct fake fake = fake_new(200 * MIB);
    struct backup_stream *stream;

    (void)state;
    assert_int_equal(stream_new(&fake_work, &fake, &stream), 0);
    assert_int_equal(read_at(stream, 0, 1), 1);
    usleep(100000);
    assert_true(atomic_load(&fake.made) <= STREAM_AHEAD + fake.piece);
    backup_stream_free(stream);
    wait_freed(&fake);
}

static void test_refused(void **state)
{
    struct fake fake = fake_new(MIB);
    struct backup_stream *stream;

    (void)state;
    fake.begin_result = -ENOKEY;
    assert_int_equal(stream_new(&fake_work, &fake, &stream), 0);
    assert_int_equal(read_at(stream, 0, 4096), -ENOKEY);
    assert_int_equal(atomic_load(&fake.ended_result), -ENOKEY);
    assert_int_equal(read_at(stream, 0, 4096), -ENOKEY);
    fake.begin_result = 0;
    assert_int_equal(read_at(stream, 0, 4096), 4096);
    assert_int_equal(atomic_load(&fake.begun), 3);
    backup_stream_free(stream);
    wait_freed(&fake);
}

static void test_first_not_at_zero(void **state)
{
    struct fake fake = fake_new(10 * MIB);
    struct backup_stream *stream;
    struct answer early;

    (void)state;
    assert_int_equal(stream_new(&fake_work, &fake, &stream), 0);
    assert_int_equal(read_at(stream, 512, 512), -ESPIPE);
    assert_int_equal(read_at(stream, 50 * MIB, 512), -ESPIPE);
    assert_int_equal(atomic_load(&fake.begun), 2);
    /* read-ahead that overtakes the first read is no such thing */
    answer_init(&early);
    backup_stream_read(stream, 131072, 131072, done, &early);
    assert_int_equal(read_at(stream, 0, 131072), 131072);
    assert_int_equal(wait_answer(&early, 131072), 131072);
    backup_stream_free(stream);
    wait_freed(&fake);
}

/* One that goes on: nothing in front of it can be read, and read-ahead is put in order here, too.
 */
static void test_goes_on(void **state)
{
    struct fake fake = fake_new(10 * MIB);
    struct backup_stream *stream;
    struct answer early;

    (void)state;
    fake.goes_on_at = 12345;
    assert_int_equal(stream_new(&fake_work, &fake, &stream), 0);
    answer_init(&early);
    backup_stream_read(stream, 12345 + 131072, 131072, done, &early);
    assert_int_equal(read_at(stream, 12345, 131072), 131072);
    assert_int_equal(wait_answer(&early, 12345 + 131072), 131072);
    assert_int_equal(read_at(stream, 12344, 1), -ESPIPE);
    assert_int_equal(read_at(stream, 0, 1), -ESPIPE);
    for (uint64_t at = 12345; at < fake.length;) {
        ssize_t got = read_at(stream, at, MIB);

        assert_true(got > 0);
        at += (uint64_t)got;
    }
    assert_int_equal(read_at(stream, fake.length, MIB), 0);
    assert_int_equal(atomic_load(&fake.ended_result), 0);
    backup_stream_free(stream);
    wait_freed(&fake);
}

static void test_fails_in_the_middle(void **state)
{
    struct fake fake = fake_new(3 * MIB + 5);
    struct backup_stream *stream;

    (void)state;
    fake.run_result = -EBUSY;
    assert_int_equal(stream_new(&fake_work, &fake, &stream), 0);
    for (uint64_t at = 0; at < 3 * MIB; at += MIB)
        assert_int_equal(read_at(stream, at, MIB), MIB);
    /* never short: the five bytes that were made are no end */
    assert_int_equal(read_at(stream, 3 * MIB, MIB), -EBUSY);
    assert_int_equal(read_at(stream, 3 * MIB, MIB), -EBUSY);
    assert_int_equal(read_at(stream, 9 * MIB, MIB), -EBUSY);
    assert_int_equal(atomic_load(&fake.ended_result), -EBUSY);
    backup_stream_free(stream);
    wait_freed(&fake);
}

/* A stream that stops until it is told to go on. */
static atomic_bool gate;

static int gated_run(void *cookie, const struct archive_output *output, struct error *error)
{
    while (!atomic_load(&gate) && !output->cancelled(output->cookie))
        usleep(1000);
    return fake_run(cookie, output, error);
}

static const struct stream_work gated_work = {fake_begin, gated_run, fake_ended, fake_free};

static void test_interrupt(void **state)
{
    struct fake fake = fake_new(4 * MIB);
    struct backup_stream *stream;
    struct answer answer, again;

    (void)state;
    atomic_store(&gate, false);
    assert_int_equal(stream_new(&gated_work, &fake, &stream), 0);
    answer_init(&answer);
    backup_stream_read(stream, 0, MIB, done, &answer);
    usleep(20000);
    assert_false(is_answered(&answer));
    backup_stream_interrupt(stream, &again); /* not there: nothing */
    backup_stream_interrupt(stream, &answer);
    assert_int_equal(wait_answer(&answer, 0), -EINTR);
    backup_stream_interrupt(stream, &answer);
    assert_int_equal(answer.calls, 1);
    /* the same offset gives the same bytes */
    answer_init(&again);
    backup_stream_read(stream, 0, MIB, done, &again);
    atomic_store(&gate, true);
    assert_int_equal(wait_answer(&again, 0), MIB);
    backup_stream_free(stream);
    wait_freed(&fake);
}

static void test_free_answers(void **state)
{
    struct fake fake = fake_new(4 * MIB);
    struct backup_stream *stream;
    struct answer answers[3];
    uint64_t before;

    (void)state;
    atomic_store(&gate, false);
    assert_int_equal(stream_new(&gated_work, &fake, &stream), 0);
    for (int i = 0; i < 3; i++) {
        answer_init(&answers[i]);
        backup_stream_read(stream, i * (off_t)MIB, MIB, done, &answers[i]);
    }
    before = clock_monotonic_ns();
    backup_stream_free(stream);
    assert_true(clock_monotonic_ns() - before < 500000000);
    for (int i = 0; i < 3; i++) {
        assert_true(is_answered(&answers[i]));
        assert_int_equal(wait_answer(&answers[i], 0), -ECANCELED);
    }
    wait_freed(&fake);
    /* one that was never read */
    fake = fake_new(1);
    assert_int_equal(stream_new(&fake_work, &fake, &stream), 0);
    backup_stream_free(stream);
    assert_int_equal(atomic_load(&fake.freed), 1);
    assert_int_equal(atomic_load(&fake.begun), 0);
    backup_stream_free(NULL);
}

/* Cancelled while the last byte is read: what the last read says and how it is said to have ended
 * agree. */
static void *shut_stream(void *cookie)
{
    stream_shut(cookie);
    return NULL;
}

static void test_cancel_at_the_end(void **state)
{
    unsigned whole = 0;

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        struct fake fake = fake_new(20000 + i);
        struct backup_stream *stream;
        pthread_t canceller;
        ssize_t last;

        assert_int_equal(stream_new(&fake_work, &fake, &stream), 0);
        if (i % 4 == 1) /* a moment before the last byte is asked for */
            assert_int_equal(read_at(stream, 0, 20000), 20000);
        else
            assert_int_equal(read_at(stream, 0, MIB), fake.length);
        if (i % 4 == 2) /* read, and most often noticed */
            usleep(1000);
        if (i % 4 == 3) /* at the end, and told */
            assert_int_equal(read_at(stream, fake.length, MIB), 0);
        assert_int_equal(pthread_create(&canceller, NULL, shut_stream, stream), 0);
        if (i % 4 == 1)
            read_at(stream, 20000, MIB);
        last = read_at(stream, fake.length, MIB);
        pthread_join(canceller, NULL);
        assert_true(last == 0 || last == -ECANCELED);
        assert_int_equal(read_at(stream, fake.length, MIB), last);
        backup_stream_free(stream);
        wait_freed(&fake);
        assert_int_equal(atomic_load(&fake.ended_result), last);
        whole += last == 0;
    }
    assert_true(whole > 0);
}

/* Who leaves after the last byte, without asking for more, has it all. */
static void test_leaves_at_the_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        struct fake fake = fake_new(200000);
        struct backup_stream *stream;

        assert_int_equal(stream_new(&fake_work, &fake, &stream), 0);
        assert_int_equal(read_at(stream, 0, 200000), 200000);
        backup_stream_free(stream);
        wait_freed(&fake);
        assert_int_equal(atomic_load(&fake.ended_result), 0);
    }
}

/* Several threads read pieces of 128 KiB in whatever order they come to it, as read-ahead does. */
struct crowd {
    struct backup_stream *stream;
    uint64_t length;
    atomic_ullong next;
};

static void *crowd_reader(void *cookie)
{
    struct crowd *crowd = cookie;

    for (;;) {
        uint64_t at = atomic_fetch_add(&crowd->next, 131072);
        uint64_t left = at < crowd->length ? crowd->length - at : 0;

        assert_int_equal(read_at(crowd->stream, at, 131072), left < 131072 ? left : 131072);
        if (left == 0)
            return NULL;
    }
}

static void test_crowd(void **state)
{
    struct fake fake = fake_new(60 * MIB + 7);
    struct crowd crowd = {.length = fake.length};
    pthread_t threads[6];

    (void)state;
    assert_int_equal(stream_new(&fake_work, &fake, &crowd.stream), 0);
    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_reader, &crowd), 0);
    for (int i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    backup_stream_free(crowd.stream);
    wait_freed(&fake);
}

/* The kernel's read-ahead takes the first short answer for the end: it must be the one at the end.
 */
static void test_end_in_order(void **state)
{
    struct fake fake = fake_new(MIB + 5);
    struct backup_stream *stream;
    struct answer beyond[3], tail;

    (void)state;
    assert_int_equal(stream_new(&fake_work, &fake, &stream), 0);
    assert_int_equal(read_at(stream, 0, 131072), 131072);
    for (int i = 2; i >= 0; i--) {
        answer_init(&beyond[i]);
        backup_stream_read(stream, MIB + (i + 1) * 131072, 131072, done, &beyond[i]);
    }
    usleep(50000);
    for (int i = 0; i < 3; i++)
        assert_false(is_answered(&beyond[i]));
    for (uint64_t at = 131072; at < MIB; at += 131072)
        assert_int_equal(read_at(stream, at, 131072), 131072);
    answer_init(&tail);
    backup_stream_read(stream, MIB, 131072, done, &tail);
    assert_int_equal(wait_answer(&tail, MIB), 5);
    for (int i = 0; i < 3; i++)
        assert_int_equal(wait_answer(&beyond[i], 0), 0);
    backup_stream_free(stream);
    wait_freed(&fake);

    /* one that goes there at once is told, after a moment */
    fake = fake_new(MIB + 5);
    assert_int_equal(stream_new(&fake_work, &fake, &stream), 0);
    assert_int_equal(read_at(stream, 0, 131072), 131072);
    assert_int_equal(read_at(stream, 3 * MIB, 131072), 0);
    backup_stream_free(stream);
    wait_freed(&fake);
    assert_int_equal(atomic_load(&fake.ended_result), -ECANCELED);
}

static void *freer(void *cookie)
{
    usleep((useconds_t)(random() % 3000));
    backup_stream_free(cookie);
    return NULL;
}

/* Reads, interrupts and the end, all at once: each read is answered once, nothing is touched after.
 */
static void test_races(void **state)
{
    (void)state;
    for (int round = 0; round < 150; round++) {
        struct fake fake = fake_new(20 * MIB);
        struct backup_stream *stream;
        struct answer answers[24];
        pthread_t thread;

        assert_int_equal(stream_new(&fake_work, &fake, &stream), 0);
        for (int i = 0; i < 24; i++) {
            answer_init(&answers[i]);
            backup_stream_read(stream, i * (off_t)131072, 131072, done, &answers[i]);
        }
        assert_int_equal(pthread_create(&thread, NULL, freer, stream), 0);
        for (int i = 0; i < 24; i++) {
            ssize_t result = wait_answer(&answers[i], (uint64_t)i * 131072);

            assert_true(result == 131072 || result == -ECANCELED);
        }
        pthread_join(thread, NULL);
        wait_freed(&fake);
        for (int i = 0; i < 24; i++)
            assert_int_equal(answers[i].calls, 1);
    }
    for (int round = 0; round < 150; round++) {
        struct fake fake = fake_new(20 * MIB);
        struct backup_stream *stream;
        struct answer answers[24];

        assert_int_equal(stream_new(&fake_work, &fake, &stream), 0);
        for (int i = 0; i < 24; i++) {
            answer_init(&answers[i]);
            backup_stream_read(stream, i * (off_t)131072, 131072, done, &answers[i]);
        }
        for (int i = 23; i >= 0; i -= 2)
            backup_stream_interrupt(stream, &answers[i]);
        for (int i = 0; i < 24; i++) {
            ssize_t result = wait_answer(&answers[i], (uint64_t)i * 131072);

            assert_true(result == 131072 || (i % 2 && result == -EINTR));
        }
        backup_stream_free(stream);
        wait_freed(&fake);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_first_not_at_zero),
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_fails_in_the_middle),
        cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_free_answers),
        cmocka_unit_test(test_cancel_at_the_end),
        cmocka_unit_test(test_leaves_at_the_end),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_end_in_order),
        cmocka_unit_test(test_races),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
