/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "fs.h"

#define STREAM_BLOCK (1024 * 1024) /* makes cp and cat read 1 MiB at a time */

mode_t kind_bits(enum node_kind kind)
{
    switch (kind) {
    case NODE_DIRECTORY:
        return S_IFDIR;
    case NODE_LINK:
        return S_IFLNK;
    default:
        return S_IFREG;
    }
}

static uint64_t content_size(const struct subject *subject, const struct node_type *type,
                             uint64_t *ret_blocks)
{
    struct text content CLEANUP_TEXT = TEXT_INIT;
    struct timespec ignored;
    uint64_t size = 0;

    switch (type->kind) {
    case NODE_LOG:
        host_journal_stat(subject->fs->host, &size, &ignored);
        return size;
    case NODE_VOLUME:
        return volume_size(subject, type, ret_blocks);
    case NODE_STREAM:
        if (!(type->mode & 0444))
            return 0;
        /* never 0: some tools copy nothing from a file of size 0 */
        if (backup_size(stream_plan(subject), subject->vm ? subject->vm->name : NULL, &size) ||
            size == 0)
            size = STREAM_BLOCK;
        return size;
    default:
        if (!type->render || type->render(subject, &content))
            return 0;
        return content.length;
    }
}

static bool is_large(enum node_kind kind)
{
    return kind == NODE_STREAM || kind == NODE_VOLUME;
}

static void fill_directory(struct fs *fs, struct node *node, struct stat *ret)
{
    LOCK_SCOPE(&fs->tree.lock);
    ret->st_nlink = 2;
    for (size_t i = 0; i < node->type->child_count && !node->populated; i++)
        ret->st_nlink += node->type->children[i].kind == NODE_DIRECTORY;
    for (size_t i = 0; i < node->child_count; i++)
        ret->st_nlink += node->children[i]->type->kind == NODE_DIRECTORY;
    ret->st_mtim = node->children_changed;
}

void attributes_fill(struct fs *fs, struct node *node, bool quick, struct stat *ret_attributes)
{
    const struct node_type *type = node->type;
    struct subject subject;
    uint64_t blocks = UINT64_MAX;

    memset(ret_attributes, 0, sizeof(*ret_attributes));
    ret_attributes->st_ino = node->ino;
    ret_attributes->st_mode = kind_bits(type->kind) | type->mode;
    ret_attributes->st_uid = fs->tree.owner;
    ret_attributes->st_gid = fs->tree.group;
    ret_attributes->st_nlink = 1;
    ret_attributes->st_blksize = is_large(type->kind) ? STREAM_BLOCK : 4096;
    ret_attributes->st_mtim = node->born;
    if (type->kind == NODE_DIRECTORY) {
        fill_directory(fs, node, ret_attributes);
    } else {
        subject_take(fs, node, &subject);
        if (!type->slow || !quick)
            ret_attributes->st_size = (off_t)content_size(&subject, type, &blocks);
        if (type->changed && (!type->slow || !quick))
            ret_attributes->st_mtim = type->changed(&subject);
        subject_free(&subject);
    }
    if (blocks == UINT64_MAX)
        blocks = ((uint64_t)ret_attributes->st_size + 511) / 512;
    ret_attributes->st_blocks = (blkcnt_t)blocks;
    ret_attributes->st_atim = ret_attributes->st_ctim = ret_attributes->st_mtim;
}
