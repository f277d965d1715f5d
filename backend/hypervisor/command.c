/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands, on the caller's thread.
 *
 * libvirtd serves a handful of calls of one client at a time, so commands that hang would starve
 * the queries: they have a connection of their own.  (The embedded test driver's domains live in
 * the connection itself, so there they share the query thread's.)
 *
 * Each is a check and an act.  When the act fails because somebody else was faster, the check, made
 * again, says so better than libvirt's words would.
 */
#include <errno.h>
#include <string.h>

#include "command.h"
#include "qubesfs/log.h"

#define TOLD_SECONDS 5

int command_refuse(const struct command *command, int code, const char *why)
{
    return error_set(command->ret_error, code, "%s %s", command->key->name, why);
}

/* Hands out a reference to the commands' connection, opening it if need be. */
static int open_connection(struct hypervisor *hypervisor, virConnectPtr *ret_connection,
                           struct error *ret_error)
{
    virConnectPtr connection = NULL, dead = NULL, spare = NULL;
    struct error why;
    bool openable;
    int result;

    /* virConnectRef and virConnectIsAlive ask nobody: allowed under the lock */
    pthread_mutex_lock(&hypervisor->lock);
    if (hypervisor->command_connection && !connection_alive(hypervisor->command_connection)) {
        dead = hypervisor->command_connection;
        hypervisor->command_connection = NULL;
    }
    connection = hypervisor->command_connection;
    if (connection)
        virConnectRef(connection);
    openable = hypervisor->driver && strcasecmp(hypervisor->driver, "test") != 0;
    why = hypervisor->last_error;
    pthread_mutex_unlock(&hypervisor->lock);
    if (dead)
        virConnectClose(dead);
    if (!connection && !openable)
        return error_set(ret_error, -ENOTCONN, "%s", why.text);
    if (!connection) {
        result = connection_open(hypervisor->uri, &connection, ret_error);
        if (result < 0)
            return result;
        pthread_mutex_lock(&hypervisor->lock);
        if (hypervisor->command_connection) { /* another caller was faster */
            spare = connection;
            connection = hypervisor->command_connection;
        } else {
            hypervisor->command_connection = connection;
        }
        virConnectRef(connection);
        pthread_mutex_unlock(&hypervisor->lock);
        if (spare)
            virConnectClose(spare);
    }
    *ret_connection = connection;
    return 0;
}

static bool no_such_domain(void)
{
    const virError *error = virGetLastError();

    return error && error->code == VIR_ERR_NO_DOMAIN;
}

void command_adopt(struct command *command, virDomainPtr domain)
{
    if (command->domain)
        virDomainFree(command->domain);
    command->domain = domain;
    if (domain)
        virDomainGetUUIDString(domain, command->uuid);
}

int command_find(struct command *command)
{
    const struct domain_key *key = command->key;
    virDomainPtr domain = NULL;

    if (key->uuid && *key->uuid) {
        domain = virDomainLookupByUUIDString(command->connection, key->uuid);
        if (!domain && !no_such_domain())
            return -1;
    }
    if (!domain) {
        domain = virDomainLookupByName(command->connection, key->name);
        if (!domain && !no_such_domain())
            return -1;
    }
    command_adopt(command, domain);
    return 0;
}

/* How the domain is at this moment.  Returns 0, or -1 with libvirt's error. */
static int read_state(struct command *command)
{
    virDomainInfo info;
    int active;

    command->active = false;
    command->state = VIR_DOMAIN_SHUTOFF;
    if (!command->domain)
        return 0;
    active = virDomainIsActive(command->domain);
    if (active < 0 || virDomainGetInfo(command->domain, &info) < 0) {
        if (!no_such_domain())
            return -1;
        command_adopt(command, NULL);
        return 0;
    }
    command->active = active;
    command->state = info.state;
    return 0;
}

static void let_go(struct command *command)
{
    command_adopt(command, NULL);
    if (command->connection)
        virConnectClose(command->connection);
    command->connection = NULL;
}

/* Connects, finds the domain and its state.  A connection that turns out to be dead at this first,
 * harmless call is opened again once. */
static int prepare(struct command *command)
{
    int result = 0;

    for (int try = 0; try < 2; try++) {
        result = open_connection(command->hypervisor, &command->connection, command->ret_error);
        if (result < 0)
            return result;
        if (command_find(command) == 0 && read_state(command) == 0)
            return 0;
        result = connection_error(command->connection, command->ret_error, NULL,
                                  "%s can't be looked up", command->key->name);
        let_go(command);
        if (result != -ENOTCONN)
            break;
    }
    return result;
}

static bool enter(struct hypervisor *hypervisor)
{
    LOCK_SCOPE(&hypervisor->lock);
    if (hypervisor->stopping)
        return false;
    hypervisor->commands++;
    return true;
}

static void leave(struct hypervisor *hypervisor)
{
    LOCK_SCOPE(&hypervisor->lock);
    if (--hypervisor->commands == 0)
        pthread_cond_broadcast(&hypervisor->idle);
}

/* Has the query thread look at the domain, and waits until that is told. */
static void have_it_told(const struct command *command)
{
    struct queue *queue = command->hypervisor->queue;
    const char *uuid = *command->uuid ? command->uuid : command->key->uuid;

    if (uuid && strlen(uuid) == VIR_UUID_STRING_BUFLEN - 1)
        queue_wait(queue, queue_look(queue, uuid, command->xml != NULL), TOLD_SECONDS);
}

void command_note_failure(struct command *command)
{
    connection_error(command->connection, &command->failure, command->kind->advice,
                     "%s can't be %s", command->key->name, command->kind->failed);
}

/* The act of a domain whose check was passed. */
static int act(struct command *command)
{
    if (command->kind->act(command) == 0)
        return 0;
    if (command->failure.code == 0)
        command_note_failure(command);
    if (command->failure.code != -ENOTCONN && read_state(command) == 0 &&
        command->kind->check(command) < 0)
        return command->ret_error->code;
    *command->ret_error = command->failure;
    return command->failure.code;
}

int command_run(struct hypervisor *hypervisor, const struct domain_key *key, const char *xml,
                const struct command_kind *kind, struct error *ret_error)
{
    return command_run_start(hypervisor, key, xml, NULL, kind, ret_error);
}

int command_run_start(struct hypervisor *hypervisor, const struct domain_key *key, const char *xml,
                      const struct hypervisor_created *created, const struct command_kind *kind,
                      struct error *ret_error)
{
    struct command command = {
        .hypervisor = hypervisor, .key = key, .xml = xml, .created = created, .kind = kind};
    struct error unwanted = {0};
    int result;

    command.ret_error = ret_error ? ret_error : &unwanted;
    if (!enter(hypervisor))
        return error_set(ret_error, -ENOTCONN, "%s can't be %s: the program ends", key->name,
                         kind->failed);
    result = prepare(&command);
    if (result == 0) {
        result = kind->check(&command);
        if (result == 0)
            result = act(&command);
        have_it_told(&command);
        let_go(&command);
    }
    leave(hypervisor);
    return result;
}
