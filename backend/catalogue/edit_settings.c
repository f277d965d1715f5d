/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Setting one property, service, feature or tag: R3's attributes, R4's elements. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "edit.h"
#include "qubesfs/text.h"

static int set_r3(struct editing *editing, const char *attribute, const char *value)
{
    return splice_attribute(&editing->splicing, editing->draft->element, attribute, value);
}

/* R3 stores a VM by its qid. */
static const char *r3_spelling(struct editing *editing, const struct property *property,
                               const char *value)
{
    const struct draft *named;

    if (property->type != PROPERTY_VM)
        return value;
    named = value ? reading_by_name(editing->reading, value) : NULL;
    if (named)
        return arena_printf(editing->arena, "%d", named->qid);
    return value && strcmp(value, "dom0") == 0 ? "0" : "none";
}

static int set_r3_pref(struct editing *editing, const struct property *property, const char *value)
{
    const char *attribute = property->attribute ? property->attribute : property->name;
    const struct draft *draft = editing->draft;
    const char *chooser, *stored = value ? value : property_r3_default(editing, property);
    int result;

    /* a kernel of none as a default is still one that is stored */
    if (property->type == PROPERTY_KERNEL && !stored)
        stored = "none";
    result = set_r3(editing, attribute, r3_spelling(editing, property, stored));
    if (!result && property->chooser)
        result = set_r3(editing, property->chooser, value ? "False" : "True");
    if (result || property->type != PROPERTY_PCI)
        return result;
    /* the default options are others with devices than without */
    chooser = element_attribute(draft->element, "uses_default_kernelopts", editing->arena);
    if (chooser && parse_bool(chooser, false))
        result = set_r3(editing, "kernelopts",
                        strchr(stored, '\'') ? "nopat iommu=soft swiotlb=8192" : "nopat");
    return result;
}

/* R4 stores a label by its id, where it has a list of them. */
static const char *r4_label(struct editing *editing, const char *name)
{
    const xmlNode *list = element_child(xmlDocGetRootElement(editing->reading->document), "labels");

    for (const xmlNode *at = list ? element_at(list->children) : NULL; at;
         at = element_at(at->next)) {
        const char *id = element_attribute(at, "id", editing->arena);

        if (id && element_is(at, "label") && strcmp(element_text(at, editing->arena), name) == 0)
            return id;
    }
    return name;
}

/* Sets <kind name="NAME"> in <list> of the VM to a value, or takes it away. */
static int set_named(struct editing *editing, const char *list, const char *kind, const char *name,
                     const char *value)
{
    const xmlNode *element = editing->draft->element, *parent = element_child(element, list);
    const xmlNode *there = parent ? named_find(parent, kind, name, editing->arena) : NULL;

    if (!value)
        return there ? splice_remove(&editing->splicing, there) : 0;
    if (there && strcmp(element_text(there, editing->arena), value) == 0)
        return 0;
    if (there)
        return splice_text(&editing->splicing, there, value);
    return splice_add(&editing->splicing, element, list, kind, name, value);
}

static int set_r4_pref(struct editing *editing, const struct property *property, const char *value)
{
    if (!value && strcmp(property->name, "label") == 0)
        return edit_refuse(editing, -EINVAL, "label has no default; write a colour");
    if (!value && strcmp(property->name, "template") == 0)
        value = edit_global(editing, "default_template");
    if (value && property->type == PROPERTY_LABEL)
        value = r4_label(editing, value);
    if (value && property->none && strcmp(value, "none") == 0)
        value = "";
    return set_named(editing, "properties", "property", property->name, value);
}

int edit_pref(struct editing *editing, const char *name, const char *untrusted_value)
{
    const struct draft *draft = editing->draft;
    const struct property *property = property_find(editing->reading->form, draft->vm_class, name);
    const char *value = NULL;
    int result;

    if (!property)
        return edit_refuse(editing, -EINVAL, "\"%.100s\" can't be set for a VM of class %s", name,
                           vm_class_name(draft->vm_class));
    /* Qubes R3 calls a random address auto */
    if (strcmp(untrusted_value, "default") != 0 &&
        (property->type != PROPERTY_MAC || strcmp(untrusted_value, "auto") != 0)) {
        struct error *error = editing->error;

        result = property_parse(property, untrusted_value, editing->arena, &value, error);
        if (result)
            return error_prefix(error, "\"%s\"", draft->name);
    }
    result = property_check(editing, property, value);
    if (result)
        return result;
    if (editing->reading->form == CATALOGUE_R3)
        result = set_r3_pref(editing, property, value);
    else
        result = set_r4_pref(editing, property, value);
    return result;
}

