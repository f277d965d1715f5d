/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line. */
#ifndef QUBESFS_FS_OPTIONS_H
#define QUBESFS_FS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "qubesfs/error.h"

struct options {
    char *mountpoint; /* absolute; the directory is there, or is a stale mount */
    char *root;       /* absolute, "" for / */
    char *store;      /* the catalogue's path, with root */
    bool store_given;
    char *connect;                      /* libvirt URI; NULL: none */
    char *xenstore, *state, *templates; /* NULL: default */
    char *fuse_options;                 /* all -o, joined by commas; NULL: none */
    bool without_xenstore;              /* --xenstore none */
    uint64_t kdf_memory; /* bytes that a key of a backup that is restored may take; 0: default */
    bool foreground, debug, version, help;
};

/** Reads the command line.  Returns 0 (then options_free is due), or -EINVAL and the like with the
 * reason. */
int options_read(int argc, char **argv, struct options *ret_options, struct error *ret_error);
void options_free(struct options *options);

extern const char options_help[];

#endif
