/* SPDX-License-Identifier: GPL-2.0-or-later */
/* P/vms/NAME/: the table of its files, and what each shows. */
#include <errno.h>
#include <string.h>

#include "fs.h"

static int render_commands(const struct subject *subject, struct text *content)
{
    text_string(content, vm_commands(subject->vm));
    return 0;
}

static int render_state(const struct subject *subject, struct text *content)
{
    text_printf(content, "%s\n", vm_state_name(subject->vm->state));
    return 0;
}

static int render_error(const struct subject *subject, struct text *content)
{
    if (subject->vm->error_lines)
        text_string(content, subject->vm->error_lines);
    return 0;
}

static int render_class(const struct subject *subject, struct text *content)
{
    text_printf(content, "%s\n", vm_class_name(subject->vm->vm_class));
    return 0;
}

static int render_xid(const struct subject *subject, struct text *content)
{
    text_printf(content, "%d\n", subject->vm->xid);
    return 0;
}

static int render_uuid(const struct subject *subject, struct text *content)
{
    text_printf(content, "%s\n", subject->vm->uuid);
    return 0;
}

static int render_stats(const struct subject *subject, struct text *content)
{
    static const struct domain none;
    const struct domain *domain = subject->vm->domain ? subject->vm->domain : &none;

    text_printf(content, "cpu_time_ns=%llu\n", (unsigned long long)domain->cpu_time_ns);
    text_printf(content, "memory_kib=%llu\n", (unsigned long long)domain->memory_kib);
    text_printf(content, "max_memory_kib=%llu\n", (unsigned long long)domain->max_memory_kib);
    text_printf(content, "vcpus=%u\n", domain->vcpus);
    if (domain->start_time > 0)
        text_printf(content, "start_time=%lld\n", (long long)domain->start_time);
    else
        text_string(content, "start_time=\n");
    text_printf(content, "disk_bytes=%llu\n", (unsigned long long)subject->vm->disk_bytes);
    return 0;
}

/* Where there is none (no hypervisor, no template for it, dom0) the file is empty; `start` says
 * why. */
static int render_definition(const struct subject *subject, struct text *content)
{
    char *xml CLEANUP_FREE = NULL;

    if (host_vm_definition(subject->fs->host, subject->vm, &xml, NULL) == 0)
        text_string(content, xml);
    return 0;
}

static int render_firewall(const struct subject *subject, struct text *content)
{
    char *rules CLEANUP_FREE = NULL;
    size_t length;
    int result = host_vm_firewall(subject->fs->host, subject->vm, &rules, &length);

    if (result == 0)
        text_append(content, rules, length);
    return result;
}

static struct timespec changed_backup(const struct subject *subject)
{
    return host_vm_last_change(subject->fs->host, subject->vm);
}

static int run_command(const struct subject *subject, const char *untrusted_lines, size_t length,
                       void (*done)(void *cookie, int result), void *cookie)
{
    return host_command(subject->fs->host, subject->vm->identity, untrusted_lines, length, done,
                        cookie);
}

#define CHANGED(function, what)                                                                    \
    static struct timespec function(const struct subject *subject)                                 \
    {                                                                                              \
        return subject->vm->changed[what];                                                         \
    }
CHANGED(changed_commands, VM_FIELD_COMMANDS)
CHANGED(changed_state, VM_FIELD_STATE)
CHANGED(changed_error, VM_FIELD_ERROR)
CHANGED(changed_class, VM_FIELD_CLASS)
CHANGED(changed_xid, VM_FIELD_XID)
CHANGED(changed_uuid, VM_FIELD_UUID)
CHANGED(changed_stats, VM_FIELD_STATS)
CHANGED(changed_definition, VM_FIELD_DEFINITION)
CHANGED(changed_firewall, VM_FIELD_FIREWALL)

/* The lists of an entry, whose items are files: value, and time of last change. */
static struct timespec item_time(const struct vm *vm, const struct name_value *list, size_t count,
                                 size_t first, const char *name)
{
    for (size_t i = 0; vm->item_changed && i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            return vm->item_changed[first + i];
    return vm->entry_changed;
}

#define ITEM_FILES(what, list, count, first)                                                       \
    static int render_##what(const struct subject *subject, struct text *content)                  \
    {                                                                                              \
        const struct catalogue_entry *entry = subject->vm->entry;                                  \
        const char *value =                                                                        \
            entry ? name_value_find(entry->list, entry->count, subject->name) : NULL;              \
                                                                                                   \
        if (!value)                                                                                \
            return -ENOENT;                                                                        \
        text_printf(content, "%s\n", value);                                                       \
        return 0;                                                                                  \
    }                                                                                              \
    static struct timespec changed_##what(const struct subject *subject)                           \
    {                                                                                              \
        const struct catalogue_entry *entry = subject->vm->entry;                                  \
                                                                                                   \
        if (!entry)                                                                                \
            return subject->vm->entry_changed;                                                     \
        return item_time(subject->vm, entry->list, entry->count, first, subject->name);            \
    }
ITEM_FILES(pref, prefs, pref_count, 0)
ITEM_FILES(service, services, service_count, entry->pref_count)
ITEM_FILES(feature, features, feature_count, entry->pref_count + entry->service_count)
ITEM_FILES(tag, tags, tag_count, entry->pref_count + entry->service_count + entry->feature_count)

#define SET_ITEM(what, kind)                                                                       \
    static int set_##what(const struct subject *subject, const char *untrusted_value,              \
                          size_t length, void (*done)(void *cookie, int result), void *cookie)     \
    {                                                                                              \
        return host_edit(subject->fs->host, subject->vm->identity, kind, subject->name,            \
                         untrusted_value, length, done, cookie);                                   \
    }
