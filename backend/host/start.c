/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting a VM: what it needs is checked first, its netvms are started before it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"
#include "qubesfs/log.h"

#define NETVM_CHAIN_MAX 20
#define LOOK_SECONDS    5

/* An image or kernel that must be there; what is wrong with it in words. */
static int check_file(const char *what, const char *path, const char *vm_name,
                      struct error *ret_error)
{
    struct stat attributes;

    if (stat(path, &attributes) == 0)
        return 0;
    return error_set(ret_error, errno == ENOTDIR ? -ENOENT : -errno,
                     "the %s of \"%s\" is missing: %s: %s", what, vm_name, path, strerror(errno));
}

static int check_files(const struct definition *definition, struct error *ret_error)
{
    int result = 0;

    if (definition->kernel)
        result = check_file("kernel", definition->kernel, definition->name, ret_error);
    if (!result && definition->initrd)
        result = check_file("initramfs", definition->initrd, definition->name, ret_error);
    for (size_t i = 0; !result && i < definition->volume_count; i++) {
        char what[64];

        snprintf(what, sizeof(what), "%s image", definition->volumes[i].name);
        result = check_file(what, definition->volumes[i].path, definition->name, ret_error);
    }
    return result;
}

/* The directory of the console's log; without it libvirt refuses the definition. */
static void make_log_directory(struct host *host)
{
    static const char *const parts[] = {"/var", "/var/log", "/var/log/qubes"};

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        char *path CLEANUP_FREE = host_path(host, parts[i]);

        if (path && mkdir(path, 0755) == 0)
            chmod(path, 0755); /* our umask is for secrets; the hypervisor's user writes there */
        else if (path && errno != EEXIST)
            log_warning("cannot make %s: %m", path);
    }
}

static int start_netvm(struct host *host, const struct vm *vm, unsigned depth,
                       struct error *ret_error)
{
    const struct host_snapshot *snapshot;
    const struct vm *netvm;
    int result = 0;

    if (!vm->entry->netvm_name)
        return 0;
    if (depth >= NETVM_CHAIN_MAX)
        return error_set(ret_error, -EINVAL, "the chain of netvms of \"%s\" goes in a circle",
                         vm->name);
    snapshot = host_snapshot(host);
    netvm = host_find_vm(snapshot, vm->entry->netvm_name);
    if (!netvm)
        result = error_set(ret_error, -ENOENT,
                           "the netvm \"%s\" of \"%s\" is not in the catalogue; set another one",
                           vm->entry->netvm_name, vm->name);
    else if (!vm_is_active(netvm) && netvm->vm_class != VM_CLASS_ADMIN)
        result = start_vm(host, netvm, depth + 1, ret_error);
    if (result == -EALREADY)
        result = 0; /* somebody else was faster */
    else if (result && netvm)
        error_prefix(ret_error, "the netvm of \"%s\"", vm->name);
    host_snapshot_unref(snapshot);
    return result;
}

/* Somebody else may have stopped it a moment ago, and nobody told us yet: the hypervisor is asked
 * before it is refused. */
static int start_if_stopped(struct host *host, const struct vm *vm, unsigned depth,
                            struct error *ret_error)
{
    const struct host_snapshot *snapshot;
    const struct vm *now;
    int result;

    hypervisor_look(host->hypervisor, vm->uuid, LOOK_SECONDS);
    host_settle(host);
    snapshot = host_snapshot(host);
    now = snapshot_by_identity(snapshot, vm->identity);
    if (now && !vm_is_active(now))
        result = start_vm(host, now, depth, ret_error);
    else
        result = error_set(ret_error, -EALREADY, "\"%s\" is %s already", vm->name,
                           vm_state_name(now ? now->state : vm->state));
    host_snapshot_unref(snapshot);
    return result;
}

int start_vm(struct host *host, const struct vm *vm, unsigned depth, struct error *ret_error)
{
    const char *driver = hypervisor_driver(host->hypervisor);
    const struct domain_key key = {vm->uuid, vm->name};
    bool foreign = vm->domain && vm->domain->persistent && !vm->domain->managed;
    char *xml CLEANUP_FREE = NULL;
    int result;

    if (vm_is_active(vm))
        return start_if_stopped(host, vm, depth, ret_error);
    if (!foreign) {
        const struct host_snapshot *snapshot = host_snapshot(host);
        struct definition_parts parts;

        result =
            definition_collect(host, snapshot->catalogue, vm->entry, vm->uuid, &parts, ret_error);
        /* libvirt's test driver opens no files */
        if (!result && driver && strcasecmp(driver, "test") != 0) {
            result = check_files(&parts.definition, ret_error);
            if (!result)
                make_log_directory(host);
        }
        if (!result)
            result = hypervisor_definition(host->hypervisor, &parts.definition, &xml, ret_error);
        definition_release(&parts);
        host_snapshot_unref(snapshot);
        if (result)
            return result;
    }
    /* last, so that a VM that cannot start has not started others */
    result = start_netvm(host, vm, depth, ret_error);
    if (result)
        return result;
    return hypervisor_start_domain(host->hypervisor, &key, xml, ret_error);
}
