/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host: the one truth, joined from the catalogue and the hypervisor (and later XenStore, udev or
 * qubesd) by one thread into an immutable snapshot, and the list of what changed with each new one.
 */
#ifndef QUBESFS_HOST_H
#define QUBESFS_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "qubesfs/catalogue.h"
#include "qubesfs/devices.h"
#include "qubesfs/error.h"
#include "qubesfs/hypervisor.h"

enum vm_state { /* the first ones as in enum domain_state */
    VM_HALTED = DOMAIN_HALTED,
    VM_TRANSIENT = DOMAIN_TRANSIENT,
    VM_RUNNING = DOMAIN_RUNNING,
    VM_PAUSED = DOMAIN_PAUSED,
    VM_SUSPENDED = DOMAIN_SUSPENDED,
    VM_HALTING = DOMAIN_HALTING,
    VM_CRASHED = DOMAIN_CRASHED,
    VM_DYING = DOMAIN_DYING,
    VM_NA, /* no hypervisor */
};

/** "Halted", "Running", ... */
const char *vm_state_name(enum vm_state state);

/** The images that a VM may have of its own (volume.h). */
enum vm_volume { VM_VOLUME_ROOT, VM_VOLUME_PRIVATE, VM_VOLUME_VOLATILE, VM_VOLUME_COUNT };

/** The parts of a VM that change on their own; each has its time of last change. */
enum vm_field {
    VM_FIELD_STATE,
    VM_FIELD_ERROR,
    VM_FIELD_CLASS,
    VM_FIELD_XID,
    VM_FIELD_UUID,
    VM_FIELD_STATS,
    VM_FIELD_DEFINITION,
    VM_FIELD_COMMANDS, /* the list of valid commands */
    VM_FIELD_FIREWALL, /* from here on files of the host, with their own times */
    VM_FIELD_VOLUME, /* the first of VM_VOLUME_COUNT: what is in that volume */
    VM_FIELD_COUNT = VM_FIELD_VOLUME + VM_VOLUME_COUNT,
};

/** One VM at one moment.  Immutable, reference-counted. */
struct vm {
    unsigned references; /* atomic */
    uint64_t identity;   /* stays with the VM, through renames; never used again for another one */
    const char *name;    /* the entry's, or "dom0" */
    const struct catalogue_entry *entry; /* NULL: dom0 that the catalogue does not hold */
    struct domain *domain;               /* NULL: in no hypervisor */
    enum vm_class vm_class;
    enum vm_state state;
    int xid;
    const char *uuid;  /* the catalogue's, else the hypervisor's, else "" */
    char *error_lines; /* the `error` file's content; NULL: empty */
    uint64_t disk_bytes;
    bool has_firewall; /* there is a firewall file on disk */
    bool has_volume[VM_VOLUME_COUNT]; /* there is one on disk */
    struct timespec changed[VM_FIELD_COUNT];
    struct timespec entry_changed; /* when the entry as a whole last changed */
    /* when each item last changed: prefs, services, features, tags in the entry's order; NULL: all
     * of them at entry_changed */
    struct timespec *item_changed;
};

struct host_snapshot {
    unsigned references; /* atomic */
    const struct vm **vms; /* sorted by name (strcmp); dom0 always among them */
    size_t vm_count;
    const struct device_list *devices;
    const struct catalogue *catalogue; /* NULL: none yet */
    bool connected;                    /* the hypervisor answers */
    char *error_lines;                 /* P/error; NULL: empty */
    struct timespec error_changed;
};

const struct vm *vm_ref(const struct vm *vm);
void vm_unref(const struct vm *vm); /* NULL is fine */

struct host;

/** What one new snapshot changed.  `before` is NULL for a VM that appeared, `after` for one that went;
 * both given: same identity, maybe another name. */
struct host_change {
    const struct vm *before, *after;
};

/** Called by the host's thread only, with no lock of the room held, after the snapshot was swapped in. */
struct host_listener {
    void *cookie;
    void (*changed)(void *cookie, const struct host_snapshot *before,
                    const struct host_snapshot *after, const struct host_change *changes,
                    size_t change_count);
    /** Devices differ between these two (told after the VMs of the same). */
    void (*devices_changed)(void *cookie, const struct host_snapshot *before,
                            const struct host_snapshot *after);
    /** A VM was renamed here, maybe before a crash, and what remembers it by its name is to follow:
     * on the disk, too, when this returns.  From a worker; maybe more than once. */
    void (*renamed)(void *cookie, const char *old_name, const char *new_name);
    /** Lines were added to the journal. */
    void (*journal_grew)(void *cookie);
};

struct host_options {
    const char *root;           /* "" for none; no final slash */
    const char *catalogue_path; /* already with root */
    bool catalogue_required;    /* a missing file at start is an error */
    const char *connect;        /* libvirt URI; NULL: no hypervisor */
    const char *templates;      /* directory, or NULL */
    const char *xenstore;       /* socket; NULL: as libxenstore finds it, if it is there */
    bool without_xenstore;
    const char *state;          /* what outlives us; NULL: ROOT/var/lib/qubesfs */
};

