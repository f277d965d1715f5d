/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal of a restore: a file of lines, replaced as a whole, so that it is always one state or
 * the next.  Fields are separated by tabs; no path or name with a control character gets in.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qubesfs/disk.h"
#include "qubesfs/text.h"
#include "staging.h"

#define FIRST_LINE  "qubesfs-restore 1"
#define JOURNAL     "journal"
#define JOURNAL_MAX (16u << 20)

static bool writable(const char *string)
{
    for (; *string; string++)
        if ((unsigned char)*string < 0x20)
            return false;
    return true;
}

static int add_line(struct text *text, const char *key, const char *first, const char *second)
{
    if (!writable(first) || (second && !writable(second)))
        return -EINVAL;
    text_printf(text, "%s\t%s%s%s\n", key, first, second ? "\t" : "", second ? second : "");
    return 0;
}

int journal_write(const struct staging *staging, struct error *ret_error)
{
    struct text text CLEANUP_TEXT = TEXT_INIT;
    char key[48];
    int result = 0;

    text_printf(&text, FIRST_LINE "\nphase\t%s\n",
                staging->phase == STAGING_COMMITTING ? "committing" : "receiving");
    for (size_t i = 0; result == 0 && i < staging->elsewhere_count; i++)
        result = add_line(&text, "elsewhere", staging->elsewhere[i], NULL);
    for (size_t i = 0; result == 0 && i < staging->parent_count; i++)
        result = add_line(&text, "parent", staging->parents[i], NULL);
    for (size_t i = 0; result == 0 && i < staging->count; i++) {
        snprintf(key, sizeof(key), "move\t%llu", (unsigned long long)staging->items[i].inode);
        result = add_line(&text, key, staging->items[i].path, staging->items[i].target);
    }
    for (size_t i = 0; result == 0 && i < staging->vm_count; i++)
        result = add_line(&text, "vm", staging->vms[i].name, staging->vms[i].uuid);
    if (result == 0 && staging->catalogue)
        result = add_line(&text, "catalogue", staging->catalogue,
                          staging->catalogue_there ? "there" : "new");
    if (result == 0)
        result = text_status(&text);
    if (result == 0)
        result = disk_replace(staging->fd, JOURNAL, text.data, text.length);
    return result < 0 ? error_set(ret_error, result, "%s/" JOURNAL " can't be written: %s",
                                  staging->directory, strerror(-result))
                      : 0;
}

int strings_add(char ***strings, size_t *count, const char *string)
{
    char **grown = reallocarray(*strings, *count + 1, sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    *strings = grown;
    grown[*count] = strdup(string);
    if (!grown[*count])
        return -ENOMEM;
    ++*count;
    return 0;
}

struct staged *staging_append(struct staging *staging, const char *target, const char *path)
{
    struct staged *grown = reallocarray(staging->items, staging->count + 1, sizeof(*grown)), *item;

    if (!grown)
        return NULL;
    staging->items = grown;
    item = &grown[staging->count];
    *item = (struct staged){.target = strdup(target), .path = strdup(path), .fd = -1};
    if (!item->target || !item->path) {
        free(item->target);
        free(item->path);
        return NULL;
    }
    staging->count++;
    return item;
}

/* A line of our own, cut at its tabs; what is no such line is passed over. */
static int take_line(struct staging *staging, char *line)
{
    char *fields[4] = {line}, *at = line;
    struct staged *item;

    for (int i = 1; i < 4 && at; i++) {
        at = strchr(at, '\t');
        if (at)
            *at++ = '\0';
        fields[i] = at;
    }
    if (strcmp(line, "phase") == 0 && fields[1])
        staging->phase =
            strcmp(fields[1], "committing") == 0 ? STAGING_COMMITTING : STAGING_RECEIVING;
    else if (strcmp(line, "elsewhere") == 0 && fields[1])
        return strings_add(&staging->elsewhere, &staging->elsewhere_count, fields[1]);
    else if (strcmp(line, "parent") == 0 && fields[1])
        return strings_add(&staging->parents, &staging->parent_count, fields[1]);
    else if (strcmp(line, "vm") == 0 && fields[2])
        return staging_add_vm(staging, fields[1], fields[2]);
    else if (strcmp(line, "catalogue") == 0 && fields[2] && !staging->catalogue) {
        staging->catalogue_there = strcmp(fields[2], "there") == 0;
        staging->catalogue = strdup(fields[1]);
        return staging->catalogue ? 0 : -ENOMEM;
    } else if (strcmp(line, "move") == 0 && fields[3]) {
        item = staging_append(staging, fields[3], fields[2]);
        if (!item)
            return -ENOMEM;
        item->inode = (ino_t)strtoull(fields[1], NULL, 10);
    }
    return 0;
}

static int read_all(int fd, struct text *text)
{
    char piece[65536];
    ssize_t got;

    while ((got = read(fd, piece, sizeof(piece))) > 0) {
        text_append(text, piece, (size_t)got);
        if (text->length > JOURNAL_MAX)
            return -EFBIG;
    }
    return got < 0 ? -errno : text_status(text);
}

int journal_read(struct staging *staging, struct error *ret_error)
{
    struct text text CLEANUP_TEXT = TEXT_INIT;
    int fd CLEANUP_CLOSE = openat(staging->fd, JOURNAL, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int result = fd < 0 ? -errno : read_all(fd, &text);
    char *line, *rest = text.data;

    if (result == 0 && (!rest || strncmp(rest, FIRST_LINE "\n", strlen(FIRST_LINE) + 1) != 0))
        result = -EINVAL;
    while (result == 0 && (line = strsep(&rest, "\n")) != NULL)
        result = take_line(staging, line);
    return result < 0 ? error_set(ret_error, result, "%s/" JOURNAL " can't be read: %s",
                                  staging->directory, strerror(-result))
                      : 0;
}
