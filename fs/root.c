/* SPDX-License-Identifier: GPL-2.0-or-later */
/* P/: what is there for the person who did `ls`. */
#include <errno.h>
#include <string.h>

#include "fs.h"
#include "qubesfs/clock.h"
#include "qubesfs/log.h"

static const char readme[] =
    "This is qubesfs: each virtual machine of this host is a directory under vms/.\n"
    "\n"
    "    ls vms/                                the VMs\n"
    "    cat vms/*/state                        how they are\n"
    "    echo start > vms/NAME/control          start one; an error is explained in "
    "vms/NAME/error\n"
    "    inotifywait -m vms/NAME/state          wait for a change that anybody makes\n"
    "    tail -F events                         all that happens\n"
    "\n"
    "A backup is a file. Give a passphrase once, then copy it:\n"
    "\n"
    "    cat > backups/default/passphrase       (type it, Enter, Ctrl-D)\n"
    "    cat backups/default/contents           what is in it, and what Qubes will miss\n"
    "    cp backups/default/backup /mnt/usb/    cut off? man qubesfs tells how to go on\n"
    "    cp vms/NAME/backup /mnt/usb/NAME       one VM alone\n"
    "    mkdir backups/usb                      another plan: its own list and options\n"
    "\n"
    "More in: man qubesfs\n";

static int render_readme(const struct subject *subject, struct text *content)
{
    (void)subject;
    text_string(content, readme);
    return 0;
}

static int render_version(const struct subject *subject, struct text *content)
{
    (void)subject;
    text_string(content, QUBESFS_VERSION "\n");
    return 0;
}

static int render_error(const struct subject *subject, struct text *content)
{
    if (subject->snapshot->error_lines)
        text_string(content, subject->snapshot->error_lines);
    return 0;
}

static struct timespec changed_error(const struct subject *subject)
{
    return subject->snapshot->error_changed;
}

static struct timespec changed_never(const struct subject *subject)
{
    return subject->fs->started;
}

static struct timespec changed_events(const struct subject *subject)
{
    struct timespec changed;
    uint64_t size;

    host_journal_stat(subject->fs->host, &size, &changed);
    return changed;
}

static int render_debug(const struct subject *subject, struct text *content)
{
    (void)subject;
    text_string(content, log_debugging() ? "1\n" : "0\n");
    return 0;
}

static struct timespec changed_debug(const struct subject *subject)
{
    LOCK_SCOPE(&subject->fs->tree.lock);
    return subject->fs->debug_changed;
}

static void switch_debug(struct fs *fs, bool on)
{
    if (on == log_debugging())
        return;
    log_set_debug(on);
    log_info("debug is %s", on ? "on" : "off");
    pthread_mutex_lock(&fs->tree.lock);
    fs->debug_changed = clock_wall_unique();
    pthread_mutex_unlock(&fs->tree.lock);
    root_file_changed(fs, "debug");
}

/* As each file of commands: lines in order, stopped by the first that is wrong. */
static int set_debug(const struct subject *subject, const char *untrusted_value, size_t length,
                     struct error *ret_error)
{
    const char *line = untrusted_value, *end = untrusted_value + length;

    do {
        const char *newline = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
        size_t size = (size_t)((newline ? newline : end) - line);

        if (size != 1 || (*line != '0' && *line != '1'))
            return error_set(ret_error, -EINVAL, "it takes 0 or 1, not \"%.*s\"",
                             size > 200 ? 200 : (int)size, line);
        switch_debug(subject->fs, *line == '1');
        line = newline ? newline + 1 : end;
    } while (line < end);
    return 0;
}

void root_file_changed(struct fs *fs, const char *name)
{
    struct node *node;

    LOCK_SCOPE(&fs->tree.lock);
    node = node_child(fs->tree.root, name);
    if (node)
        notify_changed(fs, node);
}

#define READABLE 0440
#define WRITABLE 0660

static const struct node_type root_children[] = {
    {.name = "README",
     .kind = NODE_TEXT,
     .mode = READABLE,
     .field = NOT_TOLD,
     .render = render_readme,
     .changed = changed_never},
    {.name = "version",
     .kind = NODE_TEXT,
     .mode = READABLE,
     .field = NOT_TOLD,
     .render = render_version,
     .changed = changed_never},
    {.name = "events",
     .kind = NODE_LOG,
     .mode = READABLE,
     .field = NOT_TOLD,
     .changed = changed_events},
    {.name = "debug",
     .kind = NODE_VALUE,
     .mode = WRITABLE,
     .field = NOT_TOLD,
     .render = render_debug,
     .changed = changed_debug,
     .set = set_debug},
    {.name = "error",
     .kind = NODE_TEXT,
     .mode = READABLE,
     .field = NOT_TOLD,
     .render = render_error,
     .changed = changed_error},
};

static void populate_root(struct fs *fs, struct node *root, const struct vm *vm)
{
    static const struct {
        const char *name;
        const struct node_type *type;
    } directories[] = {{"vms", &vms_type}, {"devices", &devices_type}, {"backups", &backups_type}};

    (void)vm;
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
        struct node *node = node_new(&fs->tree, root, directories[i].type, directories[i].name);

        if (node && node_attach(node)) {
            node_unref(node);
            node = NULL;
        }
        if (node && directories[i].type == &vms_type)
            fs->tree.vms = node;
        if (node && directories[i].type == &devices_type)
            fs->tree.devices = node;
    }
}

const struct node_type root_type = {
    .kind = NODE_DIRECTORY,
    .mode = 0750,
    .field = NOT_TOLD,
    .children = root_children,
    .child_count = ARRAY_SIZE(root_children),
    .populate = populate_root,
};
