/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files of a VM and of dom0's home: where each goes.  A verification does the same but for the
 * writing. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"
#include "qubesfs/disk.h"

#define NAME_LENGTH_MAX 255

static bool is_home(const struct incoming *incoming)
{
    return incoming->vm->vm_class == VM_CLASS_ADMIN;
}

static bool begins_with(const char *string, const char *with)
{
    return strncmp(string, with, strlen(with)) == 0;
}

/* Made anew at each start, or a VM's state that is no more. */
static bool is_remade(const char *name)
{
    size_t length = strlen(name);

    return begins_with(name, "volatile.img") || begins_with(name, "root-cow.img") ||
           begins_with(name, "private-cow.img") ||
           (length > 5 && strcmp(name + length - 5, ".conf") == 0 && !strchr(name, '/'));
}

static enum place place_of(const struct restore *restore, const struct incoming *incoming,
                           const char *path)
{
    bool r4 = catalogue_import_form(restore->import) == CATALOGUE_R4;

    if (is_home(incoming))
        return PLACE_DIRECTORY;
    if (strcmp(path, "private.img") == 0)
        return PLACE_IMAGE;
    if (strcmp(path, "root.img") == 0)
        return incoming->vm->has_root ? PLACE_IMAGE : PLACE_NOWHERE;
    if (strcmp(path, incoming->vm->firewall_name) == 0)
        return PLACE_FIREWALL;
    if (strcmp(path, "firewall.xml") == 0)
        return PLACE_NOWHERE; /* not in force where it comes from */
    if (strcmp(path, "whitelisted-appmenus.list") == 0)
        return r4 ? PLACE_MENU : PLACE_DIRECTORY;
    if (strcmp(path, "notes.txt") == 0)
        return PLACE_DIRECTORY;
    return r4 || is_remade(path) ? PLACE_NOWHERE : PLACE_DIRECTORY;
}

/* The path below the VM's directory; "" is that itself.  NULL: it is elsewhere. */
static const char *below(const struct incoming *incoming, const char *path)
{
    const char *prefix = incoming->vm->backup_path;
    size_t length = strlen(prefix);

    if (strncmp(path, prefix, length) == 0)
        return path + length;
    return strlen(path) + 1 == length && strncmp(path, prefix, length - 1) == 0 ? "" : NULL;
}

/* Both a restore and a verification leave out, and say so, what no file system takes. */
static bool too_long(const char *path)
{
    while (*path) {
        size_t length = strcspn(path, "/");

        if (length > NAME_LENGTH_MAX)
            return true;
        path += length + (path[length] == '/');
    }
    return false;
}

static struct landing *tree_of(struct incoming *incoming, enum place place)
{
    return place == PLACE_IMAGE && incoming->images_apart ? &incoming->images
                                                          : &incoming->directory;
}

static int begin_directory(struct restore *restore, struct incoming *incoming,
                           const struct archive_member *member, const char *path,
                           struct error *ret_error)
{
    int result = landing_count_directory(&incoming->directory, path, ret_error);

    if (result < 0 || !incoming->placed || place_of(restore, incoming, path) == PLACE_NOWHERE ||
        (!is_home(incoming) && !path[0]))
        return result;
    return landing_add_directory(&incoming->directory, path, member->mode,
                                 is_home(incoming) ? member->mtime : 0, ret_error);
}

static int begin_link(struct restore *restore, struct incoming *incoming,
                      const struct archive_member *member, const char *path,
                      struct error *ret_error)
{
    const char *target = member->link;

    if (!is_home(incoming)) {
        /* whoever reads or writes a VM's files would be led elsewhere */
        if (place_of(restore, incoming, path) != PLACE_NOWHERE)
            incoming_note(incoming, "left out: the link %s", path);
        return 0;
    }
    if (member->type == ARCHIVE_HARD_LINK)
        target = below(incoming, target);
    if (!target)
        return error_set(ret_error, -EILSEQ, "\"%s\" is a link to \"%s\", which is not in it", path,
                         member->link);
    if (!incoming->placed)
        return 0;
    return member->type == ARCHIVE_HARD_LINK
               ? landing_add_hard_link(&incoming->directory, path, target, ret_error)
               : landing_add_symlink(&incoming->directory, path, target, member->mtime, ret_error);
}

