/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hypervisor_qemu URI: the hypervisor room alone, driven by lines on stdin:
 *
 *   start NAME KERNEL INITRD KERNELOPTS LOG IMAGE    (defines it; KERNELOPTS: _ for a space)
 *   kill|shutdown|pause|unpause|suspend|resume NAME     (on a thread of its own)
 *   refresh
 *   quit
 *
 * and telling on stdout, a line each: `all NAME=STATE/ID ...`, `NAME STATE ID`, `gone UUID`,
 * `disconnected WHY`, `COMMAND NAME: RESULT WHY`, and at the end `stopped RESULT`.
 */
#include <stdio.h>
#include <string.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/hypervisor.h"

static struct hypervisor *hypervisor;

static const char *state_name(const struct domain *domain)
{
    static const char *const names[] = {"Halted",    "Transient", "Running", "Paused",
                                        "Suspended", "Halting",   "Crashed", "Dying"};

    return names[domain->state];
}

static void all(void *cookie, struct domain *const *domains, size_t count)
{
    (void)cookie;
    flockfile(stdout);
    printf("all");
    for (size_t i = 0; i < count; i++)
        printf(" %s=%s/%d", domains[i]->name, state_name(domains[i]), domains[i]->id);
    printf("\n");
    funlockfile(stdout);
}

static void changed(void *cookie, struct domain *domain)
{
    (void)cookie;
    printf("%s %s %d\n", domain->name, state_name(domain), domain->id);
}

static void gone(void *cookie, const char *uuid)
{
    (void)cookie;
    printf("gone %s\n", uuid);
}

static void disconnected(void *cookie, const struct error *error)
{
    (void)cookie;
    printf("disconnected %s\n", error->text);
}

struct job {
    char words[7][200];
};

static int start(const struct job *job, struct error *error)
{
    const struct definition_volume volume = {
        .name = "private", .path = job->words[6], .target = "vda"};
    const struct domain_key key = {"", job->words[1]};
    struct definition definition = {.name = job->words[1],
                                    .uuid = "",
                                    .vm_class = "AppVM",
                                    .memory_mib = 128,
                                    .maxmem_mib = 128,
                                    .vcpus = 1,
                                    .kernel = job->words[2],
                                    .initrd = job->words[3],
                                    .kernelopts = job->words[4],
                                    .console_log = job->words[5],
                                    .volumes = &volume,
                                    .volume_count = 1};
    char *xml CLEANUP_FREE = NULL;
    int result = hypervisor_definition(hypervisor, &definition, &xml, error);

    return result < 0 ? result : hypervisor_start_domain(hypervisor, &key, xml, NULL, error);
}

static void *run(void *cookie)
{
    static const struct {
        const char *name;
        int (*function)(struct hypervisor *, const struct domain_key *, struct error *);
    } commands[] = {
        {"kill", hypervisor_kill},       {"shutdown", hypervisor_shutdown},
        {"pause", hypervisor_pause},     {"unpause", hypervisor_unpause},
        {"suspend", hypervisor_suspend}, {"resume", hypervisor_resume},
    };
    struct job *job = cookie;
    const struct domain_key key = {"", job->words[1]};
    struct error error = {0};
    int result = -1;

    for (char *letter = job->words[4]; *letter; letter++)
        if (*letter == '_')
            *letter = ' ';
    if (strcmp(job->words[0], "start") == 0)
        result = start(job, &error);
    else if (strcmp(job->words[0], "refresh") == 0)
        result = hypervisor_refresh(hypervisor, 10, &error);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (strcmp(job->words[0], commands[i].name) == 0)
            result = commands[i].function(hypervisor, &key, &error);
    printf("%s %s: %d %s\n", job->words[0], job->words[1], result, error.text);
    free(job);
    return NULL;
}

int main(int argc, char **argv)
{
    const struct hypervisor_listener listener = {NULL, all, changed, gone, disconnected};
    struct error error;
    char line[1500];
    pthread_t thread;
    int result;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 2 || hypervisor_start(argv[1], NULL, 5, &listener, &hypervisor, &error) < 0)
        return 1;
    while (fgets(line, sizeof(line), stdin) && strcmp(line, "quit\n") != 0) {
        struct job *job = calloc(1, sizeof(*job));

        if (!job)
            return 1;
        sscanf(line, "%199s %199s %199s %199s %199s %199s %199s", job->words[0], job->words[1],
               job->words[2], job->words[3], job->words[4], job->words[5], job->words[6]);
        if (pthread_create(&thread, NULL, run, job) != 0)
            return 1;
        pthread_detach(thread);
    }
    result = hypervisor_stop(hypervisor, 3);
    printf("stopped %d\n", result);
    return 0;
}
