/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Users and groups as the host's own files have them: the library's calls know nothing of --root,
 * and may ask a network.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* A line of /etc/passwd or /etc/group, cut at its colons. */
struct record {
    unsigned long id;
    char *line;  /* owned; begins with the name */
    char *extra; /* passwd: home directory; group: members, with commas.  In `line`. */
};

struct table {
    struct record *records;
    size_t count;
};

struct owners {
    struct table users, groups;
};

static void table_free(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->records[i].line);
    free(table->records);
}

/* The id is in field 2 of both files, counted from 0; `extra` says which field else is wanted.
 * Lines that are too short are left out. */
static int add_record(struct table *table, const char *line, unsigned extra)
{
    struct record record = {.line = strdup(line)}, *grown;
    char *field = record.line;

    if (!field)
        return -ENOMEM;
    for (unsigned i = 0; field && i <= extra; i++) {
        char *next = field + strcspn(field, ":\n");

        if (i == 2)
            record.id = strtoul(field, NULL, 10);
        if (i == extra)
            record.extra = field;
        field = *next == ':' ? next + 1 : NULL;
        *next = '\0';
    }
    grown = record.extra ? reallocarray(table->records, table->count + 1, sizeof(*grown)) : NULL;
    if (!grown) {
        free(record.line);
        return record.extra ? -ENOMEM : 0;
    }
    grown[table->count++] = record;
    table->records = grown;
    return 0;
}

static void close_file(FILE **file)
{
    if (*file)
        fclose(*file);
}

static int read_table(struct host *host, const char *name, unsigned extra, struct table *table)
{
    char *path CLEANUP_FREE = host_path(host, name), *line CLEANUP_FREE = NULL;
    FILE *file CLEANUP(close_file) = path ? fopen(path, "re") : NULL;
    size_t size = 0;
    int result = 0;

    if (!path)
        return -ENOMEM;
    if (!file) /* without the file there is no home; but what can't be read now must not lack */
        return errno == ENOENT ? 0 : -errno;
    errno = 0;
    while (result == 0 && getline(&line, &size, file) > 0)
        result = add_record(table, line, extra);
    if (result == 0 && !feof(file))
        result = errno ? -errno : -EIO;
    return result;
}

int owners_new(struct host *host, struct owners **ret_owners)
{
    struct owners *owners = calloc(1, sizeof(*owners));
    int result;

    if (!owners)
        return -ENOMEM;
    result = read_table(host, "/etc/passwd", 5, &owners->users);
    if (result == 0)
        result = read_table(host, "/etc/group", 3, &owners->groups);
    if (result < 0) {
        owners_free(owners);
        return result;
    }
    *ret_owners = owners;
    return 0;
}

void owners_free(struct owners *owners)
{
    if (!owners)
        return;
    table_free(&owners->users);
    table_free(&owners->groups);
    free(owners);
}

static const char *name_of(const struct table *table, unsigned long id)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->records[i].id == id)
            return table->records[i].line;
    return NULL;
}

static const char *user_name(void *cookie, uid_t uid)
{
    return name_of(&((struct owners *)cookie)->users, uid);
}

static const char *group_name(void *cookie, gid_t gid)
{
    return name_of(&((struct owners *)cookie)->groups, gid);
}

struct archive_owners owners_functions(struct owners *owners)
{
    return (struct archive_owners){owners, user_name, group_name};
}

static const struct record *find(const struct table *table, const char *name, size_t length)
{
    for (size_t i = 0; i < table->count; i++)
        if (strncmp(table->records[i].line, name, length) == 0 &&
            table->records[i].line[length] == '\0')
            return &table->records[i];
    return NULL;
}

const char *owners_home(const struct owners *owners)
{
    const struct record *group = find(&owners->groups, "qubes", 5), *user = NULL;
    const char *member = group ? group->extra : "";

    while (!user && *member) {
        size_t length = strcspn(member, ",");

        user = length > 0 ? find(&owners->users, member, length) : NULL;
        member += length + (member[length] == ',');
    }
    if (!user)
        user = find(&owners->users, "root", 4);
    return user && user->extra[0] == '/' ? user->extra : NULL;
}
