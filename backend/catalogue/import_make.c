/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's document with the restored VMs in it.  Their elements are put as text before the end
 * tag that they belong before, so that all the rest stays byte for byte; the result is read back,
 * and where it is not what was meant, the tree is edited and printed instead.
 */
#include "import.h"

#include <errno.h>
#include <string.h>

static int by_new_name(const void *one, const void *other)
{
    return strcmp((*(struct import_vm *const *)one)->shown.new_name,
                  (*(struct import_vm *const *)other)->shown.new_name);
}

static int by_old_qid(const void *one, const void *other)
{
    int left = (*(struct import_vm *const *)one)->source->qid;
    int right = (*(struct import_vm *const *)other)->source->qid;

    return left < right ? -1 : left > right;
}

/* All that are restored, in the order of the backup's qids, which is that of their making. */
static struct import_vm **in_order(struct import_pass *pass)
{
    struct catalogue_import *import = pass->import;
    size_t bytes = import->count * sizeof(struct import_vm *);
    struct import_vm **order = arena_alloc(&pass->arena, bytes);

    pass->restored = arena_alloc(&pass->arena, bytes);
    pass->restored_count = 0;
    if (!order || !pass->restored)
        return NULL;
    for (size_t i = 0; i < import->count; i++)
        if (import_is_restored(&import->vms[i]))
            pass->restored[pass->restored_count++] = &import->vms[i];
    if (pass->restored_count > 0)
        memcpy(order, pass->restored, pass->restored_count * sizeof(*order));
    qsort(pass->restored, pass->restored_count, sizeof(*pass->restored), by_new_name);
    qsort(order, pass->restored_count, sizeof(*order), by_old_qid);
    return order;
}

static int give_qids(const struct import_pass *pass, struct import_vm *const *order)
{
    bool r3 = pass->import->form == CATALOGUE_R3;
    int qid = 1, most = r3 ? R3_QID_MAX : QID_MAX;

    for (size_t i = 0; i < pass->restored_count; i++, qid++) {
        while (qid <= most && pass->host->qids[qid])
            qid++;
        if (qid > most)
            return error_set(pass->error, -ENOTSUP,
                             "%s: a catalogue of this form can't hold more than %d VMs",
                             pass->import->path, most);
        order[i]->qid = qid;
    }
    return 0;
}

static int make_elements(struct import_pass *pass, struct import_vm *const *order, xmlNode *root,
                         struct conversion *made)
{
    int netid = 1;

    for (size_t i = 0; i < pass->restored_count; i++) {
        enum vm_class vm_class = order[i]->shown.vm_class;

        if (pass->import->form == CATALOGUE_R4) {
            import_r4_element(pass, made, order[i], root);
            continue;
        }
        if (vm_class == VM_CLASS_NET || vm_class == VM_CLASS_PROXY) {
            while (netid <= R3_QID_MAX && pass->host->netids[netid])
                netid++;
            if (netid > R3_QID_MAX)
                return error_set(pass->error, -ENOTSUP,
                                 "%s: a catalogue of this form can't hold more than %d NetVMs and "
                                 "ProxyVMs",
                                 pass->import->path, R3_QID_MAX);
        }
        import_r3_element(pass, made, order[i], netid, root);
        netid += vm_class == VM_CLASS_NET || vm_class == VM_CLASS_PROXY;
    }
    return made->failed || arena_status(made->arena) || text_status(made->left_out) ? -ENOMEM : 0;
}

static int print_elements(enum catalogue_form form, const xmlNode *root, struct text *text)
{
    xmlBuffer *buffer = xmlBufferCreate();
    bool r3 = form == CATALOGUE_R3;
    int result = buffer ? 0 : -ENOMEM;

    for (xmlNode *at = element_at(root->children); !result && at; at = element_at(at->next))
        if (xmlBufferCat(buffer, (const xmlChar *)(r3 ? "  " : "    ")) != 0 ||
            xmlNodeDump(buffer, root->doc, at, r3 ? 1 : 2, 1) < 0 ||
            xmlBufferCat(buffer, (const xmlChar *)"\n") != 0)
            result = -ENOMEM;
    if (!result)
        text_append(text, xmlBufferContent(buffer), (size_t)xmlBufferLength(buffer));
    xmlBufferFree(buffer);
    return result ? result : text_status(text);
}

