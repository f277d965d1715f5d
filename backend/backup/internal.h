/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the backup room share. */
#ifndef BACKUP_INTERNAL_H
#define BACKUP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "qubesfs/archive.h"
#include "qubesfs/backup.h"
#include "qubesfs/host.h"
#include "qubesfs/storage.h"
#include "qubesfs/text.h"
#include "status.h"

/* service.c */

struct run;

struct backup_service {
    struct host *host;
    char *root;           /* "" for none */
    char *catalogue_path; /* with root */
    char *state;          /* plans are kept below it; NULL: nowhere */
    struct backup_listener listener;
    struct size_cache *sizes;
    uint64_t kdf_memory_max; /* for one key of a backup that is restored; 0: the default */
    atomic_uint references; /* the owner's, and one for each stream */

    pthread_mutex_t lock; /* guards what follows; taken before a stream's, never with a plan's */
    pthread_cond_t quiet; /* `active` became 0 */
    struct run *runs;     /* all streams */
    struct backup_receiver *receivers;
    unsigned active; /* of both, those whose thread may be using the host */
    bool closing, restores_end, ended;
    struct backup_plan **plans; /* also those removed; the first one is `default` */
    size_t plan_count;
    pthread_cond_t keeper_moved; /* a plan is unsaved, or the end */
    pthread_cond_t keeper_saved; /* all plans were saved */
    bool keeper_ending, keeper_saving;

    pthread_t keeper;
    bool keeper_running;
};

struct backup_service *service_ref(struct backup_service *service);
void service_unref(struct backup_service *service);

/* plan.c */

struct report;
struct making;

/** A copy that was cut off after a newer backup by the plan had begun: not to be gone on with. */
struct gone {
    char *vm_name; /* NULL: as the plan says; owned */
    uint64_t sent; /* so much was */
    uint64_t until_ns;
};

#define GONE_MAX 8

struct backup_plan {
    struct backup_service *service;
    char *name;
    bool removed, unsaved; /* guarded by the service's lock */

    pthread_mutex_t lock; /* guards what follows; nothing is called with it held */
    char *lists[2];       /* by enum backup_list: names, one a line */
    struct timespec list_changed[2];
    unsigned char words[BACKUP_OPTION_COUNT]; /* places in options.c's table */
    struct timespec word_changed[BACKUP_OPTION_COUNT];
    struct secret *passphrase; /* NULL: none */
    struct report *reports;    /* sorted by command */
    struct timespec error_changed;
    struct status status;
    const void *status_run; /* whose status it is; only compared */
    char *status_text;
    struct timespec status_changed;
    uint64_t status_told_ns;
    char *outcome;       /* lines of the last restore or verification, for `contents`; NULL: none */
    struct making *kept; /* what a copy that was cut off can be gone on with; NULL: nothing */
    uint64_t begun;      /* the number of the backup that began last */
    struct gone gone[GONE_MAX];
    size_t gone_next; /* the oldest of them */
    bool forgotten;      /* removed, or the service ends: nothing is kept any more */
};

int plan_new(struct backup_service *service, const char *name, struct backup_plan **ret_plan);
void plan_free(struct backup_plan *plan);
/** The passphrase of this moment, with a reference of the caller's; NULL: none. */
struct secret *plan_passphrase(struct backup_plan *plan);
/** True if both are there and the same. */
bool plan_same_secret(const struct secret *a, const struct secret *b);
/** Its secrets and what is kept are let go, for good. */
void plan_forget(struct backup_plan *plan);

/* plans.c */
bool plan_name_valid(const char *untrusted_name);
/** Adds a new plan; called with the service's lock held, or before anybody has it. */
int plans_add(struct backup_service *service, struct backup_plan *plan);

/* options.c */
/** How the plan says that an archive is to be made; without passphrase, time and the like. */
struct archive_options plan_options(struct backup_plan *plan);
/** How the plan says that one is to be restored. */
struct restore_options;
void plan_restore_options(struct backup_plan *plan, struct restore_options *ret_options);
/** Called with the plan's lock held. */
const char *plan_word(const struct backup_plan *plan, enum backup_option option);
/** Takes a value for itself, as saved; then plan_make_options_agree is due. */
int plan_take_word(struct backup_plan *plan, enum backup_option option, const char *untrusted_value,
                   struct error *ret_error);
/** Encrypts what can't be otherwise. */
void plan_make_options_agree(struct backup_plan *plan);

/* keeper.c */
/** The plan's options or lists are others now, or it was removed: to be brought to the disk.
 * Quick; called without locks. */
void plan_save(struct backup_plan *plan);

