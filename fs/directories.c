/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Listings: what an open directory shows is settled by its opendir (and by a rewind). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs.h"

struct listing {
    struct listing *next, **place; /* among the mount's; guarded by the tree's lock */
    struct node **nodes;           /* one reference each */
    char **names;                  /* as they were then */
    size_t count;
    uint64_t ino, parent_ino;
    bool begun; /* its first part was read */
};

static void listing_clear(struct fs *fs, struct listing *listing)
{
    pthread_mutex_lock(&fs->tree.lock);
    for (size_t i = 0; i < listing->count; i++)
        node_unref(listing->nodes[i]);
    pthread_mutex_unlock(&fs->tree.lock);
    for (size_t i = 0; i < listing->count; i++)
        free(listing->names[i]);
    free(listing->nodes);
    free(listing->names);
    listing->nodes = NULL;
    listing->names = NULL;
    listing->count = 0;
}

static struct listing *listing_new(struct fs *fs)
{
    struct listing *listing = calloc(1, sizeof(*listing));

    if (!listing)
        return NULL;
    LOCK_SCOPE(&fs->tree.lock);
    listing->next = fs->listings;
    listing->place = &fs->listings;
    if (listing->next)
        listing->next->place = &listing->next;
    fs->listings = listing;
    return listing;
}

static void listing_free(struct fs *fs, struct listing *listing)
{
    if (!listing)
        return;
    pthread_mutex_lock(&fs->tree.lock);
    *listing->place = listing->next;
    if (listing->next)
        listing->next->place = listing->place;
    pthread_mutex_unlock(&fs->tree.lock);
    listing_clear(fs, listing);
    free(listing);
}

void directories_close(struct fs *fs)
{
    while (fs->listings)
        listing_free(fs, fs->listings);
}

static int listing_take(struct fs *fs, struct node *directory, struct listing *listing)
{
    size_t count;

    listing_clear(fs, listing);
    LOCK_SCOPE(&fs->tree.lock);
    node_populate(fs, directory, NULL);
    listing->ino = directory->ino;
    listing->parent_ino = directory->parent ? directory->parent->ino : directory->ino;
    count = directory->child_count;
    listing->nodes = calloc(count + 1, sizeof(*listing->nodes));
    listing->names = calloc(count + 1, sizeof(*listing->names));
    if (!listing->nodes || !listing->names)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct node *child = directory->children[i];

        if (child->phase != NODE_VISIBLE)
            continue;
        listing->names[listing->count] = strdup(child->name);
        if (!listing->names[listing->count])
            return -ENOMEM;
        listing->nodes[listing->count++] = node_ref(child);
    }
    return 0;
}

void directories_open(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info)
{
    struct fs *fs = request_fs(request);
    struct node *node = request_node(request, ino);
    struct listing *listing;
    bool shown;
    int result;

    pthread_mutex_lock(&fs->tree.lock);
    shown = node_is_shown(node);
    pthread_mutex_unlock(&fs->tree.lock);
    if (!shown) {
        fuse_reply_err(request, ENOENT);
        return;
    }
    listing = listing_new(fs);
    result = listing ? listing_take(fs, node, listing) : -ENOMEM;
    if (result) {
        listing_free(fs, listing);
        fuse_reply_err(request, -result);
        return;
    }
    info->fh = (uintptr_t)listing;
    if (fuse_reply_open(request, info))
        listing_free(fs, listing);
}

/*
 * Counts a lookup of a node that is still there under the name in the listing.  What has gone or
 * was renamed since the opendir must not get into the kernel's cache of names: it would stay there,
 * and a new one of that name could not be told.  (While the kernel reads a directory it lets nobody
 * remove from it, so what is there now is there until it has the answer.)
 */
static bool look_up(struct fs *fs, struct node *node, const char *name)
{
    LOCK_SCOPE(&fs->tree.lock);
    if (!node_is_shown(node) || strcmp(node->name, name) != 0)
        return false;
    node_looked_up(node);
    return true;
}

/* Adds one entry; more than `size` when the buffer has no room for it. */
static size_t add(fuse_req_t request, struct listing *listing, size_t place, bool plus,
                  char *buffer, size_t size)
{
    struct fs *fs = request_fs(request);
    struct fuse_entry_param entry = {0};
    struct node *node = place >= 2 ? listing->nodes[place - 2] : NULL;
    const char *name = place == 0 ? "." : place == 1 ? ".." : listing->names[place - 2];
    size_t used;

    if (node && !plus) {
        entry.attr.st_ino = node->ino;
        entry.attr.st_mode = kind_bits(node->type->kind);
    } else if (node && !node->type->slow && look_up(fs, node, name)) {
        /* slow ones carry no attributes: the kernel asks for them one by one */
        entry_fill(fs, node, &entry);
    } else if (node) {
        entry.attr.st_ino = node->ino;
        entry.attr.st_mode = kind_bits(node->type->kind);
    } else {
        entry.attr.st_ino = place == 0 ? listing->ino : listing->parent_ino;
        entry.attr.st_mode = S_IFDIR;
    }
    if (!plus)
        return fuse_add_direntry(request, buffer, size, name, &entry.attr, (off_t)place + 1);
    used = fuse_add_direntry_plus(request, buffer, size, name, &entry, (off_t)place + 1);
    if (used > size && entry.ino) {
        LOCK_SCOPE(&fs->tree.lock);
        node_forget(&fs->tree, node, 1);
    }
    return used;
}

static void read_directory(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                           struct fuse_file_info *info, bool plus)
{
    struct listing *listing = (struct listing *)(uintptr_t)info->fh;
    char *buffer CLEANUP_FREE = malloc(size);
    size_t used = 0;

    if (!buffer) {
        fuse_reply_err(request, ENOMEM);
        return;
    }
    /* rewinddir: the directory as it is now */
    if (offset == 0 && listing->begun &&
        listing_take(request_fs(request), request_node(request, ino), listing)) {
        fuse_reply_err(request, ENOMEM);
        return;
    }
    listing->begun = true;
    for (size_t place = (size_t)offset; place < listing->count + 2; place++) {
        size_t more = add(request, listing, place, plus, buffer + used, size - used);

        if (more > size - used)
            break;
        used += more;
    }
    fuse_reply_buf(request, buffer, used);
}

void directories_read(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                      struct fuse_file_info *info)
{
    read_directory(request, ino, size, offset, info, false);
}

void directories_readplus(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                          struct fuse_file_info *info)
{
    read_directory(request, ino, size, offset, info, true);
}

void directories_release(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info)
{
    struct listing *listing = (struct listing *)(uintptr_t)info->fh;

    (void)ino;
    listing_free(request_fs(request), listing);
    fuse_reply_err(request, 0);
}
