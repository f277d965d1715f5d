/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plans on the disk: a file STATE/plans/NAME each, of lines `key=value`: the options that are not
 * defaults, and `include=VM`, `exclude=VM`.  Never a passphrase.  A file is replaced as a whole, so
 * that it is always the one of before or the one of after.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "keeper.h"
#include "qubesfs/disk.h"
#include "qubesfs/log.h"
#include "qubesfs/text.h"

#define FILE_MAX (256 * 1024)

static const char *const list_names[] = {
    [BACKUP_INCLUDE] = "include", [BACKUP_EXCLUDE] = "exclude"};

static void add_lines(struct text *text, const char *key, const char *lines)
{
    for (const char *at = lines; *at; at += strcspn(at, "\n") + 1)
        text_printf(text, "%s=%.*s\n", key, (int)strcspn(at, "\n"), at);
}

static int render(struct backup_plan *plan, struct text *text)
{
    for (enum backup_option option = 0; option < BACKUP_OPTION_COUNT; option++)
        text_printf(text, "%s=%s\n", backup_option_name(option), backup_option_get(plan, option));
    for (int list = 0; list < 2; list++) {
        char *lines CLEANUP_FREE = NULL;

        if (backup_list_get(plan, list, &lines))
            return -ENOMEM;
        add_lines(text, list_names[list], lines);
    }
    return text_status(text);
}

/* Opens STATE/plans, and makes both. */
static int open_directory(const struct backup_service *service, bool make)
{
    char *path CLEANUP_FREE = NULL;
    int fd;

    if (asprintf(&path, "%s/plans", service->state) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    if (make) {
        /* what can't be made can't be opened */
        (void)!mkdir(service->state, 0700);
        (void)!mkdir(path, 0700);
    }
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int saved_write(struct backup_plan *plan, struct error *ret_error)
{
    struct backup_service *service = plan->service;
    struct text text CLEANUP_TEXT = TEXT_INIT;
    int directory CLEANUP_CLOSE = -1, result;
    bool removed;

    if (!service->state)
        return 0;
    pthread_mutex_lock(&service->lock);
    removed = plan->removed;
    pthread_mutex_unlock(&service->lock);
    directory = open_directory(service, !removed);
    result = directory < 0 ? directory : 0;
    if (removed && result == -ENOENT)
        return 0;
    if (result == 0 && removed) {
        if (unlinkat(directory, plan->name, 0) && errno != ENOENT)
            result = -errno;
    } else if (result == 0) {
        result = render(plan, &text);
        if (result == 0)
            result = disk_replace(directory, plan->name, text.data, text.length);
    }
    if (result == 0 && fsync(directory))
        result = -errno;
    if (result < 0)
        return error_set(ret_error, result,
                         "the plan \"%s\" is so only until the daemon ends: it can't be saved in "
                         "%s/plans: %s",
                         plan->name, service->state, strerror(-result));
    return 0;
}

/* One line of a plan's file, cut off at its end. */
static int take_line(struct backup_plan *plan, char *untrusted_line, struct text lists[2],
                     struct error *ret_error)
{
    char *value = strchr(untrusted_line, '=');
    enum backup_option option;

    if (!value)
        return error_set(ret_error, -EINVAL, "there is no = in \"%.100s\"", untrusted_line);
    *value++ = '\0';
    for (int list = 0; list < 2; list++)
        if (strcmp(untrusted_line, list_names[list]) == 0) {
            text_printf(&lists[list], "%s\n", value);
            return 0;
        }
    option = backup_option_find(untrusted_line);
    if (option == BACKUP_OPTION_COUNT)
        return error_set(ret_error, -EINVAL, "there is no option \"%.100s\"", untrusted_line);
    /* whether they go together is looked at when all are there */
    return plan_take_word(plan, option, value, ret_error);
}

static void take_text(struct backup_plan *plan, char *untrusted_text, size_t length)
{
    struct text lists[2] = {TEXT_INIT, TEXT_INIT};
    struct error error;
    char *rest;

    if (memchr(untrusted_text, '\0', length))
        log_warning("plan %s: what was saved of it holds a NUL: the rest is left out", plan->name);
    for (char *line = strtok_r(untrusted_text, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest))
        if (take_line(plan, line, lists, &error))
            log_warning("plan %s: a line of what was saved of it is left out: %s", plan->name,
                        error.text);
    for (int list = 0; list < 2; list++) {
        if (lists[list].length > 0 &&
            backup_list_set(plan, list, lists[list].data, lists[list].length, &error))
            log_warning("plan %s: %s is left out: %s", plan->name, list_names[list], error.text);
        text_free(&lists[list]);
    }
    plan_make_options_agree(plan);
}

/* Reads a regular file of a decent size. */
static int read_file(int directory, const char *name, struct text *text)
{
    int fd CLEANUP_CLOSE =
        openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;
    char block[4096];
    ssize_t size;

    if (fd < 0 || fstat(fd, &status))
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EINVAL;
    while ((size = read(fd, block, sizeof(block))) > 0 && text->length <= FILE_MAX)
        text_append(text, block, (size_t)size);
    if (size < 0)
        return -errno;
    return text->length > FILE_MAX ? -EFBIG : text_status(text);
}

static int load(struct backup_service *service, int directory, const char *name)
{
    struct text text CLEANUP_TEXT = TEXT_INIT;
    struct backup_plan *plan = service->plans[0];
    int result = read_file(directory, name, &text);

    if (result == -ENOMEM)
        return result;
    if (result < 0) {
        log_warning("the plan %s/plans/%s is left out: %s", service->state, name,
                    strerror(-result));
        return 0;
    }
    if (strcmp(name, plan->name) != 0) {
        result = plan_new(service, name, &plan);
        if (result == 0 && (result = plans_add(service, plan)) < 0)
            plan_free(plan);
        if (result < 0)
            return result;
    }
    if (text.length > 0)
        take_text(plan, text.data, text.length);
    pthread_mutex_lock(&service->lock);
    plan->unsaved = false; /* what was taken from there is there */
    pthread_mutex_unlock(&service->lock);
    return 0;
}

static void close_directory(DIR **directory)
{
    if (*directory)
        closedir(*directory);
}

int saved_load(struct backup_service *service)
{
    int fd = service->state ? open_directory(service, false) : -ENOENT, result = 0;
    DIR *directory CLEANUP(close_directory) = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *next;

    if (fd < 0) {
        if (fd != -ENOENT)
            log_warning("plans can't be loaded from %s/plans: %s", service->state, strerror(-fd));
        return 0;
    }
    if (!directory) {
        close(fd);
        return -ENOMEM;
    }
    while (result == 0 && (next = readdir(directory)) != NULL)
        if (plan_name_valid(next->d_name))
            result = load(service, dirfd(directory), next->d_name);
        else if (next->d_name[0] != '.')
            log_warning("%s/plans/%s is left out: no plan has such a name", service->state,
                        next->d_name);
    return result;
}
