/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machinery of commands (command.c), for those who are one (start.c, control.c). */
#ifndef HYPERVISOR_COMMAND_H
#define HYPERVISOR_COMMAND_H

#include "room.h"

struct command;

/** What it does. */
struct command_kind {
    const char *failed;                          /* "%s can't be " this */
    const char *advice;                          /* or NULL */
    int (*check)(const struct command *command); /* 0 or the refusal, in words */
    int (*act)(struct command *command);         /* libvirt's 0 or -1 */
};

/** One command being made. */
struct command {
    struct hypervisor *hypervisor;
    const struct domain_key *key;
    const char *xml; /* of a start */
    const struct hypervisor_created *created; /* of a start, or NULL */
    const struct command_kind *kind;
    struct error *ret_error; /* never NULL */
    struct error failure;    /* of the act; code 0: not noted */
    virConnectPtr connection;
    virDomainPtr domain; /* NULL: not in the hypervisor */
    bool active;
    int state;                         /* libvirt's */
    char uuid[VIR_UUID_STRING_BUFLEN]; /* of the last domain seen, gone by now or not; or "" */
};

/** Makes the command: connects, finds the domain, checks, acts, waits until the outcome is told. */
int command_run(struct hypervisor *hypervisor, const struct domain_key *key, const char *xml,
                const struct command_kind *kind, struct error *ret_error);
/** The same of a start, with what is done before the domain runs (or NULL). */
int command_run_start(struct hypervisor *hypervisor, const struct domain_key *key, const char *xml,
                      const struct hypervisor_created *created, const struct command_kind *kind,
                      struct error *ret_error);

/** Sets the error NAME + " " + why.  Returns `code`. */
int command_refuse(const struct command *command, int code, const char *why);

/** Notes libvirt's error of this moment as the one that the act failed with, before other calls
 * wipe it out. */
void command_note_failure(struct command *command);

/** Finds the command's domain (NULL: there is none).  Returns 0, or -1 with libvirt's error. */
int command_find(struct command *command);

/** Makes `domain` the command's, in place of the one before; its reference is taken. */
void command_adopt(struct command *command, virDomainPtr domain);

#endif
