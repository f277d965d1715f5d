/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tar_images.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The image's attributes, those of a device made as a file's. */
static int look_at(const struct archive_image *image, struct stat *ret_status,
                   struct error *ret_error)
{
    off_t size;

    if (fstat(image->fd, ret_status))
        return error_set(ret_error, -errno, "can't look at %s: %s", image->path, strerror(errno));
    if (S_ISREG(ret_status->st_mode))
        return 0;
    if (!S_ISBLK(ret_status->st_mode))
        return error_set(ret_error, -EINVAL, "%s is neither a file nor a block device",
                         image->path);
    size = lseek(image->fd, 0, SEEK_END);
    if (size < 0)
        return error_set(ret_error, -errno, "can't find the size of %s: %s", image->path,
                         strerror(errno));
    ret_status->st_size = size;
    ret_status->st_blocks = size / 512;
    return 0;
}

static struct tar_member member_of(const struct archive_source *source, const char *name,
                                   const struct stat *status)
{
    const struct archive_owners *owners = &source->owners;

    return (struct tar_member){
        .name = name,
        .mode = status->st_mode & 07777,
        .uid = status->st_uid,
        .gid = status->st_gid,
        .time = status->st_mtim.tv_sec,
        .user = owners->user ? owners->user(owners->cookie, status->st_uid) : NULL,
        .group = owners->group ? owners->group(owners->cookie, status->st_gid) : NULL,
    };
}

static int write_image(struct tar_writer *writer, const struct archive_source *source,
                       const struct archive_image *image, const char *name, struct error *ret_error)
{
    struct tar_member member;
    struct stat status;
    int result = look_at(image, &status, ret_error);

    if (result < 0)
        return result;
    member = member_of(source, name, &status);
    return tar_write_file(writer, &member, image->fd, &status,
                          image->still ? TAR_STILL : TAR_WATCHED, image->path, ret_error);
}

/* The directory that the images are said to be in: it may be none of this host's. */
static int write_directory(struct tar_writer *writer, const struct archive_source *source,
                           struct error *ret_error)
{
    struct tar_member member = {.type = TAR_DIRECTORY, .mode = 0770, .user = "root"};
    char *name CLEANUP_FREE = NULL;
    struct stat status;
    int result;

    if (source->image_count > 0 && fstat(source->images[0].fd, &status) == 0)
        member.time = status.st_mtim.tv_sec;
    member.group = "root";
    if (asprintf(&name, "%s/", source->name) < 0) {
        name = NULL;
        return error_set(ret_error, -ENOMEM, "can't store %s: out of memory", source->name);
    }
    member.name = name;
    result = tar_write_header(writer, &member, NULL);
    if (result < 0)
        return error_set(ret_error, result, "can't store %s: %s", source->name, strerror(-result));
    return 0;
}

int tar_write_images(struct tar_writer *writer, const struct archive_source *source,
                     struct error *ret_error)
{
    int result = 0;

    if (source->image_count == 0 || source->images[0].base)
        result = write_directory(writer, source, ret_error);
    for (size_t i = 0; result == 0 && i < source->image_count; i++) {
        const struct archive_image *image = &source->images[i];
        char *name CLEANUP_FREE = NULL;

        if (!image->base)
            return write_image(writer, source, image, source->name, ret_error);
        if (asprintf(&name, "%s/%s", source->name, image->base) < 0) {
            name = NULL;
            return error_set(ret_error, -ENOMEM, "can't store %s: out of memory", image->path);
        }
        result = write_image(writer, source, image, name, ret_error);
    }
    return result;
}
