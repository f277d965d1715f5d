/* SPDX-License-Identifier: GPL-2.0-or-later */
/* New files that a killed save has left beside the catalogue. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

#define LOCK_SECONDS 15
#define RANDOM       6 /* what mkostemp makes of a template's XXXXXX */

/* Ours alone: `qubes.xml.backup` is somebody's copy. */
static bool is_left(const char *name, const char *catalogue)
{
    size_t length = strlen(catalogue), mark = strlen(CATALOGUE_LEFT);

    if (strncmp(name, catalogue, length) != 0 ||
        strncmp(name + length, CATALOGUE_LEFT, mark) != 0 ||
        strlen(name) != length + mark + RANDOM)
        return false;
    for (const char *at = name + length + mark; *at; at++)
        if (!isalnum((unsigned char)*at))
            return false;
    return true;
}

static void close_directory(DIR **directory)
{
    if (*directory)
        closedir(*directory);
}

/* Counts them, and removes them if `remove`. */
static size_t find_left(const char *path, bool remove)
{
    char *copy CLEANUP_FREE = strdup(path), *name CLEANUP_FREE = strdup(path);
    DIR *directory CLEANUP(close_directory) = copy && name ? opendir(dirname(copy)) : NULL;
    struct dirent *entry;
    size_t count = 0;

    while (directory && (entry = readdir(directory)) != NULL)
        if (is_left(entry->d_name, basename(name))) {
            count++;
            if (remove)
                unlinkat(dirfd(directory), entry->d_name, 0);
        }
    return count;
}

int catalogue_remove_left(const char *path, struct error *ret_error)
{
    const struct patience patience = {.seconds = LOCK_SECONDS, .cancel_fd = -1};
    char *real CLEANUP_FREE = realpath(path, NULL);
    int fd CLEANUP_CLOSE = -1;
    struct stat status;
    int result;

    if (!real || find_left(real, false) == 0)
        return 0;
    /* who saves has this lock as long as its new file is there */
    result = lock_file(real, true, &patience, &fd, &status, ret_error);
    if (result < 0)
        return result;
    find_left(real, true);
    return 0;
}
