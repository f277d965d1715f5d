/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest finds in XenStore when it boots: who it is, its addresses, services, and where it offers
 * its devices.  The keys are those of Qubes R2 and R3 (create_xenstore_entries), below /local/domain/ID.
 */
#include "entries.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "internal.h"
#include "network.h"
#include "qubesfs/log.h"
#include "qubesfs/xenstore.h"

#define ENTRIES_MAX 200 /* services included */

struct entries {
    struct xenstore_entry list[ENTRIES_MAX];
    size_t count;
    bool failed;
    unsigned id;
    char reads[32], owns[32]; /* permissions: the guest may read, may change */
};

static void put(struct entries *entries, const char *name, const char *value, bool owned)
{
    struct xenstore_entry *entry = &entries->list[entries->count];
    char *path = text_format("/local/domain/%u/%s", entries->id, name);
    char *copy = value ? strdup(value) : NULL;

    if (!path || !copy || entries->count == ENTRIES_MAX) {
        entries->failed = true;
        free(path);
        free(copy);
        return;
    }
    entries->count++;
    *entry = (struct xenstore_entry){path, copy, owned ? entries->owns : entries->reads};
}

static void entries_free(struct entries *entries)
{
    for (size_t i = 0; i < entries->count; i++) {
        explicit_bzero((char *)entries->list[i].value, strlen(entries->list[i].value));
        free((char *)entries->list[i].path);
        free((char *)entries->list[i].value);
    }
}

/* As the guest's own programs know the classes. */
static const char *type_name(enum vm_class vm_class)
{
    switch (vm_class) {
    case VM_CLASS_STANDALONE:
        return "AppVM";
    case VM_CLASS_DISP:
        return "DisposableVM";
    default:
        return vm_class_name(vm_class);
    }
}

static void put_identity(struct entries *entries, const struct catalogue_entry *entry)
{
    const char *debug = name_value_find(entry->prefs, entry->pref_count, "debug");

    put(entries, "name", entry->name, false);
    put(entries, "qubes-vm-type", type_name(entry->vm_class), false);
    put(entries, "qubes-vm-updateable", entry->updateable ? "True" : "False", false);
    put(entries, "qubes-vm-persistence", entry->updateable ? "full" : "rw-only", false);
    put(entries, "qubes-base-template", entry->template_name ? entry->template_name : "", false);
    put(entries, "qubes-debug-mode", debug && strcasecmp(debug, "true") == 0 ? "1" : "0", false);
}

static void put_provided(struct entries *entries, const struct catalogue_entry *entry)
{
    struct network_provided own;

    if ((entry->vm_class != VM_CLASS_NET && entry->vm_class != VM_CLASS_PROXY) ||
        !network_provided(entry, &own))
        return;
    put(entries, "qubes-netvm-gateway", own.gateway, false);
    put(entries, "qubes-netvm-primary-dns", own.gateway, false);
    put(entries, "qubes-netvm-secondary-dns", own.secondary_dns, false);
    put(entries, "qubes-netvm-netmask", own.netmask, false);
    put(entries, "qubes-netvm-network", own.network, false);
    put(entries, "qubes-netvm-external-ip", "", true);
}

static void put_network(struct entries *entries, const struct catalogue *catalogue,
                        const struct catalogue_entry *entry)
{
    const struct catalogue_entry *netvm =
        entry->netvm_name ? catalogue_find(catalogue, entry->netvm_name) : NULL;
    struct network_provided provided;
    char ip[NETWORK_TEXT];

    if (!netvm || !network_provided(netvm, &provided) || !network_ip(entry, netvm, ip))
        return;
    put(entries, "qubes-ip", ip, false);
    put(entries, "qubes-netmask", provided.netmask, false);
    put(entries, "qubes-gateway", provided.gateway, false);
    put(entries, "qubes-primary-dns", provided.gateway, false);
    put(entries, "qubes-secondary-dns", provided.secondary_dns, false);
}

