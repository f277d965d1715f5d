/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting a domain: defined only now if it is ours, and never half-made when it fails. */
#include <errno.h>
#include <string.h>

#include "command.h"
#include "qubesfs/log.h"

static int check_start(const struct command *command)
{
    if (command->active)
        return command_refuse(command, -EALREADY, "runs already");
    return 0;
}

/* Takes back a definition that a failed start made. */
static void undefine_again(struct command *command)
{
    if (virDomainIsActive(command->domain) == 0 &&
        virDomainUndefineFlags(command->domain, VIR_DOMAIN_UNDEFINE_NVRAM) < 0 &&
        virDomainUndefine(command->domain) < 0)
        log_warning("%s can't be undefined after its start failed: %s", command->key->name,
                    virGetLastErrorMessage());
}

/* Whether the command's domain is ours to define (again).  Returns 0 or -1 with libvirt's error. */
static int whose(const struct command *command, bool *ret_ours)
{
    char *xml;

    *ret_ours = true;
    if (!command->domain)
        return 0;
    xml = virDomainGetXMLDesc(command->domain, VIR_DOMAIN_XML_INACTIVE);
    if (!xml)
        return -1;
    *ret_ours = definition_marked(xml);
    free(xml);
    return 0;
}

/* Defines the domain of `xml`, over the one that is there. */
static int define(struct command *command, const char *xml)
{
    char *name = definition_name(xml);
    virDomainPtr defined;

    /* libvirt can't rename by defining: ours of another name makes room */
    if (command->domain && name && strcmp(name, virDomainGetName(command->domain)) != 0 &&
        virDomainUndefine(command->domain) < 0) {
        free(name);
        return -1;
    }
    free(name);
    defined = virDomainDefineXML(command->connection, xml);
    if (!defined)
        return -1;
    command_adopt(command, defined);
    return 0;
}

/* A domain that is paused only until we have done what its start wants; on the stack of who starts it. */
struct start {
    struct start *next;
    char uuid[VIR_UUID_STRING_BUFLEN];
};

bool start_is_at_work(struct hypervisor *hypervisor, const char *uuid)
{
    const struct start *start;

    LOCK_SCOPE(&hypervisor->lock);
    for (start = hypervisor->starts; start && strcmp(start->uuid, uuid) != 0;)
        start = start->next;
    return start != NULL;
}

static void note_start(struct hypervisor *hypervisor, struct start *start)
{
    LOCK_SCOPE(&hypervisor->lock);
    start->next = hypervisor->starts;
    hypervisor->starts = start;
}

static void forget_start(struct hypervisor *hypervisor, struct start *start)
{
    struct start **place;

    LOCK_SCOPE(&hypervisor->lock);
    for (place = &hypervisor->starts; *place != start;)
        place = &(*place)->next;
    *place = start->next;
}

/* Makes it, has done with it what is to be done, lets it run.  Returns 0, or -1 with the failure noted. */
static int create_paused(struct command *command, unsigned flags)
{
    const struct hypervisor_created *created = command->created;

    if (virDomainCreateWithFlags(command->domain, flags) < 0) {
        command_note_failure(command);
        return -1;
    }
    if (created->created(created->cookie, virDomainGetID(command->domain), &command->failure) == 0) {
        if (!flags || virDomainResume(command->domain) == 0)
            return 0;
        command_note_failure(command);
    }
    if (virDomainDestroy(command->domain) < 0)
        log_warning("%s can't be ended after its start failed: %s", command->key->name,
                    virGetLastErrorMessage());
    return -1;
}

/* The embedded test driver makes no domain paused. */
static int create(struct command *command)
{
    bool test = strcasecmp(command->hypervisor->driver, "test") == 0;
    struct start start;
    int result;

    if (!command->created) {
        result = virDomainCreate(command->domain);
        if (result < 0)
            command_note_failure(command);
        return result;
    }
    if (virDomainGetUUIDString(command->domain, start.uuid) < 0) {
        command_note_failure(command);
        return -1;
    }
    note_start(command->hypervisor, &start);
    result = create_paused(command, test ? 0 : VIR_DOMAIN_START_PAUSED);
    forget_start(command->hypervisor, &start);
    return result;
}

/* Defines (if it is ours to do) and starts the domain.  Returns 0 or -1.  `ret_again`: somebody
 * else defined it meanwhile. */
static int define_and_start(struct command *command, bool *ret_again)
{
    char uuid[VIR_UUID_STRING_BUFLEN], *xml CLEANUP_FREE = NULL;
    bool anew = command->domain == NULL, ours;

    *ret_again = false;
    if (whose(command, &ours) < 0)
        return -1;
    if (ours && !command->xml) {
        error_set(
            &command->failure, -ENODEV,
            "%s can't be started: its definition was changed by somebody else meanwhile; try again",
            command->key->name);
        return -1;
    }
    if (!anew && virDomainGetUUIDString(command->domain, uuid) < 0)
        return -1;
    if (ours && definition_finish(command->xml, anew ? NULL : uuid, &xml, &command->failure) < 0)
        return -1;
    if (ours && define(command, xml) < 0) {
        command_note_failure(command);
        *ret_again = anew && command_find(command) == 0 && command->domain;
        return -1;
    }
    if (create(command) == 0)
        return 0;
    if (anew)
        undefine_again(command);
    return -1;
}

static int act_start(struct command *command)
{
    bool again;
    int result = define_and_start(command, &again);

    return result < 0 && again ? define_and_start(command, &again) : result;
}

int hypervisor_start_domain(struct hypervisor *hypervisor, const struct domain_key *key,
                            const char *xml, const struct hypervisor_created *created,
                            struct error *ret_error)
{
    static const struct command_kind kind = {"started", NULL, check_start, act_start};
    char *finished CLEANUP_FREE = NULL;
    int result = xml ? definition_finish(xml, NULL, &finished, ret_error) : 0;

    if (result < 0)
        return result;
    return command_run_start(hypervisor, key, finished, created, &kind, ret_error);
}
