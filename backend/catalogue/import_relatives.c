/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Template, netvm and disposables' settings of what is restored.  A name in the backup stands for
 * the VM that is restored under it, else for the host's VM of that name, if that one can be what is
 * wanted; else it is missing.
 */
#include "import.h"

#include <errno.h>
#include <string.h>

enum role { ROLE_TEMPLATE, ROLE_NETVM, ROLE_DISPVM, ROLE_ANY };

static bool for_dispvms(const struct draft *draft, enum vm_class vm_class)
{
    return vm_class == VM_CLASS_APP && parse_bool(pref_of(draft, "template_for_dispvms"), false);
}

static bool serves(enum catalogue_form form, const struct draft *draft)
{
    if (form == CATALOGUE_R3)
        return draft->vm_class == VM_CLASS_NET || draft->vm_class == VM_CLASS_PROXY;
    return draft->vm_class != VM_CLASS_ADMIN &&
           parse_bool(pref_of(draft, "provides_network"), false);
}

/* True if `draft`, of the class `vm_class`, can be that for the VM. */
static bool suits(const struct import_pass *pass, const struct import_vm *vm, enum role role,
                  const struct draft *draft, enum vm_class vm_class)
{
    enum catalogue_form form = pass->import->form;

    switch (role) {
    case ROLE_TEMPLATE:
        if (vm && form == CATALOGUE_R4 && vm->shown.vm_class == VM_CLASS_DISP)
            return for_dispvms(draft, vm_class);
        if (vm && form == CATALOGUE_R3 && vm->shown.vm_class == VM_CLASS_HVM)
            return vm_class == VM_CLASS_TEMPLATE_HVM;
        return vm_class == VM_CLASS_TEMPLATE;
    case ROLE_NETVM:
        return serves(form, draft);
    case ROLE_DISPVM:
        return form == CATALOGUE_R3 ? serves(form, draft) : for_dispvms(draft, vm_class);
    case ROLE_ANY:
        break;
    }
    return true;
}

static const char *resolve(const struct import_pass *pass, const struct import_vm *vm,
                           enum role role, const char *untrusted_name)
{
    const struct import_vm *other = import_find(pass->import, untrusted_name);
    const struct draft *there = reading_by_name(&pass->host->reading, untrusted_name);

    if (other && import_is_restored(other) &&
        suits(pass, vm, role, other->target, other->shown.vm_class))
        return other->shown.new_name;
    return there && suits(pass, vm, role, there, there->vm_class) ? there->name : NULL;
}

const char *import_resolve(const struct import_pass *pass, const char *untrusted_name)
{
    return resolve(pass, NULL, ROLE_ANY, untrusted_name);
}

/* The default of the host; of one that has no catalogue yet, the backup's. */
static const char *default_for(const struct import_pass *pass, const struct import_vm *vm,
                               enum role role, const char *global)
{
    const struct pairs *globals =
        pass->host->fresh ? &pass->import->target->globals : &pass->host->reading.globals;
    const char *name = name_value_find(globals->items, globals->count, global);
    const struct draft *there;

    if (!name || is_none(name))
        return NULL;
    if (pass->host->fresh)
        return resolve(pass, vm, role, name);
    there = reading_by_name(&pass->host->reading, name);
    return there && suits(pass, vm, role, there, there->vm_class) ? there->name : NULL;
}

const char *import_default(const struct import_pass *pass, const char *global)
{
    static const struct {
        const char *name;
        enum role role;
    } roles[] = {{"default_dispvm", ROLE_DISPVM},
                 {"default_fw_netvm", ROLE_NETVM},
                 {"default_netvm", ROLE_NETVM},
                 {"default_template", ROLE_TEMPLATE},
                 {"management_dispvm", ROLE_DISPVM}};
    enum role role = ROLE_ANY;

    for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
        if (strcmp(roles[i].name, global) == 0)
            role = roles[i].role;
    return default_for(pass, NULL, role, global);
}

