/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of `control`.  A write is a sequence of lines; each line is a job on a worker
 * thread; the same line for the same VM that is at work already is joined, not begun twice.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "qubesfs/clock.h"

#define SHUTDOWN_SECONDS     60 /* as Qubes' shutdown_timeout */
#define SHUTDOWN_SECONDS_MAX 86400

/* One write: its lines, and who is told how it ended. */
struct sequence {
    struct sequence *next; /* among a job's waiters */
    struct host *host;
    uint64_t identity;
    void (*done)(void *cookie, int result);
    void *cookie;
    char *place; /* the rest of the text */
    bool any;    /* a line was not blank */
    int joined;  /* the result of the job that it waited for */
    char text[];
};

struct job {
    struct job *next;
    uint64_t identity;
    char line[80];
    struct sequence *waiters;
};

struct command {
    const char *name;
    int (*run)(struct host *host, const struct vm *vm, unsigned seconds, struct error *ret_error);
    bool without_hypervisor, for_dom0;
};

/* True if the VM of the earlier snapshot has stopped; it may run again by now, under another
 * number, when somebody else has started it. */
static bool has_stopped(const struct vm *before, const struct vm *now)
{
    if (!now)
        return true;
    if (now->state == VM_NA)
        return false;
    return !vm_is_active(now) || (before->xid >= 0 && now->xid >= 0 && now->xid != before->xid);
}

/* Waits for snapshots until the VM has stopped. */
static int wait_stopped(struct host *host, const struct vm *vm, unsigned seconds,
                        struct error *ret_error)
{
    uint64_t end = clock_monotonic_ns() + seconds * 1000000000ull;

    /* what the command's own look found, which may be that it runs, is to be in the snapshot */
    host_settle(host);
    for (;;) {
        const struct host_snapshot *snapshot = host_snapshot(host);
        const struct vm *now = snapshot_by_identity(snapshot, vm->identity);
        bool stopped = has_stopped(vm, now);
        bool late = false, ending;
        struct timespec until = {(time_t)(end / 1000000000), (long)(end % 1000000000)};

        pthread_mutex_lock(&host->lock);
        /* a snapshot that came meanwhile is seen at once */
        if (!stopped && !host->ending && snapshot == host->snapshot)
            late = pthread_cond_timedwait(&host->applied, &host->lock, &until) == ETIMEDOUT;
        ending = host->ending;
        pthread_mutex_unlock(&host->lock);
        host_snapshot_unref(snapshot);
        if (stopped)
            return 0;
        if (ending)
            return error_set(ret_error, -ECANCELED, "the file system ends");
        if (late)
            return error_set(ret_error, -ETIMEDOUT,
                             "\"%s\" has not stopped within %u s; wait longer, or write kill",
                             vm->name, seconds);
    }
}

static int run_start(struct host *host, const struct vm *vm, unsigned seconds,
                     struct error *ret_error)
{
    (void)seconds;
    return start_vm(host, vm, 0, ret_error);
}

static int run_shutdown_wait(struct host *host, const struct vm *vm, unsigned seconds,
                             struct error *ret_error)
{
    const struct domain_key key = {vm->uuid, vm->name};
    int result = hypervisor_shutdown(host->hypervisor, &key, ret_error);

    return result ? result : wait_stopped(host, vm, seconds, ret_error);
}

static int run_restart(struct host *host, const struct vm *vm, unsigned seconds,
                       struct error *ret_error)
{
    const struct host_snapshot *snapshot;
    const struct vm *now;
    int result;

    result = run_shutdown_wait(host, vm, seconds, ret_error);
    if (result)
        return result;
    snapshot = host_snapshot(host);
    now = snapshot_by_identity(snapshot, vm->identity);
    result = now ? start_vm(host, now, 0, ret_error)
                 : error_set(ret_error, -ENOENT, "\"%s\" has been removed meanwhile", vm->name);
    if (result == -EALREADY)
        result = 0; /* somebody else was faster */
    host_snapshot_unref(snapshot);
    return result;
}

