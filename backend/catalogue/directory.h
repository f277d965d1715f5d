/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inotify on the directory of a file, whatever becomes of that directory. */
#ifndef QUBESFS_CATALOGUE_DIRECTORY_H
#define QUBESFS_CATALOGUE_DIRECTORY_H

#include <stdbool.h>

struct directory {
    int fd;          /* inotify; readable when something has happened */
    int watch;       /* of the directory or of its nearest ancestor; -1: none */
    bool ancestor;   /* it is that of an ancestor */
    char *path;      /* owned */
    char *file_name; /* owned: the file in it that matters */
};

int directory_open(struct directory *ret_directory, const char *path_of_file);
void directory_close(struct directory *directory);

/** Puts the watch where the directory is now.  What is looked at afterwards cannot change unseen.
 */
void directory_settle(struct directory *directory);

/** Takes the events that wait.  True if one of them may mean another state of the file. */
bool directory_events(struct directory *directory);

#endif
