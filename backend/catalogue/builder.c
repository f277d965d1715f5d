/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drafts become entries.  An entry is one block of memory: the struct, its lists, then its strings.
 * Words that nearly every catalogue has are not copied at all but taken from a table.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>

#include "qubesfs/sorted.h"

/* Sorted by strcmp. */
static const char *const common_words[] = {
    "",
    "/var/lib/qubes",
    "0",
    "1",
    "500",
    "60",
    "False",
    "None",
    "True",
    "[]",
    "autostart",
    "backup_content",
    "backup_path",
    "backup_size",
    "backup_timestamp",
    "black",
    "blue",
    "conf_file",
    "cups",
    "debug",
    "default",
    "default_dispvm",
    "default_user",
    "dir_path",
    "dispvm_netvm",
    "firewall.xml",
    "firewall_conf",
    "gray",
    "green",
    "include_in_backups",
    "installed_by_rpm",
    "internal",
    "kernel",
    "kernelopts",
    "label",
    "linux-kernel",
    "lvm",
    "mac",
    "maxmem",
    "memory",
    "meminfo-writer",
    "name",
    "netid",
    "netvm",
    "none",
    "nopat",
    "orange",
    "pci_e820_host",
    "pci_strictreset",
    "pcidevs",
    "pool_name",
    "private",
    "provides_network",
    "purple",
    "qid",
    "qrexec_timeout",
    "red",
    "root",
    "template",
    "template_for_dispvms",
    "user",
    "uses_default_dispvm_netvm",
    "uses_default_kernel",
    "uses_default_kernelopts",
    "uses_default_netvm",
    "uuid",
    "vcpus",
    "virt_mode",
    "volatile",
    "yellow",
};

static const char *word_at(const void *list, size_t index)
{
    return ((const char *const *)list)[index];
}

static const char *common_word(const char *string)
{
    size_t index = sorted_find(common_words, ARRAY_SIZE(common_words), string, word_at);

    return index != SIZE_MAX ? common_words[index] : NULL;
}

/* The block being filled.  Filled twice: first with base NULL, which only counts. */
struct block {
    char *base;
    size_t used;
};

static void *place(struct block *block, size_t size, size_t alignment)
{
    size_t at = (block->used + alignment - 1) / alignment * alignment;

    block->used = at + size;
    return block->base ? block->base + at : NULL;
}

static const char *place_string(struct block *block, const char *string)
{
    const char *common = string ? common_word(string) : NULL;
    size_t size;
    char *copy;

    if (!string || common)
        return common;
    size = strlen(string) + 1;
    copy = place(block, size, 1);
    if (copy)
        memcpy(copy, string, size);
    return copy;
}

/* Lists go before all strings, so that nothing is lost to alignment. */
static struct name_value *place_list(struct block *block, size_t count)
{
    return count ? place(block, count * sizeof(struct name_value), _Alignof(struct name_value))
                 : NULL;
}

static void place_pairs(struct block *block, struct name_value *list, const struct name_value *from,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct name_value copy = {place_string(block, from[i].name),
                                  place_string(block, from[i].value)};

        if (list)
            list[i] = copy;
    }
}

static struct catalogue_entry *fill_entry(struct block *block, const struct draft *draft,
                                          enum catalogue_form form)
{
    struct catalogue_entry *entry = place(block, sizeof(*entry), _Alignof(struct catalogue_entry));
    struct catalogue_volume *volumes =
        place(block, draft->volume_count * sizeof(*volumes), _Alignof(struct catalogue_volume));
    struct name_value *prefs = place_list(block, draft->prefs.count);
    struct name_value *services = place_list(block, draft->services.count);
    struct name_value *features = place_list(block, draft->features.count);
    struct name_value *tags = place_list(block, draft->tags.count);
    struct catalogue_entry made = {
        .references = 1,
        .form = form,
        .qid = draft->qid,
        .vm_class = draft->vm_class,
        .name = place_string(block, draft->name),
        .uuid = place_string(block, draft->uuid),
        .dir_path = place_string(block, draft->dir_path),
        .template_name = place_string(block, draft->template_name),
        .netvm_name = place_string(block, draft->netvm_name),
        .include_in_backups = draft->include_in_backups,
        .internal = draft->internal,
        .installed_by_rpm = draft->installed_by_rpm,
        .updateable = draft->updateable,
        .prefs = prefs,
        .pref_count = draft->prefs.count,
        .services = services,
        .service_count = draft->services.count,
        .features = features,
        .feature_count = draft->features.count,
        .tags = tags,
        .tag_count = draft->tags.count,
        .volumes = draft->volume_count ? volumes : NULL,
        .volume_count = draft->volume_count,
    };