static const char *default_template(const struct import_pass *pass, const struct import_vm *vm)
{
    bool disposable = pass->import->form == CATALOGUE_R4 && vm->shown.vm_class == VM_CLASS_DISP;

    return default_for(pass, vm, ROLE_TEMPLATE, disposable ? "default_dispvm" : "default_template");
}

/* What a VM of the backup has for a relative; the name is the backup's. */
struct want {
    enum { WANT_NOTHING, WANT_DEFAULT, WANT_VM } kind;
    const char *name;
};

static struct want wanted_template(const struct import_pass *pass, const struct import_vm *vm)
{
    const char *name = vm->target->template_name;

    /* the conversion knows none that the backup's own catalogue does not */
    if (!name && !vm->source->updateable)
        name = vm->source->template_name;
    if (name)
        return (struct want){WANT_VM, name};
    if (pass->import->form == CATALOGUE_R4 &&
        (vm->shown.vm_class == VM_CLASS_APP || vm->shown.vm_class == VM_CLASS_DISP))
        return (struct want){WANT_DEFAULT, NULL};
    return (struct want){WANT_NOTHING, NULL};
}

/* R3: a qid and whether the default is used instead of it. */
static struct want wanted_by_qid(const struct import_pass *pass, const struct import_vm *vm,
                                 const char *attribute, const char *uses_default, bool by_default)
{
    struct arena *arena = &pass->import->arena;
    const char *qid = element_attribute(vm->target->element, attribute, arena);
    const struct draft *draft;
    uint64_t number;

    if (parse_bool(element_attribute(vm->target->element, uses_default, arena), by_default))
        return (struct want){WANT_DEFAULT, NULL};
    if (!qid || !parse_number(qid, QID_MAX, &number))
        return (struct want){WANT_NOTHING, NULL};
    draft = reading_by_qid(pass->import->target, (int)number);
    return (struct want){WANT_VM, draft ? draft->name : arena_printf(arena, "qid %s", qid)};
}

static struct want wanted_by_name(const struct import_vm *vm, const char *property)
{
    const char *name = pref_of(vm->target, property);

    if (!name)
        return (struct want){WANT_DEFAULT, NULL};
    return is_none(name) ? (struct want){WANT_NOTHING, NULL} : (struct want){WANT_VM, name};
}

static struct want wanted_netvm(const struct import_pass *pass, const struct import_vm *vm)
{
    if (pass->import->form == CATALOGUE_R4)
        return wanted_by_name(vm, "netvm");
    /* whatever is stored, Qubes' loader gives a NetVM none */
    if (vm->shown.vm_class == VM_CLASS_NET)
        return (struct want){WANT_NOTHING, NULL};
    return wanted_by_qid(pass, vm, "netvm_qid", "uses_default_netvm",
                         vm->shown.vm_class != VM_CLASS_PROXY);
}

static struct want wanted_dispvm(const struct import_pass *pass, const struct import_vm *vm)
{
    if (pass->import->form == CATALOGUE_R4)
        return wanted_by_name(vm, "default_dispvm");
    return wanted_by_qid(pass, vm, "dispvm_netvm", "uses_default_dispvm_netvm", true);
}

/* The name on the host of what is wanted, and NULL with `ret_missing` where there is none. */
static const char *find_template(const struct import_pass *pass, const struct import_vm *vm,
                                 const char **ret_missing)
{
    struct want want = wanted_template(pass, vm);
    const char *name = NULL;

    *ret_missing = NULL;
    if (want.kind == WANT_NOTHING)
        return NULL;
    name = want.kind == WANT_VM ? resolve(pass, vm, ROLE_TEMPLATE, want.name)
                                : default_template(pass, vm);
    if (!name)
        *ret_missing = want.kind == WANT_VM ? want.name : "the default one";
    return name;
}

