/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which VMs a backup holds, and in which order: others by name, then templates, as Qubes writes
 * them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static bool is_template(const struct vm *vm)
{
    return vm->vm_class == VM_CLASS_TEMPLATE || vm->vm_class == VM_CLASS_TEMPLATE_HVM;
}

/* What Qubes takes when nobody says what to take: R4 looks at nothing else, `internal` is R3's. */
static bool is_default(const struct vm *vm, enum catalogue_form form)
{
    if (!vm->entry || !vm->entry->include_in_backups)
        return false;
    if (form == CATALOGUE_R4)
        return true;
    switch (vm->vm_class) {
    case VM_CLASS_APP:
    case VM_CLASS_STANDALONE:
    case VM_CLASS_HVM:
        return !vm->entry->internal;
    case VM_CLASS_TEMPLATE:
    case VM_CLASS_TEMPLATE_HVM:
    case VM_CLASS_NET:
    case VM_CLASS_PROXY:
        return true;
    case VM_CLASS_DISP:
    case VM_CLASS_ADMIN:
        break;
    }
    return false;
}

static bool listed(const char *list, const char *name)
{
    size_t length = strlen(name);

    for (const char *at = list; *at; at += strcspn(at, "\n") + 1)
        if (strncmp(at, name, length) == 0 && at[length] == '\n')
            return true;
    return false;
}

/* Each name of the list must be one of a VM that has something to back up. */
static int check_list(const char *list, const struct host_snapshot *snapshot,
                      struct error *ret_error)
{
    char name[VM_NAME_MAX + 1];

    for (const char *at = list; *at; at += strcspn(at, "\n") + 1) {
        size_t length = strcspn(at, "\n");
        const struct vm *vm;

        if (length > VM_NAME_MAX)
            length = VM_NAME_MAX;
        memcpy(name, at, length);
        name[length] = '\0';
        vm = host_find_vm(snapshot, name);
        if (!vm)
            return error_set(ret_error, -ENOENT,
                             "there is no VM \"%s\" to back up: see the names in `include`", name);
        if (vm->vm_class == VM_CLASS_DISP)
            return error_set(ret_error, -EINVAL,
                             "%s is a DispVM, of which nothing is kept to back up", name);
    }
    return 0;
}

struct rule {
    const char *only; /* NULL: the lists below */
    const char *include, *exclude;
};

static bool selected(const struct rule *rule, const struct vm *vm, bool by_default)
{
    if (rule->only)
        return strcmp(vm->name, rule->only) == 0;
    if (listed(rule->exclude, vm->name))
        return false;
    return rule->include[0] ? listed(rule->include, vm->name) : by_default;
}

static void take(const struct rule *rule, const struct host_snapshot *snapshot, bool templates,
                 struct selection *selection)
{
    for (size_t i = 0; i < snapshot->vm_count; i++) {
        const struct vm *vm = snapshot->vms[i];

        if (vm->vm_class == VM_CLASS_ADMIN || vm->vm_class == VM_CLASS_DISP)
            continue;
        if (vm->entry && is_template(vm) == templates &&
            selected(rule, vm, is_default(vm, snapshot->catalogue->form)))
            selection->vms[selection->count++] = vm;
    }
}

int selection_make(struct backup_plan *plan, const char *vm_name,
                   const struct host_snapshot *snapshot, struct selection *ret_selection,
                   struct error *ret_error)
{
    char *include CLEANUP_FREE = NULL, *exclude CLEANUP_FREE = NULL, *only CLEANUP_FREE = NULL;
    struct rule rule = {.only = vm_name};
    int result = backup_list_get(plan, BACKUP_INCLUDE, &include);

    if (result == 0)
        result = backup_list_get(plan, BACKUP_EXCLUDE, &exclude);
    if (result == 0 && vm_name && asprintf(&only, "%s\n", vm_name) < 0) {
        only = NULL;
        result = -ENOMEM;
    }
    if (result < 0)
        return error_set(ret_error, result, "out of memory");
    rule.include = include;
    rule.exclude = exclude;
    result = check_list(vm_name ? only : include, snapshot, ret_error);
    if (result < 0)
        return result;
    *ret_selection = (struct selection){.vms = calloc(snapshot->vm_count + 1, sizeof(void *))};
    if (!ret_selection->vms)
        return error_set(ret_error, -ENOMEM, "out of memory");
    take(&rule, snapshot, false, ret_selection);
    take(&rule, snapshot, true, ret_selection);
    for (size_t i = 0; i < snapshot->vm_count; i++)
        if (snapshot->vms[i]->vm_class == VM_CLASS_ADMIN && selected(&rule, snapshot->vms[i], true))
            ret_selection->home = vm_name || backup_option_get(plan, BACKUP_DOM0_HOME)[0] == '1';
    return 0;
}

void selection_free(struct selection *selection)
{
    free(selection->vms);
    *selection = (struct selection){NULL, 0, false};
}
