/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the host room share. */
#ifndef QUBESFS_HOST_INTERNAL_H
#define QUBESFS_HOST_INTERNAL_H

#include "qubesfs/host.h"
#include "qubesfs/pool.h"
#include "qubesfs/text.h"
#include "qubesfs/volume.h"

#define ERROR_LINES 16

/* The lines of one `error` file: one a command, the newest last. */
struct error_lines {
    struct error_line *lines; /* made with the first one: most VMs never have any */
    size_t count;
};

/* What is on a VM's disk. */
struct usage {
    uint64_t disk_bytes; /* its own volumes */
    bool has_firewall;
    struct timespec firewall_changed;
    bool has_volume[VM_VOLUME_COUNT];
    struct timespec volume_changed[VM_VOLUME_COUNT];
};

/* A VM as the host's thread keeps it; `vm` is what was last published. */
struct record {
    uint64_t identity;
    const struct catalogue_entry *entry; /* one reference; NULL: dom0 that the catalogue lacks */
    struct domain *domain;               /* one reference; NULL: in no hypervisor */
    struct error_lines errors;
    struct usage usage;
    uint64_t definition_hash; /* of all that the definition is made from */
    const struct vm *vm;      /* one reference */
    bool dirty;
};

/* Something for the host's thread to do. */
struct message {
    struct message *next;
    void (*apply)(struct host *host, struct message *message);
    bool waited_for; /* lives on the stack of a caller who waits for `applied` */
    bool applied;
};

struct journal {
    pthread_mutex_t lock; /* guards all below; a leaf */
    char *data;
    size_t length, capacity;
    struct timespec changed;
};

struct sequence;
struct job;
struct device_job;
struct edit_request;

/* What users have written, to be saved: edits.c. */
struct edits {
    pthread_mutex_t lock; /* guards the queue and busy; a leaf */
    struct edit_request *first, **last;
    bool busy;     /* a worker saves */
    bool redo;     /* it is to look for renames that were cut off */
    int cancel_fd; /* readable: give up waiting */
};

struct host {
    char *root, *catalogue_path, *connect, *templates, *state;
    struct hypervisor *hypervisor; /* NULL: none */
    struct catalogue_watch *watch;
    struct devices *device_sources;
    char *xenstore; /* NULL: where libxenstore finds it */
    bool without_xenstore;
    struct pool *pool; /* commands, and other calls that may wait */
    struct journal journal;
    struct edits edits;

    pthread_mutex_t lock;   /* guards the queue, snapshot, listener, ending, measuring; a leaf */
    pthread_cond_t moved;   /* a message came, or the end */
    pthread_cond_t applied; /* a waited-for message was applied, or a new snapshot is there */
    struct message *first, **last;
    const struct host_snapshot *snapshot;
    struct host_listener listener;
    bool ending;    /* nobody is to wait for what may never come */
    bool finished;  /* nobody posts any more: the thread ends */
    bool measuring; /* a worker reads the disk for usage.c */
    bool running;
    pthread_t thread;

    pthread_mutex_t jobs_lock; /* guards jobs and their waiters, starts; a leaf */
    pthread_cond_t started;    /* a start has ended */
    struct job *jobs;
    struct starting *starts;
    struct device_job *device_jobs; /* guarded by it too */

    /* the host's thread's own (host_new's, before it starts) */
    struct record **records; /* sorted by name */
    size_t record_count;
    struct record **removed; /* to be told with the next snapshot */
    size_t removed_count;
    uint64_t next_identity;
    const struct catalogue *catalogue;
    void *domains_by_uuid, *domains_by_name; /* tsearch trees of struct domain */
    bool connected;
    struct error_lines root_errors;
    bool root_errors_changed, catalogue_changed;
    struct kernel_devices *kernel_devices;
    struct xen_domain **xen_domains; /* what XenStore has, a reference each */
    size_t xen_domain_count;
    _Atomic bool xenstore_reached; /* it has answered once: its loss is worth telling */
    const struct device_list *devices;
    uint64_t next_device;
    bool devices_dirty;
    bool measure_next; /* disks are to be measured once the new snapshot is there */
};

