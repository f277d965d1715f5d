/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The catalogue: Qubes' qubes.xml in its R2/R3 form (<QubesVmCollection>) and its R4 form
 * (<qubes>). Source of the format: the Qubes sources of R2 to R4.3, as docs/FORMAT.md sums them up.
 *
 * What is read becomes an immutable, reference-counted model; any thread may use it without a lock.
 */
#ifndef QUBESFS_CATALOGUE_H
#define QUBESFS_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "qubesfs/error.h"

enum catalogue_form { CATALOGUE_R3, CATALOGUE_R4 };

enum vm_class {
    VM_CLASS_APP,
    VM_CLASS_TEMPLATE,
    VM_CLASS_STANDALONE,
    VM_CLASS_NET,
    VM_CLASS_PROXY,
    VM_CLASS_DISP,
    VM_CLASS_HVM,
    VM_CLASS_TEMPLATE_HVM,
    VM_CLASS_ADMIN,
};

/** "AppVM", "TemplateVM", ... as interface and Qubes write them. */
const char *vm_class_name(enum vm_class vm_class);

/** The directory below /var/lib/qubes that VMs of that class live in: "appvms", "vm-templates",
 * "servicevms". */
const char *vm_class_directory(enum vm_class vm_class);

#define VM_NAME_MAX 31

/** Why the name can't be a VM's, or NULL when it can. */
const char *vm_name_reason(const char *untrusted_name);

/** One name with its value; both NUL-terminated UTF-8, owned by the entry that they are in. */
struct name_value {
    const char *name;
    const char *value;
};

/** A volume of an R4 entry's <volume-config>; absent attributes are NULL or false. */
struct catalogue_volume {
    const char *name; /* root, private, volatile, kernel */
    const char *pool;
    const char *vid;
    const char *source;
    uint64_t size; /* bytes; 0 when not given */
    bool rw, save_on_stop, snap_on_start;
};

/** A pool of an R4 catalogue: driver and its own options. */
struct catalogue_pool {
    const char *name;
    const char *driver;
    const struct name_value *options;
    size_t option_count;
};

/** One VM.  Immutable; shared between catalogues when nothing in it has changed. */
struct catalogue_entry {
    unsigned references; /* atomic; catalogue_entry_ref/unref */
    enum catalogue_form form;
    int qid;
    enum vm_class vm_class;
    const char *name;
    const char *uuid;     /* lower case with dashes; "" when the catalogue has none */
    const char *dir_path; /* as the catalogue has it (R3), without --root; NULL when absent */
    /* NULL: none.  R3 stores a qid: one that no VM has reads "qid N", which is no valid VM name, so
     * that a start can tell.  R4 stores a name, which may be that of no VM. */
    const char *template_name;
    const char *netvm_name;  /* the one in force, defaults resolved; NULL: none */
    bool include_in_backups; /* defaults applied as Qubes does */
    bool internal, installed_by_rpm;
    bool updateable; /* has a root volume of its own: template, standalone, HVM without template */

    /* What prefs/ shows: every property or attribute that the catalogue holds, sorted by name
     * (strcmp).  VM-valued ones under their property's name (netvm, template, dispvm_netvm, ...)
     * with the VM's name as value, `none` for none, the name in force for a default.  Never
     * services. */
    const struct name_value *prefs;
    size_t pref_count;

    /* sorted by name; value "0" or "1" */
    const struct name_value *services;
    size_t service_count;

    /* R4 only: features (services are in both), tags (value ""), volumes; sorted by name but for
     * volumes, which keep the order of the document */
    const struct name_value *features;
    size_t feature_count;
    const struct name_value *tags;
    size_t tag_count;
    const struct catalogue_volume *volumes;
    size_t volume_count;
};

struct catalogue {
    unsigned references; /* atomic; catalogue_ref/unref */
    enum catalogue_form form;
    struct timespec modified;               /* st_mtime of the file */
    const struct catalogue_entry **entries; /* sorted by name (strcmp); dom0 (if stored) included */
    size_t entry_count;
    /* default_template, default_netvm, default_kernel, updatevm, clockvm, ... VM-valued ones as
     * names; sorted */
    const struct name_value *globals;
    size_t global_count;
    const struct catalogue_pool *pools; /* R4 */
    size_t pool_count;
};

