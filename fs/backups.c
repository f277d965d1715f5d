/* SPDX-License-Identifier: GPL-2.0-or-later */
/* P/backups/: plans, and what each of their files shows and takes. */
#include <errno.h>
#include <string.h>

#include "fs.h"

#define SET_LIST(name, list)                                                                       \
    static int set_##name(const struct subject *subject, const char *untrusted_text,               \
                          size_t length, struct error *ret_error)                                  \
    {                                                                                              \
        return backup_list_set(subject->plan, list, untrusted_text, length, ret_error);            \
    }                                                                                              \
    static int render_##name(const struct subject *subject, struct text *content)                  \
    {                                                                                              \
        char *lines CLEANUP_FREE = NULL;                                                           \
        int result = backup_list_get(subject->plan, list, &lines);                                 \
                                                                                                   \
        if (result == 0)                                                                           \
            text_string(content, lines);                                                           \
        return result;                                                                             \
    }                                                                                              \
    static struct timespec changed_##name(const struct subject *subject)                           \
    {                                                                                              \
        return backup_list_time(subject->plan, list);                                              \
    }
SET_LIST(include, BACKUP_INCLUDE)
SET_LIST(exclude, BACKUP_EXCLUDE)

static int set_passphrase(const struct subject *subject, const char *untrusted_secret,
                          size_t length, struct error *ret_error)
{
    return backup_passphrase_set(subject->plan, untrusted_secret, length, ret_error);
}

/* Options: their files are named as they are. */
static int set_option(const struct subject *subject, const char *untrusted_value, size_t length,
                      struct error *ret_error)
{
    return backup_option_set(subject->plan, backup_option_find(subject->name), untrusted_value,
                             length, ret_error);
}

static int render_option(const struct subject *subject, struct text *content)
{
    text_printf(content, "%s\n",
                backup_option_get(subject->plan, backup_option_find(subject->name)));
    return 0;
}

static struct timespec changed_option(const struct subject *subject)
{
    return backup_option_time(subject->plan, backup_option_find(subject->name));
}

static int run_command(const struct subject *subject, const char *untrusted_lines, size_t length,
                       void (*done)(void *cookie, int result), void *cookie)
{
    struct error error;

    if (backup_control(subject->plan, untrusted_lines, length, &error))
        return refuse(subject, "control", &error);
    backup_report(subject->plan, "control", NULL);
    done(cookie, 0);
    return 0;
}

static int render_status(const struct subject *subject, struct text *content)
{
    char *lines CLEANUP_FREE = NULL;
    int result = backup_status_get(subject->plan, &lines);

    if (result == 0)
        text_string(content, lines);
    return result;
}

static struct timespec changed_status(const struct subject *subject)
{
    return backup_status_time(subject->plan);
}

static int render_contents(const struct subject *subject, struct text *content)
{
    char *lines CLEANUP_FREE = NULL;
    struct error error;
    int result = backup_contents(subject->plan, &lines, &error);

    if (result == 0)
        text_string(content, lines);
    else
        refuse(subject, "contents", &error);
    return result;
}

static int render_error(const struct subject *subject, struct text *content)
{
    char *lines CLEANUP_FREE = NULL;
    int result = backup_error_get(subject->plan, &lines);

    if (result == 0 && lines)
        text_string(content, lines);
    return result;
}

static struct timespec changed_error(const struct subject *subject)
{
    return backup_error_time(subject->plan);
}

#define READABLE  0440
#define WRITABLE  0660
#define WRITEONLY 0220

#define OPTION(option_name)                                                                        \
    {                                                                                              \
        .name = option_name, .kind = NODE_VALUE, .mode = WRITABLE, .field = NOT_TOLD,              \
        .render = render_option, .changed = changed_option, .set = set_option                      \
    }

static const struct node_type plan_children[] = {
    {.name = "backup", .kind = NODE_STREAM, .mode = 0600, .field = NOT_TOLD, .slow = true},
    {.name = "verify", .kind = NODE_STREAM, .mode = 0200, .field = NOT_TOLD},
    {.name = "passphrase",
     .kind = NODE_LIST,
     .mode = 0200,
     .field = NOT_TOLD,
     .set = set_passphrase,
     .secret = true},
    {.name = "include",
     .kind = NODE_LIST,
     .mode = WRITABLE,
     .field = NOT_TOLD,
     .render = render_include,
     .changed = changed_include,
     .set = set_include},
    {.name = "exclude",
     .kind = NODE_LIST,
     .mode = WRITABLE,
     .field = NOT_TOLD,
     .render = render_exclude,
     .changed = changed_exclude,
     .set = set_exclude},
    OPTION("format"),
    OPTION("encrypted"),
    OPTION("kdf"),
    OPTION("compression"),
    OPTION("level"),
    OPTION("conflict"),
    OPTION("missing"),
    OPTION("dom0_home"),
    {.name = "control",
     .kind = NODE_COMMAND,
     .mode = WRITEONLY,
     .field = NOT_TOLD,
     .command = run_command},
    {.name = "status",
     .kind = NODE_TEXT,
     .mode = READABLE,
     .field = NOT_TOLD,
     .render = render_status,
     .changed = changed_status},
    {.name = "contents",
     .kind = NODE_TEXT,
     .mode = READABLE,
     .field = NOT_TOLD,
     .render = render_contents,
     .slow = true},
    {.name = "error",
     .kind = NODE_TEXT,
     .mode = READABLE,
     .field = NOT_TOLD,
     .render = render_error,
     .changed = changed_error},
};

