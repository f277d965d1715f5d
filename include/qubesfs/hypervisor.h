/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hypervisor behind libvirt: which domains there are and how they are, told by a listener; and
 * the calls that change them, made on the caller's (worker) thread.
 *
 * Truth comes from queries only, made one after the other by one thread of this room: an event says
 * no more than "look again at that domain", so that a late event can never put back an old state.
 */
#ifndef QUBESFS_HYPERVISOR_H
#define QUBESFS_HYPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qubesfs/catalogue.h"
#include "qubesfs/error.h"

enum domain_state {
    DOMAIN_HALTED,
    DOMAIN_TRANSIENT,
    DOMAIN_RUNNING,
    DOMAIN_PAUSED,
    DOMAIN_SUSPENDED,
    DOMAIN_HALTING,
    DOMAIN_CRASHED,
    DOMAIN_DYING,
};

/** A disk of a running domain as it is defined. */
struct domain_disk {
    char *backend; /* "dom0" or the name of the domain that has it */
    char *source;  /* path there, or "" */
    char *target;  /* front end */
    bool read_only;
};

/** How a domain was when it was last looked at.  Immutable, reference-counted. */
struct domain {
    unsigned references; /* atomic */
    char uuid[37];
    char *name;
    int id; /* -1: does not run */
    enum domain_state state;
    bool persistent;
    bool managed;  /* defined by us (marked in its <metadata>), so ours to define again */
    char *xml;     /* the definition: live if it runs; if not, only of a domain that is not ours (what a
                      start would start as it is), else NULL */
    struct domain_disk *disks; /* of one that runs */
    size_t disk_count;
    uint64_t cpu_time_ns;
    uint64_t memory_kib, max_memory_kib;
    unsigned vcpus;
    int64_t start_time; /* seconds since 1970; 0: not known */
};

struct domain *domain_ref(struct domain *domain);
void domain_unref(struct domain *domain); /* NULL is fine */
/** True if both say the same but for cpu_time_ns. */
bool domain_equal(const struct domain *a, const struct domain *b);
bool domain_disks_equal(const struct domain *a, const struct domain *b);

/** Called from the query thread only, one call at a time; must not call back into this room. */
struct hypervisor_listener {
    void *cookie;
    /** Connected, and these are all domains there are. */
    void (*all)(void *cookie, struct domain *const *domains, size_t count);
    /** One domain is now so; the callee refs what it keeps. */
    void (*changed)(void *cookie, struct domain *domain);
    /** The domain is in the hypervisor no more (undefined and not running). */
    void (*gone)(void *cookie, const char *uuid);
    /** The connection is lost or could not be made; told once until it is there again. */
    void (*disconnected)(void *cookie, const struct error *error);
};

struct hypervisor;

/**
 * Starts the room's threads for the libvirt connection `uri` (or NULL: none, ever).  It connects in
 * the background and again with back-off (0.1 s to 2 s) whenever the connection goes.  Waits up to
 * `first_seconds` for the first answer, so that a mount shows states from its first moment.
 * `templates` is the directory with definition templates of the user, or NULL; the built-in ones
 * serve what is not in it.  Returns 0 (also when the hypervisor is not there yet) or -errno.
 */
int hypervisor_start(const char *uri, const char *templates, unsigned first_seconds,
                     const struct hypervisor_listener *listener,
                     struct hypervisor **ret_hypervisor, struct error *ret_error);

/** Ends the threads, waiting up to `seconds`.  Returns 0, or -ETIMEDOUT when libvirt hangs: the room
 * must then be left as it is until the process ends. */
int hypervisor_stop(struct hypervisor *hypervisor, unsigned seconds);

/** The driver's name as libvirt spells it ("TEST", "QEMU", "Xen"), or NULL before the first connection. */
const char *hypervisor_driver(struct hypervisor *hypervisor);

/** Asks for a new look at everything, connecting at once if there is no connection; waits until it
 * was made and told (at most `seconds`).  Returns 0, -ETIMEDOUT, or -ENOTCONN. */
int hypervisor_refresh(struct hypervisor *hypervisor, unsigned seconds, struct error *ret_error);

/** Asks for a new look at one domain; waits until it was made and told (at most `seconds`). */
void hypervisor_look(struct hypervisor *hypervisor, const char *uuid, unsigned seconds);

/** Which domain: found by uuid (if not ""), then by name. */
struct domain_key {
    const char *uuid;
    const char *name;
};

/** All that a definition is made from.  Borrowed strings; paths are the host's (with --root). */
struct definition_volume {
    const char *name;   /* root, private, volatile, modules, drive */
    const char *path;   /* image file or block device, or what the script takes */
    const char *target; /* bus name, e.g. vda or xvda */
    bool block;         /* a block device, not a file */
    bool readonly;
    bool transient;      /* writes are thrown away at shutdown */
    const char *device;  /* NULL: disk; or cdrom */
    const char *script;  /* Xen's block script, or NULL */
    const char *backend; /* the VM that it is in; NULL: dom0 */
};

