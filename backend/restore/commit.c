/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All has come and is verified: it is brought into force, at once. */
#include <errno.h>
#include <string.h>

#include "internal.h"
#include "qubesfs/disk.h"
#include "qubesfs/log.h"

static int cancelled(const struct restore *restore, struct error *ret_error)
{
    return atomic_load(&restore->cancelled) ? error_set(ret_error, -ECANCELED, "cancelled") : 0;
}

/* R3 keeps in a file what R4 has in the catalogue. */
static int write_menu(struct incoming *incoming, struct error *ret_error)
{
    const char *menu = incoming->vm->menu;
    int fd CLEANUP_CLOSE = -1;
    int result;

    if (!menu || incoming->menu_came)
        return 0;
    result =
        landing_add_file(&incoming->directory, "whitelisted-appmenus.list", 0660, &fd, ret_error);
    if (result == 0 && (result = disk_write(fd, menu, strlen(menu))) < 0)
        error_set(ret_error, result, "the menu of %s can't be written: %s", incoming->vm->name,
                  strerror(-result));
    return result;
}

static int finish_trees(struct restore *restore, struct error *ret_error)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < restore->incoming_count; i++) {
        struct incoming *incoming = &restore->incoming[i];

        if (!incoming->placed)
            continue;
        if (incoming->vm->vm_class != VM_CLASS_ADMIN)
            result = write_menu(incoming, ret_error);
        if (result == 0)
            result = landing_finish(&incoming->directory, ret_error);
        if (result == 0 && incoming->images_apart)
            result = landing_finish(&incoming->images, ret_error);
    }
    return result;
}

/* File systems, not files: there may be very many small ones. */
static int sync_all(const struct staging *staging, struct error *ret_error)
{
    bool own = false;

    for (size_t i = 0; i < staging->count; i++) {
        bool here =
            strncmp(staging->items[i].path, staging->directory, strlen(staging->directory)) == 0;

        if (here && own)
            continue;
        own = own || here;
        if (syncfs(staging->items[i].fd))
            return error_set(ret_error, -errno, "%s can't be synced: %s", staging->items[i].path,
                             strerror(errno));
    }
    return 0;
}

static int promise(struct restore *restore, struct error *ret_error)
{
    for (size_t i = 0; i < restore->incoming_count; i++) {
        const struct incoming *incoming = &restore->incoming[i];

        if (incoming->placed && incoming->vm->vm_class != VM_CLASS_ADMIN &&
            staging_add_vm(restore->staging, incoming->vm->new_name, incoming->vm->uuid))
            return error_set(ret_error, -ENOMEM, "out of memory");
    }
    if (staging_set_catalogue(restore->staging, restore->options.catalogue_path))
        return error_set(ret_error, -ENOMEM, "out of memory");
    return staging_set_phase(restore->staging, STAGING_COMMITTING, ret_error);
}

int restore_commit(struct restore *restore, struct error *ret_error)
{
    struct error error;
    int result = 0;

    if (!restore->staging) {
        restore->done = true;
        return 0;
    }
    result = disk_queue_drain(restore->queue, ret_error);
    if (result == 0)
        result = finish_trees(restore, ret_error);
    if (result == 0)
        result = sync_all(restore->staging, ret_error);
    if (result == 0)
        result = cancelled(restore, ret_error);
    if (result == 0)
        result = promise(restore, ret_error);
    if (result == 0)
        result = staging_move(restore->staging, ret_error);
    if (result == 0)
        result = cancelled(restore, ret_error);
    if (result == 0 && restore->staging->vm_count > 0)
        result = catalogue_import_save(restore->import, restore->cancel_fd, ret_error);
    if (result < 0)
        return result;
    restore->done = true; /* whatever becomes of the staging now */
    if (staging_remove(restore->staging, false, &error))
        log_warning("restore: %s", error.text);
    return 0;
}
