/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the catalogue's room share.  A document goes this way:
 *
 *     bytes --document.c--> libxml2 tree --r3.c | r4.c--> drafts --builder.c--> immutable entries
 *
 * A draft's strings are borrowed from the tree or from the reading's arena; both end with the
 * reading, the entries hold copies.
 */
#ifndef QUBESFS_CATALOGUE_INTERNAL_H
#define QUBESFS_CATALOGUE_INTERNAL_H

#include <libxml/tree.h>
#include <sys/stat.h>

#include "qubesfs/catalogue.h"

#define CATALOGUE_BYTES_MAX (64u << 20)
#define QID_MAX             65535

/* arena.c: memory that is let go all at once */

struct arena {
    struct arena_chunk *chunks;
    bool failed; /* memory ran out once; told by arena_status */
};

/** Zeroed and aligned; NULL when memory ran out. */
void *arena_alloc(struct arena *arena, size_t size);
/** A NUL-terminated copy; "" when memory ran out, so that the caller may go on to arena_status. */
const char *arena_copy(struct arena *arena, const char *data, size_t length);
const char *arena_printf(struct arena *arena, const char *format, ...) PRINTF(2, 3);
int arena_status(const struct arena *arena);
void arena_free(struct arena *arena);

/** A growing list of pairs, its memory in an arena. */
struct pairs {
    struct name_value *items;
    size_t count, capacity;
};

void pairs_add(struct pairs *pairs, struct arena *arena, const char *name, const char *value);
/** Sorts by name; of pairs with one name the last added stays. */
void pairs_sort(struct pairs *pairs, struct arena *arena);

/* names.c: the form of names and values, checked at the border */

/** True if it can be a file's name: not empty, ".", "..", no '/', no control character, <= 255. */
bool file_name_ok(const char *untrusted_name);
/** True if it is a path relative or absolute without "." and ".." and without control characters.
 */
bool path_ok(const char *untrusted_path);
/** Parses decimal digits only, up to `max`. */
bool parse_number(const char *untrusted_text, uint64_t max, uint64_t *ret_number);
/** True for "", "none", in any case. */
bool is_none(const char *untrusted_text);
/** A truth value as Qubes R3 and R4 read it; `fallback` for NULL and what is none of theirs. */
bool parse_bool(const char *untrusted_text, bool fallback);
/** Writes 36 characters and NUL, lower case with dashes; false when it is no uuid. */
bool parse_uuid(const char *untrusted_text, char *ret_uuid);

/* services.c */

/** Adds the services of a Python dict literal of R3 as "0" or "1".  False when it is malformed. */
bool services_parse(const char *untrusted_literal, struct arena *arena, struct pairs *services);

/** Adds the strings of a Python list literal of R3.  False when it is malformed. */
bool strings_parse(const char *untrusted_literal, struct arena *arena, struct pairs *strings);
/** True if R3's own reader, Python 2's eval(str()), can take the name in a literal. */
bool services_name_ok(const char *untrusted_name);
/** The dict literal of services "0" and "1", whose names are ok. */
const char *services_print(const struct pairs *services, struct arena *arena);

/** The literal with one service set to "0" or "1" (its name is ok), or with a `value` of NULL
 * without it; all else in it as it was.  In the arena; NULL when the literal is malformed. */
const char *services_edit(const char *literal, const char *name, const char *value,
                          struct arena *arena);

/* document.c: libxml2, kept on a short leash */

/** Parses without network, DTD or entities of its own.  `ret_document` is for xmlFreeDoc. */
int document_parse(const char *path, const void *untrusted_data, size_t length,
                   xmlDoc **ret_document, struct error *ret_error);
/** Tells the catalogue's form from the root element. */
int document_form(const char *path, const xmlDoc *document, enum catalogue_form *ret_form,
                  struct error *ret_error);
/** The document as UTF-8 text; `ret_data` is to be freed.  `indent` one that holds no white space
 * of its own yet. */
int document_print(xmlDoc *document, bool indent, char **ret_data, size_t *ret_length);

