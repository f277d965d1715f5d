/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Edits of a document's own bytes: what is not edited stays byte for byte, its quotes, white space
 * and order included, which printing a tree would not keep.
 *
 * An element is named by its node in the tree that was parsed from these bytes; all edits of one
 * splicing are of the same bytes and must not overlap.
 */
#ifndef QUBESFS_CATALOGUE_SPLICE_H
#define QUBESFS_CATALOGUE_SPLICE_H

#include "internal.h"

struct splice;
struct place;

struct splicing {
    const xmlDoc *document;
    const char *data; /* what the document was parsed from */
    size_t length;
    struct place *places; /* of all elements, once one was asked for */
    size_t place_count;
    struct splice *splices; /* in the order of their places */
    struct arena *arena;    /* theirs, and what they add */
};

/** Gives the element's attribute a value; NULL takes it away.  These return 0, -EINVAL where the
 * bytes are not as expected (no UTF-8, a prefix), or -ENOMEM. */
int splice_attribute(struct splicing *splicing, const xmlNode *element, const char *name,
                     const char *value);
/** Gives an element without children its text. */
int splice_text(struct splicing *splicing, const xmlNode *element, const char *text);
/**
 * Adds <kind name="NAME">value</kind> as the first child of <list> in `parent`, which may lack
 * that list; with the white space of the child before which it comes.  `value` NULL: <kind .../>.
 */
int splice_add(struct splicing *splicing, const xmlNode *parent, const char *list, const char *kind,
               const char *name, const char *value);
/** Takes an element away, with all in it and the white space before it. */
int splice_remove(struct splicing *splicing, const xmlNode *element);

/** The bytes with all edits made, to be freed. */
int splice_apply(const struct splicing *splicing, char **ret_data, size_t *ret_length);

#endif