static const char *find_netvm(const struct import_pass *pass, const struct import_vm *vm,
                              const char **ret_missing)
{
    struct want want = wanted_netvm(pass, vm);
    const char *name = want.kind == WANT_VM ? resolve(pass, vm, ROLE_NETVM, want.name) : NULL;

    *ret_missing = want.kind == WANT_VM && !name ? want.name : NULL;
    return name;
}

/* What is missing of all VMs, for the one error that tells it. */
struct missing {
    struct text names;
    size_t count;
    bool no_default;
};

static void add_missing(struct missing *missing, const char *what, const char *name,
                        const struct import_vm *vm)
{
    char *line CLEANUP_FREE = text_format("%s %s of %s", what, name, vm->shown.name);

    import_list_name(&missing->names, &missing->count, line ? line : "");
}

static void settle_template(struct import_pass *pass, struct import_vm *vm, struct missing *missing)
{
    const char *lacking, *name = find_template(pass, vm, &lacking);

    vm->template = (struct relative){RELATIVE_NONE, NULL};
    if (lacking && pass->import->verify)
        return;
    if (lacking && pass->import->missing == IMPORT_MISSING_DEFAULT) {
        name = default_template(pass, vm);
        if (name)
            import_note(pass, vm, "template: %s, for %s is neither in the backup nor here", name,
                        lacking);
        else
            missing->no_default = true;
    }
    if (lacking && !name)
        add_missing(missing, "template", lacking, vm);
    if (!name)
        return;
    vm->template = (struct relative){RELATIVE_VM, name};
    if (wanted_template(pass, vm).kind == WANT_DEFAULT)
        vm->template.kind = RELATIVE_DEFAULT;
}

static void settle_netvm(struct import_pass *pass, struct import_vm *vm, struct missing *missing)
{
    struct want want = wanted_netvm(pass, vm);
    const char *lacking, *name = find_netvm(pass, vm, &lacking), *fallback;
    bool proxy = pass->import->form == CATALOGUE_R3 ? vm->shown.vm_class == VM_CLASS_PROXY
                                                    : serves(CATALOGUE_R4, vm->target);

    vm->netvm = (struct relative){want.kind == WANT_DEFAULT ? RELATIVE_DEFAULT
                                  : name                    ? RELATIVE_VM
                                                            : RELATIVE_NONE,
                                  name};
    if (!lacking || pass->import->verify)
        return;
    if (pass->import->missing != IMPORT_MISSING_DEFAULT) {
        add_missing(missing, "netvm", lacking, vm);
        return;
    }
    fallback = default_for(pass, vm, ROLE_NETVM, proxy ? "default_fw_netvm" : "default_netvm");
    /* a template of R4 has none by default */
    if (pass->import->form == CATALOGUE_R4 && is_template(vm->target))
        fallback = NULL;
    vm->netvm.kind = fallback ? RELATIVE_DEFAULT : RELATIVE_NONE;
    import_note(pass, vm, "netvm: %s%s, for %s is neither in the backup nor here",
                fallback ? "the default, " : "none", fallback ? fallback : "", lacking);
}

/* Where it is missing, none: the VM may then make no disposables, or none that get out. */
static void settle_dispvm(struct import_pass *pass, struct import_vm *vm)
{
    struct want want = wanted_dispvm(pass, vm);
    const char *name = want.kind == WANT_VM ? resolve(pass, vm, ROLE_DISPVM, want.name) : NULL;

    vm->dispvm = (struct relative){want.kind == WANT_DEFAULT ? RELATIVE_DEFAULT
                                   : name                    ? RELATIVE_VM
                                                             : RELATIVE_NONE,
                                   name};
    if (want.kind == WANT_VM && !name)
        import_note(pass, vm, "%s: none, for %s is neither in the backup nor here",
                    pass->import->form == CATALOGUE_R4 ? "default_dispvm" : "dispvm_netvm",
                    want.name);
}

/* One VM that is skipped when the other is: `by` needs `on`. */
struct need {
    const struct import_vm *on;
    struct import_vm *by;
};

