/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One libvirt domain read into a struct domain.
 *
 * libvirt has no call that tells id, state and definition at one moment.  Ids are never used again
 * (within any time that matters), so: id from the handle's lookup, then the state, then the live
 * definition, which names the id as well.  When both ids are the same, the state between them
 * belongs to it; when not, the domain stopped or rebooted meanwhile and is read again.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "room.h"

#define TRIES 5

enum domain_state reading_state(int id, int state, int reason)
{
    if (id < 0)
        return DOMAIN_HALTED;
    switch (state) {
    case VIR_DOMAIN_PAUSED:
        /* being started: nobody has paused it */
        return reason == VIR_DOMAIN_PAUSED_STARTING_UP ? DOMAIN_TRANSIENT : DOMAIN_PAUSED;
    case VIR_DOMAIN_PMSUSPENDED:
        return DOMAIN_SUSPENDED;
    case VIR_DOMAIN_CRASHED:
        return DOMAIN_CRASHED;
    case VIR_DOMAIN_SHUTDOWN:
        return DOMAIN_HALTING;
    case VIR_DOMAIN_SHUTOFF:
        return DOMAIN_DYING;
    default:
        return DOMAIN_RUNNING;
    }
}

static enum reading failure(void)
{
    const virError *error = virGetLastError();

    return error && error->code == VIR_ERR_NO_DOMAIN ? READING_GONE : READING_FAILED;
}

/* The id in <domain ... id='7'>; -1 if it has none. */
static int id_in(const char *xml)
{
    const char *start = strstr(xml, "<domain "), *end = start ? strchr(start, '>') : NULL;
    const char *id = start ? strstr(start, " id=") : NULL;

    return id && end && id < end && strlen(id) > 5 ? atoi(id + 5) : -1;
}

/* True if the domain stands still exactly as it was, which its handle alone can tell. */
static bool still_halted(virDomainPtr handle, const struct domain *previous, unsigned flags)
{
    return previous && previous->id < 0 && !(flags & READING_REDEFINED) &&
           (int)virDomainGetID(handle) < 0 && strcmp(previous->name, virDomainGetName(handle)) == 0;
}

static int64_t start_time(int id, const struct domain *previous, unsigned flags)
{
    if (id < 0)
        return 0;
    if (previous && previous->id == id)
        return previous->start_time;
    return flags & READING_LATE ? 0 : time(NULL);
}

/* Fetches what libvirt must be asked for.  `ret_torn`: id and state may be of two moments;
 * `ret_starting`: its processors have not run yet. */
static enum reading fetch(virDomainPtr handle, struct domain *domain, bool *ret_torn,
                          bool *ret_starting)
{
    int persistent, state, reason = 0;
    virDomainInfo info;

    domain->id = (int)virDomainGetID(handle);
    if (virDomainGetInfo(handle, &info) < 0)
        return failure();
    state = info.state;
    if (state == VIR_DOMAIN_PAUSED && virDomainGetState(handle, &state, &reason, 0) < 0)
        return failure();
    persistent = virDomainIsPersistent(handle);
    if (persistent < 0)
        return failure();
    domain->xml = virDomainGetXMLDesc(handle, domain->id < 0 ? VIR_DOMAIN_XML_INACTIVE : 0);
    if (!domain->xml)
        return failure();
    *ret_torn = domain->id >= 0 && id_in(domain->xml) != domain->id;
    domain->state = reading_state(domain->id, state, reason);
    *ret_starting =
        domain->id >= 0 && state == VIR_DOMAIN_PAUSED &&
        (reason == VIR_DOMAIN_PAUSED_STARTING_UP || reason == VIR_DOMAIN_PAUSED_UNKNOWN);
    domain->persistent = persistent;
    domain->cpu_time_ns = domain->id < 0 ? 0 : info.cpuTime;
    domain->memory_kib = info.memory;
    domain->max_memory_kib = info.maxMem;
    domain->vcpus = info.nrVirtCpu;
    domain->managed = definition_marked(domain->xml);
    return READING_DONE;
}