/** The line at which the element's start tag ends. */
long element_line(const xmlNode *element);
/** The next element among `node` and its siblings; NULL at the end. */
xmlNode *element_at(xmlNode *node);
/** The first child element of that name, or NULL. */
xmlNode *element_child(const xmlNode *parent, const char *name);
bool element_is(const xmlNode *element, const char *name);
/** An attribute's value or NULL; borrowed from the tree or the arena. */
const char *element_attribute(const xmlNode *element, const char *name, struct arena *arena);
const char *attribute_value(const xmlAttr *attribute, struct arena *arena);
/** The element's own text, "" when there is none; borrowed likewise. */
const char *element_text(const xmlNode *element, struct arena *arena);

/** The child <kind name="NAME"> of `list`, the last one of several; NULL when there is none. */
xmlNode *named_find(const xmlNode *list, const char *kind, const char *name, struct arena *arena);
/** Adds <kind name="NAME">value</kind> as first child, with the white space of the one before. */
int named_add(xmlNode *list, const char *kind, const char *name, const char *value);
/** Replaces the element's content by plain text. */
int element_set_text(xmlNode *element, const char *text);
int element_set_attribute(xmlNode *element, const char *name, const char *value);

/* reading.c: one document on its way to become a catalogue */

struct draft {
    xmlNode *element;
    int qid;
    enum vm_class vm_class;
    const char *name;
    char uuid[37];
    const char *dir_path, *template_name, *netvm_name;
    bool include_in_backups, internal, installed_by_rpm, updateable;
    struct pairs prefs, services, features, tags;
    struct catalogue_volume *volumes;
    size_t volume_count;
};

struct reading {
    const char *path; /* for messages */
    struct error *ret_error;
    const xmlDoc *document;
    struct arena arena;
    bool foreign; /* not this host's: nobody is to be warned of what is malformed in it */
    enum catalogue_form form;
    struct draft *drafts; /* in the document's order */
    size_t draft_count, draft_capacity;
    struct draft **by_qid;  /* after reading_index */
    struct draft **by_name; /* likewise */
    struct pairs globals;
    struct catalogue_pool *pools;
    size_t pool_count;
};

/** Refuses the document: "PATH:LINE: reason".  Returns -EINVAL. */
int reading_refuse(struct reading *reading, const xmlNode *where, const char *format, ...)
    PRINTF(3, 4);
/** Adds an empty draft; NULL when memory ran out. */
struct draft *reading_draft(struct reading *reading, xmlNode *element, enum vm_class vm_class);
/** Checks and takes over a draft's qid and name; NULL stands for a missing one. */
int reading_identify(struct reading *reading, struct draft *draft, const char *untrusted_qid,
                     const char *untrusted_name);
/** Sorts the drafts by qid and name, refusing duplicates. */
int reading_index(struct reading *reading);
/** The draft with that qid, or NULL; after reading_index. */
const struct draft *reading_by_qid(const struct reading *reading, int qid);
/** The draft with that name, or NULL; after reading_index. */
const struct draft *reading_by_name(const struct reading *reading, const char *name);
/** Takes over a uuid; a malformed one is logged and left out. */
void reading_uuid(struct reading *reading, struct draft *draft, const char *untrusted_uuid);

/* r3.c, r4.c */

int r3_read(struct reading *reading, xmlNode *root);
int r4_read(struct reading *reading, xmlNode *root);
/** True of an R4 property whose value is a VM's name: the empty text stands for none. */
bool r4_is_vm_valued(const char *name);
/** The class of an R3 element; false when it is no VM that we know. */
bool r3_class(const xmlNode *element, enum vm_class *ret_class);

/* builder.c */

/** Makes the entries and the catalogue, sharing with `previous` (may be NULL) what is the same. */
int build_catalogue(const struct reading *reading, struct timespec modified,
                    const struct catalogue *previous, const struct catalogue **ret_catalogue);

/* model.c */

