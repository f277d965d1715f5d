/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One VM at one moment, made from its record; what is as before keeps its time of change. */
#include <stddef.h>
#include <string.h>

#include "definition.h"
#include "internal.h"
#include "qubesfs/clock.h"

/* Shared by the snapshots of one entry. */
struct item_times {
    unsigned references;
    struct timespec times[];
};

static struct item_times *times_of(struct timespec *times)
{
    return (struct item_times *)((char *)times - offsetof(struct item_times, times));
}

static struct timespec *times_ref(struct timespec *times)
{
    if (times)
        __atomic_add_fetch(&times_of(times)->references, 1, __ATOMIC_RELAXED);
    return times;
}

static void times_unref(struct timespec *times)
{
    if (times && __atomic_sub_fetch(&times_of(times)->references, 1, __ATOMIC_ACQ_REL) == 0)
        free(times_of(times));
}

const char *vm_state_name(enum vm_state state)
{
    static const char *const names[] = {
        [VM_HALTED] = "Halted",   [VM_TRANSIENT] = "Transient", [VM_RUNNING] = "Running",
        [VM_PAUSED] = "Paused",   [VM_SUSPENDED] = "Suspended", [VM_HALTING] = "Halting",
        [VM_CRASHED] = "Crashed", [VM_DYING] = "Dying",         [VM_NA] = "NA",
    };

    return names[state];
}

const struct vm *vm_ref(const struct vm *vm)
{
    if (vm)
        __atomic_add_fetch(&((struct vm *)vm)->references, 1, __ATOMIC_RELAXED);
    return vm;
}