/* R4 makes images with mode 0600, R3 lets the group have them. */
static mode_t file_mode(const struct restore *restore, const struct incoming *incoming, mode_t mode)
{
    if (is_home(incoming))
        return mode & 0777;
    return catalogue_import_form(restore->import) == CATALOGUE_R4 ? 0600 : 0660;
}

static int begin_file(struct restore *restore, struct incoming *incoming,
                      const struct archive_member *member, const char *path,
                      struct error *ret_error)
{
    enum place place = place_of(restore, incoming, path);
    bool *came = strcmp(path, "root.img") == 0 ? &incoming->root : &incoming->private;
    int result = 0;

    if (place == PLACE_IMAGE && *came)
        return error_set(ret_error, -EBADMSG, "the backup is damaged: %s of %s is in it twice",
                         path, incoming->vm->name);
    if (place == PLACE_FIREWALL && incoming->firewall_came)
        return error_set(ret_error, -EBADMSG, "the backup is damaged: %s of %s is in it twice",
                         path, incoming->vm->name);
    if ((place == PLACE_FIREWALL || place == PLACE_MENU) && member->size > SMALL_FILE_MAX)
        return error_set(ret_error, -EBADMSG,
                         "%s of %s is %llu bytes long: no Qubes writes such a file", path,
                         incoming->vm->name, (unsigned long long)member->size);
    if (incoming->placed && (place == PLACE_IMAGE || place == PLACE_DIRECTORY)) {
        result = landing_add_file(tree_of(incoming, place), path,
                                  file_mode(restore, incoming, member->mode), &restore->member.fd,
                                  ret_error);
        if (result < 0)
            return result;
    }
    if (place == PLACE_FIREWALL) {
        incoming->firewall_came = true;
        path = "firewall.xml";
    }
    restore->member.path = strdup(path);
    if (!restore->member.path)
        return error_set(ret_error, -ENOMEM, "out of memory");
    restore->member.place = place;
    restore->member.size = member->size;
    restore->member.mtime = member->mtime;
    return 0;
}

int member_begin(struct restore *restore, const struct archive_member *member,
                 struct error *ret_error)
{
    struct incoming *incoming = restore->archive.incoming;
    const char *path = below(incoming, member->path);
    int result;

    member_drop(restore);
    if (!path)
        return error_set(ret_error, -EBADMSG, "the backup is damaged: \"%s\" is in \"%s\"",
                         member->path, restore->archive.name);
    if (too_long(path)) {
        incoming_note(incoming, "left out, for its name is too long: %.60s...", path);
        return 0;
    }
    switch (member->type) {
    case ARCHIVE_DIRECTORY:
        result = begin_directory(restore, incoming, member, path, ret_error);
        break;
    case ARCHIVE_SYMLINK:
    case ARCHIVE_HARD_LINK:
        result = begin_link(restore, incoming, member, path, ret_error);
        break;
    case ARCHIVE_FILE:
        result = begin_file(restore, incoming, member, path, ret_error);
        break;
    default:
        incoming_note(incoming, "left out: %s, which is no file", path);
        return 0;
    }
    if (result == -EILSEQ) {
        incoming_note(incoming, "left out: %s", ret_error->text);
        result = 0;
    }
    return result;
}

/* A small file, holes filled with zeros. */
static int keep(struct restore *restore, uint64_t offset, const void *data, size_t length)
{
    struct text *kept = &restore->member.kept;

    while (kept->length < offset && !kept->failed)
        text_append(kept, "", 1);
    text_append(kept, data, length);
    return text_status(kept);
}

int member_data(struct restore *restore, uint64_t offset, const void *data, size_t length,
                struct error *ret_error)
{
    int result = 0;

    if (restore->member.place == PLACE_FIREWALL || restore->member.place == PLACE_MENU)
        result = keep(restore, offset, data, length);
    else if (restore->member.fd >= 0)
        return disk_queue_write(restore->queue, restore->member.fd, offset, data, length,
                                ret_error);
    if (result < 0)
        return error_set(ret_error, result, "%s of %s can't be written: %s", restore->member.path,
                         restore->archive.incoming->vm->name, strerror(-result));
    return 0;
}