/** The place of the entry of that name; SIZE_MAX: there is none. */
size_t catalogue_index(const struct catalogue *catalogue, const char *name);
bool catalogue_entry_equal(const struct catalogue_entry *one, const struct catalogue_entry *other);
/** True if nothing but the time of modification differs. */
bool catalogue_equal(const struct catalogue *one, const struct catalogue *other);

/* parse.c */

/** Reads a document into `reading`, of which `path` and `ret_error` are set and whose arena the
 * caller lets go, also after a failure. */
int reading_fill(struct reading *reading, const xmlDoc *document);

int catalogue_read_document(const char *path, xmlDoc *document, struct timespec modified,
                            const struct catalogue *previous,
                            const struct catalogue **ret_catalogue, struct error *ret_error);

/* lock.c */

/** Until when to wait for a lock, and what ends the wait early. */
struct patience {
    unsigned seconds;
    int cancel_fd; /* readable: give up with -ECANCELED; -1: none */
};

/**
 * Opens the file at `path` and locks it as Qubes does; closing `ret_fd` is the unlock.  Made sure:
 * it is a regular file and, after the lock was got, still the one at that path. Returns 0,
 * -ETIMEDOUT, -ECANCELED or what open said; `ret_error` is filled.
 */
int lock_file(const char *path, bool exclusive, const struct patience *patience, int *ret_fd,
              struct stat *ret_status, struct error *ret_error);
/** Locks a file that is open already and that nobody else can have locked. */
int lock_new_file(int fd);

/* load.c */

/** Reads a locked file whole; `ret_data` is to be freed. */
int read_whole_file(const char *path, int fd, char **ret_data, size_t *ret_length,
                    struct error *ret_error);
/** Reads the file at `path` under Qubes' shared lock; `ret_status` (may be NULL) is filled as soon
 * as it was locked. */
int load_bytes(const char *path, const struct patience *patience, char **ret_data,
               size_t *ret_length, struct stat *ret_status, struct error *ret_error);
/** catalogue_load with a wait that can be cut short; `ret_status` (may be NULL) is filled as soon
 * as the file was locked, also when its content turns out to be broken. */
int load_file(const char *path, const struct patience *patience, const struct catalogue *previous,
              const struct catalogue **ret_catalogue, struct stat *ret_status,
              struct error *ret_error);

/* export.c */

/** catalogue_export of a document in memory. */
int export_bytes(const char *path, const void *untrusted_data, size_t length,
                 enum catalogue_form form, const struct catalogue_mark *marks, size_t mark_count,
                 char **ret_document, size_t *ret_length, char **ret_left_out,
                 struct error *ret_error);

/* marks.c */

/** Marks every VM of the document; the marks' qids are the document's. */
int mark_document(const char *path, xmlDoc *document, enum catalogue_form form,
                  const struct catalogue_mark *marks, size_t mark_count, struct error *ret_error);

/* save.c */

/** An edit of the document, made in place.  A negative errno gives the save up; `error` is filled.
 */
typedef int document_edit(void *cookie, xmlDoc *document, enum catalogue_form form,
                          struct error *error);

/**
 * Edits the file at `path` under Qubes' exclusive lock: reads it, refuses one that is broken
 * already, runs `edit`, checks that the result is a good catalogue, and puts it in place durably.
 */
int edit_file(const char *path, unsigned seconds, document_edit *edit, void *cookie,
              struct error *ret_error);

/** Makes a catalogue where there is none, as durably: -EEXIST when there is one by now. */
int create_file(const char *path, const char *data, size_t length, struct error *ret_error);

/** An edit of the document's bytes: gives back new ones, to be freed, which it has proven to be a
 * good catalogue; the same ones are not saved. */
typedef int bytes_edit(void *cookie, const char *path, const char *untrusted_data, size_t length,
                       char **ret_data, size_t *ret_length, struct error *ret_error);

/** As edit_file, by bytes. */
int edit_bytes(const char *path, const struct patience *patience, bytes_edit *edit, void *cookie,
               struct error *ret_error);

/** What follows the catalogue's name in that of a new file on its way to replace it, before six
 * random characters; nobody else's files are called so. */
#define CATALOGUE_LEFT ".qubesfs-"

#endif
