/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qubesfs/restore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "internal.h"
#include "qubesfs/log.h"

static char *copy(const char *string, int *result)
{
    char *made = string ? strdup(string) : NULL;

    if (string && !made)
        *result = -ENOMEM;
    return made;
}

static int copy_options(struct restore *restore, const struct restore_options *options)
{
    struct restore_options *own = &restore->options;
    int result = 0;

    *own = *options;
    own->passphrase = secret_ref(options->passphrase);
    own->root = copy(options->root, &result);
    own->catalogue_path = copy(options->catalogue_path, &result);
    own->state = copy(options->state, &result);
    own->home = copy(options->home, &result);
    own->include = copy(options->include, &result);
    own->exclude = copy(options->exclude, &result);
    return result;
}

static void free_options(struct restore_options *options)
{
    secret_unref(options->passphrase);
    free((char *)options->root);
    free((char *)options->catalogue_path);
    free((char *)options->state);
    free((char *)options->home);
    free((char *)options->include);
    free((char *)options->exclude);
}

int restore_new(const struct restore_options *options, const struct restore_listener *listener,
                struct restore **ret_restore, struct error *ret_error)
{
    struct archive_reader_options reading = {.passphrase = options->passphrase,
                                             .kdf_memory_max = options->kdf_memory_max};
    struct restore *restore = calloc(1, sizeof(*restore));
    struct archive_reader_sink sink;
    int result;

    if (!restore)
        return error_set(ret_error, -ENOMEM, "out of memory");
    restore->listener = *listener;
    restore->member.fd = -1;
    atomic_init(&restore->cancelled, false);
    atomic_init(&restore->bytes, 0);
    restore->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    result = restore->cancel_fd < 0 ? -errno : copy_options(restore, options);
    if (result < 0) {
        error_set(ret_error, result, "the restore can't begin: %s", strerror(-result));
    } else {
        sink = restore_sink(restore);
        result = archive_reader_new(&reading, &sink, &restore->reader, ret_error);
    }
    if (result < 0) {
        restore_free(restore);
        return result;
    }
    *ret_restore = restore;
    return 0;
}

/* Notes the error that ends it; the first one counts. */
static int fail(struct restore *restore, int code, const struct error *error,
                struct error *ret_error)
{
    if (!restore->failed) {
        restore->failed = code;
        restore->error = *error;
    }
    if (ret_error)
        *ret_error = restore->error;
    return restore->failed;
}

/* A backup's last bytes are the padding of its archive. */
static int write_padding(const unsigned char *untrusted_data, size_t length,
                         struct error *ret_error)
{
    for (size_t i = 0; i < length; i++)
        if (untrusted_data[i] != 0)
            return error_set(ret_error, -EINVAL,
                             "something follows the end of the backup, which is in force already");
    return 0;
}

int restore_write(struct restore *restore, const void *untrusted_data, size_t length,
                  struct error *ret_error)
{
    struct error error;
    int result;

    if (restore->failed)
        return fail(restore, 0, NULL, ret_error);
    if (restore->done)
        return write_padding(untrusted_data, length, ret_error);
    result = archive_reader_write(restore->reader, untrusted_data, length, &error);
    return result < 0 ? fail(restore, result, &error, ret_error) : 0;
}

/* Without a manifest, what is promised by the catalogue inside must have come. */
static int check_came(const struct restore *restore, struct error *ret_error)
{
    for (size_t i = 0; i < restore->incoming_count && !restore->manifest_verified; i++) {
        const struct incoming *incoming = &restore->incoming[i];
        const struct catalogue_import_vm *vm = incoming->vm;
        const char *what = NULL;

        if (!incoming->any)
            what = vm->vm_class == VM_CLASS_ADMIN ? "its home" : "anything";
        else if (vm->action == IMPORT_RESTORE && vm->vm_class != VM_CLASS_ADMIN &&
                 !incoming->nothing)
            what = !incoming->private                ? "private.img"
                   : vm->has_root && !incoming->root ? "root.img"
                                                     : NULL;
        if (what)
            return error_set(ret_error, -ENODATA,
                             "the backup is not whole yet: %s of %s has not come", what, vm->name);
    }
    return 0;
}

int restore_finish(struct restore *restore, bool may_go_on, struct error *ret_error)
{
    struct error error;
    int result;

    if (restore->failed)
        return fail(restore, 0, NULL, ret_error);
    if (restore->done)
        return 0;
    result = archive_reader_complete(restore->reader, &error);
    /* EIO from a disk has been noted by the sink */
    if (result == -EIO && !restore->sink_failed)
        return error_set(ret_error, -ENODATA, "the backup is not whole yet: its end has not come");
    if (result < 0)
        return fail(restore, result, &error, ret_error);
    result = check_came(restore, ret_error);
    if (result < 0 || (may_go_on && !restore->manifest_verified))
        return result;
    result = restore_commit(restore, &error);
    return result < 0 ? fail(restore, result, &error, ret_error) : 0;
}

void restore_cancel(struct restore *restore)
{
    atomic_store(&restore->cancelled, true);
    if (eventfd_write(restore->cancel_fd, 1))
        log_warning("a restore's end can't be signalled: %m");
    archive_reader_cancel(restore->reader);
}

void restore_stop(struct restore *restore)
{
    archive_reader_free(restore->reader);
    restore->reader = NULL;
}

bool restore_is_done(const struct restore *restore)
{
    return restore->done;
}

void restore_progress(const struct restore *restore, uint64_t *ret_done, uint64_t *ret_total)
{
    *ret_done = atomic_load(&restore->bytes);
    *ret_total = restore->promised;
}

static void take_back(struct restore *restore)
{
    struct error error;

    if (restore->staging && !restore->done && staging_remove(restore->staging, true, &error))
        log_error("restore: %s", error.text);
    staging_free(restore->staging);
}

void restore_free(struct restore *restore)
{
    if (!restore)
        return;
    archive_reader_free(restore->reader);
    disk_queue_free(restore->queue); /* before what it may still write to is closed */
    member_drop(restore);
    for (size_t i = 0; i < restore->incoming_count; i++) {
        landing_free(&restore->incoming[i].directory);
        landing_free(&restore->incoming[i].images);
        text_free(&restore->incoming[i].notes);
    }
    free(restore->incoming);
    take_back(restore);
    catalogue_import_free(restore->import);
    text_free(&restore->lines);
    free(restore->archive.name);
    free(restore->archive.target);
    free(restore->home_target);
    if (restore->cancel_fd >= 0)
        close(restore->cancel_fd);
    free_options(&restore->options);
    free(restore);
}
