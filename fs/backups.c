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

#define READABLE 0440
#define WRITABLE 0660

static const struct node_type plan_children[] = {
    {.name = "backup", .kind = NODE_STREAM, .mode = 0600, .field = NOT_TOLD, .slow = true},
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

static void populate_plans(struct fs *fs, struct node *directory, const struct vm *vm)
{
    struct backup_plan *plan = backup_plan_find(fs->backups, "default");
    struct node *node = plan ? node_new(&fs->tree, directory, &plan_type, "default") : NULL;

    (void)vm;
    if (!node)
        return;
    node->plan = plan;
    if (node_attach(node))
        node_unref(node);
}

const struct node_type backups_type = {
    .kind = NODE_DIRECTORY, .mode = 0770, .field = NOT_TOLD, .populate = populate_plans};

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
