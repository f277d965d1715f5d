/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `status` tells of a backup's speed and end, with a clock of the test's own and a model of
 * pipeline and reader: chunks of 100 MiB become ready one after the other, two at most ahead of the
 * reader. */
#include "backup_helper.h"

#include "backup/progress.h"

#define MIB    ((uint64_t)1 << 20)
#define CHUNK  (100 * MIB)
#define STEP   (MIB / 2)
#define AHEAD  (8 * MIB)
#define SECOND 1000000000ull

static uint64_t clock_ns;

static uint64_t own_clock(void)
{
    return clock_ns;
}

struct model {
    unsigned files;
    uint64_t file_bytes;           /* before compression */
    unsigned out_percent;          /* what compression leaves */
    uint64_t make_rate, read_rate; /* bytes a second: before compression, of the stream */
    uint64_t begin_ns;             /* keys and the like */
    uint64_t offset_percent; /* of the stream, which a reader has already that goes on; in the first
                                file */
};

struct result {
    uint64_t guessed, took; /* ns, at a tenth of what is read */
    bool backwards;
};

static uint64_t time_for(uint64_t bytes, uint64_t rate)
{
    return (uint64_t)((double)bytes / (double)rate * 1e9);
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* One backup; when the plan's status tells for the first time that a tenth is done, it is noted
 * what it says. */
static struct result simulate(const struct model *model)
{
    struct result result = {0};
    struct progress progress;
    uint64_t total = model->files * model->file_bytes, all_out = total * model->out_percent / 100;
    uint64_t offset = all_out * model->offset_percent / 100, out = 0, read_ns, before = 0,
             noted_ns = 0;
    uint64_t made_ns, freed_ns[2] = {0, 0}, tenth;

    clock_ns = 5 * SECOND;
    progress_init(&progress, plan);
    progress.now = own_clock;
    progress_begin(&progress, total, 0, 0, offset);
    tenth = total * model->offset_percent / 100;
    tenth += (total - tenth) / 10;
    made_ns = read_ns = clock_ns + model->begin_ns;
    for (unsigned file = 0, number = 0; file < model->files; file++) {
        progress_item(&progress, "work", "private.img");
        for (uint64_t done = 0; done < model->file_bytes; number++) {
            uint64_t left = model->file_bytes - done;
            /* a chunk is full of what is compressed */
            uint64_t source = CHUNK * 100 / model->out_percent;
            uint64_t chunk;

            if (source > left)
                source = left;
            chunk = source * model->out_percent / 100;
            made_ns = later(made_ns, freed_ns[number % 2]) + time_for(source, model->make_rate);
            done += source;
            clock_ns = later(made_ns, clock_ns);
            progress_piece(&progress, done, out, chunk);
            for (uint64_t at = 0; at < chunk; at += STEP) {
                uint64_t end = out + (chunk - at < STEP ? chunk : at + STEP);

                if (end <= offset)
                    continue;
                /* the reader begins with what there is, and the ring is not longer than it is */
                read_ns = later(read_ns, clock_ns) + time_for(STEP, model->read_rate);
                if (read_ns > clock_ns + time_for(AHEAD, model->read_rate))
                    clock_ns = read_ns - time_for(AHEAD, model->read_rate);
                progress_look(&progress, end > AHEAD ? later(end - AHEAD, offset) : offset);
                result.backwards = result.backwards || plan->status.bytes_done < before;
                before = plan->status.bytes_done;
                if (noted_ns == 0 && before >= tenth) {
                    assert_true(plan->status.eta_seconds >= 0);
                    result.guessed = (uint64_t)plan->status.eta_seconds * SECOND;
                    noted_ns = clock_ns;
                }
            }
            freed_ns[number % 2] = clock_ns;
            out += chunk;
        }
    }
    result.took = later(read_ns, clock_ns) - noted_ns;
    progress_end(&progress, STATUS_DONE, NULL);
    assert_int_equal(plan->status.bytes_done, total);
    progress_destroy(&progress);
    return result;
}

static void test_eta(void **state)
{
    static const struct model models[] = {
        {1, 5000 * MIB, 100, 1000 * MIB, 30 * MIB, SECOND, 0},  /* a slow disk */
        {1, 5000 * MIB, 100, 100 * MIB, 1000 * MIB, SECOND, 0}, /* a slow machine */
        {1, 5000 * MIB, 50, 100 * MIB, 1000 * MIB, SECOND, 0},
        {5, 3000 * MIB, 50, 300 * MIB, 100 * MIB, SECOND, 0},
        {40, 400 * MIB, 30, 300 * MIB, 400 * MIB, SECOND, 0},
        {1000, 20 * MIB, 60, 300 * MIB, 60 * MIB, SECOND, 0}, /* many small ones */
        {1, 200000 * MIB, 50, 500 * MIB, 110 * MIB, SECOND, 0},
        {1, 10000 * MIB, 100, 1000 * MIB, 30 * MIB, SECOND, 50}, /* made again, and going on */
        {1, 10000 * MIB, 50, 200 * MIB, 500 * MIB, SECOND, 30},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
        struct result result = simulate(&models[i]);
        double ratio = (double)result.guessed / (double)result.took;

        printf("%zu: %.0f s to go, it took %.1f s\n", i, (double)result.guessed / 1e9,
               (double)result.took / 1e9);
        assert_false(result.backwards);
        assert_true(ratio > 0.8 && ratio < 1.2);
    }
}

/* Nobody knows an end before anything is there. */
static void test_begin(void **state)
{
    struct progress progress;
    (void)state;
    progress_init(&progress, plan);
    progress.now = own_clock;
    progress_begin(&progress, 1000 * MIB, 0, 0, 0);
    assert_int_equal(plan->status.state, STATUS_RUNNING);
    assert_int_equal(plan->status.bytes_total, 1000 * MIB);
    assert_int_equal(plan->status.eta_seconds, -1);
    progress_item(&progress, "work", "private.img");
    clock_ns += SECOND;
    progress_piece(&progress, 100 * MIB, 0, 100 * MIB);
    progress_look(&progress, 50 * MIB);
    assert_string_equal(plan->status.current, "work private.img");
    assert_int_equal(plan->status.bytes_done, 50 * MIB);
    assert_int_equal(plan->status.eta_seconds, 9);
    progress_end(&progress, STATUS_FAILED, "why");
    assert_string_equal(plan->status.error, "why");
    assert_string_equal(plan->status.current, "");
    progress_destroy(&progress);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_eta), TEST(test_begin)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
