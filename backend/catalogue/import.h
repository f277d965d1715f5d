/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of an import share.  The way of a backup's catalogue into the host's:
 *
 *     document --import_read.c--> the backup's reading and, in the host's form, the target's
 *              --import_names.c--> which VMs, under which names
 *              --import_relatives.c--> template, netvm and the like of each
 *              --import_r3.c | import_r4.c--> elements
 *              --import_make.c--> the host's document with these in it, read back
 *              --import_save.c--> the file
 *
 * All of it but the last runs when the import is made, to find out all that may fail, and again at
 * the save, against the catalogue of that moment.
 */
#ifndef QUBESFS_CATALOGUE_IMPORT_INTERNAL_H
#define QUBESFS_CATALOGUE_IMPORT_INTERNAL_H

#include "convert.h"
#include "qubesfs/catalogue_import.h"

/** Another VM that one names, as it will be on the host. */
struct relative {
    enum { RELATIVE_DEFAULT, RELATIVE_NONE, RELATIVE_VM } kind;
    const char *name; /* RELATIVE_VM */
};

struct import_vm {
    struct catalogue_import_vm shown;
    const struct draft *source; /* in the backup's catalogue */
    const struct draft *target; /* in the host's form, by conversion; NULL: dom0's home */
    struct relative template, netvm;
    /* R3: dispvm_netvm; R4: default_dispvm */
    struct relative dispvm;
    uint64_t sizes[2];      /* of root and private as restored; 0: not told */
    const char *menu_items; /* from whitelisted-appmenus.list; NULL: not told */
    int qid;                /* chosen anew each time that the elements are made */
};

/** The pool that the volumes of restored VMs go to (R4). */
struct import_pool {
    const char *name;
    const char *directory; /* absolute, without --root */
};

struct catalogue_import {
    struct arena arena;
    char *path; /* of the host's catalogue */
    char *root; /* NULL: the disk is not looked at */
    enum import_missing missing;
    enum import_conflict conflict;
    bool verify;
    bool fresh;               /* the host had no catalogue */
    enum catalogue_form form; /* the host's */
    struct import_pool pool;

    xmlDoc *source_document, *target_document; /* the same where the forms are */
    struct reading source, target_reading;
    const struct reading *target; /* &source or &target_reading */

    struct import_vm *vms; /* sorted by name */
    size_t count;
    const struct import_vm **by_path; /* the same, sorted by backup_path */
    struct text told;                 /* "VM<TAB>note" lines until they are shared out */
    struct text general;              /* lines about no VM alone */
};

/** The host's catalogue of one moment. */
struct import_host {
    xmlDoc *document;
    struct reading reading;
    bool fresh;         /* there is none: this is an empty one, made up */
    struct pairs names; /* of all VMs, those that we do not read included; sorted */
    bool *qids;         /* up to QID_MAX: taken */
    bool netids[R3_QID_MAX + 1];
};

/** One pass from the names to the finished document. */
struct import_pass {
    struct catalogue_import *import;
    const struct import_host *host;
    struct arena arena;          /* ends with the pass */
    bool again;                  /* at the save: names are settled, notes are told already */
    struct import_vm **restored; /* what is restored, sorted by its new name */
    size_t restored_count;
    struct error *error;
};

/** Adds a note about a VM (NULL: about none alone) in the first pass. */
void import_note(const struct import_pass *pass, const struct import_vm *vm, const char *format,
                 ...) PRINTF(3, 4);

/* import_read.c */

/** Reads the backup's document, finds what VMs are in the backup, and brings it into the form. */
int import_read(struct catalogue_import *import, const void *untrusted_document, size_t length,
                int format, const struct import_host *host, struct error *ret_error);
/** The VM of that name in the backup, or NULL. */
struct import_vm *import_find(const struct catalogue_import *import, const char *name);
bool import_is_restored(const struct import_vm *vm);

/* import_names.c */

/** Which VMs are wanted. */
int import_select(struct import_pass *pass, const struct catalogue_import_options *options);
/** Under which names they come; in a second pass only whether these are free still. */
int import_name(struct import_pass *pass);
/** A list of names in an error's text. */
void import_list_name(struct text *list, size_t *count, const char *name);

/* import_relatives.c */

/** The relatives of all VMs that are restored; skips those whose relatives are missing. */
int import_relate(struct import_pass *pass);
/** The name on the host of the VM that the backup calls so, restored or there already; NULL: there
 * is none. */
const char *import_resolve(const struct import_pass *pass, const char *untrusted_name);
/** The name on the host of its default of that kind; NULL: there is none. */
const char *import_default(const struct import_pass *pass, const char *global);

/* import_r3.c, import_r4.c, import_volumes.c */

/** Adds the VM's element of R3 below `parent`. */
void import_r3_element(const struct import_pass *pass, struct conversion *made,
                       const struct import_vm *vm, int netid, xmlNode *parent);
void import_r4_element(const struct import_pass *pass, struct conversion *made,
                       const struct import_vm *vm, xmlNode *parent);
void import_volumes(const struct import_pass *pass, struct conversion *made,
                    const struct import_vm *vm, xmlNode *domain);

/* import_values.c */

/** A global setting of the host; of one that has no catalogue yet, the backup's.  NULL: not set. */
const char *import_global(const struct import_pass *pass, const char *name);
/** The kernel that is to be stored, "" for none; NULL where it is no name or not on this host. */
const char *import_kernel(const struct import_pass *pass, struct conversion *made,
                          const struct import_vm *vm, const char *untrusted_kernel);
/** True if the text has no control characters but tabs and newlines. */
bool import_text_ok(const char *untrusted_text);
/** The VM that is restored under that name, or NULL; once all names are settled. */
const struct import_vm *import_restored(const struct import_pass *pass, const char *new_name);
/** The qid of the VM that will have that name on the host; -1: none. */
int import_qid_of(const struct import_pass *pass, const char *name);

/* import_fresh.c */

/** An empty catalogue of the import's form, for a host that has none. */
int import_host_fresh(struct import_host *host, struct catalogue_import *import,
                      struct error *ret_error);
/** Gives it the global settings of the backup, as far as they name VMs that are there then. */
int import_fresh_globals(const struct import_pass *pass, struct conversion *made, xmlNode *root);

/* import_menu.c */

/** The value of menu-items for the text of a whitelisted-appmenus.list, and that text for the
 * value; bad names are left out. */
const char *import_menu_items(const char *untrusted_text, size_t length, struct arena *arena);
const char *import_menu_list(const char *untrusted_items, struct arena *arena);

/* import_make.c */

/** The host's document with all restored VMs in it; to be freed. */
int import_make(struct import_pass *pass, const char *data, size_t length, char **ret_data,
                size_t *ret_length);

/* import_host.c */

/** Reads a document as the host's catalogue.  These let go of what they have made by
 * import_host_free, also after a failure. */
int import_host_read(struct import_host *host, const char *path, const char *data, size_t length,
                     struct error *ret_error);
/** Takes over a document that is there as a tree. */
int import_host_take(struct import_host *host, const char *path, xmlDoc *document,
                     struct error *ret_error);
void import_host_free(struct import_host *host);
/** The pool of an R4 host that new VMs go to, as strings in the arena; -ENOTSUP: none that can be
 * written. */
int import_choose_pool(const struct import_host *host, struct arena *arena,
                       struct import_pool *ret_pool, struct error *ret_error);

#endif
