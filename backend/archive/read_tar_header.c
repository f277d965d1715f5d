/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "read_tar_header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "read_names.h"

void tar_extras_clear(struct tar_extras *extras)
{
    free(extras->name);
    free(extras->link);
    memset(extras, 0, sizeof(*extras));
}

static int set_text(char **text, const char *value, size_t length, struct error *ret_error)
{
    free(*text);
    *text = NULL;
    if (length == 0 || memchr(value, '\0', length))
        return error_set(ret_error, -EBADMSG, "a member of it has a broken name");
    *text = strndup(value, length);
    return *text ? 0 : -ENOMEM;
}

/* seconds, perhaps negative, perhaps with a fraction */
static bool parse_time(const struct pax_record *record, int64_t *ret)
{
    const char *text = record->value, *dot;
    size_t length = record->value_length;
    bool negative = length > 0 && text[0] == '-';
    uint64_t number;

    if (negative)
        text++, length--;
    dot = memchr(text, '.', length);
    if (!pax_number(text, dot ? (size_t)(dot - text) : length, &number))
        return false;
    *ret = negative ? -(int64_t)number : (int64_t)number;
    return true;
}

static int take_sparse(struct tar_extras *extras, const struct pax_record *record,
                       struct error *ret_error)
{
    const char *value = record->value;
    size_t length = record->value_length;

    extras->sparse = true;
    if (pax_is(record, "GNU.sparse.major"))
        extras->major_1 = length == 1 && value[0] == '1';
    else if (pax_is(record, "GNU.sparse.minor"))
        extras->minor_0 = length == 1 && value[0] == '0';
    else if (pax_is(record, "GNU.sparse.name"))
        return set_text(&extras->name, value, length, ret_error);
    else if (pax_is(record, "GNU.sparse.realsize"))
        extras->has_real_size = pax_number(value, length, &extras->real_size);
    return 0;
}

static int take_record(struct tar_extras *extras, const struct pax_record *record,
                       struct error *ret_error)
{
    const char *value = record->value;
    size_t length = record->value_length;
    bool good = true;

    if (record->key_length > 11 && !memcmp(record->key, "GNU.sparse.", 11))
        return take_sparse(extras, record, ret_error);
    if (pax_is(record, "path")) {
        /* GNU.sparse.name stands for it, before or behind */
        return extras->sparse && extras->name ? 0
                                              : set_text(&extras->name, value, length, ret_error);
    }
    if (pax_is(record, "linkpath"))
        return set_text(&extras->link, value, length, ret_error);
    if (pax_is(record, "size"))
        good = extras->has_size = pax_number(value, length, &extras->size);
    else if (pax_is(record, "uid"))
        good = extras->has_uid = pax_number(value, length, &extras->uid);
    else if (pax_is(record, "gid"))
        good = extras->has_gid = pax_number(value, length, &extras->gid);
    else if (pax_is(record, "mtime"))
        good = extras->has_mtime = parse_time(record, &extras->mtime);
    return good ? 0 : error_set(ret_error, -EBADMSG, "a pax header of it can't be understood");
}

int tar_extras_take(struct tar_extras *extras, char type, const char *body, size_t length,
                    struct error *ret_error)
{
    struct pax_record record;
    int more, result = 0;

    if (type != 'x') /* with a NUL, or more of them, at its end */
        return set_text(type == 'L' ? &extras->name : &extras->link, body, strnlen(body, length),
                        ret_error);
    while (result == 0 && (more = pax_next(&body, &length, &record)) != 0) {
        if (more < 0)
            return error_set(ret_error, -EBADMSG, "a pax header of it can't be understood");
        result = take_record(extras, &record, ret_error);
    }
    if (result == 0 && extras->sparse &&
        !(extras->major_1 && extras->minor_0 && extras->has_real_size))
        return error_set(ret_error, -ENOTSUP,
                         "a file in it has a sparse map of another form than pax 1.0");
    return result;
}

static int set_numbers(const unsigned char *block, const struct tar_extras *extras,
                       struct tar_head *head)
{
    struct archive_member *member = &head->member;
    uint64_t mode, uid, gid;
    int64_t mtime;