#define SIMPLE(function, call)                                                                     \
    static int function(struct host *host, const struct vm *vm, unsigned seconds,                  \
                        struct error *ret_error)                                                   \
    {                                                                                              \
        const struct domain_key key = {vm->uuid, vm->name};                                        \
                                                                                                   \
        (void)seconds;                                                                             \
        return call(host->hypervisor, &key, ret_error);                                            \
    }
SIMPLE(run_shutdown, hypervisor_shutdown)
SIMPLE(run_kill, hypervisor_kill)
SIMPLE(run_pause, hypervisor_pause)
SIMPLE(run_unpause, hypervisor_unpause)
SIMPLE(run_suspend, hypervisor_suspend)
SIMPLE(run_resume, hypervisor_resume)

static int run_refresh(struct host *host, const struct vm *vm, unsigned seconds,
                       struct error *ret_error)
{
    (void)vm;
    (void)seconds;
    return host_refresh(host, ret_error);
}

static const struct command shutdown_wait = {.name = "shutdown", .run = run_shutdown_wait};
static const struct command commands[] = {
    {.name = "start", .run = run_start},
    {.name = "shutdown", .run = run_shutdown},
    {.name = "kill", .run = run_kill},
    {.name = "restart", .run = run_restart},
    {.name = "pause", .run = run_pause},
    {.name = "unpause", .run = run_unpause},
    {.name = "suspend", .run = run_suspend},
    {.name = "resume", .run = run_resume},
    {.name = "refresh", .run = run_refresh, .without_hypervisor = true, .for_dom0 = true},
};

/* A number of seconds, 1 to SHUTDOWN_SECONDS_MAX. */
static bool parse_seconds(const char *untrusted_word, unsigned *ret_seconds)
{
    unsigned value = 0;

    for (const char *digit = untrusted_word; *digit; digit++) {
        if (*digit < '0' || *digit > '9' || value > SHUTDOWN_SECONDS_MAX)
            return false;
        value = 10 * value + (unsigned)(*digit - '0');
    }
    *ret_seconds = value;
    return *untrusted_word && value > 0 && value <= SHUTDOWN_SECONDS_MAX;
}

