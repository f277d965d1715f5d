/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For the tests of the backup room: a sample host with a plan, and reads that wait. */
#ifndef BACKUP_HELPER_H
#define BACKUP_HELPER_H

#include "archive_helper.h"
#include "host_fake.h"

#include <errno.h>
#include <stdatomic.h>

#include "backup/internal.h"
#include "qubesfs/backup.h"

static struct host *host;
static struct backup_service *service;
static struct backup_plan *plan;
static atomic_int told;

static inline void file_changed(void *cookie, struct backup_plan *changed, const char *file_name)
{
    (void)cookie;
    assert_ptr_equal(changed, plan);
    if (strcmp(file_name, "status") == 0)
        return;
    assert_string_equal(file_name, "error");
    atomic_fetch_add(&told, 1);
}

static inline void make_image(const char *vm, const char *name, off_t size)
{
    char *file;

    assert_true(asprintf(&file, "var/lib/qubes/%s/%s", vm, name) > 0);
    make_file(file, size, &(struct piece){0, 100000}, 1);
    free(file);
}

static const char catalogue[] = "<QubesVmCollection default_template=\"1\" default_netvm=\"2\">"
#define VM(class, qid, name, dir, more)                                                            \
    "<Qubes" class " qid=\"" qid "\" name=\"" name "\" dir_path=\"/var/lib/qubes/" dir             \
                   "\" label=\"red\" installed_by_rpm=\"False\" " more "/>"
    VM("TemplateVm", "1", "fedora", "vm-templates/fedora", "template_qid=\"none\"")
        VM("NetVm", "2", "net", "servicevms/net", "template_qid=\"1\" netid=\"1\"")
            VM("AppVm", "3", "work", "appvms/work", "template_qid=\"1\"")
                VM("AppVm", "4", "alone", "appvms/alone", "template_qid=\"none\"")
                    VM("AppVm", "5", "left-out", "appvms/left-out",
                       "template_qid=\"1\" include_in_backups=\"False\"")
                        VM("AppVm", "6", "hidden", "appvms/hidden",
                           "template_qid=\"1\" internal=\"True\"") "</QubesVmCollection>";

static inline void set_option(enum backup_option option, const char *value)
{
    struct error error;

    if (backup_option_set(plan, option, value, strlen(value), &error))
        fail_msg("%s", error.text);
}

static inline int setup(void **state)
{
    const struct backup_listener listener = {NULL, file_changed};
    char *path;
    FILE *file;

    if (directory_setup(state))
        return -1;
    run(NULL,
        "mkdir -p etc root home/user && cd %s && mkdir -p var/lib/qubes && cd var/lib/qubes &&"
        "mkdir -p vm-templates/fedora servicevms/net appvms/work appvms/alone/apps "
        "appvms/alone/kernels appvms/left-out appvms/hidden",
        test_directory);
    run(NULL, "echo root:x:0:0:r:/root:/bin/sh >etc/passwd;"
              "echo user:x:1000:1000::/home/user:/bin/sh >>etc/passwd; echo qubes:x:98:gone,user "
              ">etc/group;"
              "echo hello >home/user/file");
    make_image("vm-templates/fedora", "root.img", 3000000);
    make_image("vm-templates/fedora", "private.img", 1000000);
    make_image("servicevms/net", "private.img", 2000000);
    make_image("appvms/work", "private.img", 2000000);
    make_image("appvms/alone", "private.img", 2000000);
    make_image("appvms/alone", "root.img", 5000000);
    make_image("appvms/left-out", "private.img", 2000000);
    make_image("appvms/hidden", "private.img", 2000000);
    path = below("var/lib/qubes/qubes.xml");
    file = fopen(path, "we");
    fputs(catalogue, file);
    fclose(file);
    free(path);
    host = host_fake_new(test_directory);
    assert_int_equal(
        backup_service_new(host, host->root, host->catalogue_path, NULL, &listener, &service), 0);
    plan = backup_plan_find(service, "default");
    set_option(BACKUP_KDF, "14"); /* quickly */
    assert_non_null(plan);
    assert_null(backup_plan_find(service, "other"));
    atomic_store(&told, 0);
    return 0;
}

static inline int teardown(void **state)
{
    backup_service_free(service);
    host_fake_free(host);
    return directory_teardown(state);
}

struct answer {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool there;
    ssize_t result;
    struct text *into; /* NULL: the bytes are not kept */
};

static inline void done(void *cookie, ssize_t result, const void *data)
{
    struct answer *answer = cookie;

    if (answer->into && result > 0)
        text_append(answer->into, data, (size_t)result);
    pthread_mutex_lock(&answer->lock);
    answer->result = result;
    answer->there = true;
    pthread_cond_signal(&answer->changed);
    pthread_mutex_unlock(&answer->lock);
}

/* `into` gets the bytes, or is NULL. */
static inline ssize_t read_into(struct backup_stream *stream, off_t offset, struct text *into)
{
    struct answer answer = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0, into};

    backup_stream_read(stream, offset, 1 << 20, done, &answer);
    pthread_mutex_lock(&answer.lock);
    while (!answer.there)
        pthread_cond_wait(&answer.changed, &answer.lock);
    pthread_mutex_unlock(&answer.lock);
    return answer.result;
}

static inline ssize_t read_at(struct backup_stream *stream, off_t offset)
{
    return read_into(stream, offset, NULL);
}

static inline ssize_t read_all(const char *vm_name, off_t *ret_length)
{
    struct backup_stream *stream;
    off_t at = 0;
    ssize_t got;

    assert_int_equal(backup_stream_new(plan, vm_name, &stream), 0);
    while ((got = read_at(stream, at)) > 0)
        at += got;
    backup_stream_free(stream);
    if (ret_length)
        *ret_length = at;
    return got;
}

static inline void set_passphrase(void)
{
    assert_int_equal(backup_passphrase_set(plan, "secret\n", 7, NULL), 0);
}

#endif
