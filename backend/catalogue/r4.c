/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The form of R4: <qubes> with labels, pools, global properties and <domains>. */
#include "internal.h"

#include <errno.h>
#include <string.h>

#include "qubesfs/log.h"

static bool r4_class(const char *untrusted_name, enum vm_class *ret_class)
{
    static const enum vm_class classes[] = {VM_CLASS_APP, VM_CLASS_TEMPLATE, VM_CLASS_STANDALONE,
                                            VM_CLASS_DISP, VM_CLASS_ADMIN};

    for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
        if (strcmp(untrusted_name, vm_class_name(classes[i])) == 0) {
            *ret_class = classes[i];
            return true;
        }
    return false;
}

bool r4_is_vm_valued(const char *name)
{
    static const char *const names[] = {
        "netvm",           "template",         "default_dispvm",   "management_dispvm",
        "guivm",           "audiovm",          "relayvm",          "dispvm_netvm",
        "clockvm",         "updatevm",         "default_netvm",    "default_guivm",
        "default_audiovm", "default_template", "default_fw_netvm",
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* Adds each <child name="...">text</child> below `list`, which may be NULL. */
static void read_named(struct reading *reading, const xmlNode *list, const char *child,
                       struct pairs *ret_pairs)
{
    struct arena *arena = &reading->arena;

    for (xmlNode *at = list ? element_at(list->children) : NULL; at; at = element_at(at->next)) {
        const char *name = element_attribute(at, "name", arena);

        if (element_is(at, child) && name && file_name_ok(name))
            pairs_add(ret_pairs, arena, name, element_text(at, arena));
        else
            log_debug("%s:%ld: skipped an element <%s>", reading->path, element_line(at),
                      (const char *)at->name);
    }
    pairs_sort(ret_pairs, arena);
}

static const char *find(const struct pairs *pairs, const char *name)
{
    return name_value_find(pairs->items, pairs->count, name);
}

static void name_the_nones(struct pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++)
        if (r4_is_vm_valued(pairs->items[i].name) && is_none(pairs->items[i].value))
            pairs->items[i].value = "none";
}

/* A label is stored as its name or as the id that it has in <labels>. */
static void name_the_label(struct pairs *prefs, const struct pairs *labels)
{
    for (size_t i = 0; i < prefs->count; i++)
        if (strcmp(prefs->items[i].name, "label") == 0) {
            const char *label = find(labels, prefs->items[i].value);

            if (label)
                prefs->items[i].value = label;
        }
}

static void read_labels(struct reading *reading, const xmlNode *root, struct pairs *ret_labels)
{
    const xmlNode *list = element_child(root, "labels");
    struct arena *arena = &reading->arena;

    for (xmlNode *at = list ? element_at(list->children) : NULL; at; at = element_at(at->next)) {
        const char *id = element_attribute(at, "id", arena);

        if (id && element_is(at, "label"))
            pairs_add(ret_labels, arena, id, element_text(at, arena));
    }
    pairs_sort(ret_labels, arena);
}

static int read_pools(struct reading *reading, const xmlNode *root)
{
    const xmlNode *list = element_child(root, "pools");
    struct arena *arena = &reading->arena;
    size_t count = 0;

    for (xmlNode *at = list ? element_at(list->children) : NULL; at; at = element_at(at->next))
        count++;
    reading->pools = arena_alloc(arena, count * sizeof(*reading->pools));
    if (!reading->pools)
        return -ENOMEM;
    for (xmlNode *at = list ? element_at(list->children) : NULL; at; at = element_at(at->next)) {
        struct catalogue_pool *pool = &reading->pools[reading->pool_count];
        struct pairs options = {NULL, 0, 0};

        pool->name = element_attribute(at, "name", arena);
        pool->driver = element_attribute(at, "driver", arena);
        if (!element_is(at, "pool") || !pool->name || !pool->driver) {
            log_debug("%s:%ld: skipped an element <%s>", reading->path, element_line(at),
                      (const char *)at->name);
            continue;
        }
        for (const xmlAttr *option = at->properties; option; option = option->next)
            if (!option->ns && strcmp((const char *)option->name, "name") != 0 &&
                strcmp((const char *)option->name, "driver") != 0)
                pairs_add(&options, arena, (const char *)option->name,
                          attribute_value(option, arena));
        pairs_sort(&options, arena);
        pool->options = options.items;
        pool->option_count = options.count;
        reading->pool_count++;
    }
    return 0;
}

/* A volume's id becomes a path below its pool: one that would lead out of it is not taken over. */
static const char *volume_id(struct reading *reading, const xmlNode *volume, const char *attribute)
{
    const char *untrusted_id = element_attribute(volume, attribute, &reading->arena);

    if (!untrusted_id || !*untrusted_id)
        return NULL;
    if (!path_ok(untrusted_id) || untrusted_id[0] == '/') {
        if (!reading->foreign)
            log_warning("%s:%ld: volume's %s is malformed and left out", reading->path,
                        element_line(volume), attribute);
        return NULL;
    }
    return untrusted_id;
}

static int read_volumes(struct reading *reading, struct draft *draft)
{
    const xmlNode *list = element_child(draft->element, "volume-config");
    struct arena *arena = &reading->arena;
    size_t count = 0;

    for (xmlNode *at = list ? element_at(list->children) : NULL; at; at = element_at(at->next))
        count++;
    if (count == 0)
        return 0;
    draft->volumes = arena_alloc(arena, count * sizeof(*draft->volumes));
    if (!draft->volumes)
        return -ENOMEM;
    for (xmlNode *at = element_at(list->children); at; at = element_at(at->next)) {
        struct catalogue_volume *volume = &draft->volumes[draft->volume_count];
        const char *size = element_attribute(at, "size", arena);

        volume->name = element_attribute(at, "name", arena);
        if (!element_is(at, "volume") || !volume->name || !file_name_ok(volume->name))
            continue;
        volume->pool = element_attribute(at, "pool", arena);
        volume->vid = volume_id(reading, at, "vid");
        volume->source = volume_id(reading, at, "source");
        volume->size = 0;
        if (size && !is_none(size) && !parse_number(size, INT64_MAX, &volume->size))
            return reading_refuse(reading, at, "size '%.80s' of a volume of %s is not a number",
                                  size, draft->name);
        volume->rw = parse_bool(element_attribute(at, "rw", arena), false);
        volume->save_on_stop = parse_bool(element_attribute(at, "save_on_stop", arena), false);
        volume->snap_on_start = parse_bool(element_attribute(at, "snap_on_start", arena), false);
        draft->volume_count++;
    }
    return 0;
}

/* A property that names a VM: NULL when it is not set or none. */
static int named_vm(struct reading *reading, const struct draft *draft, const char *property,
                    const char **ret_name)
{
    const char *untrusted_name = find(&draft->prefs, property), *reason;

    *ret_name = NULL;
    if (!untrusted_name || is_none(untrusted_name))
        return 0;
    reason = vm_name_reason(untrusted_name);
    if (reason)
        return reading_refuse(reading, draft->element, "%s of %s is '%.80s': %s", property,
                              draft->name, untrusted_name, reason);
    *ret_name = untrusted_name;
    return 0;
}

static const char *default_netvm(const struct reading *reading, const struct draft *draft)
{
    const char *netvm;

    if (draft->vm_class == VM_CLASS_ADMIN || draft->vm_class == VM_CLASS_TEMPLATE)
        return NULL;
    /* one that serves others would otherwise serve itself; only old R4 has the other default */
    netvm = find(&reading->globals, parse_bool(find(&draft->prefs, "provides_network"), false)
                                        ? "default_fw_netvm"
                                        : "default_netvm");
    return netvm && !vm_name_reason(netvm) ? netvm : NULL;
}

static void read_services(struct reading *reading, struct draft *draft)
{
    static const char prefix[] = "service.";

    for (size_t i = 0; i < draft->features.count; i++) {
        const struct name_value *feature = &draft->features.items[i];

        if (strncmp(feature->name, prefix, sizeof(prefix) - 1) == 0 &&
            file_name_ok(feature->name + sizeof(prefix) - 1))
            pairs_add(&draft->services, &reading->arena, feature->name + sizeof(prefix) - 1,
                      *feature->value ? "1" : "0");
    }
}

static int read_vm(struct reading *reading, struct draft *draft, const struct pairs *labels)
{
    const struct pairs *prefs = &draft->prefs;
    const char *internal;
    int result;

    name_the_nones(&draft->prefs);
    name_the_label(&draft->prefs, labels);
    reading_uuid(reading, draft, find(prefs, "uuid"));
    result = named_vm(reading, draft, "template", &draft->template_name);
    if (!result)
        result = named_vm(reading, draft, "netvm", &draft->netvm_name);
    if (!result)
        result = read_volumes(reading, draft);
    if (result)
        return result;
    if (draft->vm_class == VM_CLASS_ADMIN)
        draft->netvm_name = NULL;
    else if (!find(prefs, "netvm"))
        draft->netvm_name = default_netvm(reading, draft);
    read_named(reading, element_child(draft->element, "features"), "feature", &draft->features);
    read_named(reading, element_child(draft->element, "tags"), "tag", &draft->tags);
    for (size_t i = 0; i < draft->tags.count; i++)
        draft->tags.items[i].value = "";
    read_services(reading, draft);
    internal = find(&draft->features, "internal");
    draft->internal = internal && *internal;
    draft->installed_by_rpm = parse_bool(find(prefs, "installed_by_rpm"), false);
    draft->updateable =
        draft->vm_class == VM_CLASS_TEMPLATE || draft->vm_class == VM_CLASS_STANDALONE;
    draft->include_in_backups = parse_bool(find(prefs, "include_in_backups"),
                                           draft->vm_class != VM_CLASS_DISP ||
                                               !parse_bool(find(prefs, "auto_cleanup"), false));
    return 0;
}

/* The qid is a property; where it is missing, the element's id says it. */
static const char *stored_qid(struct reading *reading, const struct draft *draft)
{
    const char *qid = find(&draft->prefs, "qid");
    const char *id = element_attribute(draft->element, "id", &reading->arena);

    if (!qid && id && strncmp(id, "domain-", 7) == 0)
        qid = id + 7;
    return qid;
}

static int read_domain(struct reading *reading, xmlNode *element)
{
    const char *class_name = element_attribute(element, "class", &reading->arena);
    enum vm_class vm_class;
    struct draft *draft;

    if (!element_is(element, "domain")) {
        log_debug("%s:%ld: skipped the unknown element <%s>", reading->path, element_line(element),
                  (const char *)element->name);
        return 0;
    }
    if (!class_name)
        return reading_refuse(reading, element, "a domain has no class");
    if (!r4_class(class_name, &vm_class)) {
        log_debug("%s:%ld: skipped a domain of the unknown class %s", reading->path,
                  element_line(element), class_name);
        return 0;
    }
    draft = reading_draft(reading, element, vm_class);
    if (!draft)
        return -ENOMEM;
    read_named(reading, element_child(element, "properties"), "property", &draft->prefs);
    return reading_identify(reading, draft, stored_qid(reading, draft),
                            find(&draft->prefs, "name"));
}

int r4_read(struct reading *reading, xmlNode *root)
{
    const xmlNode *domains = element_child(root, "domains");
    struct pairs labels = {NULL, 0, 0};
    int result;

    if (!domains)
        return reading_refuse(reading, root, "there is no <domains>");
    read_labels(reading, root, &labels);
    read_named(reading, element_child(root, "properties"), "property", &reading->globals);
    name_the_nones(&reading->globals);
    result = read_pools(reading, root);
    for (xmlNode *at = element_at(domains->children); !result && at; at = element_at(at->next))
        result = read_domain(reading, at);
    if (!result)
        result = reading_index(reading);
    for (size_t i = 0; !result && i < reading->draft_count; i++)
        result = read_vm(reading, &reading->drafts[i], &labels);
    return result;
}