static const struct node_type plan_type = {
    .kind = NODE_DIRECTORY,
    .mode = 0750,
    .field = NOT_TOLD,
    .children = plan_children,
    .child_count = ARRAY_SIZE(plan_children),
};

/* A new plan's directory, VISIBLE; NULL: out of memory.  Called with the tree's lock held. */
static struct node *add_plan(struct fs *fs, struct node *directory, struct backup_plan *plan)
{
    struct node *node = node_new(&fs->tree, directory, &plan_type, backup_plan_name(plan));

    if (!node)
        return NULL;
    node->plan = plan;
    if (node_attach(node) == 0)
        return node;
    node_unref(node);
    return NULL;
}

static void populate_plans(struct fs *fs, struct node *directory, const struct vm *vm)
{
    struct backup_plan **plans CLEANUP_FREE = NULL;
    size_t count;

    (void)vm;
    if (backup_plan_list(fs->backups, &plans, &count))
        return;
    for (size_t i = 0; i < count; i++)
        add_plan(fs, directory, plans[i]);
}

const struct node_type backups_type = {
    .kind = NODE_DIRECTORY, .mode = 0770, .field = NOT_TOLD, .populate = populate_plans};

/* With a line for people in P/error, or, with a plan, in its own. */
static void refuse_plan(fuse_req_t request, fuse_ino_t parent, struct backup_plan *plan,
                        const char *command, const struct error *error)
{
    struct fs *fs = request_fs(request);
    struct subject subject;

    subject_take(fs, request_node(request, parent), &subject);
    subject.plan = plan;
    fuse_reply_err(request, -refuse(&subject, command, error));
    subject_free(&subject);
}

static void reply_plan(fuse_req_t request, struct node *node)
{
    struct fs *fs = request_fs(request);
    struct fuse_entry_param entry;

    entry_fill(fs, node, &entry);
    if (fuse_reply_entry(request, &entry)) {
        LOCK_SCOPE(&fs->tree.lock);
        node_forget(&fs->tree, node, 1);
    }
}

void backups_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    struct fs *fs = request_fs(request);
    struct node *directory = request_node(request, parent), *node;
    struct backup_plan *plan;
    struct error error;

    pthread_mutex_lock(&fs->tree.lock);
    node_populate(fs, directory, NULL); /* the new one is not to be among those */
    pthread_mutex_unlock(&fs->tree.lock);
    if (backup_plan_make(fs->backups, name, &plan, &error)) {
        refuse_plan(request, parent, NULL, "mkdir", &error);
        return;
    }
    host_report(fs->host, 0, "mkdir", NULL);
    pthread_mutex_lock(&fs->tree.lock);
    node = add_plan(fs, directory, plan);
    if (node)
        node_looked_up(node);
    pthread_mutex_unlock(&fs->tree.lock);
    if (node) {
        reply_plan(request, node);
    } else {
        backup_plan_remove(plan, &error);
        fuse_reply_err(request, ENOMEM);
    }
}

void backups_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    struct fs *fs = request_fs(request);
    struct node *node;
    struct backup_plan *plan;
    struct error error;

    pthread_mutex_lock(&fs->tree.lock);
    node = node_child(request_node(request, parent), name);
    plan = node ? node->plan : NULL; /* the kernel's lock keeps others away from the name */
    pthread_mutex_unlock(&fs->tree.lock);
    if (!plan) {
        fuse_reply_err(request, ENOENT);
        return;
    }
    if (backup_plan_remove(plan, &error)) {
        refuse_plan(request, parent, plan, "rmdir", &error);
        return;
    }
    pthread_mutex_lock(&fs->tree.lock);
    node_detach(&fs->tree, node);
    pthread_mutex_unlock(&fs->tree.lock);
    fuse_reply_err(request, 0);
}

struct backup_plan *stream_plan(const struct subject *subject)
{
    return subject->plan ? subject->plan : backup_plan_find(subject->fs->backups, "default");
}

void backups_file_changed(struct fs *fs, struct backup_plan *plan, const char *file_name)
{
    struct node *backups, *node;

    LOCK_SCOPE(&fs->tree.lock);
    backups = node_child(fs->tree.root, "backups");
    for (size_t i = 0; backups && i < backups->child_count; i++) {
        if (backups->children[i]->plan != plan)
            continue;
        if (node_known(backups->children[i]))
            node_populate(fs, backups->children[i], NULL);
        node = node_child(backups->children[i], file_name);
        if (node)
            notify_changed(fs, node);
    }
}