const struct catalogue_entry *catalogue_entry_ref(const struct catalogue_entry *entry);
void catalogue_entry_unref(const struct catalogue_entry *entry);
const struct catalogue *catalogue_ref(const struct catalogue *catalogue);
void catalogue_unref(const struct catalogue *catalogue);

/** The entry of that name, or NULL; owned by the catalogue. */
const struct catalogue_entry *catalogue_find(const struct catalogue *catalogue, const char *name);

/** A pref's, service's or global's value in a sorted list, or NULL. */
const char *name_value_find(const struct name_value *list, size_t count, const char *name);

/** The volume or the pool (whose name may be NULL) of that name, or NULL; lists in any order. */
const struct catalogue_volume *catalogue_volume_find(const struct catalogue_volume *volumes,
                                                     size_t count, const char *name);
const struct catalogue_pool *catalogue_pool_find(const struct catalogue_pool *pools, size_t count,
                                                 const char *name);

/**
 * Parses a document (untrusted until then) of `length` bytes into `ret_catalogue`, to be let go
 * with catalogue_unref.  `previous` (may be NULL) is the catalogue before: entries that are the
 * same in it are shared.  Unknown attributes and elements are tolerated.  `path` is for messages
 * only. Returns 0, or -EINVAL with "PATH:LINE: reason" in `ret_error`, or -ENOMEM.
 */
int catalogue_parse(const char *path, const void *untrusted_document, size_t length,
                    const struct catalogue *previous, const struct catalogue **ret_catalogue,
                    struct error *ret_error);

/**
 * Reads the file at `path` under Qubes' shared lock (an open-file-description lock on the file
 * itself, checked to be still the one at that path), waiting up to `seconds` for a writer.
 * Returns as catalogue_parse, or -ENOENT, -EACCES, -ETIMEDOUT (a writer kept the lock), ...
 */
int catalogue_load(const char *path, unsigned seconds, const struct catalogue *previous,
                   const struct catalogue **ret_catalogue, struct error *ret_error);

/** Removes the new files that killed saves of qubesfs have left beside the catalogue, under Qubes'
 * exclusive lock.  Fine when there is nothing.  0, or what the lock failed with. */
int catalogue_remove_left(const char *path, struct error *ret_error);

/** What the watch tells, from its own thread. */
struct catalogue_listener {
    void *cookie;
    /** A new state was read; the callee refs what it keeps.  Called only for a change. */
    void (*loaded)(void *cookie, const struct catalogue *catalogue);
    /** The file can't be used now; the last good state stays in force.  Told once per cause. */
    void (*broken)(void *cookie, const struct error *error);
};

struct catalogue_watch;

/**
 * Starts a thread that follows the file at `path` through inotify on its directory (which may be
 * made later, too) and by a look every 30 s.  `first` (may be NULL) is the state already known.
 * Returns 0 or a negative errno.
 */
int catalogue_watch_start(const char *path, const struct catalogue *first,
                          const struct catalogue_listener *listener,
                          struct catalogue_watch **ret_watch);

/** Has the file read again even if nothing seems to have changed, and waits (at most `seconds`)
 * until that was done and told.  Returns 0 or -ETIMEDOUT. */
int catalogue_watch_refresh(struct catalogue_watch *watch, unsigned seconds);

/** Ends the thread; no call to the listener after it returns.  NULL is fine. */
void catalogue_watch_stop(struct catalogue_watch *watch);

/** How one VM is marked in the catalogue inside a backup (format-facts: backup_content, ...). */
struct catalogue_mark {
    int qid; /* in the host's catalogue */
    /* NULL: not in the backup.  Spelled as the backup's form wants it: R3 `vmN`, or `appvms/NAME`
     * and the like when not encrypted; R4 `vmN/` with the slash; dom0 `dom0-home/USER` in both. */
    const char *backup_path;
    uint64_t backup_size; /* bytes on disk */
};

/**
 * Reads the file at `path` as catalogue_load does and makes the document that goes into a backup:
 * in the form that the backup's format wants (format 3: R3, format 4: R4), which need not be the
 * file's own, and with every VM marked as `marks` says (a VM without a mark: not in the backup).
 *
 * In the file's own form everything else stays as it is.  A document in the other form is made
 * anew: it holds the same VMs and what has a counterpart there.  `ret_left_out` (may be NULL, else
 * to be freed) tells the rest, maybe nothing: lines of `VM<TAB>what`, VM being `*` for what is no
 * VM's. A mark of qid 0 where the catalogue stores no dom0 (R3 before 2015) adds it.
 *
 * `ret_document` is to be freed; it was read back and proven to be a catalogue.  Returns as
 * catalogue_load; -ENOENT for a mark whose VM has gone; -EOPNOTSUPP for more VMs than R3 can hold.
 */
