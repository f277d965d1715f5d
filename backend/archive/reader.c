/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qubesfs/archive_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "container.h"
#include "qubesfs/cleanup.h"
#include "read_state.h"
#include "threads.h"

#define BIG_SIZE ((size_t)CHUNK_ROOM)

/*
 * Pieces.
 */

/* Called with the lock held.  NULL: there is none, or no memory (`*ret_result`). */
static unsigned char *take_big(struct archive_reader *reader, int *ret_result)
{
    *ret_result = 0;
    for (size_t i = 0; i < PIECES_BIG; i++) {
        if (reader->big_used[i])
            continue;
        if (!reader->big[i]) {
            void *pages =
                mmap(NULL, BIG_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

            if (pages == MAP_FAILED) {
                *ret_result = -ENOMEM;
                return NULL;
            }
            madvise(pages, BIG_SIZE, MADV_DONTDUMP);
            reader->big[i] = pages;
        }
        reader->big_used[i] = true;
        return reader->big[i];
    }
    return NULL;
}

static int fill_in(struct archive_reader *reader, struct piece *piece)
{
    int result = 0;

    LOCK_SCOPE(&reader->lock);
    for (;;) {
        if (atomic_load(&reader->stopped))
            return -ECANCELED; /* the caller knows why */
        if (reader->pieces < PIECES_MAX) {
            if (!piece->big)
                piece->data = malloc(piece->length + 1);
            else
                piece->data = take_big(reader, &result);
            if (piece->data) {
                reader->pieces++;
                return 0;
            }
            if (!piece->big || result < 0)
                return -ENOMEM;
        }
        pthread_cond_wait(&reader->changed, &reader->lock);
    }
}

static int piece_new(struct archive_reader *reader, enum piece_kind kind, const char *name,
                     size_t length, struct piece **ret_piece)
{
    struct piece *piece = calloc(1, sizeof(*piece));
    int result;

    if (!piece)
        return -ENOMEM;
    piece->kind = kind;
    piece->length = piece->payload = length;
    piece->big = length > PIECE_SMALL_MAX;
    piece->name = strdup(name);
    result = piece->name ? fill_in(reader, piece) : -ENOMEM;
    if (result < 0) {
        free(piece->name);
        free(piece);
        return result;
    }
    *ret_piece = piece;
    return 0;
}

int piece_rename(struct piece *piece, const char *name, size_t length)
{
    char *copy = strndup(name, length);

    if (!copy)
        return -ENOMEM;
    free(piece->name);
    piece->name = copy;
    return 0;
}

void reader_drop(struct archive_reader *reader, struct piece *piece)
{
    if (!piece)
        return;
    pthread_mutex_lock(&reader->lock);
    for (size_t i = 0; i < PIECES_BIG && piece->big; i++)
        if (reader->big[i] == piece->data)
            reader->big_used[i] = false;
    reader->pieces--;
    pthread_cond_broadcast(&reader->changed);
    pthread_mutex_unlock(&reader->lock);
    if (!piece->big)
        free(piece->data);
    free(piece->name);
    free(piece);
}

struct piece *reader_take(struct archive_reader *reader, struct lane *lane)
{
    struct piece *piece;

    LOCK_SCOPE(&reader->lock);
    while (!lane->first && !atomic_load(&reader->stopped))
        pthread_cond_wait(&reader->changed, &reader->lock);
    if (atomic_load(&reader->stopped))
        return NULL;
    piece = lane->first;
    lane->first = piece->next;
    piece->next = NULL;
    return piece;
}

void reader_put(struct archive_reader *reader, struct lane *lane, struct piece *piece)
{
    LOCK_SCOPE(&reader->lock);
    if (lane->first)
        lane->last->next = piece;
    else
        lane->first = piece;
    lane->last = piece;
    pthread_cond_broadcast(&reader->changed);
}

void reader_fail(struct archive_reader *reader, int code, const struct error *error)
{
    LOCK_SCOPE(&reader->lock);
    if (reader->failed.code == 0 && !atomic_load(&reader->stopped)) {
        if (error && error->text[0])
            reader->failed = *error;
        else
            error_set(&reader->failed, code, "the backup can't be read: %s", strerror(-code));
        reader->failed.code = code;
    }
    atomic_store(&reader->stopped, true);
    pthread_cond_broadcast(&reader->changed);
}

/* The first error for the caller. */
static int failure(struct archive_reader *reader, struct error *ret_error)
{
    LOCK_SCOPE(&reader->lock);
    if (ret_error)
        *ret_error = reader->failed;
    return reader->failed.code;
}

/*
 * Members, as the outer archive brings them.
 */

static int begin_member(void *cookie, const char *untrusted_name, uint64_t untrusted_size,
                        unsigned char **ret_data, struct error *ret_error)
{
    struct archive_reader *reader = cookie;
    int result;

    if (untrusted_size > reader->chunk_size + CONTAINER_OVERHEAD)
        return error_set(ret_error, -EBADMSG, "%s is bigger than a part of a backup may be",
                         untrusted_name);
    result =
        piece_new(reader, PIECE_MEMBER, untrusted_name, (size_t)untrusted_size, &reader->arriving);
    if (result == 0)
        *ret_data = reader->arriving->data;
    return result;
}

/* Until the header is known each member is checked before more is taken. */
static int end_member(void *cookie, struct error *ret_error)
{
    struct archive_reader *reader = cookie;

    (void)ret_error;
    pthread_mutex_lock(&reader->lock);
    reader->checking++;
    pthread_mutex_unlock(&reader->lock);
    reader_put(reader, &reader->to_check, MOVE_POINTER(reader->arriving));
    LOCK_SCOPE(&reader->lock);
    while (!reader->opened && reader->checking > 0 && !atomic_load(&reader->stopped))
        pthread_cond_wait(&reader->changed, &reader->lock);
    return atomic_load(&reader->stopped) ? -ECANCELED : 0;
}

/*
 * What others call.
 */

static int start(struct archive_reader *reader)
{
    int result = thread_start(&reader->check_thread, "restore-check", read_check_thread, reader);

    if (result < 0)
        return result;
    reader->thread_count = 1;
    result = thread_start(&reader->unpack_thread, "restore-unpack", read_unpack_thread, reader);
    if (result == 0)
        reader->thread_count = 2;
    return result;
}

int archive_reader_new(const struct archive_reader_options *options,
                       const struct archive_reader_sink *sink, struct archive_reader **ret_reader,
                       struct error *ret_error)
{
    struct archive_reader *reader = calloc(1, sizeof(*reader));
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct outer_events events = {reader, begin_member, end_member};
    int result;

    if (!reader)
        return error_set(ret_error, -ENOMEM, "can't read a backup: out of memory");
    reader->sink = *sink;
    reader->passphrase = secret_ref(options->passphrase);
    reader->kdf_memory_max =
        options->kdf_memory_max > 0 ? options->kdf_memory_max : ARCHIVE_KDF_MEMORY_DEFAULT;
    reader->chunk_size = options->chunk_size > 0 && options->chunk_size < CHUNK_SIZE
                             ? options->chunk_size
                             : CHUNK_SIZE;
    reader->threads = options->threads > 0 ? options->threads : cores > 1 ? (unsigned)cores : 1;
    atomic_init(&reader->stopped, false);
    pthread_mutex_init(&reader->lock, NULL);
    pthread_cond_init(&reader->changed, NULL);
    result = archive_manifest_new(&reader->manifest);
    if (result == 0)
        result = outer_reader_new(&events, &reader->outer);
    if (result == 0)
        result = start(reader);
    if (result < 0) {
        archive_reader_free(reader);
        return error_set(ret_error, result, "can't read a backup: %s", strerror(-result));
    }
    *ret_reader = reader;
    return 0;
}

int archive_reader_write(struct archive_reader *reader, const void *untrusted_data, size_t length,
                         struct error *ret_error)
{
    struct error error = {.code = 0};
    int result;

    if (!atomic_load(&reader->stopped)) {
        result = outer_reader_write(reader->outer, untrusted_data, length, &error);
        if (result < 0)
            reader_fail(reader, result, &error);
    }
    return failure(reader, ret_error);
}

int archive_reader_complete(struct archive_reader *reader, struct error *ret_error)
{
    struct piece *piece;
    int result = failure(reader, ret_error);

    if (result < 0)
        return result;
    result = piece_new(reader, PIECE_FLUSH, "", 0, &piece);
    if (result == -ENOMEM)
        return error_set(ret_error, result, "the backup can't be read: out of memory");
    if (result == 0) {
        piece->incomplete = !outer_reader_is_between(reader->outer);
        pthread_mutex_lock(&reader->lock);
        reader->flushing = true;
        reader->checking++;
        pthread_mutex_unlock(&reader->lock);
        reader_put(reader, &reader->to_check, piece);
        LOCK_SCOPE(&reader->lock);
        while (reader->flushing && !atomic_load(&reader->stopped))
            pthread_cond_wait(&reader->changed, &reader->lock);
        if (!reader->flushing) {
            if (ret_error)
                *ret_error = reader->flushed;
            return reader->flushed.code;
        }
    }
    return failure(reader, ret_error);
}

void archive_reader_cancel(struct archive_reader *reader)
{
    struct error error;

    error_set(&error, -ECANCELED, "reading the backup was cancelled");
    reader_fail(reader, -ECANCELED, &error);
}

static void drop_lane(struct archive_reader *reader, struct lane *lane)
{
    for (struct piece *piece = lane->first, *next; piece; piece = next) {
        next = piece->next;
        reader_drop(reader, piece);
    }
}

void archive_reader_free(struct archive_reader *reader)
{
    if (!reader)
        return;
    archive_reader_cancel(reader);
    if (reader->thread_count > 0)
        pthread_join(reader->check_thread, NULL);
    if (reader->thread_count > 1)
        pthread_join(reader->unpack_thread, NULL);
    drop_lane(reader, &reader->to_check);
    drop_lane(reader, &reader->to_unpack);
    reader_drop(reader, reader->arriving);
    for (size_t i = 0; i < PIECES_BIG; i++)
        if (reader->big[i])
            munmap(reader->big[i], BIG_SIZE);
    outer_reader_free(reader->outer);
    archive_manifest_free(reader->manifest);
    secret_unref(reader->passphrase);
    pthread_mutex_destroy(&reader->lock);
    pthread_cond_destroy(&reader->changed);
    free(reader);
}
