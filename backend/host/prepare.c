/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files that a start needs: what must be there is checked, what is scratch is made. */
#include "prepare.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"
#include "qubesfs/log.h"

/* An image or kernel that must be there; what is wrong with it in words. */
static int check_file(const char *what, const char *path, const char *vm_name,
                      struct error *ret_error)
{
    struct stat attributes;

    if (stat(path, &attributes) == 0)
        return 0;
    return error_set(ret_error, errno == ENOTDIR ? -ENOENT : -errno,
                     "the %s of \"%s\" is missing: %s: %s", what, vm_name, path, strerror(errno));
}

int prepare_check(const struct definition_parts *parts, struct error *ret_error)
{
    const struct definition *definition = &parts->definition;
    int result = 0;

    if (definition->kernel)
        result = check_file("kernel", definition->kernel, definition->name, ret_error);
    if (!result && definition->initrd)
        result = check_file("initramfs", definition->initrd, definition->name, ret_error);
    for (size_t i = 0; !result && i < definition->volume_count; i++) {
        const struct definition_volume *volume = &definition->volumes[i];
        char what[64];

        if (volume->backend || volume->path == parts->volatile_image)
            continue; /* another VM's file; made below */
        snprintf(what, sizeof(what), "%s image", volume->name);
        result = check_file(what, strcmp(volume->name, "root") == 0 ? parts->root : volume->path,
                            definition->name, ret_error);
    }
    return result;
}

/* The directory of the console's log; without it libvirt refuses the definition. */
static void make_log_directory(struct host *host)
{
    static const char *const parts[] = {"/var", "/var/log", "/var/log/qubes"};

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        char *path CLEANUP_FREE = host_path(host, parts[i]);

        if (path && mkdir(path, 0755) == 0)
            chmod(path, 0755); /* our umask is for secrets; the hypervisor's user writes there */
        else if (path && errno != EEXIST)
            log_warning("cannot make %s: %m", path);
    }
}

/* A crash of the host leaves the layer behind that libvirt puts over a transient disk, and then it
 * refuses to start the domain for ever. */
static void drop_old_layers(const struct definition *definition)
{
    for (size_t i = 0; i < definition->volume_count; i++) {
        const struct definition_volume *volume = &definition->volumes[i];
        char *layer CLEANUP_FREE =
            volume->transient && !volume->block
                ? text_format("%s.TRANSIENT-%s", volume->path, definition->name)
                : NULL;

        if (layer && unlink(layer) == 0)
            log_info("%s was left behind by a crash: removed", layer);
    }
}

static int measure_root(const struct definition_parts *parts, const char *root, uint64_t *ret_size,
                        struct error *ret_error)
{
    const struct storage_place place = {STORAGE_FILE, (char *)parts->root};
    struct storage_measure measure;
    int result = storage_measure(&place, root, &measure);

    if (result)
        return error_set(ret_error, result, "can't look at %s: %s", parts->root, strerror(-result));
    *ret_size = measure.size;
    return 0;
}

/* A VM with the template's root gets its scratch image anew each time, others if it is missing. */
static int make_volatile(struct preparation *preparation, const struct definition_parts *parts,
                         uint64_t root_size, struct error *ret_error)
{
    const char *path = parts->volatile_image;
    struct stat attributes;
    bool there = path && lstat(path, &attributes) == 0;
    int result;

    if (!path || strncmp(path, "/dev/", 5) == 0 || (there && parts->own_root) ||
        (parts->definition.hvm && parts->own_root))
        return 0;
    if (there && !S_ISREG(attributes.st_mode))
        return error_set(ret_error, -EINVAL, "%s is no regular file", path);
    preparation->volatile_image = strdup(path);
    preparation->old_volatile = text_format("%s.old", path);
    if (!preparation->volatile_image || !preparation->old_volatile)
        return error_set(ret_error, -ENOMEM, "out of memory");
    if (there && rename(path, preparation->old_volatile))
        return error_set(ret_error, -errno, "can't rename %s: %s", path, strerror(errno));
    preparation->has_old = there;
    result = parts->definition.hvm ? storage_make_sparse(path, root_size, ret_error)
                                   : storage_make_volatile(path, root_size, ret_error);
    preparation->made = result == 0;
    return result;
}

/* The template's, and so not taken back: the next VM's start may count on it by then. */
static int make_root_cow(const struct definition_parts *parts, uint64_t root_size,
                         struct error *ret_error)
{
    struct stat attributes;
    int result;

    if (!parts->root_cow || lstat(parts->root_cow, &attributes) == 0)
        return 0;
    result = storage_make_sparse(parts->root_cow, root_size, ret_error);
    return result == -EEXIST ? 0 : result; /* another VM's start made it */
}

int prepare_start(struct host *host, const struct definition_parts *parts,
                  struct preparation *ret_preparation, struct error *ret_error)
{
    uint64_t root_size = 0;
    int result;

    *ret_preparation = (struct preparation){0};
    make_log_directory(host);
    drop_old_layers(&parts->definition);
    if (!parts->root)
        return 0;
    result = measure_root(parts, host->root, &root_size, ret_error);
    if (!result)
        result = make_root_cow(parts, root_size, ret_error);
    if (!result)
        result = make_volatile(ret_preparation, parts, root_size, ret_error);
    if (result)
        prepare_undo(ret_preparation);
    return result;
}

static void release(struct preparation *preparation)
{
    free(preparation->volatile_image);
    free(preparation->old_volatile);
    *preparation = (struct preparation){0};
}

void prepare_done(struct preparation *preparation)
{
    if (preparation->has_old && unlink(preparation->old_volatile))
        log_warning("can't remove %s: %m", preparation->old_volatile);
    release(preparation);
}

void prepare_undo(struct preparation *preparation)
{
    if (preparation->made && unlink(preparation->volatile_image))
        log_warning("can't remove %s: %m", preparation->volatile_image);
    if (preparation->has_old && rename(preparation->old_volatile, preparation->volatile_image))
        log_warning("can't rename %s: %m", preparation->old_volatile);
    release(preparation);
}
