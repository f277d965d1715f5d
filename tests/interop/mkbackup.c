/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mkbackup ROOT [COMMAND WORDS]...: writes a backup of the sample host below ROOT to stdout, read
 * from the stream as a file system would, with the passphrase of the environment's PASSPHRASE,
 * in format 3.  OPTION VALUE sets an option of the plan.
 * Commands: include NAME | exclude NAME   add to a list vm NAME                       of that VM
 * alone contents | size               print that instead Status 1 with the error on stderr when a
 * read fails; 3 when the size told before was too small.
 */
#include <errno.h>
#include <unistd.h>

#include "../unit/host_fake.h"
#include "qubesfs/backup.h"

struct answer {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool there;
    ssize_t result;
};

static void done(void *cookie, ssize_t result, const void *data)
{
    struct answer *answer = cookie;

    for (ssize_t at = 0; at < result;) {
        ssize_t written = write(STDOUT_FILENO, (const char *)data + at, (size_t)(result - at));

        if (written < 0) {
            result = -errno;
            break;
        }
        at += written;
    }
    pthread_mutex_lock(&answer->lock);
    answer->result = result;
    answer->there = true;
    pthread_cond_signal(&answer->changed);
    pthread_mutex_unlock(&answer->lock);
}

static ssize_t copy_at(struct backup_stream *stream, off_t offset)
{
    struct answer answer = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0};

    backup_stream_read(stream, offset, 1 << 20, done, &answer);
    pthread_mutex_lock(&answer.lock);
    while (!answer.there)
        pthread_cond_wait(&answer.changed, &answer.lock);
    pthread_mutex_unlock(&answer.lock);
    return answer.result;
}

static int copy(struct host *host, struct backup_plan *plan, const char *vm_name)
{
    struct backup_stream *stream;
    uint64_t size;
    ssize_t got;
    off_t at = 0;

    if (backup_size(plan, vm_name, &size) || backup_stream_new(plan, vm_name, &stream))
        return 2;
    while ((got = copy_at(stream, at)) > 0)
        at += got;
    backup_stream_free(stream);
    if (got < 0) {
        char *text = NULL;

        backup_error_get(plan, &text);
        fprintf(stderr, "%s\n%s%s\n", strerror((int)-got), text, host->vm_error);
        free(text);
        return 1;
    }
    if ((uint64_t)at > size) {
        fprintf(stderr, "%llu bytes, but %llu were told\n", (unsigned long long)at,
                (unsigned long long)size);
        return 3;
    }
    return 0;
}

static void add(struct backup_plan *plan, enum backup_list list, const char *name)
{
    struct text text CLEANUP_TEXT = TEXT_INIT;
    char *old CLEANUP_FREE = NULL;
    struct error error;

    backup_list_get(plan, list, &old);
    text_printf(&text, "%s%s", old, name);
    if (backup_list_set(plan, list, text.data, text.length, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(2);
    }
}

static void set(struct backup_plan *plan, const char *option, const char *value)
{
    struct error error;

    if (backup_option_set(plan, backup_option_find(option), value, strlen(value), &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(2);
    }
}

int main(int count, char **words)
{
    const struct backup_listener listener = {NULL, NULL};
    const char *passphrase = getenv("PASSPHRASE"), *vm_name = NULL;
    struct host *host = host_fake_new(count > 1 ? words[1] : "/nowhere");
    struct backup_service *service;
    struct backup_plan *plan;
    struct error error = {0};
    char *text = NULL;
    uint64_t size;
    int status = -1;

    if (backup_service_new(host, host->root, host->catalogue_path, NULL, &listener, &service))
        return 2;
    plan = backup_plan_find(service, "default");
    set(plan, "format", "3");
    if (passphrase && backup_passphrase_set(plan, passphrase, strlen(passphrase), &error)) {
        fprintf(stderr, "%s\n", error.text);
        return 2;
    }
    for (int i = 2; i < count; i++)
        if (!strcmp(words[i], "include"))
            add(plan, BACKUP_INCLUDE, words[++i]);
        else if (!strcmp(words[i], "exclude"))
            add(plan, BACKUP_EXCLUDE, words[++i]);
        else if (!strcmp(words[i], "vm"))
            vm_name = words[++i];
        else if (i + 1 < count && backup_option_find(words[i]) < BACKUP_OPTION_COUNT)
            set(plan, words[i], words[i + 1]), i++;
        else if (!strcmp(words[i], "contents"))
            status = backup_contents(plan, &text, &error) ? 1 : 0;
        else if (!strcmp(words[i], "size"))
            status =
                backup_size(plan, vm_name, &size) || printf("%llu\n", (unsigned long long)size) < 0;
        else
            return 2;
    if (text)
        fputs(text, stdout);
    if (status == 1)
        fprintf(stderr, "%s\n", error.text);
    free(text);
    if (status < 0)
        status = copy(host, plan, vm_name);
    backup_service_free(service);
    host_fake_free(host);
    return status;
}
