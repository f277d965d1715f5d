/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The catalogue's part of a restore: what becomes of each VM that the catalogue inside a backup
 * promises, and the one save that makes all of them appear together in the host's catalogue.
 *
 *     catalogue_import_new      decides, changes nothing    (names and uuids are known from here
 * on) catalogue_import_set_...  what came with the images   (the backup's data, after the decision)
 *     catalogue_import_save     decides again under Qubes' exclusive lock, and saves
 *
 * One thread at a time may use an import; the functions that wait or read the disk say so.
 */
#ifndef QUBESFS_CATALOGUE_IMPORT_H
#define QUBESFS_CATALOGUE_IMPORT_H

#include "qubesfs/catalogue.h"

enum import_conflict {
    IMPORT_CONFLICT_REFUSE, /* a VM of that name is here: -EEXIST, naming all of them */
    IMPORT_CONFLICT_RENAME, /* Qubes' rule: up to 29 characters and a number from 1 to 98 */
    IMPORT_CONFLICT_SKIP,   /* that VM is not restored */
};

/** What is done where a VM's template or netvm is neither restored nor here. */
enum import_missing {
    IMPORT_MISSING_DEFAULT, /* the host's default; for a netvm none where there is no default */
    IMPORT_MISSING_REFUSE,  /* -ENOENT, naming all of them */
    IMPORT_MISSING_SKIP,    /* that VM is not restored, and what needs it in turn */
};

struct catalogue_import_options {
    /* The backup's format; the catalogue inside must be of its form (2, 3: R3; 4: R4).  0: any. */
    int format;
    /* Names that the VMs have in the backup, one a line; NULL or "": all, none. `dom0` is its home.
     */
    const char *include, *exclude;
    enum import_conflict conflict;
    enum import_missing missing;
    bool dom0_home; /* false: dom0's home is not restored */
    /* Only looks at the backup: the host's names, templates and pools are no matter, so nothing is
     * refused or skipped that an empty host would take.  Such an import can't be saved. */
    bool verify;
    /* --root, before the host's paths (no slash at its end).  With it the decision looks at the
     * disk: a VM's directory that is there already counts as a VM of that name, and a kernel that
     * is not there becomes the default one.  NULL: the disk is not looked at. */
    const char *root;
};

enum import_action { IMPORT_RESTORE, IMPORT_SKIP };

/** What becomes of one VM that is in the backup.  Everything is owned by the import and stays as it
 * is until catalogue_import_free; all strings are checked: no control characters, no "..". */
struct catalogue_import_vm {
    enum import_action action;
    const char *reason;     /* IMPORT_SKIP: why, in words; else "" */
    const char *name;       /* in the backup; "dom0" stands for its home */
    const char *new_name;   /* on the host; the same as `name` unless it is renamed */
    const char *uuid;       /* the new one, lower case with dashes; "" for dom0 */
    enum vm_class vm_class; /* on the host, in its form: VM_CLASS_ADMIN is dom0's home */
    /* Where it is in the backup, with one slash at its end: "vm2/", "appvms/work/"; dom0's home
     * "dom0-home/user/".  No two VMs have the same, none is the beginning of another. */
    const char *backup_path;
    uint64_t
        backup_size; /* bytes on disk, as the backup's catalogue promises; 0: it says nothing */
    /* Has a root volume of its own: the backup must bring a root.img, else none is wanted. */
    bool has_root;
    /* Exact sizes of the images in bytes where the catalogue inside says them (R4), else 0. */
    uint64_t root_size, private_size;
    /* Absolute, without --root; NULL for dom0's home and in a `verify`.  `directory` is the VM's
     * own (firewall.xml, icon.png, notes.txt, whitelisted-appmenus.list), `image_directory` that of
     * root.img and private.img: another one only where an R4 pool is elsewhere. */
    const char *directory, *image_directory;
    /* What the file of its firewall rules is called in the backup; on the host it is always
     * firewall.xml. */
    const char *firewall_name;
    /* R3 host, from R4's feature menu-items: the text of whitelisted-appmenus.list to be written
     * where the backup brings none; NULL: nothing to write. */
    const char *menu;
    const char *notes; /* lines, each with its newline, that say what is otherwise now; or "" */
};

struct catalogue_import;

/**
 * Decides about every VM of the `document` (authenticated, but still hostile) found inside a
 * backup, against the catalogue at `path` as it is now (read as catalogue_load does: disk, waits up
 * to 15 s; -ENOENT there stands for an empty host, whose catalogue the save will make, in the form
 * and with the global settings of the backup's).  The document is not needed afterwards.
 *
 * Returns 0 and `ret_import`, for catalogue_import_free; or
 *   -EINVAL     the document is no catalogue of that form, or a malformed one (path, names, loops)
 *   -EEXIST     conflict is `refuse` and VMs of these names are here
 *   -ENOENT     `include` names what is not in the backup; or missing is `refuse`, or there is no
 *               default template
 *   -ENOTSUP    the host's default pool is none that can be written, or the backup has more VMs
 * than the host's form can hold -ENOMEM, or what catalogue_load returned with words for people in
 * `ret_error`.
 */
int catalogue_import_new(const char *path, const void *untrusted_document, size_t length,
                         const struct catalogue_import_options *options,
                         struct catalogue_import **ret_import, struct error *ret_error);

/** NULL is fine. */
void catalogue_import_free(struct catalogue_import *import);

/** The host's catalogue's form, or that of the one that the save will make. */
enum catalogue_form catalogue_import_form(const struct catalogue_import *import);

/** All VMs that the backup holds data of, sorted by name; number `index` from 0.  Those left out by
 * include, exclude and dom0_home are among them, skipped. */
size_t catalogue_import_count(const struct catalogue_import *import);
const struct catalogue_import_vm *catalogue_import_vm(const struct catalogue_import *import,
                                                      size_t index);

/** The VM that the file `untrusted_path` in the backup belongs to ("vm2/private.img", "vm2/.",
 * "dom0-home/user"), or NULL. */
const struct catalogue_import_vm *catalogue_import_find(const struct catalogue_import *import,
                                                        const char *untrusted_path);

/** What is to be told of no VM alone: lines, each with its newline; or "". */
const char *catalogue_import_notes(const struct catalogue_import *import);

/** The size of the VM's image ("root" or "private") in bytes as it was restored; for R4, whose
 * catalogue stores it.  -EINVAL: no such VM or volume, -ENOMEM. */
int catalogue_import_set_size(struct catalogue_import *import, const struct catalogue_import_vm *vm,
                              const char *volume, uint64_t bytes);

/** The text of the VM's whitelisted-appmenus.list (untrusted; one name a line), which becomes the
 * feature menu-items of an R4 host; on an R3 host it is only a file.  Names that can't be in the
 * feature are passed over.  -EINVAL: no such VM; -ENOMEM. */
int catalogue_import_set_menu(struct catalogue_import *import, const struct catalogue_import_vm *vm,
                              const char *untrusted_text, size_t length);

/**
 * Takes Qubes' exclusive lock (waiting up to 15 s for it; -ECANCELED as soon as `cancel_fd`, which
 * may be -1, is readable), decides again against the catalogue of that moment, and adds all
 * restored VMs in one durable save: new file, lock, fsync, rename, fsync of the directory.  The
 * rest of the document stays as it is, byte for byte.  Where there is no catalogue, it is made; its
 * directory must be there.  Nothing is saved where no VM but dom0's home is restored.
 *
 * After 0 all VMs are there under new_name and uuid, so whoever finds an entry of that name with
 * that uuid knows that the save has happened.  After an error nothing has changed: -EEXIST when a
 * name was taken meanwhile, -ENOENT when a template or netvm has gone, -ENOTSUP when no qid is
 * left, -ETIMEDOUT, -ECANCELED, -EINVAL (the catalogue is broken), or what the save failed with.
 */
int catalogue_import_save(struct catalogue_import *import, int cancel_fd, struct error *ret_error);

#endif