static int compare_needs(const void *one, const void *other)
{
    const struct need *left = one, *right = other;

    return left->on != right->on ? (left->on < right->on ? -1 : 1) : 0;
}

static size_t find_needs(const struct import_pass *pass, struct need *needs)
{
    struct catalogue_import *import = pass->import;
    size_t count = 0;

    for (size_t i = 0; i < import->count; i++) {
        struct import_vm *vm = &import->vms[i];
        struct want wants[2] = {{WANT_NOTHING, NULL}, {WANT_NOTHING, NULL}};

        if (!import_is_restored(vm))
            continue;
        wants[0] = wanted_template(pass, vm);
        wants[1] = wanted_netvm(pass, vm);
        for (size_t at = 0; at < ARRAY_SIZE(wants); at++) {
            const struct import_vm *on =
                wants[at].kind == WANT_VM ? import_find(import, wants[at].name) : NULL;

            if (on)
                needs[count++] = (struct need){on, vm};
        }
    }
    qsort(needs, count, sizeof(*needs), compare_needs);
    return count;
}

/* True if the VM had to be skipped. */
static bool skip_if_missing(const struct import_pass *pass, struct import_vm *vm)
{
    const char *template, *netvm;

    if (!import_is_restored(vm))
        return false;
    find_template(pass, vm, &template);
    find_netvm(pass, vm, &netvm);
    if (!template && !netvm)
        return false;
    vm->shown.action = IMPORT_SKIP;
    vm->shown.reason = arena_printf(&pass->import->arena, "%s %s is neither in the backup nor here",
                                    template ? "template" : "netvm", template ? template : netvm);
    return true;
}

/* What is skipped takes others with it. */
static int skip_missing(struct import_pass *pass)
{
    struct catalogue_import *import = pass->import;
    struct need *needs = arena_alloc(&pass->arena, 2 * import->count * sizeof(*needs));
    struct import_vm **queue =
        arena_alloc(&pass->arena, import->count * sizeof(struct import_vm *));
    size_t need_count, queued = 0;

    if (!needs || !queue)
        return -ENOMEM;
    need_count = find_needs(pass, needs);
    for (size_t i = 0; i < import->count; i++)
        if (skip_if_missing(pass, &import->vms[i]))
            queue[queued++] = &import->vms[i];
    for (size_t taken = 0; taken < queued; taken++) {
        size_t low = 0, high = need_count;

        while (low < high) {
            size_t middle = low + (high - low) / 2;

            if (needs[middle].on < queue[taken])
                low = middle + 1;
            else
                high = middle;
        }
        for (; low < need_count && needs[low].on == queue[taken]; low++)
            if (skip_if_missing(pass, needs[low].by))
                queue[queued++] = needs[low].by;
    }
    return 0;
}

int import_relate(struct import_pass *pass)
{
    struct catalogue_import *import = pass->import;
    struct missing missing = {TEXT_INIT, 0, false};
    int result = 0;

    if (import->missing == IMPORT_MISSING_SKIP && !import->verify && !pass->again)
        result = skip_missing(pass);
    for (size_t i = 0; i < import->count; i++) {
        if (!import_is_restored(&import->vms[i]))
            continue;
        settle_template(pass, &import->vms[i], &missing);
        settle_netvm(pass, &import->vms[i], &missing);
        settle_dispvm(pass, &import->vms[i]);
    }
    if (!result)
        result = text_status(&missing.names);
    if (!result && missing.count > 0)
        result = error_set(pass->error, -ENOENT, "%s: neither in the backup nor here%s%s",
                           missing.names.data,
                           pass->again          ? " any more"
                           : missing.no_default ? ", and there is no default template"
                                                : "",
                           pass->again ? ""
                           : missing.no_default
                               ? "; restore it as well, set default_template, name the VM in "
                                 "`exclude`, or write skip to `missing`"
                               : "; restore it as well, name the VM in `exclude`, or write default "
                                 "or skip to `missing`");
    text_free(&missing.names);
    return result;
}
