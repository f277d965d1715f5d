/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plan: its lists, its passphrase. */
#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "making.h"
#include "qubesfs/clock.h"
#include "qubesfs/text.h"

#define PASSPHRASE_MAX 1024

int plan_new(struct backup_service *service, const char *name, struct backup_plan **ret_plan)
{
    struct backup_plan *plan = calloc(1, sizeof(*plan));

    if (!plan)
        return -ENOMEM;
    plan->service = service;
    pthread_mutex_init(&plan->lock, NULL);
    plan->name = strdup(name);
    for (int i = 0; i < 2; i++) {
        plan->lists[i] = strdup("");
        plan->list_changed[i] = clock_wall_unique();
    }
    for (enum backup_option option = 0; option < BACKUP_OPTION_COUNT; option++)
        plan->word_changed[option] = plan->list_changed[1];
    plan->error_changed = plan->list_changed[1];
    if (!plan->name || !plan->lists[0] || !plan->lists[1] || status_init(plan)) {
        plan_free(plan);
        return -ENOMEM;
    }
    *ret_plan = plan;
    return 0;
}

void plan_free(struct backup_plan *plan)
{
    if (!plan)
        return;
    making_free(plan->kept);
    kept_forget_gone(plan);
    secret_unref(plan->passphrase);
    reports_free(plan->reports);
    free(plan->lists[0]);
    free(plan->lists[1]);
    free(plan->status_text);
    free(plan->outcome);
    free(plan->name);
    pthread_mutex_destroy(&plan->lock);
    free(plan);
}

/* A name as Qubes allows it. */
static bool name_valid(const char *untrusted_name, size_t length)
{
    if (length == 0 || length > VM_NAME_MAX || !isalpha((unsigned char)untrusted_name[0]))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)untrusted_name[i]) &&
            (untrusted_name[i] == '\0' || !strchr("_.-", untrusted_name[i])))
            return false;
    return true;
}

static bool listed(const struct text *list, const char *name, size_t length)
{
    const char *at = list->data, *end;

    for (; at && *at; at = end + 1) {
        end = strchr(at, '\n');
        if ((size_t)(end - at) == length && memcmp(at, name, length) == 0)
            return true;
    }
    return false;
}

int backup_list_set(struct backup_plan *plan, enum backup_list list, const char *untrusted_text,
                    size_t length, struct error *ret_error)
{
    struct text names CLEANUP_TEXT = TEXT_INIT;
    char *taken, *old;
    size_t line;
    int result;
    bool changed;

    for (size_t at = 0; at < length; at += line + 1) {
        const char *end = memchr(untrusted_text + at, '\n', length - at);

        line = end ? (size_t)(end - untrusted_text) - at : length - at;
        if (line == 0)
            continue;
        if (!name_valid(untrusted_text + at, line))
            return error_set(ret_error, -EINVAL,
                             "\"%.*s\" is no VM's name: write names of VMs, one a line",
                             line < 100 ? (int)line : 100, untrusted_text + at);
        if (listed(&names, untrusted_text + at, line))
            continue;
        text_append(&names, untrusted_text + at, line);
        text_string(&names, "\n");
    }
    result = text_take(&names, &taken, NULL);
    if (result < 0)
        return error_set(ret_error, result, "out of memory");
    pthread_mutex_lock(&plan->lock);
    old = plan->lists[list];
    plan->lists[list] = taken;
    changed = strcmp(old, taken) != 0;
    if (changed)
        plan->list_changed[list] = clock_wall_unique();
    pthread_mutex_unlock(&plan->lock);
    free(old);
    if (changed)
        plan_save(plan);
    return 0;
}

/* The list with the new name in place of the old, which is there; NULL: out of memory. */
static char *renamed_list(const char *list, const char *old_name, const char *new_name)
{
    struct text names CLEANUP_TEXT = TEXT_INIT;
    char *result = NULL;

    for (const char *at = list; *at;) {
        size_t length = strcspn(at, "\n");

        if (length == strlen(old_name) && memcmp(at, old_name, length) == 0)
            text_string(&names, new_name);
        else
            text_append(&names, at, length);
        text_string(&names, "\n");
        at += length + (at[length] == '\n');
    }
    return text_take(&names, &result, NULL) ? NULL : result;
}