static int write_small(struct restore *restore, struct incoming *incoming, const void *data,
                       size_t length, struct error *ret_error)
{
    int fd CLEANUP_CLOSE = -1;
    int result;

    if (!incoming->placed)
        return 0;
    result = landing_add_file(&incoming->directory, restore->member.path,
                              file_mode(restore, incoming, 0), &fd, ret_error);
    if (result < 0)
        return result;
    result = disk_write(fd, data, length);
    return result < 0 ? error_set(ret_error, result, "%s of %s can't be written: %s",
                                  restore->member.path, incoming->vm->name, strerror(-result))
                      : 0;
}

/* In the form that the host's VMs have. */
static int take_firewall(struct restore *restore, struct incoming *incoming,
                         struct error *ret_error)
{
    const struct text *kept = &restore->member.kept;
    enum catalogue_form form = catalogue_import_form(restore->import);
    char *document CLEANUP_FREE = NULL, *left_out CLEANUP_FREE = NULL;
    int result;

    if (form == restore->backup_form)
        return write_small(restore, incoming, kept->data, kept->length, ret_error);
    result = firewall_convert(restore->archive.name, kept->data ? kept->data : "", kept->length,
                              form, time(NULL), &document, &left_out, ret_error);
    if (result < 0)
        return error_prefix(ret_error,
                            "the firewall rules of %s can't be taken over (leave it out with "
                            "`exclude`)",
                            incoming->vm->name);
    for (const char *at = left_out; *at; at += strcspn(at, "\n"), at += *at == '\n')
        incoming_note(incoming, "firewall: %.*s", (int)strcspn(at, "\n"), at);
    return write_small(restore, incoming, document, strlen(document), ret_error);
}

static int finish_image(struct restore *restore, struct incoming *incoming, struct error *ret_error)
{
    bool root = strcmp(restore->member.path, "root.img") == 0;
    uint64_t size = restore->member.size;
    uint64_t promised = root ? incoming->vm->root_size : incoming->vm->private_size;

    *(root ? &incoming->root : &incoming->private) = true;
    if (promised != 0 && promised != size)
        incoming_note(incoming, "%s has %llu bytes, its catalogue says %llu", restore->member.path,
                      (unsigned long long)size, (unsigned long long)promised);
    if (restore->options.verify)
        return 0;
    return catalogue_import_set_size(restore->import, incoming->vm, root ? "root" : "private", size)
               ? error_set(ret_error, -ENOMEM, "out of memory")
               : 0;
}

/* Images go to the disk at once, so that its errors are told early. */
static int finish_file(struct restore *restore, struct error *ret_error)
{
    int fd = MOVE_FD(restore->member.fd);
    char *name;

    if (fd < 0)
        return 0;
    name = text_format("%s of %s", restore->member.path, restore->archive.incoming->vm->name);
    return disk_queue_close(restore->queue, fd, name, restore->member.size, restore->member.mtime,
                            restore->member.place == PLACE_IMAGE, ret_error);
}

int member_end(struct restore *restore, struct error *ret_error)
{
    struct incoming *incoming = restore->archive.incoming;
    const struct text *kept = &restore->member.kept;
    int result = 0;

    if (!restore->member.path) /* no file, or left out */
        return 0;
    incoming->files++;
    if (strcmp(restore->member.path, "empty") == 0)
        incoming->nothing = true;
    result = finish_file(restore, ret_error);
    if (result == 0 && restore->member.place == PLACE_IMAGE)
        result = finish_image(restore, incoming, ret_error);
    else if (result == 0 && restore->member.place == PLACE_FIREWALL)
        result = take_firewall(restore, incoming, ret_error);
    else if (result == 0 && restore->member.place == PLACE_MENU && !restore->options.verify)
        result = catalogue_import_set_menu(restore->import, incoming->vm,
                                           kept->data ? kept->data : "", kept->length)
                     ? error_set(ret_error, -ENOMEM, "out of memory")
                     : 0;
    if (strcmp(restore->member.path, "whitelisted-appmenus.list") == 0)
        incoming->menu_came = true;
    member_drop(restore);
    return result;
}

void member_drop(struct restore *restore)
{
    if (restore->member.fd >= 0)
        close(restore->member.fd);
    restore->member.fd = -1;
    free(restore->member.path);
    restore->member.path = NULL;
    restore->member.place = PLACE_NOWHERE;
    text_free(&restore->member.kept);
}