int catalogue_export(const char *path, enum catalogue_form form, const struct catalogue_mark *marks,
                     size_t mark_count, char **ret_document, size_t *ret_length,
                     char **ret_left_out, struct error *ret_error);

/**
 * The qid that the VM with `qid` has in an export of that form: its own, unless it is none that R3
 * can hold (above 253).  -1 when there is no such VM or no free qid left for it.  Only R3.2's
 * paranoid mode wants a path of `vmN` to go with it.
 */
int catalogue_export_qid(const struct catalogue *catalogue, enum catalogue_form form, int qid);

/**
 * Writes the time of a backup (R3: attribute, R4: property backup_timestamp) of the `count` VMs
 * with these qids into the file at `path`: under Qubes' exclusive lock, waiting up to 15 s for it,
 * durably, everything else in the document kept.  A qid that has gone meanwhile is passed over. Not
 * for the file of a running qubesd, which would refuse to save over it. Returns as catalogue_load,
 * or what the save failed with; the file is then as it was.
 */
int catalogue_mark_backup(const char *path, const int *qids, size_t count,
                          int64_t seconds_since_1970, struct error *ret_error);

/** True if the VM's property of that name may be set: the catalogue's form and the VM's class have
 * it, and it is none that Qubes keeps by itself. */
bool catalogue_pref_settable(const struct catalogue_entry *entry, const char *name);

enum catalogue_edit_kind {
    CATALOGUE_SET_PREF,    /* to a value, or `default` */
    CATALOGUE_SET_SERVICE, /* to 0 or 1; NULL removes it */
    CATALOGUE_SET_FEATURE, /* R4; to any text; NULL removes it */
    CATALOGUE_SET_TAG,     /* R4; to ""; NULL removes it */
    CATALOGUE_RENAME,      /* to `name`; all that refers to the VM by its name follows */
};

/** One change of one VM, and how it ended. */
struct catalogue_edit {
    enum catalogue_edit_kind kind;
    const struct catalogue_entry *entry; /* the VM: known by qid and uuid, else by qid and name */
    bool active;                         /* it runs: what needs a halted VM is -EBUSY */
    const char *name;                    /* of the property, service, ...; the VM's new one */
    const char *untrusted_value;
    struct error error; /* filled in; `code` 0: the catalogue holds it now */
};

/**
 * Makes changes in the file at `path`, in this order, under one exclusive lock of Qubes', waiting
 * up to `seconds` for it or until `cancel_fd` (-1: none) is readable: each by its own rules, on what
 * the one before has left; one that is refused (-EINVAL, -ENOENT, -EBUSY, -EEXIST, -EPERM, in its
 * `error`) keeps none of the others.  All is saved durably and at once.  Not a byte of the document changes
 * but what these changes are about.  `root` is before the paths of the host (kernels).
 *
 * Returns 0 when it was saved, or what the save failed with: then nothing has changed.
 */
int catalogue_edit(const char *path, const char *root, unsigned seconds, int cancel_fd,
                   struct catalogue_edit *edits, size_t count, struct error *ret_error);

/**
 * Makes a VM's firewall.xml of the form that `form` wants (R3: <QubesFirewallRules>, R4: <firewall
 * version="2">) from one of the other form: from R3's as Qubes itself does when it moves a VM to
 * R4, and back as far as R3 can say it.  Rules that have expired by `now` are not taken over.  The
 * result never lets through what the document does not: an accept that can't be said is left out, a
 * drop may become wider, and where that does not help there is no result.
 *
 * `path` is for messages only.  `ret_document` and `ret_left_out` (lines, maybe none, that say what
 * is otherwise now) are to be freed.  Returns 0, -EINVAL (no such document) or -EOPNOTSUPP (rules
 * that can't be said in that form) with the reason in `ret_error`, or -ENOMEM.
 */
int firewall_convert(const char *path, const void *untrusted_document, size_t length,
                     enum catalogue_form form, time_t now, char **ret_document, char **ret_left_out,
                     struct error *ret_error);

#endif