int edit_service(struct editing *editing, const char *untrusted_name, const char *untrusted_value)
{
    const struct draft *draft = editing->draft;
    const char *before =
        name_value_find(draft->services.items, draft->services.count, untrusted_name);
    const char *literal;
    char feature[300];

    if (untrusted_value && strcmp(untrusted_value, "0") != 0 && strcmp(untrusted_value, "1") != 0)
        return edit_refuse(editing, -EINVAL, "service \"%.100s\" takes 0 or 1, not \"%.100s\"",
                           untrusted_name, untrusted_value);
    if (!services_name_ok(untrusted_name) || strlen(untrusted_name) > 200)
        return edit_refuse(editing, -EINVAL,
                           "\"%.100s\" is no name for a service: up to 200 printable ASCII "
                           "characters",
                           untrusted_name);
    if (editing->reading->form == CATALOGUE_R4) {
        strcpy(stpcpy(feature, "service."), untrusted_name);
        return set_named(editing, "features", "feature", feature,
                         !untrusted_value                    ? NULL
                         : strcmp(untrusted_value, "1") == 0 ? "1"
                                                             : "");
    }
    if ((!before && !untrusted_value) ||
        (before && untrusted_value && strcmp(before, untrusted_value) == 0))
        return 0;
    literal = element_attribute(draft->element, "services", editing->arena);
    if (!literal || is_none(literal))
        literal = "{}";
    literal = services_edit(literal, untrusted_name, untrusted_value, editing->arena);
    if (!literal)
        return edit_refuse(editing, -EINVAL,
                           "its services are malformed in the catalogue and so can't be changed; "
                           "repair that line first");
    return set_r3(editing, "services", literal);
}

static bool text_ok(const char *untrusted_value)
{
    for (const unsigned char *at = (const unsigned char *)untrusted_value; *at; at++)
        if ((*at < 0x20 && *at != '\n' && *at != '\t') || *at == 0x7f)
            return false;
    return utf8_valid(untrusted_value, strlen(untrusted_value));
}

/* Features and tags are R4's. */
static int check_r4(struct editing *editing, const char *what, const char *untrusted_name)
{
    if (editing->reading->form != CATALOGUE_R4)
        return edit_refuse(editing, -EPERM, "a catalogue of Qubes R3 has no %ss", what);
    if (!file_name_ok(untrusted_name))
        return edit_refuse(editing, -EINVAL, "\"%.100s\" is no name for a %s", untrusted_name,
                           what);
    return 0;
}

int edit_feature(struct editing *editing, const char *untrusted_name, const char *untrusted_value)
{
    int result = check_r4(editing, "feature", untrusted_name);

    if (!result && untrusted_value && !text_ok(untrusted_value))
        result =
            edit_refuse(editing, -EINVAL, "feature \"%.100s\" takes UTF-8 text", untrusted_name);
    return result ? result
                  : set_named(editing, "features", "feature", untrusted_name, untrusted_value);
}

/* As Qubes: letters, digits and a few marks. */
static bool tag_ok(const char *untrusted_name)
{
    return untrusted_name[strspn(untrusted_name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
                                                 "XYZ0123456789_-@")] == '\0';
}

int edit_tag(struct editing *editing, const char *untrusted_name, const char *untrusted_value)
{
    const xmlNode *element = editing->draft->element, *list = element_child(element, "tags");
    const xmlNode *there = list ? named_find(list, "tag", untrusted_name, editing->arena) : NULL;
    int result = check_r4(editing, "tag", untrusted_name);

    if (result)
        return result;
    if (untrusted_value && *untrusted_value)
        return edit_refuse(editing, -EINVAL, "tag \"%.100s\" has no value", untrusted_name);
    if (!untrusted_value)
        return there ? splice_remove(&editing->splicing, there) : 0;
    if (there)
        return 0;
    if (!tag_ok(untrusted_name))
        return edit_refuse(editing, -EINVAL,
                           "\"%.100s\" is no name for a tag: letters, digits, _ - and @",
                           untrusted_name);
    return splice_add(&editing->splicing, element, "tags", "tag", untrusted_name, NULL);
}