/* report.c */
void reports_free(struct report *reports);

/* owners.c: names from the host's own /etc/passwd and /etc/group */

struct owners;

/** Reads both files (those that there are).  0 or -ENOMEM. */
int owners_new(struct host *host, struct owners **ret_owners);
void owners_free(struct owners *owners); /* NULL is fine */
/** Answers that live as long as `owners`. */
struct archive_owners owners_functions(struct owners *owners);
/** The home of dom0's user, without root before it: of the first member of group `qubes` that there
 * is, else of root.  NULL: none. */
const char *owners_home(const struct owners *owners);

/* select.c: which VMs */

struct selection {
    const struct vm **vms; /* in the order of the archive; borrowed from the snapshot */
    size_t count;
    bool home; /* dom0's home as well */
};

/** `vm_name` NULL: as the plan's lists say, else that VM alone.  -ENOENT: a VM that was named is
 * not there; -EINVAL: it can't be backed up. */
int selection_make(struct backup_plan *plan, const char *vm_name,
                   const struct host_snapshot *snapshot, struct selection *ret_selection,
                   struct error *ret_error);
void selection_free(struct selection *selection);

/* job.c: all that a backup holds */

/** An image of a volume. */
struct item_image {
    struct storage_place place;
    const char *base; /* NULL: the item is this image; else its name below the item's, a constant */
    struct storage_image open;
};

/** What becomes one inner archive. */
struct item {
    const struct vm *vm; /* NULL: dom0's home */
    char *name;          /* as struct archive_source has it */
    char *path;          /* a file or directory, with root; NULL: `images` */
    struct item_image *images;
    size_t image_count;
    char *text; /* neither: this, from memory */
    bool dereference, live;
    struct archive_size size; /* once measured */
};

struct job {
    struct backup_service *service;
    const struct host_snapshot *snapshot;
    unsigned format;
    bool encrypted; /* names are hidden then */
    struct selection selection;
    struct owners *owners;
    struct item *items;
    size_t count;
    struct text left_out; /* lines of `VM<TAB>what`, as of catalogue_export */
};

/** Everything that a backup would hold now, but not how big it is.  `ret_job` is to be given to
 * job_free, also after a failure. */
int job_make(struct backup_plan *plan, const char *vm_name, struct job *ret_job,
             struct error *ret_error);
void job_free(struct job *job);
/** The form of the catalogue in the backup. */
enum catalogue_form job_form(const struct job *job);
/** Fills in what the archive's writer wants of an item; `images` holds `image_count` ones of the
 * caller's. */
struct archive_source job_source(const struct job *job, const struct item *item,
                                 struct archive_image *images);
/** What the catalogue inside says of the VM: where and how big.  To be freed, as are the paths in
 * it. */
int job_marks(const struct job *job, struct catalogue_mark **ret_marks, size_t *ret_count);
void job_marks_free(struct catalogue_mark *marks, size_t count);

/* layout.c: which files of a VM, under which names */

/** The beginning of a VM's names in the archive, without a final slash; to be freed.  NULL: out of
 * memory. */
char *layout_prefix(const struct job *job, const struct vm *vm);
/** Adds the items of a VM.  0 or a negative errno. */
int layout_add_vm(struct job *job, const struct vm *vm, struct error *ret_error);
/** Adds dom0's home. */
int layout_add_home(struct job *job);

/* images.c */

/** Opens all images of the job, in a state that stays still where there is one.  -EBUSY, with
 * their names, when there is none and VMs run; -ENOTCONN when nobody knows. */
int job_open_images(struct job *job, struct error *ret_error);
/** -EBUSY when the item was read from something that may have changed: its VM has been started. */
int item_check(const struct job *job, const struct item *item, struct error *ret_error);

/* size.c */

/** The size of the whole archive of a job whose items were measured, or an upper bound where it
 * can't be known.  `document_length` is that of the catalogue inside; 0: not known either. */
uint64_t job_bound(const struct job *job, const struct archive_options *options,
                   size_t document_length);
/** Makes the id of a backup that begins at that time; always of one length.  0 or -EIO. */
int backup_name(char ret_id[ARCHIVE_ID_SIZE], time_t when);
/** Bytes of all inner archives together, as far as they are known. */
uint64_t job_tar_bytes(const struct job *job, size_t document_length);

int size_cache_new(struct size_cache **ret_cache);
void size_cache_free(struct size_cache *cache);
/** Fills in the item's size: of its open images, else from the cache where nothing has changed.
 * Errors as archive_measure. */
int item_measure(const struct job *job, struct item *item, struct error *ret_error);

#endif
