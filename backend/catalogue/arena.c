/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CHUNK_BYTES (64u << 10)
#define ALIGNMENT   16u

struct arena_chunk {
    struct arena_chunk *next;
    size_t used, size;
    _Alignas(ALIGNMENT) char data[];
};

void *arena_alloc(struct arena *arena, size_t size)
{
    struct arena_chunk *chunk = arena->chunks;
    size_t rounded = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

    if (rounded < size) {
        arena->failed = true;
        return NULL;
    }
    if (!chunk || chunk->size - chunk->used < rounded) {
        size_t room = rounded > CHUNK_BYTES ? rounded : CHUNK_BYTES;

        chunk = calloc(1, sizeof(*chunk) + room);
        if (!chunk) {
            arena->failed = true;
            return NULL;
        }
        chunk->size = room;
        chunk->next = arena->chunks;
        arena->chunks = chunk;
    }
    chunk->used += rounded;
    return chunk->data + chunk->used - rounded;
}

const char *arena_copy(struct arena *arena, const char *data, size_t length)
{
    char *copy = arena_alloc(arena, length + 1);

    if (!copy)
        return "";
    memcpy(copy, data, length);
    return copy;
}

const char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list arguments;
    char *made = NULL;
    int length;

    va_start(arguments, format);
    length = vasprintf(&made, format, arguments);
    va_end(arguments);
    if (length < 0) {
        arena->failed = true;
        return "";
    }
    const char *copy = arena_copy(arena, made, (size_t)length);

    free(made);
    return copy;
}

int arena_status(const struct arena *arena)
{
    return arena->failed ? -ENOMEM : 0;
}

void arena_free(struct arena *arena)
{
    while (arena->chunks) {
        struct arena_chunk *chunk = arena->chunks;

        arena->chunks = chunk->next;
        free(chunk);
    }
    arena->failed = false;
}

void pairs_add(struct pairs *pairs, struct arena *arena, const char *name, const char *value)
{
    if (pairs->count == pairs->capacity) {
        size_t capacity = pairs->capacity ? 2 * pairs->capacity : 16;
        struct name_value *grown = arena_alloc(arena, capacity * sizeof(*grown));

        if (!grown)
            return;
        if (pairs->count > 0)
            memcpy(grown, pairs->items, pairs->count * sizeof(*grown));
        pairs->items = grown;
        pairs->capacity = capacity;
    }
    pairs->items[pairs->count++] = (struct name_value){name, value};
}

/* Merges two sorted neighbours; equals keep their order. */
static void merge(const struct name_value *left, size_t left_count, const struct name_value *right,
                  size_t right_count, struct name_value *target)
{
    while (left_count > 0 && right_count > 0) {
        if (strcmp(left->name, right->name) <= 0) {
            *target++ = *left++;
            left_count--;
        } else {
            *target++ = *right++;
            right_count--;
        }
    }
    if (left_count > 0)
        memcpy(target, left, left_count * sizeof(*left));
    if (right_count > 0)
        memcpy(target, right, right_count * sizeof(*right));
}

/* A merge sort from the bottom: qsort does not keep the order of equals, and a hostile document may
 * hold a million pairs, so that nothing quadratic will do. */
static void sort(struct name_value *items, struct name_value *spare, size_t count)
{
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t at = 0; at < count; at += 2 * width) {
            size_t left = count - at < width ? count - at : width;
            size_t right = count - at - left < width ? count - at - left : width;

            merge(items + at, left, items + at + left, right, spare + at);
        }
        memcpy(items, spare, count * sizeof(*items));
    }
}

void pairs_sort(struct pairs *pairs, struct arena *arena)
{
    size_t kept = 0;

    if (pairs->count > 1) {
        struct name_value *spare = arena_alloc(arena, pairs->count * sizeof(*spare));

        if (!spare)
            return;
        sort(pairs->items, spare, pairs->count);
    }
    for (size_t i = 0; i < pairs->count; i++)
        if (i + 1 == pairs->count || strcmp(pairs->items[i].name, pairs->items[i + 1].name) != 0)
            pairs->items[kept++] = pairs->items[i];
    pairs->count = kept;
}
