/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One edit on its way into the document: decided on drafts, made on the document's bytes. */
#ifndef QUBESFS_CATALOGUE_EDIT_H
#define QUBESFS_CATALOGUE_EDIT_H

#include "properties.h"
#include "splice.h"

struct editing {
    const char *root;              /* of the host, "" for none */
    const struct reading *reading; /* the document as it is now */
    const struct draft *draft;     /* the VM that is edited */
    bool active;                   /* it uses memory or disks: what needs a halted one is refused */
    struct splicing splicing;      /* takes what is to be changed */
    struct arena *arena;
    struct error *error;
};

/** catalogue_edit of a document in memory, as bytes_edit; `cookie` is one of these. */
struct edit_batch {
    const char *root;
    struct catalogue_edit *edits;
    size_t count;
};
int edit_all(void *cookie, const char *path, const char *untrusted_data, size_t length,
             char **ret_data, size_t *ret_length, struct error *ret_error);

/** "\"work\": ..." with what is wrong; returns `code`. */
int edit_refuse(const struct editing *editing, int code, const char *format, ...) PRINTF(3, 4);
/** A global property's value, NULL where it is none. */
const char *edit_global(const struct editing *editing, const char *name);
/** A property as the draft's prefs/ shows it, or NULL. */
const char *draft_pref(const struct draft *draft, const char *name);
/** True if others may use the VM as their netvm. */
bool draft_serves(const struct editing *editing, const struct draft *draft);

/* property_rules.c */

/**
 * Checks a parsed value against the other VMs, the kernels on the disk and what runs.
 * `value` NULL: the default.  Returns 0, -EINVAL, -ENOENT or -EBUSY; editing->error is filled.
 */
int property_check(const struct editing *editing, const struct property *property,
                   const char *value);
/** R3: what a catalogue stores for the default, maybe NULL for nothing. */
const char *property_r3_default(const struct editing *editing, const struct property *property);

/* edit_settings.c */

/** What each kind of edit does.  0 or a negative errno; editing->error is filled. */
int edit_pref(struct editing *editing, const char *name, const char *untrusted_value);
int edit_service(struct editing *editing, const char *untrusted_name, const char *untrusted_value);
int edit_feature(struct editing *editing, const char *untrusted_name, const char *untrusted_value);
int edit_tag(struct editing *editing, const char *untrusted_name, const char *untrusted_value);

/* edit_rename.c */

int edit_rename(struct editing *editing, const char *untrusted_name);

#endif