    if (!block_number(block, BLOCK_SIZE, &head->stored) ||
        !block_number(block, BLOCK_MODE, &mode) || !block_number(block, BLOCK_UID, &uid) ||
        !block_number(block, BLOCK_GID, &gid) || !block_time(block, &mtime))
        return -EBADMSG;
    if (extras->has_size)
        head->stored = extras->size;
    uid = extras->has_uid ? extras->uid : uid;
    gid = extras->has_gid ? extras->gid : gid;
    if (uid >= UINT32_MAX || gid >= UINT32_MAX)
        return -EBADMSG;
    member->mode = (mode_t)(mode & 07777);
    member->uid = (uid_t)uid;
    member->gid = (gid_t)gid;
    member->mtime = (time_t)(extras->has_mtime ? extras->mtime : mtime);
    member->size = head->stored;
    return 0;
}

static int set_type(const unsigned char *block, const struct tar_extras *extras,
                    struct tar_head *head)
{
    struct archive_member *member = &head->member;
    char type = (char)block[BLOCK_TYPE_AT];

    switch (type) {
    case '\0':
    case '0':
    case '7':
    case 'S':
        member->type = ARCHIVE_FILE;
        head->old_sparse = type == 'S';
        head->pax_sparse = extras->sparse;
        if (head->old_sparse && (extras->sparse || !block_is_gnu(block) ||
                                 !block_number(block, BLOCK_REAL_SIZE, &member->size)))
            return -EBADMSG;
        if (extras->sparse)
            member->size = extras->real_size;
        member->sparse = head->old_sparse || head->pax_sparse;
        return 0;
    case '1':
        member->type = ARCHIVE_HARD_LINK;
        break;
    case '2':
        member->type = ARCHIVE_SYMLINK;
        break;
    case '5':
        member->type = ARCHIVE_DIRECTORY;
        break;
    case '3':
    case '4':
    case '6':
        member->type = ARCHIVE_SPECIAL;
        break;
    default:
        return -EINVAL;
    }
    return extras->sparse || head->stored > 0 ? -EBADMSG : 0;
}

static int bad_path(const char *untrusted_path, const char *root, struct error *ret_error)
{
    return error_set(ret_error, -EINVAL, "\"%.300s\" in it does not belong below %s",
                     untrusted_path, root);
}

static int set_path(const unsigned char *block, const struct tar_extras *extras, const char *root,
                    struct tar_head *head, struct error *ret_error)
{
    char name[257];

    block_name(block, name);
    head->path = strdup(extras->name ? extras->name : name);
    if (!head->path)
        return -ENOMEM;
    if (head->member.type == ARCHIVE_FILE && head->path[0] &&
        head->path[strlen(head->path) - 1] == '/')
        return error_set(ret_error, -EINVAL, "a file in it has the name of a directory");
    if (!names_plain(head->path) || !names_is_below(head->path, root))
        return bad_path(extras->name ? extras->name : name, root, ret_error);
    head->member.path = head->path;
    return 0;
}

static int set_link(const unsigned char *block, const struct tar_extras *extras, const char *root,
                    struct tar_head *head, struct error *ret_error)
{
    char field[101];

    memcpy(field, block + 157, 100);
    field[100] = '\0';
    head->link = strdup(extras->link ? extras->link : field);
    if (!head->link)
        return -ENOMEM;
    if (head->member.type == ARCHIVE_HARD_LINK &&
        (!names_plain(head->link) || !names_is_below(head->link, root)))
        return bad_path(extras->link ? extras->link : field, root, ret_error);
    if (!head->link[0])
        return error_set(ret_error, -EBADMSG, "a link in it leads nowhere");
    head->member.link = head->link;
    return 0;
}

int tar_head_make(const unsigned char *block, const struct tar_extras *extras, const char *root,
                  struct tar_head *ret_head, struct error *ret_error)
{
    struct tar_head head = {.path = NULL};
    int result = set_numbers(block, extras, &head);

    if (result == 0)
        result = set_type(block, extras, &head);
    if (result == -EINVAL)
        return error_set(ret_error, result, "a member of it is of a type that no backup has");
    if (result < 0)
        return error_set(ret_error, result, "a header in it can't be understood");
    result = set_path(block, extras, root, &head, ret_error);
    if (result == 0 &&
        (head.member.type == ARCHIVE_HARD_LINK || head.member.type == ARCHIVE_SYMLINK))
        result = set_link(block, extras, root, &head, ret_error);
    if (result < 0)
        tar_head_clear(&head);
    else
        *ret_head = head;
    return result;
}

void tar_head_clear(struct tar_head *head)
{
    free(head->path);
    free(head->link);
    memset(head, 0, sizeof(*head));
}