/* Splits a line (changed by it) into a command; NULL: no such command. */
static const struct command *parse(char *untrusted_line, unsigned *ret_seconds)
{
    char *words[3] = {NULL}, *rest = NULL, *word;
    size_t count = 0;

    for (word = strtok_r(untrusted_line, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
        if (count == ARRAY_SIZE(words))
            return NULL;
        words[count++] = word;
    }
    if (count == 0)
        return NULL;
    if (strcmp(words[0], "stop") == 0)
        words[0] = (char *)"shutdown";
    *ret_seconds = SHUTDOWN_SECONDS;
    if (count > 1) {
        if (strcmp(words[0], "shutdown") != 0 || strcmp(words[1], "wait") != 0 ||
            (count == 3 && !parse_seconds(words[2], ret_seconds)))
            return NULL;
        return &shutdown_wait;
    }
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (strcmp(words[0], commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

static int run_command(struct host *host, uint64_t identity, const struct command *command,
                       unsigned seconds, struct error *ret_error)
{
    const struct host_snapshot *snapshot = host_snapshot(host);
    const struct vm *vm = snapshot_by_identity(snapshot, identity);
    int result;

    if (!vm)
        result = error_set(ret_error, -ENOENT, "the VM is not in the catalogue any more");
    else if (vm->vm_class == VM_CLASS_ADMIN && !command->for_dom0)
        result = error_set(ret_error, strcmp(command->name, "start") ? -EPERM : -EALREADY,
                           "dom0 is this host itself: it always runs, only refresh is possible");
    else if (!host->hypervisor && !command->without_hypervisor)
        result =
            error_set(ret_error, -ENODEV,
                      "\"%s\" cannot run here: there is no hypervisor (--connect none)", vm->name);
    else
        result = command->run(host, vm, seconds, ret_error);
    host_snapshot_unref(snapshot);
    return result;
}

static struct job *find_job(struct host *host, uint64_t identity, const char *line)
{
    struct job *job = host->jobs;

    while (job && (job->identity != identity || strcmp(job->line, line) != 0))
        job = job->next;
    return job;
}

static void sequence_run(void *cookie);

static void sequence_end(struct sequence *sequence, int result)
{
    sequence->done(sequence->cookie, result);
    free(sequence);
}

/* Ends the job; who joined it goes on with its result. */
static void job_end(struct host *host, struct job *job, int result)
{
    struct sequence *waiter;
    struct job **place;

    pthread_mutex_lock(&host->jobs_lock);
    for (place = &host->jobs; *place != job;)
        place = &(*place)->next;
    *place = job->next;
    pthread_mutex_unlock(&host->jobs_lock);
    while ((waiter = job->waiters) != NULL) {
        job->waiters = waiter->next;
        waiter->joined = result;
        if (pool_run(host->pool, sequence_run, waiter))
            sequence_end(waiter, result);
    }
    free(job);
}

/* Joins a job that does the same; true: the sequence is its waiter now.  Else begins a new one. */
static bool join_or_begin(struct sequence *sequence, const char *line, struct job **ret_job)
{
    struct host *host = sequence->host;
    struct job *job = calloc(1, sizeof(*job)), *same;

    *ret_job = NULL;
    if (!job)
        return false; /* runs alone */
    job->identity = sequence->identity;
    snprintf(job->line, sizeof(job->line), "%s", line);
    LOCK_SCOPE(&host->jobs_lock);
    same = find_job(host, sequence->identity, job->line);
    if (same) {
        free(job);
        sequence->next = same->waiters;
        same->waiters = sequence;
        return true;
    }
    job->next = host->jobs;
    host->jobs = *ret_job = job;
    return false;
}

static int refuse_line(struct sequence *sequence, const char *untrusted_line)
{
    struct error error;

    if (strstr(untrusted_line, " wait "))
        error_set(&error, -EINVAL, "\"%.200s\" is no command; shutdown wait takes 1 to %d seconds",
                  untrusted_line, SHUTDOWN_SECONDS_MAX);
    else
        error_set(&error, -EINVAL,
                  "\"%.200s\" is no command; `cat control` lists those that are valid now",
                  untrusted_line);
    host_report(sequence->host, sequence->identity, "control", &error);
    return -EINVAL;
}

/* Runs the lines that are left; may end, or wait for a job that it has joined. */
static void sequence_run(void *cookie)
{
    struct sequence *sequence = cookie;
    struct host *host = sequence->host;
    int result = sequence->joined;

    while (result == 0 && sequence->place) {
        char *line = strsep(&sequence->place, "\n"), copy[80];
        const struct command *command;
        unsigned seconds = 0;
        struct error error;
        struct job *job;

        line += strspn(line, " \t");
        if (!*line)
            continue;
        sequence->any = true;
        snprintf(copy, sizeof(copy), "%s", line);
        command = strlen(line) < sizeof(copy) ? parse(copy, &seconds) : NULL;
        if (!command) {
            result = refuse_line(sequence, line);
            break;
        }
        snprintf(copy, sizeof(copy), "%s %s %u", command->name,
                 command == &shutdown_wait ? "wait" : "", seconds);
        if (join_or_begin(sequence, copy, &job))
            return;
        result = run_command(host, sequence->identity, command, seconds, &error);
        host_report(host, sequence->identity, command->name, result ? &error : NULL);
        if (job)
            job_end(host, job, result);
    }
    if (result == 0 && !sequence->any)
        result = refuse_line(sequence, "");
    else if (result == 0)
        host_report(host, sequence->identity, "control", NULL); /* what it was refused for before */
    sequence_end(sequence, result);
}

int host_command(struct host *host, uint64_t vm_identity, const char *untrusted_lines,
                 size_t length, void (*done)(void *cookie, int result), void *cookie)
{
    struct sequence *sequence = calloc(1, sizeof(*sequence) + length + 1);
    int result;

    if (!sequence)
        return -ENOMEM;
    *sequence =
        (struct sequence){.host = host, .identity = vm_identity, .done = done, .cookie = cookie};
    memcpy(sequence->text, untrusted_lines, length);
    /* a NUL would hide what follows it from the checks */
    for (size_t i = 0; i < length; i++)
        if (sequence->text[i] == '\0')
            sequence->text[i] = '\x01';
    sequence->place = sequence->text;
    result = pool_run(host->pool, sequence_run, sequence);
    if (result)
        free(sequence);
    return result;
}
