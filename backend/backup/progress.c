/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "progress.h"

#include <stdio.h>
#include <string.h>

#include "qubesfs/clock.h"

/* status.c tells no more often than it should; this is only not to compute in vain */
#define LOOK_NS 250000000ull

void progress_init(struct progress *progress, struct backup_plan *plan)
{
    memset(progress, 0, sizeof(*progress));
    progress->plan = plan;
    progress->now = clock_monotonic_ns;
    pthread_mutex_init(&progress->lock, NULL);
}

void progress_destroy(struct progress *progress)
{
    pthread_mutex_destroy(&progress->lock);
}

/* How much of the inner archives is in the first `out` bytes of the stream. */
static uint64_t done_at(const struct progress *progress, uint64_t out)
{
    const struct progress_mark *marks = progress->marks;
    size_t i = progress->mark_count;

    if (i == 0)
        return 0;
    while (i > 0 && marks[i - 1].out > out)
        i--;
    if (i == 0)
        return marks[0].done;
    if (i == progress->mark_count)
        return marks[i - 1].done;
    return marks[i - 1].done +
           (uint64_t)((double)(marks[i].done - marks[i - 1].done) *
                      (double)(out - marks[i - 1].out) / (double)(marks[i].out - marks[i - 1].out));
}

/* Called with the lock held. */
static void add_mark(struct progress *progress, uint64_t out, uint64_t done)
{
    struct progress_mark *marks = progress->marks;
    size_t count = progress->mark_count;

    /* the one before was where its piece was thought to end */
    while (count > 0 && marks[count - 1].out > out)
        count--;
    if (count == PROGRESS_MARKS) {
        memmove(marks, marks + 1, (PROGRESS_MARKS - 1) * sizeof(*marks));
        count--;
    }
    marks[count++] = (struct progress_mark){out, done};
    progress->mark_count = count;
}

static double seconds_for(uint64_t bytes, uint64_t of, uint64_t took_ns)
{
    return of > 0 ? (double)bytes / (double)of * (double)took_ns / 1e9 : 0;
}

/* Called when the reader has `done` bytes, more than when speed began to be measured. */
static double seconds_left(const struct progress *progress, uint64_t done, uint64_t now)
{
    const struct progress_ready *last = &progress->last, *from = &progress->first;
    uint64_t reading_ns = now - progress->begun_ns - progress->waited_ns;
    double reader, maker;

    if (last->ns <= from->ns)
        from = &progress->started;
    reader = seconds_for(progress->total - done, done - progress->begun_done, reading_ns);
    maker = last->made < progress->total ? seconds_for(progress->total - last->made,
                                                       last->made - from->made, last->ns - from->ns)
                                         : 0;
    maker -= (double)(now - last->ns) / 1e9;
    return maker > reader ? maker : reader;
}

static void fill(const struct progress *progress, uint64_t consumed, struct status *status)
{
    uint64_t now = progress->now(), took = now - progress->begun_ns;
    uint64_t done = done_at(progress, consumed);

    if (done > progress->total)
        done = progress->total;
    status->bytes_done = done;
    status->bytes_total = progress->total;
    status->eta_seconds = -1;
    if (took > 0 && done > progress->begun_done) {
        status->bytes_per_second =
            (uint64_t)((double)(done - progress->begun_done) * 1e9 / (double)took);
        status->eta_seconds = (int64_t)(seconds_left(progress, done, now) + 0.5);
    }
    snprintf(status->current, sizeof(status->current), "%s", progress->current);
}

void progress_begin(struct progress *progress, uint64_t total, uint64_t done, uint64_t out,
                    uint64_t offset)
{
    struct status status = {.state = STATUS_RUNNING, .begins = true};

    pthread_mutex_lock(&progress->lock);
    progress->total = total;
    progress->done_before = done;
    progress->in_item = 0;
    progress->mark_count = 0;
    progress->begun_ns = progress->looked_ns = progress->now();
    progress->again = offset > out;
    progress->sent_ns = progress->begun_ns;
    progress->waited_ns = 0;
    progress->started = (struct progress_ready){progress->begun_ns, done};
    progress->first = progress->last = progress->started;
    add_mark(progress, out, done);
    progress->begun_done = done;
    fill(progress, out, &status);
    pthread_mutex_unlock(&progress->lock);
    if (progress->plan)
        status_set(progress->plan, progress, &status);
}

void progress_item(struct progress *progress, const char *vm, const char *file)
{
    LOCK_SCOPE(&progress->lock);
    progress->done_before += progress->in_item;
    progress->in_item = 0;
    snprintf(progress->current, sizeof(progress->current), "%s%s%s", vm, *vm ? " " : "", file);
}

void progress_piece(struct progress *progress, uint64_t tar_bytes, uint64_t out, uint64_t length)
{
    LOCK_SCOPE(&progress->lock);
    add_mark(progress, out, progress->done_before + progress->in_item);
    progress->in_item = tar_bytes;
    add_mark(progress, out + length, progress->done_before + progress->in_item);
    progress->last = (struct progress_ready){progress->now(), progress->done_before + tar_bytes};
    if (progress->first.made == progress->started.made)
        progress->first = progress->last;
    progress->waited_ns += progress->last.ns - progress->sent_ns;
    progress->sent_ns = progress->last.ns;
}

void progress_look(struct progress *progress, uint64_t consumed)
{
    struct status status = {.state = STATUS_RUNNING};
    uint64_t now = progress->now();
    bool tell;

    pthread_mutex_lock(&progress->lock);
    if (progress->again) {
        /* what was made again took no reader's time */
        progress->again = false;
        progress->begun_ns = now;
        progress->begun_done = done_at(progress, consumed);
        progress->waited_ns = 0;
    }
    progress->sent_ns = now;
    tell = progress->plan && now - progress->looked_ns >= LOOK_NS;
    if (tell) {
        progress->looked_ns = now;
        fill(progress, consumed, &status);
    }
    pthread_mutex_unlock(&progress->lock);
    if (tell)
        status_set(progress->plan, progress, &status);
}

void progress_end(struct progress *progress, enum status_state state, const char *error)
{
    struct status status = {.state = state, .begins = progress->total == 0};

    if (!progress->plan)
        return;
    pthread_mutex_lock(&progress->lock);
    if (progress->total > 0) {
        fill(progress, UINT64_MAX, &status);
        if (state == STATUS_DONE)
            status.bytes_done = status.bytes_total;
    }
    status.current[0] = '\0';
    pthread_mutex_unlock(&progress->lock);
    snprintf(status.error, sizeof(status.error), "%s", error ? error : "");
    status_set(progress->plan, progress, &status);
}
