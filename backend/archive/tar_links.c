/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tar_links.h"

#include <errno.h>
#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct link {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
    char name[];
};

static int compare(const void *a, const void *b)
{
    const struct link *left = a, *right = b;

    if (left->device != right->device)
        return left->device < right->device ? -1 : 1;
    if (left->inode != right->inode)
        return left->inode < right->inode ? -1 : 1;
    return 0;
}

static bool same_content(const struct link *a, const struct link *b)
{
    return a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}

int tar_links_find(struct tar_links *links, const struct stat *status, const char *name,
                   const char **ret_name)
{
    size_t length = strlen(name) + 1;
    struct link *added = malloc(sizeof(*added) + length), **found;

    if (!added)
        return -ENOMEM;
    added->device = status->st_dev;
    added->inode = status->st_ino;
    added->size = status->st_size;
    added->changed = status->st_mtim;
    memcpy(added->name, name, length);
    found = tsearch(added, &links->tree, compare);
    if (!found) {
        free(added);
        return -ENOMEM;
    }
    *ret_name = NULL;
    if (*found != added && same_content(*found, added)) {
        free(added);
        *ret_name = (*found)->name;
    } else if (*found != added) {
        free(*found);
        *found = added;
    }
    return 0;
}

void tar_links_forget(struct tar_links *links, const struct stat *status)
{
    struct link key = {.device = status->st_dev, .inode = status->st_ino};
    struct link **found = tfind(&key, &links->tree, compare), *link;

    if (!found)
        return;
    link = *found;
    tdelete(link, &links->tree, compare);
    free(link);
}

void tar_links_free(struct tar_links *links)
{
    tdestroy(links->tree, free);
    links->tree = NULL;
}