/** Reads the catalogue, connects, makes the first snapshot.  A broken catalogue is an error here.
 * Strings are copied.  Returns 0 or a negative errno with `ret_error`. */
int host_new(const struct host_options *options, struct host **ret_host, struct error *ret_error);
/** From now on changes are told, from the host's own thread; 0 or a negative errno. */
int host_listen(struct host *host, const struct host_listener *listener);
/** Ends all threads; -ETIMEDOUT when a hypervisor hangs (the process should then just exit). */
int host_stop(struct host *host, unsigned seconds);

/** The snapshot of this moment; to be let go with host_snapshot_unref.  Never waits. */
const struct host_snapshot *host_snapshot(struct host *host);
const struct host_snapshot *host_snapshot_ref(const struct host_snapshot *snapshot);
void host_snapshot_unref(const struct host_snapshot *snapshot);
const struct vm *host_find_vm(const struct host_snapshot *snapshot, const char *name);

/** True if there is to be a hypervisor, whether it answers now or not: without its answer nobody
 * knows what runs. */
bool host_has_hypervisor(const struct host *host);

/** True while the VM uses memory or disks in the hypervisor (anything but Halted, Crashed and NA). */
bool vm_is_active(const struct vm *vm);

/** Puts the host's root before an absolute path of the host; to be freed.  NULL: out of memory. */
char *host_path(struct host *host, const char *path);

/** A VM's directory on the host with root before it (R3: its dir_path, R4: by class and name); to be
 * freed.  NULL for dom0, or out of memory. */
char *host_vm_directory(struct host *host, const struct vm *vm);

/** The definition that is live, or that a start would define; to be freed.  Makes no call to the
 * hypervisor. */
int host_vm_definition(struct host *host, const struct vm *vm, char **ret_xml,
                       struct error *ret_error);

/** The VM's firewall rules as stored, to be freed.  Reads the disk.  -ENOENT where there are none. */
int host_vm_firewall(struct host *host, const struct vm *vm, char **ret_text, size_t *ret_length);

/** When the VM last changed: the newest of its volumes and its entry; now while it runs.  Reads the
 * disk. */
struct timespec host_vm_last_change(struct host *host, const struct vm *vm);

/** The commands that are valid for the VM now, one a line, as a constant string. */
const char *vm_commands(const struct vm *vm);

/**
 * Runs the lines of one write to a VM's `control`, in order, stopped by the first that fails, on a worker
 * thread; the same line at work already is joined.  `done` is called once, from any thread, with 0 or a
 * negative errno; by then the outcome stands in the snapshot (state, error).
 * Returns 0 (done will be called) or a negative errno (it won't: nothing was begun).
 */
int host_command(struct host *host, uint64_t vm_identity, const char *untrusted_lines,
                 size_t length, void (*done)(void *cookie, int result), void *cookie);

/**
 * Changes a VM in the catalogue: a property, service, feature or tag (catalogue_edit has the
 * rules), or its name (`name` is the new one; directory and definition follow); `untrusted_value` NULL removes it, a final newline of one is taken off.  Saved by a worker
 * together with what else comes meanwhile.  `done` is called once, from any thread, with 0 when it
 * is on the disk and in the snapshot, or with a negative errno, whose reason stands in `error` by
 * then (-EROFS: a running qubesd owns the catalogue).
 * Returns 0 (done will be or was called) or -ENOMEM (it won't).
 */
int host_edit(struct host *host, uint64_t vm_identity, enum catalogue_edit_kind kind,
              const char *name, const char *untrusted_value, size_t length,
              void (*done)(void *cookie, int result), void *cookie);

/** The same for a write to a device's file: `attach VM [FRONTEND] [ro]`, `detach`, `detach force`; its outcome
 * stands in P/error. */
int host_device_command(struct host *host, const char *device_name, const char *untrusted_lines,
                        size_t length, void (*done)(void *cookie, int result), void *cookie);

/** Notes that `command` failed with `error`, or succeeded (NULL), which takes its line away: in the VM's
 * `error` (identity 0: P/error), the journal and the log.  Returns when the snapshot has it. */
void host_report(struct host *host, uint64_t vm_identity, const char *command,
                 const struct error *error);

/** Makes the host look at everything again (as the 30 s sweep does) and waits for it. */
int host_refresh(struct host *host, struct error *ret_error);

/*
 * The journal: `TIME what happened`, a line each, at most 1 MiB; beyond it is cut to the newest 1000.
 */
/** Adds "TIME " + line + newline.  Any thread. */
void host_journal_add(struct host *host, const char *format, ...) PRINTF(2, 3);
/** Copies up to `size` bytes from `offset` of the journal as it is now; returns the number, 0 at the
 * end. */
size_t host_journal_read(struct host *host, uint64_t offset, char *ret_data, size_t size);
/** Its length now and the time of its last line. */
void host_journal_stat(struct host *host, uint64_t *ret_size, struct timespec *ret_changed);

/** 0, or -EROFS with the reason: a running qubesd has the catalogue in its memory and would save over
 * what others write into it. */
int host_catalogue_is_owned(const struct host *host, struct error *ret_error);

#endif
