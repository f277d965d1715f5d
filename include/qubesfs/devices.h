/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block devices: those of dom0 from the kernel, those that VMs offer from XenStore, who has which
 * attached.  What a VM says is checked here, once, and is bounded.
 */
#ifndef QUBESFS_DEVICES_H
#define QUBESFS_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "qubesfs/error.h"
#include "qubesfs/hypervisor.h"
#include "qubesfs/text.h"
#include "qubesfs/xenstore.h"

#define DEVICE_NAME_MAX        32 /* bytes with the NUL; VMs may use 12 characters */
#define DEVICE_PATH_MAX        80
#define DEVICE_DESCRIPTION_MAX 256
#define DEVICE_FRONTEND_MAX    16
#define DEVICE_OFFERS_MAX      128 /* devices of one domain that are looked at */
#define DEVICE_ATTACHED_MAX    128 /* disks of one domain that are looked at */

/* --- names --- */

/** A block device's name taken apart: sda1, loop0p1, mmcblk0p1, nvme0n1p1, md127, dm-0, sr0. */
struct block_name {
    char prefix[16]; /* "sd", "loop", "nvme", "dm-", ... */
    int controller;  /* nvme's, else -1 */
    int disk;        /* sda: 0, sdaa: 26, loop5: 5 */
    int partition;   /* -1: the whole disk */
};

/** Returns 0, or -EINVAL for what is no name of that kind. */
int block_name_parse(const char *name, struct block_name *ret_name);
/** The number that Linux gives a device of that name, where its name decides it (sd, xvd, hd, sr,
 * loop without partitions, mmcblk, md, dm-); false: only the node in /dev can tell. */
bool block_name_number(const char *name, unsigned *ret_major, unsigned *ret_minor);
/** True if one of both is a partition of the other. */
bool block_name_overlap(const char *a, const char *b);

/** Xen's number of a virtual disk as its name (51712: xvda, 51713: xvda1, 2048: sda, ...); false
 * for others. */
bool frontend_from_devid(unsigned devid, char *ret_name);
/** The other way round; false for what is no front end's name. */
bool frontend_to_devid(const char *name, unsigned *ret_devid);
/** The next front end to try after `index` others, by Qubes' order (i to z, then a to h) on the bus
 * of that prefix ("xvd", "vd"); false at the end. */
bool frontend_candidate(const char *prefix, unsigned index, char *ret_name);

/* --- what a VM says, format-facts: names, sizes, modes --- */

bool device_name_ok(const char *untrusted_name); /* [a-z0-9-]{1,12} */
bool device_description_ok(
    const char *untrusted_text);                 /* 1 to 255 bytes, printable UTF-8, a line */
bool device_mode_ok(const char *untrusted_mode); /* r or w */
bool device_size_ok(const char *untrusted_size, uint64_t *ret_bytes);
bool device_path_ok(const char *untrusted_path); /* /dev/[a-z0-9/-]..., 64 at most */
bool device_owner_ok(
    const char *untrusted_name); /* a VM's name that may be part of a file's name */

/* --- what there is --- */

/** A device as its owner offers it. */
struct offer {
    char name[DEVICE_NAME_MAX];
    char path[DEVICE_PATH_MAX]; /* in its own domain */
    char description[DEVICE_DESCRIPTION_MAX];
    uint64_t size;
    uint64_t sequence; /* of its medium, from the kernel (diskseq): another one is another device;
                          0: unknown */
    unsigned major, minor;
    bool numbered; /* major and minor are known */
    bool read_only;
};

/** A virtual disk as XenStore has it, both of whose sides agree. */
struct xen_disk {
    unsigned devid;
    unsigned backend; /* domain id */
    bool backed;      /* the back end's node is there and points back */
    unsigned front_state, back_state;
    char source[DEVICE_PATH_MAX]; /* its path in the back end's domain, "" if unknown */
    unsigned major, minor;
    bool numbered, read_only;
};

bool offer_equal(const struct offer *a, const struct offer *b);

/** An offer from the values that a VM wrote; `untrusted_path` may be NULL (it is /dev/NAME then).
 * Returns 0; -ENOENT when something has not been written (yet); -EINVAL when something is
 * malformed; `ret_why` says what it is. */
int offer_check(const char *untrusted_name, const char *untrusted_description,
                const char *untrusted_size, const char *untrusted_mode, const char *untrusted_path,
                struct offer *ret_offer, const char **ret_why);
/** Reads "/local/domain/B/backend/KIND/X/DEVID", as a VM's front end names its back end: 0 if it
 * belongs to that front end, else -EINVAL. */
int backend_path_check(const char *untrusted_path, unsigned domain, unsigned devid,
                       unsigned *ret_backend);

