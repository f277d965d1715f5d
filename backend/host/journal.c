/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "qubesfs/clock.h"

#define JOURNAL_MAX  (1024 * 1024)
#define JOURNAL_KEPT 1000 /* lines that a cut leaves */

/* Called with the lock held. */
static void cut(struct journal *journal)
{
    size_t place = journal->length;

    for (unsigned lines = 0; place > 0; place--)
        if (journal->data[place - 1] == '\n' && ++lines > JOURNAL_KEPT)
            break;
    journal->length -= place;
    memmove(journal->data, journal->data + place, journal->length);
}

/* Called with the lock held; false: out of memory. */
static bool reserve(struct journal *journal, size_t more)
{
    size_t capacity = journal->capacity ? journal->capacity : 4096;
    char *grown;

    while (capacity < journal->length + more)
        capacity *= 2;
    if (capacity == journal->capacity)
        return true;
    grown = realloc(journal->data, capacity);
    if (!grown)
        return false;
    journal->data = grown;
    journal->capacity = capacity;
    return true;
}

void host_journal_add(struct host *host, const char *format, ...)
{
    struct journal *journal = &host->journal;
    struct text line CLEANUP_TEXT = TEXT_INIT;
    char raw[4096], time[32];
    struct timespec now = clock_wall_unique();
    struct host_listener listener;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(raw, sizeof(raw), format, arguments);
    va_end(arguments);
    clock_format(now, time);
    text_printf(&line, "%s ", time);
    text_escape(&line, raw, strlen(raw));
    text_string(&line, "\n");
    if (text_status(&line))
        return;
    pthread_mutex_lock(&journal->lock);
    if (journal->length + line.length > JOURNAL_MAX)
        cut(journal);
    if (reserve(journal, line.length)) {
        memcpy(journal->data + journal->length, line.data, line.length);
        journal->length += line.length;
        journal->changed = now;
    }
    pthread_mutex_unlock(&journal->lock);

    pthread_mutex_lock(&host->lock);
    listener = host->listener;
    pthread_mutex_unlock(&host->lock);
    if (listener.journal_grew)
        listener.journal_grew(listener.cookie);
}

size_t host_journal_read(struct host *host, uint64_t offset, char *ret_data, size_t size)
{
    struct journal *journal = &host->journal;

    LOCK_SCOPE(&journal->lock);
    if (offset >= journal->length)
        return 0;
    if (size > journal->length - offset)
        size = journal->length - offset;
    memcpy(ret_data, journal->data + offset, size);
    return size;
}

void host_journal_stat(struct host *host, uint64_t *ret_size, struct timespec *ret_changed)
{
    struct journal *journal = &host->journal;

    LOCK_SCOPE(&journal->lock);
    *ret_size = journal->length;
    *ret_changed = journal->changed;
}
