/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "convert.h"

#include <errno.h>
#include <string.h>

const struct standard_label standard_labels[8] = {
    {"red", 0xcc0000},  {"orange", 0xf57900}, {"yellow", 0xedd400}, {"green", 0x73d216},
    {"gray", 0x555753}, {"blue", 0x3465a4},   {"purple", 0x75507b}, {"black", 0x000000},
};

bool is_standard_label(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(standard_labels); i++)
        if (strcmp(standard_labels[i].name, name) == 0)
            return true;
    return false;
}

bool is_color(const char *untrusted_text)
{
    return strncmp(untrusted_text, "0x", 2) == 0 && strlen(untrusted_text) == 8 &&
           strspn(untrusted_text + 2, "0123456789abcdefABCDEF") == 6;
}

bool is_mac(const char *untrusted_text)
{
    size_t length = strlen(untrusted_text);

    for (size_t i = 0; i < length; i++)
        if (i % 3 == 2 ? untrusted_text[i] != ':'
                       : !strchr("0123456789abcdefABCDEF", untrusted_text[i]))
            return false;
    return length == 17;
}

bool is_number(const char *untrusted_text)
{
    uint64_t number;

    return parse_number(untrusted_text, INT64_MAX, &number);
}

struct counterpart *counterpart_of(const struct conversion *conversion, const struct draft *draft)
{
    return &conversion->counterparts[draft - conversion->from->drafts];
}

void leave_out(struct conversion *conversion, const struct draft *vm, const char *kind,
               const char *untrusted_what)
{
    const size_t longest = 200; /* enough to know it by */
    struct text *text = conversion->left_out;

    if (text->length > 0 && conversion->left_out_vm == vm &&
        strcmp(conversion->left_out_kind, kind) == 0) {
        text->length--; /* the line goes on */
        text_string(text, ", ");
    } else {
        text_printf(text, "%s\t%s: ", vm ? vm->name : "*", kind);
    }
    text_escape(text, untrusted_what, strnlen(untrusted_what, longest));
    text_string(text, "\n");
    conversion->left_out_vm = vm;
    conversion->left_out_kind = kind;
}

bool is_template(const struct draft *draft)
{
    return draft->vm_class == VM_CLASS_TEMPLATE || draft->vm_class == VM_CLASS_TEMPLATE_HVM;
}

const char *pref_of(const struct draft *draft, const char *name)
{
    return name_value_find(draft->prefs.items, draft->prefs.count, name);
}

const char *global_of(const struct conversion *conversion, const char *name)
{
    return name_value_find(conversion->from->globals.items, conversion->from->globals.count, name);
}

const struct draft *global_vm(const struct conversion *conversion, const char *name)
{
    const char *value = global_of(conversion, name);

    return value ? reading_by_name(conversion->from, value) : NULL;
}

const struct draft *base_template(const struct conversion *conversion, const struct draft *draft)
{
    const struct draft *at = draft;

    if (is_template(draft))
        return draft;
    /* a disposable's template has a template; no chain in Qubes is longer, and none has an end that
     * leads back */
    for (int hops = 0; hops < 3 && at && at->template_name; hops++) {
        at = reading_by_name(conversion->from, at->template_name);
        if (at && is_template(at))
            return at;
    }
    at = global_vm(conversion, "default_template");
    return at && is_template(at) ? at : NULL;
}

xmlNode *add_element(struct conversion *conversion, xmlNode *parent, const char *name)
{
    xmlNode *element = parent ? xmlNewChild(parent, NULL, (const xmlChar *)name, NULL) : NULL;

    conversion->failed = conversion->failed || !element;
    return element;
}

void add_attribute(struct conversion *conversion, xmlNode *element, const char *name,
                   const char *value)
{
    if (element && element_set_attribute(element, name, value))
        conversion->failed = true;
}

void add_named(struct conversion *conversion, xmlNode *list, const char *kind, struct pairs *pairs)
{
    pairs_sort(pairs, conversion->arena);
    for (size_t i = 0; i < pairs->count; i++) {
        xmlNode *element = add_element(conversion, list, kind);

        add_attribute(conversion, element, "name", pairs->items[i].name);
        if (element && element_set_text(element, pairs->items[i].value))
            conversion->failed = true;
    }
}

void add_attributes(struct conversion *conversion, xmlNode *element, struct pairs *pairs)
{
    pairs_sort(pairs, conversion->arena);
    for (size_t i = 0; i < pairs->count; i++)
        add_attribute(conversion, element, pairs->items[i].name, pairs->items[i].value);
}

static int convert_marks(const struct conversion *conversion, const struct catalogue_mark *marks,
                         size_t count, const struct catalogue_mark **ret_marks)
{
    const struct reading *from = conversion->from;
    struct catalogue_mark *converted =
        arena_alloc(&conversion->from->arena, count * sizeof(*converted));

    if (!converted)
        return error_set(from->ret_error, -ENOMEM, "%s: out of memory", from->path);
    for (size_t i = 0; i < count; i++) {
        const struct draft *draft = reading_by_qid(from, marks[i].qid);

        converted[i] = marks[i];
        if (draft)
            converted[i].qid = counterpart_of(conversion, draft)->qid;
        else if (marks[i].qid != 0 && marks[i].backup_path)
            return error_set(from->ret_error, -ENOENT,
                             "%s: the VM with qid %d has gone since the backup was planned",
                             from->path, marks[i].qid);
        else
            converted[i].qid = marks[i].backup_path ? 0 : -1;
    }
    *ret_marks = converted;
    return 0;
}

int convert(struct reading *from, const struct catalogue_mark *marks, size_t mark_count,
            struct text *left_out, xmlDoc **ret_document, const struct catalogue_mark **ret_marks)
{
    struct conversion conversion = {.from = from, .arena = &from->arena, .left_out = left_out};
    int result;

    conversion.counterparts =
        arena_alloc(&from->arena, from->draft_count * sizeof(*conversion.counterparts));
    conversion.document = xmlNewDoc((const xmlChar *)"1.0");
    if (!conversion.counterparts || !conversion.document)
        result = -ENOMEM;
    else
        result = from->form == CATALOGUE_R4 ? to_r3(&conversion) : to_r4(&conversion);
    if (!result && (conversion.failed || arena_status(&from->arena) || text_status(left_out)))
        result = -ENOMEM;
    if (result == -ENOMEM)
        error_set(from->ret_error, result, "%s: out of memory", from->path);
    if (!result)
        result = convert_marks(&conversion, marks, mark_count, ret_marks);
    if (result)
        xmlFreeDoc(conversion.document);
    else
        *ret_document = conversion.document;
    return result;
}