/* Where this host's clock is: /etc/localtime leads to .../zoneinfo/AREA/PLACE. */
static void put_timezone(struct entries *entries, const char *root)
{
    char *link CLEANUP_FREE = text_format("%s/etc/localtime", root), target[1024], *zone;
    ssize_t length = link ? readlink(link, target, sizeof(target) - 1) : -1;

    if (length <= 0)
        return;
    target[length] = '\0';
    zone = strstr(target, "zoneinfo/");
    if (zone)
        put(entries, "qubes-timezone", zone + strlen("zoneinfo/"), false);
}

/* XenStore allows fewer characters in a name than a catalogue. */
static bool is_key(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_@";

    return *name && strspn(name, allowed) == strlen(name);
}

static void put_services(struct entries *entries, const struct catalogue_entry *entry)
{
    for (size_t i = 0; i < entry->service_count; i++) {
        char *name CLEANUP_FREE = text_format("qubes-service/%s", entry->services[i].name);

        if (!is_key(entry->services[i].name))
            log_warning("%s is not told of its service \"%s\": no such name can stand in XenStore",
                        entry->name, entry->services[i].name);
        else
            put(entries, name ? name : "", entry->services[i].value, false);
    }
}

static void put_seed(struct entries *entries)
{
    unsigned char seed[64], words[4 * ((sizeof(seed) + 2) / 3) + 1];

    if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
        entries->failed = true;
        return;
    }
    EVP_EncodeBlock(words, seed, sizeof(seed));
    put(entries, "qubes-random-seed", (const char *)words, false);
    explicit_bzero(seed, sizeof(seed));
    explicit_bzero(words, sizeof(words));
}

static int write_all(struct entries *entries, const char *socket, struct error *ret_error)
{
    struct xenstore *store;
    int result = xenstore_open(socket, &store, ret_error);

    if (result)
        return result;
    /* a guest of another hypervisor is none of XenStore's, and can't be given rights there */
    if (xenstore_is_introduced(store, entries->id) == 0)
        for (size_t i = 0; i < entries->count; i++)
            entries->list[i].permissions = NULL;
    result = xenstore_write_all(store, entries->list, entries->count);
    if (result) {
        error_set(ret_error, result, "XenStore does not take the guest's entries: %s",
                  strerror(-result));
    } else {
        char *memory CLEANUP_FREE = text_format("/local/domain/%u/memory", entries->id);

        /* the guest tells there how much it needs; made by the toolstack, where there is one */
        if (memory && xenstore_set_permissions(store, memory, entries->owns))
            log_debug("%s is not the guest's to write", memory);
    }
    xenstore_close(store);
    return result;
}

int entries_write(const char *socket, const char *root, const struct catalogue *catalogue,
                  const struct catalogue_entry *entry, unsigned id, struct error *ret_error)
{
    struct entries *entries = calloc(1, sizeof(*entries));
    int result = -ENOMEM;

    if (!entries)
        return error_set(ret_error, result, "out of memory");
    entries->id = id;
    snprintf(entries->reads, sizeof(entries->reads), "n0 r%u", id);
    snprintf(entries->owns, sizeof(entries->owns), "n%u", id);
    put_identity(entries, entry);
    put_provided(entries, entry);
    put_network(entries, catalogue, entry);
    put_timezone(entries, root);
    put_services(entries, entry);
    put(entries, "qubes-block-devices", "", true);
    put(entries, "qubes-usb-devices", "", true);
    if (entry->vm_class == VM_CLASS_HVM || entry->vm_class == VM_CLASS_TEMPLATE_HVM)
        put(entries, "qubes-tools", "", true);
    put_seed(entries);
    if (entries->failed)
        error_set(ret_error, result, "too many entries for XenStore, or out of memory");
    else
        result = write_all(entries, socket, ret_error);
    entries_free(entries);
    free(entries);
    return result;
}
