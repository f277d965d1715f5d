/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of a device's file.  A write is a job on a worker; the same write to the same device
 * that is at work already is joined; another one meanwhile is refused.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "device_commands.h"

struct device_waiter {
    struct device_waiter *next;
    void (*done)(void *cookie, int result);
    void *cookie;
};

struct device_job {
    struct device_job *next;
    struct host *host;
    struct device_waiter *waiters; /* guarded by jobs_lock */
    char name[128];                /* the device's */
    char text[];
};

/* Splits a line, changed by it, into up to four words; -1: there are more. */
static int split(char *untrusted_line, char *ret_words[4])
{
    char *rest = NULL, *word;
    int count = 0;

    for (word = strtok_r(untrusted_line, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
        if (count == 4)
            return -1;
        ret_words[count++] = word;
    }
    return count;
}

static int parse(char *untrusted_line, struct device_command *ret_command)
{
    char *words[4] = {NULL};
    int count = split(untrusted_line, words);

    *ret_command = (struct device_command){.name = ""};
    if (count >= 1 && count <= 2 && strcmp(words[0], "detach") == 0) {
        ret_command->name = "detach";
        ret_command->force = count == 2;
        return count == 1 || strcmp(words[1], "force") == 0 ? 0 : -EINVAL;
    }
    if (count < 2 || strcmp(words[0], "attach") != 0)
        return -EINVAL;
    ret_command->name = "attach";
    ret_command->vm = words[1];
    if (count > 2 && strcmp(words[count - 1], "ro") == 0) {
        ret_command->read_only = true;
        count--;
    }
    if (count == 4)
        return -EINVAL;
    ret_command->frontend = count == 3 ? words[2] : NULL;
    return 0;
}

/* One line: 0 or -errno; its outcome is reported. */
static int run_line(struct host *host, const char *device, char *untrusted_line)
{
    struct device_command command;
    char copy[256], key[160];
    struct error error;
    int result;

    snprintf(copy, sizeof(copy), "%s", untrusted_line);
    if (strlen(untrusted_line) >= sizeof(copy) || parse(copy, &command)) {
        snprintf(key, sizeof(key), "%s", device);
        result = error_set(&error, -EINVAL,
                           "\"%.200s\" is no command; there are: attach VM [FRONTEND] [ro], "
                           "detach, detach force",
                           untrusted_line);
    } else {
        snprintf(key, sizeof(key), "%s %s", command.name, device);
        command.device = device;
        result = command.vm ? device_attach(host, &command, &error)
                            : device_detach(host, &command, &error);
    }
    host_report(host, 0, key, result ? &error : NULL);
    return result;
}

static void finish(struct host *host, struct device_job *job, int result)
{
    struct device_job **place;
    struct device_waiter *waiter;

    pthread_mutex_lock(&host->jobs_lock);
    for (place = &host->device_jobs; *place != job;)
        place = &(*place)->next;
    *place = job->next;
    pthread_mutex_unlock(&host->jobs_lock);
    while ((waiter = job->waiters) != NULL) {
        job->waiters = waiter->next;
        waiter->done(waiter->cookie, result);
        free(waiter);
    }
    free(job);
}

static void run(void *cookie)
{
    struct device_job *job = cookie;
    char *text CLEANUP_FREE = strdup(job->text), *place = text;
    bool any = false;
    int result = text ? 0 : -ENOMEM;

    while (result == 0 && place) {
        char *line = strsep(&place, "\n");

        line += strspn(line, " \t");
        if (!*line)
            continue;
        any = true;
        result = run_line(job->host, job->name, line);
    }
    if (result == 0 && !any) {
        char nothing[] = "";

        result = run_line(job->host, job->name, nothing);
    } else if (result == 0) {
        host_report(job->host, 0, job->name, NULL); /* what it was refused for before */
    }
    finish(job->host, job, result);
}

/* The job of the device that is at work; its lock is held. */
static struct device_job *at_work(struct host *host, const char *name)
{
    struct device_job *job = host->device_jobs;

    while (job && strcmp(job->name, name) != 0)
        job = job->next;
    return job;
}

/* Joins or begins; -EBUSY: another command is at work. */
static int enter(struct host *host, struct device_job *job, struct device_waiter *waiter,
                 bool *ret_joined)
{
    struct device_job *other;

    LOCK_SCOPE(&host->jobs_lock);
    other = at_work(host, job->name);
    *ret_joined = other && strcmp(other->text, job->text) == 0;
    if (other && !*ret_joined)
        return -EBUSY;
    if (*ret_joined) {
        waiter->next = other->waiters;
        other->waiters = waiter;
    } else {
        job->waiters = waiter;
        job->next = host->device_jobs;
        host->device_jobs = job;
    }
    return 0;
}

int host_device_command(struct host *host, const char *device_name, const char *untrusted_lines,
                        size_t length, void (*done)(void *cookie, int result), void *cookie)
{
    struct device_job *job = calloc(1, sizeof(*job) + length + 1);
    struct device_waiter *waiter = calloc(1, sizeof(*waiter));
    bool joined = false;
    int result;

    if (!job || !waiter) {
        free(job);
        free(waiter);
        return -ENOMEM;
    }
    *waiter = (struct device_waiter){.done = done, .cookie = cookie};
    job->host = host;
    snprintf(job->name, sizeof(job->name), "%s", device_name);
    memcpy(job->text, untrusted_lines, length);
    /* a NUL would hide what follows it from the checks */
    for (size_t i = 0; i < length; i++)
        if (job->text[i] == '\0')
            job->text[i] = '\x01';
    result = enter(host, job, waiter, &joined);
    if (result || joined)
        free(job);
    if (result) {
        free(waiter);
        return result;
    }
    if (joined)
        return 0;
    result = pool_run(host->pool, run, job);
    if (result)
        finish(host, job, result); /* tells those who have joined it meanwhile, and the caller */
    return 0;
}