/** A PCI device's address, each part as 0x and hexadecimal digits. */
struct definition_pci {
    const char *bus, *slot, *function;
};

struct definition {
    const char *name;
    const char *uuid; /* "": let the hypervisor make one */
    const char *vm_class;
    unsigned memory_mib, maxmem_mib, vcpus;
    bool hvm;                                 /* fully virtualised */
    const char *kernel, *initrd, *kernelopts; /* NULL: boots by itself */
    const char *time_basis, *time_offset;     /* hvm: "utc" or "localtime", and seconds */
    const char *console_log;                  /* file that the console is logged to, or NULL */
    const struct definition_volume *volumes;
    size_t volume_count;
    const struct definition_pci *pci;
    size_t pci_count;
    bool e820_host;
    const char *net_backend, *net_ip, *net_mac; /* NULL: no network */
    bool debug;
};

/**
 * Makes the libvirt XML for the connection's driver: its template (`DRIVER.xml` in lower case, from
 * the templates directory, else built in), parsed with libxml2 and filled in by node, never by text.
 * Makes no call to libvirt, so it may be used while rendering.  `ret_xml` is to be freed.
 * Returns 0; -ENOTCONN while the driver is not known; -ENODEV if there is no template for it;
 * -EINVAL with file and line for a broken template.
 */
int hypervisor_definition(struct hypervisor *hypervisor, const struct definition *definition,
                          char **ret_xml, struct error *ret_error);

/*
 * The commands.  Each blocks as long as libvirt does, checks the domain's real state first, and
 * before it returns the new state was queried and told to the listener.  Errors as in the
 * interface's table: -EALREADY, -ENODEV, -ENOTCONN, -ETIMEDOUT, -EIO with libvirt's own words.
 */

/** A disk for a running domain.  Strings without characters that mean something in XML. */
struct disk_request {
    const char *backend; /* "dom0" or the domain that has it */
    const char *source;  /* its path there */
    const char *target;  /* front end */
    bool read_only;
};
/** Gives the domain a disk until it stops.  It may not be connected yet when this returns. */
int hypervisor_attach_disk(struct hypervisor *hypervisor, const struct domain_key *key,
                           const struct disk_request *disk, struct error *ret_error);
/** Asks the domain to let go of the disk at that target.  It may still have it when this returns;
 * -EBUSY: it has refused. */
int hypervisor_detach_disk(struct hypervisor *hypervisor, const struct domain_key *key,
                           const struct disk_request *disk, struct error *ret_error);

/** What is done with a domain that is there but does not run yet. */
struct hypervisor_created {
    void *cookie;
    /** `id`: its number.  Returns 0 or -errno with the reason: then it is ended again. */
    int (*created)(void *cookie, unsigned id, struct error *ret_error);
};

/** Starts it.  A domain that is not in the hypervisor, or is `managed`, is defined from `xml` first; one
 * that somebody else defined is started as it is (never overwritten), and may come without `xml` (NULL).
 * A failed start of a domain that this call defined anew undefines it again.  With `created` (may be
 * NULL) it is made paused, which nobody is told, and runs after that call. */
int hypervisor_start_domain(struct hypervisor *hypervisor, const struct domain_key *key,
                            const char *xml, const struct hypervisor_created *created,
                            struct error *ret_error);
int hypervisor_shutdown(struct hypervisor *hypervisor, const struct domain_key *key,
                        struct error *ret_error);
int hypervisor_kill(struct hypervisor *hypervisor, const struct domain_key *key,
                    struct error *ret_error);
int hypervisor_pause(struct hypervisor *hypervisor, const struct domain_key *key,
                     struct error *ret_error);
int hypervisor_unpause(struct hypervisor *hypervisor, const struct domain_key *key,
                       struct error *ret_error);
/** Guest S3, or a pause where guest or driver can't. */
int hypervisor_suspend(struct hypervisor *hypervisor, const struct domain_key *key,
                       struct error *ret_error);
/** Gives the persistent definition of a domain that does not run another name, where there is one;
 * paths in `old_directory` (may be NULL) become those in `new_directory`.  Done already: 0. */
int hypervisor_rename(struct hypervisor *hypervisor, const struct domain_key *key,
                      const char *new_name, const char *old_directory, const char *new_directory,
                      struct error *ret_error);
/** Wakes a suspended domain, unpauses a paused one. */
int hypervisor_resume(struct hypervisor *hypervisor, const struct domain_key *key,
                      struct error *ret_error);

#endif