static void rename_in(struct backup_plan *plan, enum backup_list list, const char *old_name,
                      const char *new_name)
{
    const struct backup_listener *listener = &plan->service->listener;
    struct text there = {0};
    char *renamed = NULL;

    pthread_mutex_lock(&plan->lock);
    there.data = plan->lists[list];
    if (listed(&there, old_name, strlen(old_name)))
        renamed = renamed_list(plan->lists[list], old_name, new_name);
    if (renamed) {
        free(plan->lists[list]);
        plan->lists[list] = renamed;
        plan->list_changed[list] = clock_wall_unique();
    }
    pthread_mutex_unlock(&plan->lock);
    if (!renamed)
        return;
    plan_save(plan);
    if (listener->file_changed)
        listener->file_changed(listener->cookie, plan,
                               list == BACKUP_INCLUDE ? "include" : "exclude");
}

void backup_vm_renamed(struct backup_service *service, const char *old_name, const char *new_name)
{
    struct backup_plan **plans CLEANUP_FREE = NULL;
    size_t count;

    if (backup_plan_list(service, &plans, &count))
        return;
    for (size_t i = 0; i < count; i++)
        for (enum backup_list list = BACKUP_INCLUDE; list <= BACKUP_EXCLUDE; list++)
            rename_in(plans[i], list, old_name, new_name);
}

int backup_list_get(struct backup_plan *plan, enum backup_list list, char **ret_text)
{
    LOCK_SCOPE(&plan->lock);
    *ret_text = strdup(plan->lists[list]);
    return *ret_text ? 0 : -ENOMEM;
}

struct timespec backup_list_time(struct backup_plan *plan, enum backup_list list)
{
    LOCK_SCOPE(&plan->lock);
    return plan->list_changed[list];
}

/* Qubes' tools type the passphrase into a terminal, which eats control characters. */
static bool has_control_characters(const unsigned char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i] < 0x20 || bytes[i] == 0x7f ||
            (bytes[i] == 0xc2 && i + 1 < length && bytes[i + 1] < 0xa0))
            return true;
    return false;
}

bool plan_same_secret(const struct secret *a, const struct secret *b)
{
    return a && b && secret_length(a) == secret_length(b) &&
           CRYPTO_memcmp(secret_data(a), secret_data(b), secret_length(a)) == 0;
}

int backup_passphrase_set(struct backup_plan *plan, const char *untrusted_secret, size_t length,
                          struct error *ret_error)
{
    struct secret *taken = NULL, *old;
    int result = 0;
    bool same;

    if (length > 0 && untrusted_secret[length - 1] == '\n')
        length--;
    if (length > PASSPHRASE_MAX)
        return error_set(ret_error, -EINVAL, "the passphrase is longer than %d bytes",
                         PASSPHRASE_MAX);
    if (!utf8_valid(untrusted_secret, length) ||
        has_control_characters((const unsigned char *)untrusted_secret, length))
        return error_set(
            ret_error, -EINVAL,
            "the passphrase is no line of printable UTF-8: control characters can't be "
            "typed where it is asked for again");
    if (length > 0)
        result = secret_new(untrusted_secret, length, &taken);
    if (result < 0)
        return error_set(ret_error, result,
                         "the passphrase can't be kept in locked memory (%s): raise the limit that "
                         "ulimit -l shows",
                         strerror(-result));
    pthread_mutex_lock(&plan->lock);
    old = plan->passphrase;
    plan->passphrase = taken;
    same = plan_same_secret(old, taken);
    pthread_mutex_unlock(&plan->lock);
    secret_unref(old);
    if (!same)
        kept_drop(plan); /* it holds the old one */
    return 0;
}

struct secret *plan_passphrase(struct backup_plan *plan)
{
    LOCK_SCOPE(&plan->lock);
    return secret_ref(plan->passphrase);
}

void plan_forget(struct backup_plan *plan)
{
    pthread_mutex_lock(&plan->lock);
    plan->forgotten = true;
    pthread_mutex_unlock(&plan->lock);
    backup_passphrase_set(plan, "", 0, NULL);
}
