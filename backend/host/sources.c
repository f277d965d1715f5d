/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What catalogue and hypervisor tell becomes messages to the host's thread. */
#include <errno.h>
#include <string.h>

#include "edits.h"
#include "qubesfs/log.h"

struct source_message {
    struct message message;
    const struct catalogue *catalogue;
    struct domain **domains; /* one reference each */
    size_t domain_count;
    char uuid[37];
    struct error error;
};

static void post(struct host *host, struct source_message *message,
                 void (*apply)(struct host *host, struct message *message))
{
    message->message.apply = apply;
    host_post(host, &message->message);
}

static struct source_message *message_new(void)
{
    struct source_message *message = calloc(1, sizeof(*message));

    if (!message)
        log_error("out of memory: a change waits for the next look");
    return message;
}

/* A new catalogue may change what any VM would be defined from. */
static void all_dirty(struct host *host)
{
    for (size_t i = 0; i < host->record_count; i++)
        host->records[i]->dirty = true;
}

static void apply_catalogue(struct host *host, struct message *message)
{
    const struct catalogue *catalogue = ((struct source_message *)message)->catalogue;

    if (records_join(host, catalogue)) {
        log_error("out of memory: the new catalogue is not shown");
        catalogue_unref(catalogue);
        return;
    }
    if (host->catalogue)
        catalogue_unref(host->catalogue);
    host->catalogue = catalogue;
    host->catalogue_changed = true;
    domains_match_all(host);
    all_dirty(host);
    /* the first time nobody waits yet; later a disk that hangs must not hold this thread: the
     * worker posts what it finds */
    for (size_t i = 0; i < host->record_count && !host->running; i++) {
        struct record *record = host->records[i];

        if (!record->vm && record->entry)
            record->usage = usage_measure(host, catalogue, record->entry);
    }
    host->measure_next = host->running;
    report_apply(host, 0, "catalogue", NULL);
}

static void apply_broken(struct host *host, struct message *message)
{
    report_apply(host, 0, "catalogue", &((struct source_message *)message)->error);
}

static void catalogue_loaded(void *cookie, const struct catalogue *catalogue)
{
    struct source_message *message = message_new();

    if (!message)
        return;
    message->catalogue = catalogue_ref(catalogue);
    post(cookie, message, apply_catalogue);
}

static void catalogue_broken(void *cookie, const struct error *error)
{
    struct source_message *message = message_new();

    if (!message)
        return;
    message->error = *error;
    post(cookie, message, apply_broken);
}

static void apply_all(struct host *host, struct message *message)
{
    struct source_message *all = (struct source_message *)message;

    if (!host->connected)
        host_journal_add(host, "hypervisor connected");
    host->connected = true;
    domains_clear(host);
    for (size_t i = 0; i < all->domain_count; i++) {
        domains_set(host, all->domains[i]);
        domain_unref(all->domains[i]);
    }
    free(all->domains);
    domains_match_all(host);
    all_dirty(host);
    report_apply(host, 0, "hypervisor", NULL);
    /* definitions that could not follow while it did not answer */
    if (host->running)
        edits_redo_renames(host);
}

static void hypervisor_all(void *cookie, struct domain *const *domains, size_t count)
{
    struct source_message *message = message_new();

    if (message)
        message->domains = calloc(count + 1, sizeof(struct domain *));
    if (!message || !message->domains) {
        free(message);
        return;
    }
    for (size_t i = 0; i < count; i++)
        message->domains[i] = domain_ref(domains[i]);
    message->domain_count = count;
    post(cookie, message, apply_all);
}

static void apply_domain(struct host *host, struct message *message)
{
    struct source_message *one = (struct source_message *)message;

    domains_update(host, one->domains[0]);
    domain_unref(one->domains[0]);
    free(one->domains);
}

static void hypervisor_changed(void *cookie, struct domain *domain)
{
    struct source_message *message = message_new();

    if (message)
        message->domains = calloc(1, sizeof(struct domain *));
    if (!message || !message->domains) {
        free(message);
        return;
    }
    message->domains[0] = domain_ref(domain);
    post(cookie, message, apply_domain);
}

static void apply_gone(struct host *host, struct message *message)
{
    domains_remove(host, ((struct source_message *)message)->uuid);
    domains_match_all(host);
}

static void hypervisor_gone(void *cookie, const char *uuid)
{
    struct source_message *message = message_new();

    if (!message)
        return;
    strncpy(message->uuid, uuid, sizeof(message->uuid) - 1);
    post(cookie, message, apply_gone);
}

static void apply_disconnected(struct host *host, struct message *message)
{
    host->connected = false;
    host_journal_add(host, "hypervisor disconnected");
    all_dirty(host);
    report_apply(host, 0, "hypervisor", &((struct source_message *)message)->error);
}

static void hypervisor_disconnected(void *cookie, const struct error *error)
{
    struct source_message *message = message_new();

    if (!message)
        return;
    message->error = *error;
    post(cookie, message, apply_disconnected);
}

int sources_start(struct host *host, bool catalogue_required, struct error *ret_error)
{
    const struct hypervisor_listener listener = {host, hypervisor_all, hypervisor_changed,
                                                 hypervisor_gone, hypervisor_disconnected};
    struct source_message *message = message_new();
    struct error error;
    int result;

    if (!message)
        return -ENOMEM;
    result = catalogue_load(host->catalogue_path, 10, NULL, &message->catalogue, &error);
    if (result == 0) {
        post(host, message, apply_catalogue);
    } else if (result == -ENOENT && !catalogue_required) {
        /* a host that is still to get one: dom0 alone, and `error` says why */
        message->error = error;
        post(host, message, apply_broken);
        if (records_join(host, NULL))
            return -ENOMEM;
    } else {
        free(message);
        *ret_error = error;
        return result;
    }
    result = host->connect ? hypervisor_start(host->connect, host->templates, 3, &listener,
                                              &host->hypervisor, ret_error)
                           : 0;
    if (result)
        return result;
    result = devices_follow(host);
    return result ? error_set(ret_error, result, "devices cannot be followed: %s",
                              strerror(-result))
                  : 0;
}

int sources_follow(struct host *host)
{
    const struct catalogue_listener listener = {host, catalogue_loaded, catalogue_broken};

    return catalogue_watch_start(host->catalogue_path, host->catalogue, &listener, &host->watch);
}
