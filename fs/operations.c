/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's requests that are about one node; no handler here waits for anything. */
#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#include "fs.h"

/*
 * Names and directories change only by operations that the kernel itself makes (the notifier's), so
 * it may keep them.  Contents change behind it: their size is asked for each time.
 */
#define NAME_SECONDS      3600.0
#define DIRECTORY_SECONDS 3600.0
#define FILE_SECONDS      0.0

struct fs *request_fs(fuse_req_t request)
{
    return fuse_req_userdata(request);
}

bool request_is_ours(fuse_req_t request)
{
    pid_t tid = atomic_load(&request_fs(request)->notifier.tid);

    /* a caller whom our namespace of processes does not know has number 0 */
    return tid != 0 && fuse_req_ctx(request)->pid == tid;
}

struct node *request_node(fuse_req_t request, fuse_ino_t ino)
{
    return ino == FUSE_ROOT_ID ? request_fs(request)->tree.root : (struct node *)(uintptr_t)ino;
}

static double attribute_seconds(const struct node *node)
{
    return node->type->kind == NODE_DIRECTORY ? DIRECTORY_SECONDS : FILE_SECONDS;
}

/* The kernel lets our own thread write to each file, also where the daemon is not root; to nobody
 * else, for it asks for a file's attributes each time, and files_open checks by itself. */
static void attributes_for(fuse_req_t request, struct stat *attributes)
{
    if (S_ISREG(attributes->st_mode) && request_is_ours(request))
        attributes->st_mode |= S_IWUSR;
}

void entry_fill(struct fs *fs, struct node *node, struct fuse_entry_param *ret_entry)
{
    memset(ret_entry, 0, sizeof(*ret_entry));
    ret_entry->ino = (fuse_ino_t)(uintptr_t)node;
    ret_entry->generation = node->ino;
    ret_entry->entry_timeout = NAME_SECONDS;
    ret_entry->attr_timeout = attribute_seconds(node);
    attributes_fill(fs, node, true, &ret_entry->attr);
}

static void init(void *userdata, struct fuse_conn_info *connection)
{
    (void)userdata;
    /* no AUTO_INVAL_DATA: what is in the page cache is decided when a volume is opened, and each
     * cached read would ask for its attributes */
    connection->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_WRITEBACK_CACHE |
                                    FUSE_CAP_AUTO_INVAL_DATA);
    connection->want |= connection->capable & (FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_ASYNC_READ);
    connection->max_readahead = 1024 * 1024;
}

static void lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    struct fs *fs = request_fs(request);
    struct node *directory = request_node(request, parent), *node;
    struct fuse_entry_param entry;
    bool ours = request_is_ours(request), shown = false;

    pthread_mutex_lock(&fs->tree.lock);
    node_populate(fs, directory, NULL);
    node = node_child(directory, name);
    if (node)
        shown = node_is_shown(node);
    if (!ours && !shown)
        node = NULL;
    if (node)
        node_looked_up(node);
    pthread_mutex_unlock(&fs->tree.lock);
    if (!node) {
        fuse_reply_err(request, ENOENT);
        return;
    }
    entry_fill(fs, node, &entry);
    attributes_for(request, &entry.attr);
    /* what only our thread is to see the kernel must not keep for others */
    if (!shown)
        entry.entry_timeout = entry.attr_timeout = 0;
    if (fuse_reply_entry(request, &entry)) {
        LOCK_SCOPE(&fs->tree.lock);
        node_forget(&fs->tree, node, 1);
    }
}

static void forget(fuse_req_t request, fuse_ino_t ino, uint64_t count)
{
    struct fs *fs = request_fs(request);

    pthread_mutex_lock(&fs->tree.lock);
    if (ino != FUSE_ROOT_ID)
        node_forget(&fs->tree, request_node(request, ino), count);
    pthread_mutex_unlock(&fs->tree.lock);
    fuse_reply_none(request);
}

static void forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgets)
{
    struct fs *fs = request_fs(request);

    pthread_mutex_lock(&fs->tree.lock);
    for (size_t i = 0; i < count; i++)
        if (forgets[i].ino != FUSE_ROOT_ID)
            node_forget(&fs->tree, request_node(request, forgets[i].ino), forgets[i].nlookup);
    pthread_mutex_unlock(&fs->tree.lock);
    fuse_reply_none(request);
}

struct slow_getattr {
    struct fs *fs;
    struct node *node; /* alive while the request waits; only used by who takes it */
    uint64_t number;
};

static void getattr_on_worker(void *cookie)
{
    struct slow_getattr *slow = cookie;
    struct stat attributes;
    struct wait *wait;
    fuse_req_t request;

    attributes_fill(slow->fs, slow->node, false, &attributes);
    request = waits_take(slow->fs, slow->number, &wait);
    if (request) {
        fuse_reply_attr(request, &attributes, attribute_seconds(slow->node));
        waits_done(slow->fs, wait);
    }
    pthread_mutex_lock(&slow->fs->tree.lock);
    node_unref(slow->node);
    pthread_mutex_unlock(&slow->fs->tree.lock);
    free(slow);
}