/** What XenStore has of one running domain.  Immutable, reference-counted. */
struct xen_domain {
    unsigned references; /* atomic */
    unsigned id;
    uint64_t order; /* of two with one name, that with the higher one came later */
    char name[64];
    struct offer *offers; /* sorted by name */
    size_t offer_count;
    struct xen_disk *disks;
    size_t disk_count;
};

struct xen_domain *xen_domain_ref(struct xen_domain *domain);
void xen_domain_unref(struct xen_domain *domain); /* NULL is fine */
bool xen_domain_equal(const struct xen_domain *a, const struct xen_domain *b);

/** dom0's own devices.  Immutable, reference-counted. */
struct kernel_devices {
    unsigned references; /* atomic */
    struct offer *offers;
    size_t count; /* sorted by name */
};

void kernel_devices_unref(struct kernel_devices *devices);

/** Reads sysfs: dom0's devices but for those in use by the system (mounted, swap, held by others,
 * all disks of which a partition is, loop devices of images below `image_directory`).  0 or -errno.
 */
int kernel_devices_read(const char *image_directory, struct kernel_devices **ret_devices);

/** Reads what XenStore has of a domain; 0, or -errno of a broken connection. */
int xen_domain_read(struct xenstore *store, unsigned id, struct xen_domain **ret_domain);

/** Writes the empty value to a domain's qubes-block-devices key, so that others who watch it look
 * again. */
int xen_disk_tell(const char *socket, unsigned domain, struct error *ret_error);
/** Detaches a disk in XenStore itself: the back end is asked to close, within `seconds`, then both
 * sides are removed; with `force` whatever the VM does.  -ETIMEDOUT when it does not let go. */
int xen_disk_detach(const char *socket, unsigned domain, unsigned devid, unsigned backend,
                    bool force, unsigned seconds, struct error *ret_error);

/* --- following it --- */

/** Each is called from one thread of the room; the callee takes the references over. */
struct devices_listener {
    void *cookie;
    void (*kernel)(void *cookie, struct kernel_devices *devices);
    /** XenStore answers, and these are all domains. */
    void (*xen_all)(void *cookie, struct xen_domain **domains, size_t count);
    void (*xen_changed)(void *cookie, struct xen_domain *domain);
    void (*xen_gone)(void *cookie, unsigned id);
    void (*xen_lost)(void *cookie, const struct error *error);
};

struct devices;

/** Starts to follow kernel and XenStore (socket `xenstore`, NULL: as it is found;
 * `without_xenstore`: never). dom0's devices have been told once when it returns.  Returns 0 or
 * -errno. */
int devices_start(const char *image_directory, const char *xenstore, bool without_xenstore,
                  const struct devices_listener *listener, struct devices **ret_devices);
/** Looks at everything anew, at once; waits until it is told. */
int devices_refresh(struct devices *devices, unsigned seconds, struct error *ret_error);
void devices_stop(struct devices *devices); /* NULL is fine */

/* --- all of it joined --- */

enum device_state { DEVICE_FREE, DEVICE_ATTACHED, DEVICE_STALE };

/** One device of P/devices at one moment.  Immutable, reference-counted. */
struct device {
    unsigned references;                 /* atomic */
    uint64_t identity;                   /* while it lives under its name */
    char name[64 + 1 + DEVICE_NAME_MAX]; /* BACKEND:DEVICE */
    char backend[64];
    struct offer offer;
    bool known; /* its description and size were seen */
    enum device_state state;
    char attached[64], frontend[DEVICE_FRONTEND_MAX]; /* "" when free */
    bool attached_read_only;
    bool connected; /* both sides say so, or nobody says otherwise */
    struct timespec changed;
};

const struct device *device_ref(const struct device *device);
void device_unref(const struct device *device); /* NULL is fine */

/** All devices.  Immutable, reference-counted. */
struct device_list {
    unsigned references;           /* atomic */
    const struct device **devices; /* sorted by name */
    size_t count;
};

const struct device_list *device_list_ref(const struct device_list *list);
void device_list_unref(const struct device_list *list); /* NULL is fine */
const struct device *device_list_find(const struct device_list *list, const char *name);

/** A VM as the join needs it. */
struct join_vm {
    const char *name;
    int xid; /* -1: does not run */
    const struct domain_disk *disks;
    size_t disk_count;
};

struct join {
    const struct kernel_devices *kernel; /* NULL: none */
    struct xen_domain *const *domains;   /* what XenStore has */
    size_t domain_count;
    const struct join_vm *vms;
    size_t vm_count;
    const struct device_list *before; /* NULL: the first time */
    uint64_t *next_identity;
};

/** Joins all sources to one list.  A device that has not changed is the same object as in `before`;
 * if none has, `before` itself is given (with a reference).  0 or -ENOMEM. */
int devices_join(const struct join *join, const struct device_list **ret_list);

/** A device's file. */
void device_render(const struct device *device, struct text *text);

#endif
