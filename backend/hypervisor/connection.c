/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections: how they are opened, what is heard from them, how their errors read. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "qubesfs/log.h"
#include "qubesfs/text.h"
#include "room.h"

#define KEEPALIVE_SECONDS 5
#define KEEPALIVE_COUNT   5

int connection_open(const char *uri, virConnectPtr *ret_connection, struct error *ret_error)
{
    virConnectPtr connection = virConnectOpen(uri);

    if (!connection) {
        connection_error(NULL, ret_error, "is its daemon running? it is tried again by itself",
                         "the hypervisor can't be reached at %s", uri);
        if (ret_error)
            ret_error->code = -ENOTCONN;
        return -ENOTCONN;
    }
    /* drivers inside this process have nobody to ask for life signs */
    if (virConnectSetKeepAlive(connection, KEEPALIVE_SECONDS, KEEPALIVE_COUNT) < 0)
        log_debug("%s: no keepalive: %s", uri, virGetLastErrorMessage());
    *ret_connection = connection;
    return 0;
}

bool connection_alive(virConnectPtr connection)
{
    return virConnectIsAlive(connection) != 0; /* -1: the driver does not know */
}

static int code_of(virConnectPtr connection, const virError *error)
{
    if (connection && !connection_alive(connection))
        return -ENOTCONN;
    switch (error ? error->code : VIR_ERR_OK) {
    case VIR_ERR_NO_CONNECT:
    case VIR_ERR_INVALID_CONN:
        return -ENOTCONN;
    case VIR_ERR_NO_DOMAIN:
        return -ENODEV;
    case VIR_ERR_OPERATION_TIMEOUT:
        return -ETIMEDOUT;
    case VIR_ERR_NO_MEMORY:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

int connection_error(virConnectPtr connection, struct error *ret_error, const char *advice,
                     const char *what, ...)
{
    virErrorPtr error = virSaveLastError(); /* the next call to libvirt wipes it out */
    const char *words = error && error->message ? error->message : "libvirt gave no reason";
    struct text line CLEANUP_TEXT = TEXT_INIT;
    int code = code_of(connection, error);
    char subject[500];
    va_list arguments;

    va_start(arguments, what);
    vsnprintf(subject, sizeof(subject), what, arguments);
    va_end(arguments);
    if (code == -ENOTCONN && connection)
        advice = "the connection is made again by itself; then try again";
    text_printf(&line, "%s: %s", subject, words);
    if (advice)
        text_printf(&line, "; %s", advice);
    error_set(ret_error, code, "%s", text_status(&line) ? words : line.data);
    virFreeError(error);
    return code;
}

/* Callbacks know the queue only, so there is nothing to hand over between threads but through its
 * lock. */
static void post(void *cookie, virDomainPtr domain, bool redefined)
{
    char uuid[VIR_UUID_STRING_BUFLEN];

    if (virDomainGetUUIDString(domain, uuid) == 0) /* from the handle: asks nobody */
        queue_look(cookie, uuid, redefined);
}

static void let_go(void *cookie)
{
    queue_unref(cookie);
}

static void lost(virConnectPtr connection, int reason, void *cookie)
{
    (void)connection;
    log_debug("libvirt connection closed, reason %d", reason);
    queue_lost(cookie);
}

static int on_lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail,
                        void *cookie)
{
    (void)connection;
    log_debug("event of %s: lifecycle %d.%d", virDomainGetName(domain), event, detail);
    post(cookie, domain, event == VIR_DOMAIN_EVENT_DEFINED || event == VIR_DOMAIN_EVENT_UNDEFINED);
    return 0;
}

/* One for each list of arguments that libvirt's events have. */
static void on_event(virConnectPtr connection, virDomainPtr domain, void *cookie)
{
    (void)connection;
    post(cookie, domain, false);
}

static void on_pm(virConnectPtr connection, virDomainPtr domain, int reason, void *cookie)
{
    (void)reason;
    on_event(connection, domain, cookie);
}

static void on_balloon(virConnectPtr connection, virDomainPtr domain, unsigned long long actual,
                       void *cookie)
{
    (void)actual;
    on_event(connection, domain, cookie);
}

static void on_device(virConnectPtr connection, virDomainPtr domain, const char *alias,
                      void *cookie)
{
    (void)alias;
    on_event(connection, domain, cookie);
}

static void on_metadata(virConnectPtr connection, virDomainPtr domain, int type, const char *uri,
                        void *cookie)
{
    (void)connection, (void)type, (void)uri;
    post(cookie, domain, true);
}

static void on_disk(virConnectPtr connection, virDomainPtr domain, const char *old_path,
                    const char *new_path, const char *alias, int reason, void *cookie)
{
    (void)old_path, (void)new_path, (void)alias, (void)reason;
    on_event(connection, domain, cookie);
}

static void on_tray(virConnectPtr connection, virDomainPtr domain, const char *alias, int reason,
                    void *cookie)
{
    (void)alias, (void)reason;
    on_event(connection, domain, cookie);
}

static void on_tunable(virConnectPtr connection, virDomainPtr domain,
                       virTypedParameterPtr parameters, int count, void *cookie)
{
    (void)parameters, (void)count;
    on_event(connection, domain, cookie);
}

static const struct {
    int event;
    virConnectDomainEventGenericCallback callback; /* libvirt's own way to pass them all */
} events[CONNECTION_EVENTS] = {
    {VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle)},
    {VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK(on_event)},
    {VIR_DOMAIN_EVENT_ID_PMWAKEUP, VIR_DOMAIN_EVENT_CALLBACK(on_pm)},
    {VIR_DOMAIN_EVENT_ID_PMSUSPEND, VIR_DOMAIN_EVENT_CALLBACK(on_pm)},
    {VIR_DOMAIN_EVENT_ID_PMSUSPEND_DISK, VIR_DOMAIN_EVENT_CALLBACK(on_pm)},
    {VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_balloon)},
    {VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_device)},
    {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device)},
    {VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_metadata)},
    {VIR_DOMAIN_EVENT_ID_DISK_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_disk)},
    {VIR_DOMAIN_EVENT_ID_TRAY_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_tray)},
    {VIR_DOMAIN_EVENT_ID_TUNABLE, VIR_DOMAIN_EVENT_CALLBACK(on_tunable)},
};

void connection_watch(virConnectPtr connection, struct queue *queue,
                      struct connection_watch *ret_watch)
{
    /* Needs no reference: libvirt makes this callback under the lock that unregistering takes. (And
     * it would forget to let go of one where the driver knows no such callback.) */
    ret_watch->close_callback = virConnectRegisterCloseCallback(connection, lost, queue, NULL) == 0;
    for (size_t i = 0; i < CONNECTION_EVENTS; i++) {
        ret_watch->callbacks[i] = virConnectDomainEventRegisterAny(
            connection, NULL, events[i].event, events[i].callback, queue_ref(queue), let_go);
        if (ret_watch->callbacks[i] < 0)
            queue_unref(queue);
    }
    if (ret_watch->callbacks[0] < 0)
        log_warning("the hypervisor tells no events: changes show at the next sweep only");
}

void connection_unwatch(virConnectPtr connection, const struct connection_watch *watch)
{
    for (size_t i = 0; i < CONNECTION_EVENTS; i++)
        if (watch->callbacks[i] >= 0)
            virConnectDomainEventDeregisterAny(connection, watch->callbacks[i]);
    if (watch->close_callback)
        virConnectUnregisterCloseCallback(connection, lost);
}
