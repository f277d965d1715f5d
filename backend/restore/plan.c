/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of each VM, decided when the catalogue inside the backup has come. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"

static bool is_restored(const struct restore *restore, const struct catalogue_import_vm *vm)
{
    return !restore->options.verify && vm->action == IMPORT_RESTORE &&
           (vm->vm_class != VM_CLASS_ADMIN || restore->options.home);
}

/* HOME/home-restore-DATE, the time being to the second. */
static char *home_target(const char *home)
{
    time_t now = time(NULL);
    char date[32] = "";
    struct tm parts;

    if (localtime_r(&now, &parts))
        strftime(date, sizeof(date), "%Y-%m-%dT%H%M%S", &parts);
    return text_format("%s/home-restore-%s", home, date);
}

static int add_target(struct restore *restore, const char *directory, uint64_t promised,
                      struct error *ret_error)
{
    char *target CLEANUP_FREE = text_format("%s%s", restore->options.root, directory);

    if (!target)
        return error_set(ret_error, -ENOMEM, "out of memory");
    return staging_add(restore->staging, target, promised, ret_error);
}

static int place_vm(struct restore *restore, struct incoming *incoming, struct error *ret_error)
{
    const struct catalogue_import_vm *vm = incoming->vm;
    int result;

    if (vm->vm_class == VM_CLASS_ADMIN) {
        restore->home_target = home_target(restore->options.home);
        if (!restore->home_target)
            return error_set(ret_error, -ENOMEM, "out of memory");
        return staging_add(restore->staging, restore->home_target, vm->backup_size, ret_error);
    }
    incoming->images_apart = strcmp(vm->directory, vm->image_directory) != 0;
    result =
        add_target(restore, vm->directory, incoming->images_apart ? 0 : vm->backup_size, ret_error);
    if (result == 0 && incoming->images_apart)
        result = add_target(restore, vm->image_directory, vm->backup_size, ret_error);
    return result;
}

/* The directories are there: what comes is made below them. */
static int open_trees(struct restore *restore)
{
    size_t next = 0;
    int result = 0;

    for (size_t i = 0; result == 0 && i < restore->incoming_count; i++) {
        struct incoming *incoming = &restore->incoming[i];
        const struct staged *items = restore->staging->items;

        if (!is_restored(restore, incoming->vm))
            continue;
        incoming->placed = true;
        result = landing_init(&incoming->directory, items[next].fd, items[next].fd);
        next++;
        if (result < 0 || !incoming->images_apart)
            continue;
        result = landing_init(&incoming->images, items[next].fd, items[next].fd);
        next++;
    }
    return result;
}

static int place_all(struct restore *restore, struct error *ret_error)
{
    bool any = false;
    int result = 0;

    for (size_t i = 0; i < restore->incoming_count; i++)
        any = any || is_restored(restore, restore->incoming[i].vm);
    if (!any)
        return 0;
    result = staging_new(restore->options.state, &restore->staging, ret_error);
    for (size_t i = 0; result == 0 && i < restore->incoming_count; i++)
        if (is_restored(restore, restore->incoming[i].vm))
            result = place_vm(restore, &restore->incoming[i], ret_error);
    if (result == 0)
        result = staging_prepare(restore->staging, ret_error);
    if (result < 0)
        return result;
    result = disk_queue_new(&restore->queue);
    if (result == 0)
        result = open_trees(restore);
    return result < 0 ? error_set(ret_error, result, "what was staged can't be opened: %s",
                                  strerror(-result))
                      : 0;
}

static int decide(struct restore *restore, const void *untrusted_document, size_t length,
                  struct error *ret_error)
{
    const struct restore_options *options = &restore->options;
    const struct catalogue_import_options import = {
        .format = (int)restore->version,
        .include = options->include,
        .exclude = options->exclude,
        .conflict = options->conflict,
        .missing = options->missing,
        .dom0_home = options->dom0_home,
        .verify = options->verify,
        .root = options->root,
    };

    return catalogue_import_new(options->catalogue_path, untrusted_document, length, &import,
                                &restore->import, ret_error);
}

int restore_plan(struct restore *restore, const void *untrusted_document, size_t length,
                 struct error *ret_error)
{
    int result = decide(restore, untrusted_document, length, ret_error);

    if (result < 0)
        return result;
    restore->incoming_count = catalogue_import_count(restore->import);
    restore->incoming = calloc(restore->incoming_count + 1, sizeof(*restore->incoming));
    if (!restore->incoming) {
        restore->incoming_count = 0;
        return error_set(ret_error, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < restore->incoming_count; i++) {
        struct incoming *incoming = &restore->incoming[i];

        incoming->vm = catalogue_import_vm(restore->import, i);
        incoming->directory.fd = incoming->directory.near_fd = -1;
        incoming->images.fd = incoming->images.near_fd = -1;
        if (incoming->vm->action == IMPORT_RESTORE &&
            __builtin_add_overflow(restore->promised, incoming->vm->backup_size,
                                   &restore->promised))
            restore->promised = UINT64_MAX;
        if (incoming->vm->action == IMPORT_RESTORE && incoming->vm->vm_class == VM_CLASS_ADMIN &&
            !restore->options.verify && !restore->options.home)
            incoming_note(incoming, "not restored: this host has no home for it");
    }
    return place_all(restore, ret_error);
}