static void reply_attributes(fuse_req_t request, struct node *node)
{
    struct fs *fs = request_fs(request);
    struct slow_getattr *slow;
    struct stat attributes;

    if (!node->type->slow) {
        attributes_fill(fs, node, false, &attributes);
        attributes_for(request, &attributes);
        fuse_reply_attr(request, &attributes, attribute_seconds(node));
        return;
    }
    slow = malloc(sizeof(*slow));
    if (!slow) {
        fuse_reply_err(request, ENOMEM);
        return;
    }
    *slow = (struct slow_getattr){.fs = fs, .node = node};
    pthread_mutex_lock(&fs->tree.lock);
    node_ref(node);
    pthread_mutex_unlock(&fs->tree.lock);
    slow->number = waits_add(fs, request, node, WAIT_OTHER, NULL);
    if (slow->number && pool_run(fs->workers, getattr_on_worker, slow) == 0)
        return;
    if (slow->number) {
        struct wait *wait;

        if (waits_take(fs, slow->number, &wait)) {
            fuse_reply_err(request, ENOMEM);
            waits_done(fs, wait);
        }
    }
    pthread_mutex_lock(&fs->tree.lock);
    node_unref(node);
    pthread_mutex_unlock(&fs->tree.lock);
    free(slow);
}

static void getattr(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info)
{
    struct fs *fs = request_fs(request);
    struct node *node = request_node(request, ino);
    bool shown;

    pthread_mutex_lock(&fs->tree.lock);
    shown = node_is_shown(node);
    pthread_mutex_unlock(&fs->tree.lock);
    /* by name it is there no more; by an open descriptor it still is */
    if (!shown && !info && !request_is_ours(request) && node->type->kind != NODE_DIRECTORY) {
        fuse_reply_err(request, ENOENT);
        return;
    }
    reply_attributes(request, node);
}

static int refuse_attributes(struct fs *fs, struct node *node, int to_set, int code)
{
    const char *what = to_set & FUSE_SET_ATTR_SIZE                        ? "truncate"
                       : to_set & FUSE_SET_ATTR_MODE                      ? "chmod"
                       : to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) ? "chown"
                                                                          : "touch";
    struct subject subject;
    struct error error;

    subject_take(fs, node, &subject);
    error_set(&error, code, "%s of \"%s\" %s not changed by hand",
              to_set & FUSE_SET_ATTR_SIZE ? "the length" : "owner, mode and times", subject.name,
              to_set & FUSE_SET_ATTR_SIZE ? "is" : "are");
    refuse(&subject, what, &error);
    subject_free(&subject);
    return code;
}

static void setattr(fuse_req_t request, fuse_ino_t ino, struct stat *attributes, int to_set,
                    struct fuse_file_info *info)
{
    struct node *node = request_node(request, ino);
    const int times = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_CTIME |
                      FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW;

    if (to_set & FUSE_SET_ATTR_SIZE && !(to_set & ~(FUSE_SET_ATTR_SIZE | times))) {
        int result = files_truncate(request, node, attributes->st_size, info);

        if (result == -EACCES)
            refuse_attributes(request_fs(request), node, to_set, result);
        if (result) {
            fuse_reply_err(request, -result);
            return;
        }
    } else if (!(request_is_ours(request) || node->type->touch) || to_set & ~times) {
        fuse_reply_err(request, -refuse_attributes(request_fs(request), node, to_set, -EPERM));
        return;
    }
    reply_attributes(request, node);
}

static void readlink_(fuse_req_t request, fuse_ino_t ino)
{
    struct fs *fs = request_fs(request);
    struct node *node = request_node(request, ino);
    struct text target CLEANUP_TEXT = TEXT_INIT;
    struct subject subject;
    int result;

    subject_take(fs, node, &subject);
    result = node->type->render ? node->type->render(&subject, &target) : -EINVAL;
    subject_free(&subject);
    if (result == 0)
        result = text_status(&target);
    if (result || !target.data)
        fuse_reply_err(request, result ? -result : ENOENT);
    else
        fuse_reply_readlink(request, target.data);
}

static void statfs_(fuse_req_t request, fuse_ino_t ino)
{
    struct statvfs answer = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255};

    (void)ino;
    fuse_reply_statfs(request, &answer);
}

const struct fuse_lowlevel_ops operations = {
    .init = init,
    .lookup = lookup,
    .forget = forget,
    .forget_multi = forget_multi,
    .getattr = getattr,
    .setattr = setattr,
    .readlink = readlink_,
    .statfs = statfs_,
    .open = files_open,
    .read = files_read,
    .write = files_write,
    .flush = files_flush,
    .fsync = files_fsync,
    .release = files_release,
    .lseek = volume_seek,
    .opendir = directories_open,
    .readdir = directories_read,
    .readdirplus = directories_readplus,
    .releasedir = directories_release,
    .mknod = names_mknod,
    .mkdir = names_mkdir,
    .symlink = names_symlink,
    .link = names_link,
    .create = names_create,
    .unlink = names_unlink,
    .rmdir = names_rmdir,
    .rename = names_rename,
};
