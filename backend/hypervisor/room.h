/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of this room share.
 *
 *   events.c      one thread a process: libvirt's event loop.  It only posts to the queue.
 *   queue.c       what the query thread is to do next, without duplicates; who waits for it
 *   query.c       the query thread: connects, sweeps, looks, tells the listener
 *   reading.c     one libvirt domain read into a struct domain
 *   connection.c  opening and closing connections, the events that are asked for
 *   command.c     start, shutdown, ...: on the caller's thread, over a connection of their own
 *   definition.c  a definition made from a template (template.c: its directives)
 *
 * Locks: the queue's, the hypervisor's and the event loop's; none is taken while another is held,
 * and no call that may wait for libvirt is made under any of them.
 */
#ifndef HYPERVISOR_ROOM_H
#define HYPERVISOR_ROOM_H

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <libxml/tree.h>
#include <pthread.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/hypervisor.h"
#include "queue.h"

struct hypervisor {
    char *uri;       /* NULL: no hypervisor */
    char *templates; /* NULL: built-in ones only */
    struct hypervisor_listener listener;
    struct queue *queue;
    pthread_t thread;

    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t idle;  /* commands fell to 0 */
    unsigned commands;    /* being made now */
    bool stopping;
    bool connected;
    char *driver; /* set once, with the first connection */
    /* Over which commands go.  Driver "test": a reference to the query thread's own, which owns the
     * domains; others: opened by the first command that needs it. */
    virConnectPtr command_connection;
    struct error last_error; /* why there is no connection */
    struct start *starts;    /* domains that are made and do not run yet */
};

/* events.c */

/** The event loop runs while somebody holds it.  Must be held before a connection is opened.
 * Returns 0 or -errno. */
int events_hold(struct error *ret_error);
void events_release(void);

/* start.c */

/** True while the domain is being started by us, and is paused for that alone. */
bool start_is_at_work(struct hypervisor *hypervisor, const char *uuid);

/* query.c */

/** The query thread; `cookie` is the struct hypervisor. */
void *query_thread(void *cookie);

/* connection.c */

/** Opens `uri` with keepalive.  Returns 0 or -ENOTCONN. */
int connection_open(const char *uri, virConnectPtr *ret_connection, struct error *ret_error);

/** True while calls over it can work.  Asks nobody. */
bool connection_alive(virConnectPtr connection);

/** The events of one connection go to `queue`, and its loss. */
#define CONNECTION_EVENTS 12
struct connection_watch {
    int callbacks[CONNECTION_EVENTS]; /* -1: the driver has no such event */
    bool close_callback;
};
void connection_watch(virConnectPtr connection, struct queue *queue,
                      struct connection_watch *ret_watch);
void connection_unwatch(virConnectPtr connection, const struct connection_watch *watch);

/** Puts libvirt's last error of this thread into words: WHAT + ": " + libvirt's + (if not NULL) ";
 * " + advice.  Returns -ENOTCONN when `connection` (may be NULL) is dead, -ENODEV, -ETIMEDOUT or
 * -EIO. */
int connection_error(virConnectPtr connection, struct error *ret_error, const char *advice,
                     const char *what, ...) PRINTF(4, 5);

/* reading.c */

enum reading {
    READING_DONE,
    READING_GONE,   /* there is no such domain */
    READING_FAILED, /* libvirt could not say: what was known before stays */
};

/** `READING_REDEFINED`: its definition is to be fetched again, even if it seems to be the old one.
 * `READING_LATE`: changes may have happened any time ago, so a new start has no known time.
 * `READING_STARTING`: if it is paused, that is a part of its start. */
enum reading_flags { READING_REDEFINED = 1, READING_LATE = 2, READING_STARTING = 4 };

/**
 * Reads the domain that `handle` names.  `previous` (may be NULL) is how it was before: what can't
 * have changed since is taken from it, and it is itself the answer when nothing has.
 */
enum reading reading_domain(virDomainPtr handle, struct domain *previous, unsigned flags,
                            struct domain **ret_domain);

/** The same, found by its uuid. */
enum reading reading_look(virConnectPtr connection, const char *uuid, struct domain *previous,
                          unsigned flags, struct domain **ret_domain);

/** How Qubes calls a domain of this id and libvirt state and reason. */
enum domain_state reading_state(int id, int state, int reason);

/* definition.c */

#define DEFINITION_MARK_URI "https://qubesfs.org/domain/1"

/** True if the definition bears our mark in its <metadata>. */
bool definition_marked(const char *xml);

/** Puts our mark into the definition, and `uuid` (if not NULL) in place of its own; the result is
 * to be freed.  Returns 0, -EINVAL or -ENOMEM. */
int definition_finish(const char *xml, const char *uuid, char **ret_xml, struct error *ret_error);

/** The name in the definition, to be freed; NULL if there is none. */
char *definition_name(const char *xml);

/** Parses a definition or template; `source` is its name for errors.  0, -EINVAL or -ENOMEM. */
int definition_parse(const char *xml, size_t length, const char *source, xmlDoc **ret_document,
                     struct error *ret_error);
int definition_print(xmlDoc *document, char **ret_xml, struct error *ret_error);
/** Puts our mark in.  0 or -ENOMEM. */
int definition_mark(xmlNode *root);
void definition_free(xmlDoc **document);

/* make.c */

/** hypervisor_definition without a hypervisor. */
int definition_make(const char *driver, const char *templates, const struct definition *definition,
                    char **ret_xml, struct error *ret_error);

/* template.c */

/** The first variable with that name counts. */
struct template_variable {
    const char *name;
    const char *value; /* NULL or "": not set */
};

/** A list for q:each: one row a repetition, each of `column_count` variables. */
struct template_list {
    const char *name;
    const struct template_variable *cells; /* row by row */
    size_t row_count, column_count;
};

/** Carries out the directives below `root` and takes them out.  `source` is the file's name for
 * errors. Returns 0, -EINVAL or -ENOMEM. */
/* disks.c */
/** The disks in a definition; 0 or -ENOMEM.  What is no XML has none. */
int disks_read(const char *xml, struct domain_disk **ret_disks, size_t *ret_count);
void disks_free(struct domain_disk *disks, size_t count);

int template_fill(xmlNode *root, const char *source, const struct template_variable *variables,
                  size_t variable_count, const struct template_list *lists, size_t list_count,
                  struct error *ret_error);

/* templates.c */

/** The built-in template of that file name ("qemu.xml"), or NULL. */
const char *templates_builtin(const char *file, size_t *ret_length);

#endif
