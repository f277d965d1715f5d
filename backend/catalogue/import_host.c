/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's catalogue of one moment: what is taken in it, and the pool that new VMs go to. */
#include "import.h"

#include <errno.h>
#include <string.h>

static void use_qid(struct import_host *host, const char *untrusted_qid)
{
    uint64_t qid;

    if (untrusted_qid && parse_number(untrusted_qid, QID_MAX, &qid))
        host->qids[qid] = true;
}

static void use_name(struct import_host *host, const char *untrusted_name)
{
    if (untrusted_name)
        pairs_add(&host->names, &host->reading.arena, untrusted_name, "");
}

/* A qid that is named but given to no VM is taken as well: a new VM that got it would become
 * somebody's netvm. */
static void look_at_r3(struct import_host *host, const xmlNode *root)
{
    static const char *const naming[] = {"qid", "template_qid", "netvm_qid", "dispvm_netvm"};
    struct arena *arena = &host->reading.arena;
    uint64_t netid;

    for (const xmlAttr *at = root->properties; at; at = at->next)
        use_qid(host, attribute_value(at, arena));
    for (xmlNode *at = element_at(root->children); at; at = element_at(at->next)) {
        const char *net = element_attribute(at, "netid", arena);

        use_name(host, element_attribute(at, "name", arena));
        for (size_t i = 0; i < ARRAY_SIZE(naming); i++)
            use_qid(host, element_attribute(at, naming[i], arena));
        if (net && parse_number(net, R3_QID_MAX, &netid))
            host->netids[netid] = true;
    }
}

static void look_at_r4(struct import_host *host, const xmlNode *root)
{
    const xmlNode *domains = element_child(root, "domains");
    struct arena *arena = &host->reading.arena;

    for (xmlNode *at = element_at(domains->children); at; at = element_at(at->next)) {
        const xmlNode *properties = element_child(at, "properties");
        const char *id = element_attribute(at, "id", arena);
        const xmlNode *name = NULL, *qid = NULL;

        if (properties) {
            name = named_find(properties, "property", "name", arena);
            qid = named_find(properties, "property", "qid", arena);
        }
        use_name(host, name ? element_text(name, arena) : NULL);
        use_qid(host, qid ? element_text(qid, arena) : NULL);
        if (id && strncmp(id, "domain-", 7) == 0)
            use_qid(host, id + 7);
    }
}

/* Domains of classes that qubesfs does not read are no drafts, but are there. */
static int look_at(struct import_host *host)
{
    const xmlNode *root = xmlDocGetRootElement(host->document);

    host->qids = arena_alloc(&host->reading.arena, (QID_MAX + 1) * sizeof(*host->qids));
    if (!host->qids)
        return -ENOMEM;
    host->qids[0] = host->netids[0] = true;
    use_name(host, "dom0");
    if (host->reading.form == CATALOGUE_R3)
        look_at_r3(host, root);
    else
        look_at_r4(host, root);
    pairs_sort(&host->names, &host->reading.arena);
    return arena_status(&host->reading.arena);
}

int import_host_take(struct import_host *host, const char *path, xmlDoc *document,
                     struct error *ret_error)
{
    int result;

    *host = (struct import_host){
        .document = document,
        .reading = {.path = path, .ret_error = ret_error},
    };
    result = reading_fill(&host->reading, document);
    if (!result && look_at(host))
        result = error_set(ret_error, -ENOMEM, "%s: out of memory", path);
    return result;
}

int import_host_read(struct import_host *host, const char *path, const char *data, size_t length,
                     struct error *ret_error)
{
    xmlDoc *document = NULL;
    int result = document_parse(path, data, length, &document, ret_error);

    return result ? result : import_host_take(host, path, document, ret_error);
}

void import_host_free(struct import_host *host)
{
    arena_free(&host->reading.arena);
    xmlFreeDoc(host->document);
    host->document = NULL;
}

int import_choose_pool(const struct import_host *host, struct arena *arena,
                       struct import_pool *ret_pool, struct error *ret_error)
{
    const struct reading *reading = &host->reading;
    const char *name =
        name_value_find(reading->globals.items, reading->globals.count, "default_pool");
    const struct catalogue_pool *pool;
    const char *directory;

    if (!name || is_none(name))
        name = "varlibqubes";
    pool = catalogue_pool_find(reading->pools, reading->pool_count, name);
    /* Qubes has that one always */
    if (!pool && strcmp(name, "varlibqubes") != 0)
        return error_set(
            ret_error, -ENOTSUP,
            "%s: the default pool, \"%s\", is not among its pools; set default_pool to "
            "one that is",
            reading->path, name);
    if (pool && strcmp(pool->driver, "file") != 0 && strcmp(pool->driver, "file-reflink") != 0)
        return error_set(ret_error, -ENOTSUP,
                         "%s: new VMs go to the default pool, \"%s\", whose driver \"%s\" can't be "
                         "written here; set default_pool to a pool of driver \"file\" or "
                         "\"file-reflink\"",
                         reading->path, name, pool->driver);
    directory = pool ? name_value_find(pool->options, pool->option_count, "dir_path") : NULL;
    if (!directory)
        directory = R3_ROOT;
    if (directory[0] != '/' || !path_ok(directory))
        return error_set(ret_error, -ENOTSUP, "%s: the pool \"%s\" has no good directory",
                         reading->path, name);
    *ret_pool = (struct import_pool){
        .name = arena_copy(arena, name, strlen(name)),
        .directory = arena_copy(arena, directory, strlen(directory)),
    };
    return 0;
}