SET_ITEM(pref, CATALOGUE_SET_PREF)
SET_ITEM(service, CATALOGUE_SET_SERVICE)
SET_ITEM(feature, CATALOGUE_SET_FEATURE)
SET_ITEM(tag, CATALOGUE_SET_TAG)

/* A property that the catalogue does not hold, but may. */
static bool may_make_pref(const struct subject *subject)
{
    return subject->vm && subject->vm->entry &&
           catalogue_pref_settable(subject->vm->entry, subject->name);
}

#define READABLE 0440
#define WRITABLE 0660

const struct node_type pref_type = {.kind = NODE_TEXT,
                                    .mode = READABLE,
                                    .field = NOT_TOLD,
                                    .render = render_pref,
                                    .changed = changed_pref};
const struct node_type settable_pref_type = {.kind = NODE_VALUE,
                                             .mode = WRITABLE,
                                             .field = NOT_TOLD,
                                             .render = render_pref,
                                             .changed = changed_pref,
                                             .command = set_pref};
const struct node_type service_type = {.kind = NODE_VALUE,
                                       .mode = WRITABLE,
                                       .field = NOT_TOLD,
                                       .render = render_service,
                                       .changed = changed_service,
                                       .command = set_service,
                                       .touch = true};
const struct node_type feature_type = {.kind = NODE_VALUE,
                                       .mode = WRITABLE,
                                       .field = NOT_TOLD,
                                       .render = render_feature,
                                       .changed = changed_feature,
                                       .command = set_feature,
                                       .touch = true};
const struct node_type tag_type = {.kind = NODE_VALUE,
                                   .mode = WRITABLE,
                                   .field = NOT_TOLD,
                                   .render = render_tag,
                                   .changed = changed_tag,
                                   .command = set_tag,
                                   .touch = true};

static const struct node_type vm_children[] = {
    {.name = "control",
     .kind = NODE_COMMAND,
     .mode = WRITABLE,
     .field = NOT_TOLD,
     .render = render_commands,
     .changed = changed_commands,
     .command = run_command},
    {.name = "state",
     .kind = NODE_TEXT,
     .mode = READABLE,
     .field = VM_FIELD_STATE,
     .render = render_state,
     .changed = changed_state},
    {.name = "error",
     .kind = NODE_TEXT,
     .mode = READABLE,
     .field = VM_FIELD_ERROR,
     .render = render_error,
     .changed = changed_error},
    {.name = "class",
     .kind = NODE_TEXT,
     .mode = READABLE,
     .field = VM_FIELD_CLASS,
     .render = render_class,
     .changed = changed_class},
    {.name = "xid",
     .kind = NODE_TEXT,
     .mode = READABLE,
     .field = VM_FIELD_XID,
     .render = render_xid,
     .changed = changed_xid},
    {.name = "uuid",
     .kind = NODE_TEXT,
     .mode = READABLE,
     .field = VM_FIELD_UUID,
     .render = render_uuid,
     .changed = changed_uuid},
    {.name = "stats",
     .kind = NODE_TEXT,
     .mode = READABLE,
     .field = VM_FIELD_STATS,
     .render = render_stats,
     .changed = changed_stats},
    {.name = "domain.xml",
     .kind = NODE_TEXT,
     .mode = READABLE,
     .field = VM_FIELD_DEFINITION,
     .render = render_definition,
     .changed = changed_definition},
    {.name = "backup",
     .kind = NODE_STREAM,
     .mode = READABLE,
     .field = NOT_TOLD,
     .changed = changed_backup,
     .slow = true},
    {.name = "prefs",
     .kind = NODE_DIRECTORY,
     .mode = 0750,
     .field = NOT_TOLD,
     .populate = vm_populate_items,
     .made = &settable_pref_type,
     .may_make = may_make_pref},
    {.name = "services",
     .kind = NODE_DIRECTORY,
     .mode = 0770,
     .field = NOT_TOLD,
     .populate = vm_populate_items,
     .made = &service_type,
     .initial = "1"},
    {.name = "volumes",
     .kind = NODE_DIRECTORY,
     .mode = 0750,
     .field = NOT_TOLD,
     .populate = volumes_populate},
    {.name = "devices",
     .kind = NODE_DIRECTORY,
     .mode = 0750,
     .field = NOT_TOLD,
     .populate = vm_populate_devices},
};

/* only where there are rules */
const struct node_type firewall_type = {.name = "firewall.xml",
                                        .kind = NODE_TEXT,
                                        .mode = READABLE,
                                        .field = VM_FIELD_FIREWALL,
                                        .render = render_firewall,
                                        .changed = changed_firewall,
                                        .slow = true};

/* only below an R4 catalogue */
const struct node_type features_type = {.name = "features",
                                        .kind = NODE_DIRECTORY,
                                        .mode = 0770,
                                        .field = NOT_TOLD,
                                        .populate = vm_populate_items,
                                        .made = &feature_type,
                                        .initial = ""};
const struct node_type tags_type = {.name = "tags",
                                    .kind = NODE_DIRECTORY,
                                    .mode = 0770,
                                    .field = NOT_TOLD,
                                    .populate = vm_populate_items,
                                    .made = &tag_type,
                                    .initial = ""};

const struct node_type vm_type = {
    .kind = NODE_DIRECTORY,
    .mode = 0750,
    .field = NOT_TOLD,
    .children = vm_children,
    .child_count = ARRAY_SIZE(vm_children),
    .populate = vm_populate_extra,
};