/* queue.c */
/** Queues a message made with malloc, which is freed once applied. */
void host_post(struct host *host, struct message *message);
/** Queues a message of the caller's and waits until it is applied and published. */
void host_post_and_wait(struct host *host, struct message *message);
/** Waits until all that was posted before is applied and published. */
void host_settle(struct host *host);
/** Applies what is queued now, on this thread; for host_new. */
void host_drain(struct host *host);
void *host_thread(void *host);
/** Swaps in a snapshot of all dirty records, and tells. */
void host_publish(struct host *host);

/* records.c */
const char *record_name(const struct record *record);
void record_free(struct record *record);
/** Joins a new catalogue to the records: same, renamed, new, removed. */
int records_join(struct host *host, const struct catalogue *catalogue);
struct record *record_by_identity(struct host *host, uint64_t identity);

/* domains.c */
void domains_set(struct host *host, struct domain *domain);
/** Takes over a new state of one domain, and gives it to the record that it belongs to. */
void domains_update(struct host *host, struct domain *domain);
void domains_remove(struct host *host, const char *uuid);
void domains_clear(struct host *host);
/** The record's domain: by uuid, then by name.  Borrowed. */
struct domain *domains_match(struct host *host, const struct record *record);
/** Matches all records anew; those with another domain now are dirty. */
void domains_match_all(struct host *host);

/* vm.c */
/** The record's VM as it is now: the published one if nothing differs, else a new one; with a
 * reference. NULL: out of memory. */
const struct vm *vm_build(struct host *host, struct record *record);

/* definition.c */
/** The VM's directory on the host, to be freed; NULL: it has none (or out of memory). */
char *entry_directory(const struct host *host, const struct catalogue_entry *entry);
/** The path of a volume's image on the host, to be freed; NULL: it has none (or out of memory). */
char *volume_path(struct host *host, const struct catalogue *catalogue,
                  const struct catalogue_entry *entry, const char *volume);

/* volumes.c */
/** Where the VM's own volume is, to be given to storage_place_free; reads the disk.  -ENOENT: none. */
int volume_locate(const struct host *host, const struct catalogue *catalogue,
                  const struct catalogue_entry *entry, enum vm_volume which,
                  struct storage_place *ret_place, struct error *ret_error);

/* usage.c */
/** Reads the disk. */
struct usage usage_measure(struct host *host, const struct catalogue *catalogue,
                           const struct catalogue_entry *entry);
bool usage_equal(const struct usage *a, const struct usage *b);
/** Measures all VMs of the snapshot on a worker and posts what differs; nothing while it is at it.
 */
bool usage_start(struct host *host);

/* report.c */
/** Returns true if the lines changed. */
bool error_lines_set(struct error_lines *lines, const char *command, const char *line);
bool error_lines_clear(struct error_lines *lines, const char *command);
char *error_lines_text(const struct error_lines *lines); /* NULL: none */
void error_lines_free(struct error_lines *lines);
/** As host_report, on the host's own thread. */
void report_apply(struct host *host, uint64_t identity, const char *command,
                  const struct error *error);

/* sources.c */
int sources_start(struct host *host, bool catalogue_required, struct error *ret_error);
int sources_follow(struct host *host);

/* devices.c */
int devices_follow(struct host *host);
/** Joins the devices anew if something that they depend on has changed; true if they differ. */
bool devices_update(struct host *host);
/** The same, later: a VM came, went, or has another name, number or disks. */
void devices_note_change(struct host *host, const struct vm *before, const struct vm *after);
void devices_journal(struct host *host, const struct device_list *before,
                     const struct device_list *after);
void devices_free(struct host *host);

/* start.c */
/** Starts a VM, its chain of netvms first. */
int start_vm(struct host *host, const struct vm *vm, unsigned depth, struct error *ret_error);

/* The VM of that identity in the snapshot, or NULL. */
const struct vm *snapshot_by_identity(const struct host_snapshot *snapshot, uint64_t identity);

#endif