static enum reading read_once(virDomainPtr handle, struct domain *previous, unsigned flags,
                              struct domain **ret_domain, bool *ret_torn)
{
    struct domain *domain;
    bool starting = false;
    enum reading result;

    *ret_torn = false;
    if (still_halted(handle, previous, flags)) {
        *ret_domain = domain_ref(previous);
        return READING_DONE;
    }
    domain = calloc(1, sizeof(*domain));
    if (!domain)
        return READING_FAILED;
    domain->references = 1;
    domain->name = strdup(virDomainGetName(handle));
    if (!domain->name || virDomainGetUUIDString(handle, domain->uuid) < 0) {
        domain_unref(domain);
        return READING_FAILED;
    }
    result = fetch(handle, domain, ret_torn, &starting);
    if (result != READING_DONE) {
        domain_unref(domain);
        return result;
    }
    /* QEMU starts with its processors stopped, which nobody meant as a pause: the domain is shown
     * once it runs, as its Started event will tell; one found so by a sweep is shown as it is */
    if ((flags & READING_STARTING && domain->state == DOMAIN_PAUSED) ||
        (starting && !(flags & READING_LATE) && (!previous || previous->id < 0))) {
        domain->id = -1;
        domain->state = DOMAIN_HALTED;
        domain->cpu_time_ns = 0;
        /* as of a halted one too, which is not read again if the start fails */
        free(domain->xml);
        domain->xml = virDomainGetXMLDesc(handle, VIR_DOMAIN_XML_INACTIVE);
        if (!domain->xml) {
            domain_unref(domain);
            return failure();
        }
        *ret_torn = false;
    }
    domain->start_time = start_time(domain->id, previous, flags);
    /* what a start of ours would define is made from the template, not from what was */
    if (domain->id < 0 && domain->managed) {
        free(domain->xml);
        domain->xml = NULL;
    }
    if (previous && domain->cpu_time_ns == previous->cpu_time_ns &&
        domain_equal(domain, previous)) {
        domain_unref(domain);
        domain = domain_ref(previous);
    } else if (domain->id >= 0 && disks_read(domain->xml, &domain->disks, &domain->disk_count)) {
        domain_unref(domain);
        return READING_FAILED;
    }
    *ret_domain = domain;
    return READING_DONE;
}

enum reading reading_look(virConnectPtr connection, const char *uuid, struct domain *previous,
                          unsigned flags, struct domain **ret_domain)
{
    struct domain *domain = NULL;
    enum reading result;
    bool torn = false;

    for (int try = 0; try < TRIES; try++) {
        virDomainPtr handle = virDomainLookupByUUIDString(connection, uuid);

        if (!handle) {
            result = failure();
            domain_unref(domain);
            return result;
        }
        domain_unref(domain);
        domain = NULL;
        result = read_once(handle, previous, flags, &domain, &torn);
        virDomainFree(handle);
        /* gone between two calls: the next lookup knows, it may be there again */
        if (result == READING_DONE && !torn)
            break;
    }
    if (result == READING_DONE)
        *ret_domain = domain;
    return result;
}

enum reading reading_domain(virDomainPtr handle, struct domain *previous, unsigned flags,
                            struct domain **ret_domain)
{
    char uuid[VIR_UUID_STRING_BUFLEN];
    enum reading result;
    bool torn;

    result = read_once(handle, previous, flags, ret_domain, &torn);
    if (result == READING_FAILED || (result == READING_DONE && !torn))
        return result;
    if (result == READING_DONE)
        domain_unref(*ret_domain);
    if (virDomainGetUUIDString(handle, uuid) < 0)
        return READING_FAILED;
    return reading_look(virDomainGetConnect(handle), uuid, previous, flags, ret_domain);
}