void vm_unref(const struct vm *vm)
{
    if (!vm || __atomic_sub_fetch(&((struct vm *)vm)->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (vm->entry)
        catalogue_entry_unref(vm->entry);
    domain_unref(vm->domain);
    times_unref(vm->item_changed);
    free(vm->error_lines);
    free((struct vm *)vm);
}

bool vm_is_active(const struct vm *vm)
{
    return vm->state != VM_HALTED && vm->state != VM_NA && vm->state != VM_CRASHED;
}

const char *vm_commands(const struct vm *vm)
{
    if (vm->vm_class == VM_CLASS_ADMIN)
        return "refresh\n";
    switch (vm->state) {
    case VM_HALTED:
        return "start\nrefresh\n";
    case VM_TRANSIENT:
    case VM_RUNNING:
        return "shutdown\nshutdown wait\nkill\nrestart\npause\nsuspend\nrefresh\n";
    case VM_PAUSED:
        return "unpause\nresume\nkill\nrefresh\n";
    case VM_SUSPENDED:
        return "resume\nkill\nrefresh\n";
    case VM_HALTING:
    case VM_CRASHED:
    case VM_DYING:
        return "kill\nrefresh\n";
    case VM_NA:
        break;
    }
    return "refresh\n";
}

struct lists {
    const struct name_value *items[4];
    size_t counts[4];
};

static struct lists lists_of(const struct catalogue_entry *entry)
{
    return (struct lists){
        {entry->prefs, entry->services, entry->features, entry->tags},
        {entry->pref_count, entry->service_count, entry->feature_count, entry->tag_count}};
}

/* The times of a changed entry's items: what is as before keeps its own. */
static struct timespec *make_times(const struct vm *before, const struct catalogue_entry *entry,
                                   struct timespec now)
{
    struct lists old = lists_of(before->entry), new = lists_of(entry);
    size_t total = new.counts[0] + new.counts[1] + new.counts[2] + new.counts[3], place = 0;
    struct item_times *result = malloc(sizeof(*result) + total * sizeof(result->times[0]));
    size_t first = 0;

    if (!result)
        return NULL;
    result->references = 1;
    for (size_t list = 0; list < 4; first += old.counts[list++]) {
        size_t o = 0;

        for (size_t n = 0; n < new.counts[list]; n++) {
            int order = 1;

            while (o < old.counts[list] &&
                   (order = strcmp(old.items[list][o].name, new.items[list][n].name)) < 0)
                o++;
            if (o < old.counts[list] && order == 0 &&
                strcmp(old.items[list][o].value, new.items[list][n].value) == 0)
                result->times[place++] =
                    before->item_changed ? before->item_changed[first + o] : before->entry_changed;
            else
                result->times[place++] = now;
        }
    }
    return result->times;
}

static enum vm_state state_of(const struct host *host, const struct record *record)
{
    if (strcmp(record_name(record), "dom0") == 0)
        return VM_RUNNING;
    if (!host->connected)
        return VM_NA;
    return record->domain ? (enum vm_state)record->domain->state : VM_HALTED;
}

static bool stats_equal(const struct vm *a, const struct vm *b)
{
    const struct domain *x = a->domain, *y = b->domain;

    if (a->disk_bytes != b->disk_bytes || !x != !y)
        return false;
    /* the running counter cpu_time_ns alone is a measurement, not a change */
    return !x || (x->memory_kib == y->memory_kib && x->max_memory_kib == y->max_memory_kib &&
                  x->vcpus == y->vcpus && x->start_time == y->start_time);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool definition_equal(const struct vm *a, const struct vm *b, uint64_t hash_a,
                             uint64_t hash_b)
{
    const char *x = a->domain ? a->domain->xml : NULL, *y = b->domain ? b->domain->xml : NULL;

    if (!x && !y)
        return hash_a == hash_b && strcmp(a->uuid, b->uuid) == 0;
    return same_text(x, y);
}

/* What is a file has the file's time. */
static void set_file_times(struct vm *vm, const struct usage *usage)
{
    vm->has_firewall = usage->has_firewall;
    vm->changed[VM_FIELD_FIREWALL] = usage->firewall_changed;
    for (size_t i = 0; i < VM_VOLUME_COUNT; i++) {
        vm->has_volume[i] = usage->has_volume[i];
        vm->changed[VM_FIELD_VOLUME + i] = usage->volume_changed[i];
    }
}

static bool files_equal(const struct vm *a, const struct vm *b)
{
    for (size_t field = VM_FIELD_FIREWALL; field < VM_FIELD_COUNT; field++)
        if (!clock_same(a->changed[field], b->changed[field]))
            return false;
    return a->has_firewall == b->has_firewall &&
           memcmp(a->has_volume, b->has_volume, sizeof(a->has_volume)) == 0;
}

/* Gives each other field its time: now if it differs from before. */
static bool set_times(struct vm *vm, const struct vm *before, bool definition_same)
{
    const bool same[VM_FIELD_FIREWALL] = {
        [VM_FIELD_STATE] = vm->state == before->state,
        [VM_FIELD_ERROR] = same_text(vm->error_lines, before->error_lines),
        [VM_FIELD_CLASS] = vm->vm_class == before->vm_class,
        [VM_FIELD_XID] = vm->xid == before->xid,
        [VM_FIELD_UUID] = strcmp(vm->uuid, before->uuid) == 0,
        [VM_FIELD_STATS] = stats_equal(vm, before),
        [VM_FIELD_DEFINITION] = definition_same,
        [VM_FIELD_COMMANDS] = strcmp(vm_commands(vm), vm_commands(before)) == 0,
    };
    struct timespec now = clock_wall_unique();
    bool all = vm->entry == before->entry && vm->domain == before->domain &&
               files_equal(vm, before);

    for (size_t field = 0; field < VM_FIELD_FIREWALL; field++) {
        vm->changed[field] = same[field] ? before->changed[field] : now;
        all = all && same[field];
    }
    return all;
}

const struct vm *vm_build(struct host *host, struct record *record)
{
    const struct vm *before = record->vm;
    struct vm *vm = calloc(1, sizeof(*vm));
    uint64_t hash = record->entry ? definition_hash(host, host->catalogue, record->entry) : 0;

    if (!vm)
        return NULL;
    vm->references = 1;
    vm->identity = record->identity;
    vm->entry = record->entry ? catalogue_entry_ref(record->entry) : NULL;
    vm->domain = record->domain ? domain_ref(record->domain) : NULL;
    vm->name = record_name(record);
    vm->vm_class = record->entry ? record->entry->vm_class : VM_CLASS_ADMIN;
    vm->state = state_of(host, record);
    vm->xid = vm->vm_class == VM_CLASS_ADMIN ? 0 : vm->domain ? vm->domain->id : -1;
    vm->uuid = record->entry && record->entry->uuid[0] ? record->entry->uuid
               : vm->domain                            ? vm->domain->uuid
                                                       : "";
    vm->disk_bytes = record->usage.disk_bytes;
    set_file_times(vm, &record->usage);
    vm->error_lines = error_lines_text(&record->errors);
    if (!before) {
        struct timespec now = clock_wall_unique();

        for (size_t field = 0; field < VM_FIELD_FIREWALL; field++)
            vm->changed[field] = now;
        vm->entry_changed = host->catalogue ? host->catalogue->modified : now;
        record->definition_hash = hash;
        return vm;
    }
    if (set_times(vm, before, definition_equal(vm, before, hash, record->definition_hash))) {
        vm_unref(vm);
        return vm_ref(before);
    }
    record->definition_hash = hash;
    /* a start makes images anew, a stop removes some */
    if (vm_is_active(vm) != vm_is_active(before))
        host->measure_next = host->running;
    vm->entry_changed = before->entry_changed;
    if (vm->entry == before->entry) {
        vm->item_changed = times_ref(before->item_changed);
    } else if (vm->entry && before->entry) {
        vm->item_changed = make_times(before, vm->entry, clock_wall_unique());
        if (!vm->item_changed) {
            vm_unref(vm);
            return NULL;
        }
    } else {
        vm->entry_changed = clock_wall_unique();
    }
    return vm;
}