/* The last end tag of that name before `end`; SIZE_MAX: none. */
static size_t find_end_tag(const char *data, size_t end, const char *tag)
{
    size_t length = strlen(tag);

    for (size_t at = end < length ? 0 : end - length + 1; at-- > 0;)
        if (data[at] == '<' && memcmp(data + at, tag, length) == 0)
            return at;
    return SIZE_MAX;
}

static int splice_in(const char *data, size_t length, size_t at, const struct text *elements,
                     struct text *text)
{
    size_t line = at;

    /* before the tag's own indentation */
    while (line > 0 && (data[line - 1] == ' ' || data[line - 1] == '\t'))
        line--;
    if (line > 0 && data[line - 1] == '\n')
        at = line;
    text_append(text, data, at);
    if (at > 0 && data[at - 1] != '\n')
        text_string(text, "\n");
    if (elements->length > 0)
        text_append(text, elements->data, elements->length);
    text_append(text, data + at, length - at);
    return text_status(text);
}

/* The elements as part of the tree, for a document that has no such end tag, or is no UTF-8. */
static int print_tree(const struct import_pass *pass, const xmlNode *root, const char *data,
                      size_t length, struct text *text)
{
    char *printed CLEANUP_FREE = NULL;
    xmlDoc *document = NULL;
    size_t printed_length = 0;
    int result = document_parse(pass->host->reading.path, data, length, &document, pass->error);

    if (result)
        return result;
    xmlNode *parent = xmlDocGetRootElement(document);

    if (pass->import->form == CATALOGUE_R4)
        parent = element_child(parent, "domains");
    for (xmlNode *at = element_at(root->children); !result && at; at = element_at(at->next)) {
        xmlNode *copy = xmlDocCopyNode(at, document, 1);

        if (!copy || !xmlAddChild(parent, copy))
            result = -ENOMEM;
    }
    if (!result)
        result = document_print(document, false, &printed, &printed_length);
    if (!result)
        text_append(text, printed, printed_length);
    xmlFreeDoc(document);
    return result ? result : text_status(text);
}

/* Netvms lead to an end. */
static bool has_loop(const struct catalogue *catalogue, struct arena *arena)
{
    size_t *seen = arena_alloc(arena, catalogue->entry_count * sizeof(*seen));

    for (size_t i = 0; seen && i < catalogue->entry_count; i++) {
        const struct catalogue_entry *entry = catalogue->entries[i];

        while (entry) {
            size_t at = catalogue_index(catalogue, entry->name);

            if (seen[at] == i + 1)
                return true;
            if (seen[at] != 0)
                break;
            seen[at] = i + 1;
            entry = entry->netvm_name ? catalogue_find(catalogue, entry->netvm_name) : NULL;
        }
    }
    return false;
}

/* True if the new document is the old one and the new VMs, each as it was meant. */
static bool is_as_meant(const struct import_pass *pass, const struct catalogue *before,
                        const struct catalogue *after)
{
    if (after->form != before->form ||
        after->entry_count != before->entry_count + pass->restored_count)
        return false;
    /* the same one where nothing in it has changed */
    for (size_t i = 0; i < before->entry_count; i++)
        if (catalogue_find(after, before->entries[i]->name) != before->entries[i])
            return false;
    for (size_t i = 0; i < pass->restored_count; i++) {
        const struct import_vm *vm = pass->restored[i];
        const struct catalogue_entry *entry = catalogue_find(after, vm->shown.new_name);

        if (!entry || entry->qid != vm->qid || strcmp(entry->uuid, vm->shown.uuid) != 0)
            return false;
    }
    return true;
}

