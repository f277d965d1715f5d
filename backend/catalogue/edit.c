/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Edits of VMs, several at once: each is decided on the document that the one before has left, all
 * are saved together under one lock.  One that is refused leaves no trace.
 */
#include "edit.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int edit_refuse(const struct editing *editing, int code, const char *format, ...)
{
    char reason[800];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    return error_set(editing->error, code, "\"%s\": %s", editing->draft->name, reason);
}

/* A document in memory, and what was read from it. */
struct state {
    char *data;
    size_t length;
    xmlDoc *document;
    struct reading reading;
};

static void state_free(struct state *state)
{
    free(state->data);
    xmlFreeDoc(state->document);
    arena_free(&state->reading.arena);
}

/* Takes over `data`, also when it fails. */
static int state_read(const char *path, char *data, size_t length, struct state *ret_state,
                      struct error *ret_error)
{
    struct state state = {.data = data, .length = length};
    int result = document_parse(path, data, length, &state.document, ret_error);

    if (!result) {
        state.reading = (struct reading){.path = path, .ret_error = ret_error};
        result = reading_fill(&state.reading, state.document);
    }
    if (result)
        state_free(&state);
    else
        *ret_state = state;
    return result;
}

/* The VM that the edit is about, as it is now: it may have been renamed, or removed and another one
 * made with its qid. */
static const struct draft *find_vm(const struct reading *reading,
                                   const struct catalogue_entry *entry)
{
    const struct draft *draft = reading_by_qid(reading, entry->qid);

    if (!draft || draft->vm_class != entry->vm_class)
        return NULL;
    if (draft->uuid[0] || entry->uuid[0])
        return strcmp(draft->uuid, entry->uuid) == 0 ? draft : NULL;
    return strcmp(draft->name, entry->name) == 0 ? draft : NULL;
}

static int decide(struct editing *editing, const struct catalogue_edit *edit)
{
    int result = -EINVAL;

    switch (edit->kind) {
    case CATALOGUE_SET_PREF:
        result = edit_pref(editing, edit->name, edit->untrusted_value);
        break;
    case CATALOGUE_SET_SERVICE:
        result = edit_service(editing, edit->name, edit->untrusted_value);
        break;
    case CATALOGUE_SET_FEATURE:
        result = edit_feature(editing, edit->name, edit->untrusted_value);
        break;
    case CATALOGUE_SET_TAG:
        result = edit_tag(editing, edit->name, edit->untrusted_value);
        break;
    case CATALOGUE_RENAME:
        result = edit_rename(editing, edit->name);
        break;
    }
    /* the splicing says no word of its own */
    if (!result)
        result = arena_status(editing->arena);
    if (result && editing->error->code == 0)
        edit_refuse(editing, result, "the catalogue can't be edited: %s",
                    result == -ENOMEM ? "out of memory"
                                      : "it is no UTF-8, or is written in an unusual way");
    return result;
}

/* Makes one edit; on success `state` is the document after it. */
static void apply(const char *path, const char *root, struct state *state,
                  struct catalogue_edit *edit)
{
    struct arena arena = {NULL, false};
    struct editing editing = {
        .root = root,
        .reading = &state->reading,
        .draft = find_vm(&state->reading, edit->entry),
        .active = edit->active,
        .splicing = {.document = state->document,
                     .data = state->data,
                     .length = state->length,
                     .arena = &arena},
        .arena = &arena,
        .error = &edit->error,
    };
    struct state after;
    char *data = NULL;
    size_t length;
    int result;

    edit->error = (struct error){0};
    if (!editing.draft)
        result = error_set(&edit->error, -ENOENT, "\"%s\" is not in the catalogue any more",
                           edit->entry->name);
    else
        result = decide(&editing, edit);
    if (!result && editing.splicing.splices) {
        result = splice_apply(&editing.splicing, &data, &length);
        if (result)
            error_set(&edit->error, result, "%s: %s", path, strerror(-result));
        else
            result = state_read(path, data, length, &after, &edit->error);
        if (!result) {
            state_free(state);
            *state = after;
        }
    }
    edit->error.code = result;
    arena_free(&arena);
}

int edit_all(void *cookie, const char *path, const char *untrusted_data, size_t length,
             char **ret_data, size_t *ret_length, struct error *ret_error)
{
    const struct edit_batch *batch = cookie;
    struct state state;
    char *copy = malloc(length + 1);
    int result;

    if (!copy)
        return error_set(ret_error, -ENOMEM, "%s: out of memory", path);
    memcpy(copy, untrusted_data, length);
    copy[length] = '\0';
    result = state_read(path, copy, length, &state, ret_error);
    if (result)
        return result;
    for (size_t i = 0; i < batch->count; i++)
        apply(path, batch->root, &state, &batch->edits[i]);
    *ret_data = MOVE_POINTER(state.data);
    *ret_length = state.length;
    state_free(&state);
    return 0;
}

int catalogue_edit(const char *path, const char *root, unsigned seconds, int cancel_fd,
                   struct catalogue_edit *edits, size_t count, struct error *ret_error)
{
    const struct patience patience = {.seconds = seconds, .cancel_fd = cancel_fd};
    struct edit_batch batch = {.root = root, .edits = edits, .count = count};

    return edit_bytes(path, &patience, edit_all, &batch, ret_error);
}