    place_pairs(block, prefs, draft->prefs.items, draft->prefs.count);
    place_pairs(block, services, draft->services.items, draft->services.count);
    place_pairs(block, features, draft->features.items, draft->features.count);
    place_pairs(block, tags, draft->tags.items, draft->tags.count);
    for (size_t i = 0; i < draft->volume_count; i++) {
        struct catalogue_volume copy = draft->volumes[i];

        copy.name = place_string(block, copy.name);
        copy.pool = place_string(block, copy.pool);
        copy.vid = place_string(block, copy.vid);
        copy.source = place_string(block, copy.source);
        if (volumes)
            volumes[i] = copy;
    }
    if (entry)
        *entry = made;
    return entry;
}

static const struct catalogue_entry *
build_entry(const struct draft *draft, enum catalogue_form form, const struct catalogue *previous)
{
    const struct catalogue_entry *old = previous ? catalogue_find(previous, draft->name) : NULL;
    struct block block = {NULL, 0};
    struct catalogue_entry *entry;

    fill_entry(&block, draft, form);
    block = (struct block){malloc(block.used), 0};
    if (!block.base)
        return NULL;
    entry = fill_entry(&block, draft, form);
    if (old && catalogue_entry_equal(old, entry)) {
        free(entry);
        return catalogue_entry_ref(old);
    }
    return entry;
}

static struct catalogue *fill_catalogue(struct block *block, const struct reading *reading)
{
    struct catalogue *catalogue = place(block, sizeof(*catalogue), _Alignof(struct catalogue));
    const struct catalogue_entry **entries =
        place(block, reading->draft_count * sizeof(*entries), _Alignof(void *));
    struct catalogue_pool *pools =
        place(block, reading->pool_count * sizeof(*pools), _Alignof(struct catalogue_pool));
    struct name_value *globals = place_list(block, reading->globals.count);

    for (size_t i = 0; i < reading->pool_count; i++) {
        const struct catalogue_pool *from = &reading->pools[i];
        struct name_value *options = place_list(block, from->option_count);

        if (pools)
            pools[i] = (struct catalogue_pool){
                .name = NULL, .options = options, .option_count = from->option_count};
    }
    for (size_t i = 0; i < reading->pool_count; i++) {
        const struct catalogue_pool *from = &reading->pools[i];
        const char *name = place_string(block, from->name);
        const char *driver = place_string(block, from->driver);

        place_pairs(block, pools ? (struct name_value *)pools[i].options : NULL, from->options,
                    from->option_count);
        if (pools) {
            pools[i].name = name;
            pools[i].driver = driver;
        }
    }
    place_pairs(block, globals, reading->globals.items, reading->globals.count);
    if (catalogue)
        *catalogue = (struct catalogue){
            .references = 1,
            .form = reading->form,
            .entries = entries,
            .globals = globals,
            .global_count = reading->globals.count,
            .pools = pools,
            .pool_count = reading->pool_count,
        };
    return catalogue;
}

int build_catalogue(const struct reading *reading, struct timespec modified,
                    const struct catalogue *previous, const struct catalogue **ret_catalogue)
{
    struct block block = {NULL, 0};
    struct catalogue *catalogue;

    fill_catalogue(&block, reading);
    block = (struct block){malloc(block.used), 0};
    if (!block.base)
        return -ENOMEM;
    catalogue = fill_catalogue(&block, reading);
    catalogue->modified = modified;
    for (size_t i = 0; i < reading->draft_count; i++) {
        const struct catalogue_entry *entry =
            build_entry(reading->by_name[i], reading->form, previous);

        if (!entry) {
            catalogue_unref(catalogue);
            return -ENOMEM;
        }
        catalogue->entries[catalogue->entry_count++] = entry;
    }
    *ret_catalogue = catalogue;
    return 0;
}
