/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was in a backup, and what became of it, in lines for `contents`. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define LINES_BYTES_MAX ((size_t)4 << 20)
#define NOTES_BYTES_MAX ((size_t)64 << 10)

void incoming_note(struct incoming *incoming, const char *format, ...)
{
    char line[400];
    va_list arguments;

    if (incoming->notes.length > NOTES_BYTES_MAX)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    text_escape(&incoming->notes, line, strlen(line));
    text_string(&incoming->notes, "\n");
    if (incoming->notes.length > NOTES_BYTES_MAX)
        text_string(&incoming->notes, "... and more like that\n");
}

/* Where the archive at work goes. */
static char *target(const struct restore *restore)
{
    const struct incoming *incoming = restore->archive.incoming;
    const char *name = restore->archive.name, *slash = strrchr(name, '/');
    bool image = slash && (strcmp(slash, "/private.img") == 0 || strcmp(slash, "/root.img") == 0);

    if (!incoming)
        return strdup("left out: no VM in the catalogue inside");
    if (incoming->vm->action == IMPORT_SKIP)
        return strdup("left out");
    if (restore->options.verify)
        return strdup("verified");
    if (!incoming->placed)
        return strdup("left out");
    if (incoming->vm->vm_class == VM_CLASS_ADMIN)
        return strdup(restore->home_target);
    return text_format("%s%s%s", restore->options.root,
                       image ? incoming->vm->image_directory : incoming->vm->directory,
                       slash && strcmp(slash, "/.") != 0 ? slash : "");
}

void result_add_archive(struct restore *restore)
{
    struct text *lines = &restore->lines;
    char *where CLEANUP_FREE = target(restore);

    if (!where || lines->length > LINES_BYTES_MAX) {
        restore->lines_left_out++;
        return;
    }
    text_printf(lines, "%llu\t", (unsigned long long)restore->archive.bytes);
    text_escape(lines, restore->archive.name, strlen(restore->archive.name));
    text_string(lines, "\t");
    text_escape(lines, where, strlen(where));
    text_string(lines, "\n");
}

static void add_notes(struct text *text, const char *name, const char *lines)
{
    for (const char *at = lines; at && *at; at += strcspn(at, "\n"), at += *at == '\n') {
        size_t length = strcspn(at, "\n");

        text_printf(text, "# %s%s", name, name[0] ? ": " : "");
        text_escape(text, at, length);
        text_string(text, "\n");
    }
}

static void add_vm(const struct restore *restore, struct text *text,
                   const struct incoming *incoming)
{
    const struct catalogue_import_vm *vm = incoming->vm;
    bool home = vm->vm_class == VM_CLASS_ADMIN;

    text_printf(text, "# %s: ", vm->name);
    if (vm->action == IMPORT_SKIP)
        text_printf(text, "left out: %s\n", vm->reason);
    else if (!incoming->placed && !restore->options.verify)
        text_string(text, "left out\n");
    else if (!restore->done)
        text_printf(text, "%s\n", incoming->any ? "came, nothing of it was kept" : "did not come");
    else if (restore->options.verify)
        text_printf(text, "verified, %zu files, %llu bytes\n", incoming->files,
                    (unsigned long long)incoming->bytes);
    else if (home)
        text_printf(text, "restored to %s\n", restore->home_target);
    else
        text_printf(text, "restored%s%s\n", strcmp(vm->name, vm->new_name) != 0 ? " as " : "",
                    strcmp(vm->name, vm->new_name) != 0 ? vm->new_name : "");
    add_notes(text, vm->name, vm->notes);
    add_notes(text, vm->name, incoming->notes.data);
}

int restore_result(const struct restore *restore, char **ret_text)
{
    struct text text CLEANUP_TEXT = TEXT_INIT;

    if (restore->lines.length > 0)
        text_append(&text, restore->lines.data, restore->lines.length);
    if (restore->lines_left_out > 0)
        text_printf(&text, "# and %zu files more\n", restore->lines_left_out);
    for (size_t i = 0; i < restore->incoming_count; i++)
        add_vm(restore, &text, &restore->incoming[i]);
    if (restore->import)
        add_notes(&text, "", catalogue_import_notes(restore->import));
    return text_take(&text, ret_text, NULL);
}