/* Reads the result back. */
static int check(struct import_pass *pass, const struct catalogue *before, const struct text *text)
{
    const char *path = pass->host->reading.path;
    const struct catalogue *after = NULL;
    int result = catalogue_parse(path, text->data, text->length, before, &after, pass->error);

    if (result)
        return result;
    if (!is_as_meant(pass, before, after))
        result = error_set(pass->error, -EINVAL, "%s: the VMs of the backup can't be added", path);
    else if (!has_loop(before, &pass->arena) && has_loop(after, &pass->arena))
        result = error_set(pass->error, -EINVAL,
                           "the backup's qubes.xml: the netvms of its VMs make a loop");
    if (!result && arena_status(&pass->arena))
        result = error_set(pass->error, -ENOMEM, "out of memory");
    catalogue_unref(after);
    return result;
}

/* Before the end tag, which is one of the last of that name: behind it there may be comments. */
static int splice_and_check(struct import_pass *pass, const struct catalogue *before,
                            const xmlNode *root, const char *data, size_t length, struct text *text)
{
    const char *tag = pass->import->form == CATALOGUE_R3 ? "</QubesVmCollection" : "</domains";
    struct text elements CLEANUP_TEXT = TEXT_INIT;
    int result = print_elements(pass->import->form, root, &elements), tries = 4;
    size_t at = length;

    if (result)
        return result;
    do {
        text_free(text);
        at = find_end_tag(data, at, tag);
        if (at == SIZE_MAX)
            return -EINVAL;
        result = splice_in(data, length, at, &elements, text);
        if (!result)
            result = check(pass, before, text);
    } while (result == -EINVAL && --tries > 0);
    return result;
}

static int add_elements(struct import_pass *pass, const xmlNode *root, const char *data,
                        size_t length, char **ret_data, size_t *ret_length)
{
    struct text spliced CLEANUP_TEXT = TEXT_INIT, printed CLEANUP_TEXT = TEXT_INIT;
    const struct catalogue *before = NULL;
    struct text *made = &spliced;
    int result;

    result = catalogue_parse(pass->host->reading.path, data, length, NULL, &before, pass->error);
    if (result)
        return result;
    result = splice_and_check(pass, before, root, data, length, &spliced);
    if (result == -EINVAL) {
        made = &printed;
        result = print_tree(pass, root, data, length, &printed);
        if (!result)
            result = check(pass, before, &printed);
    }
    if (!result)
        result = text_take(made, ret_data, ret_length);
    catalogue_unref(before);
    return result;
}

/* A new document gets its settings first, and is then like one that was there. */
static int make_document(struct import_pass *pass, struct conversion *made, xmlNode *root,
                         const char *data, size_t length, char **ret_data, size_t *ret_length)
{
    char *fresh CLEANUP_FREE = NULL;
    struct import_vm **order = in_order(pass);
    int result = order ? give_qids(pass, order) : -ENOMEM;

    if (!result)
        result = make_elements(pass, order, root, made);
    if (!result && pass->host->fresh) {
        result = import_fresh_globals(pass, made, xmlDocGetRootElement(pass->host->document));
        if (!result)
            result = document_print(pass->host->document, true, &fresh, &length);
        data = fresh;
    }
    return result ? result : add_elements(pass, root, data, length, ret_data, ret_length);
}

int import_make(struct import_pass *pass, const char *data, size_t length, char **ret_data,
                size_t *ret_length)
{
    struct catalogue_import *import = pass->import;
    struct text left_out CLEANUP_TEXT = TEXT_INIT;
    struct conversion made = {.arena = &pass->arena, .left_out = &left_out};
    xmlNode *root = NULL;
    int result;

    result = import_name(pass);
    if (!result)
        result = import_relate(pass);
    if (result)
        return result == -ENOMEM ? error_set(pass->error, result, "out of memory") : result;
    made.document = xmlNewDoc((const xmlChar *)"1.0");
    if (made.document)
        root = xmlNewDocNode(made.document, NULL, (const xmlChar *)"new", NULL);
    if (root) {
        xmlDocSetRootElement(made.document, root);
        result = make_document(pass, &made, root, data, length, ret_data, ret_length);
    } else {
        result = -ENOMEM;
    }
    xmlFreeDoc(made.document);
    if (!result && !pass->again && left_out.length > 0)
        text_append(&import->told, left_out.data, left_out.length);
    return result == -ENOMEM ? error_set(pass->error, result, "out of memory") : result;
}
