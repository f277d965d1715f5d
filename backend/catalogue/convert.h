/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A catalogue on its way from one form to the other.  First it is decided for every VM what it will
 * be (its counterpart), as the VMs depend on each other; then the new document is made, VM by VM:
 *
 *     drafts --to_r3.c | to_r4.c--> counterparts --to_*_settings.c--> elements of a new tree
 *
 * What was written there is written by the reading of Qubes' own readers: core/qubes.py and
 * core-modules of R3.2, qubesadmin/backup/core2.py and core3.py of R4.
 */
#ifndef QUBESFS_CATALOGUE_CONVERT_H
#define QUBESFS_CATALOGUE_CONVERT_H

#include "internal.h"
#include "qubesfs/text.h"

#define R3_QID_MAX 253
#define R3_ROOT    "/var/lib/qubes"

/** What a VM will be. */
struct counterpart {
    enum vm_class vm_class;
    int qid;
    const struct draft *template; /* NULL: none */
    const struct draft *netvm;    /* R3 only: the one in force; NULL: none */
    bool for_dispvms;             /* R4 only: disposables are made from it */
};

struct conversion {
    struct reading *from;
    struct arena *arena;              /* the reading's */
    struct counterpart *counterparts; /* as from->drafts */
    xmlDoc *document;
    bool failed; /* memory ran out for the tree */
    struct text *left_out;
    const struct draft *left_out_vm; /* of the last line */
    const char *left_out_kind;
};

/** Converts the reading's document into the other form.  `ret_marks`: the marks with the new
 * document's qids, in the reading's arena.  Returns 0 or a negative errno, told in the reading's
 * error; the document is for xmlFreeDoc. */
int convert(struct reading *from, const struct catalogue_mark *marks, size_t mark_count,
            struct text *left_out, xmlDoc **ret_document, const struct catalogue_mark **ret_marks);

/* convert.c: for the makers of both forms */

struct counterpart *counterpart_of(const struct conversion *conversion, const struct draft *draft);
/** Names what the new form can't tell: "VM<TAB>KIND: WHAT, WHAT".  `vm` NULL: it is no VM's. */
void leave_out(struct conversion *conversion, const struct draft *vm, const char *kind,
               const char *untrusted_what);
/** The template below the VM: itself, its template, or that of its template.  The default template
 * stands in for one that does not exist; NULL when there is none either. */
const struct draft *base_template(const struct conversion *conversion, const struct draft *draft);
bool is_template(const struct draft *draft);
/** A pref's or global's value or NULL. */
const char *pref_of(const struct draft *draft, const char *name);
const char *global_of(const struct conversion *conversion, const char *name);
/** The VM that a global names; NULL when it names none. */
const struct draft *global_vm(const struct conversion *conversion, const char *name);

/** A new last child; NULL when memory ran out, which all of these take as parent. */
xmlNode *add_element(struct conversion *conversion, xmlNode *parent, const char *name);
void add_attribute(struct conversion *conversion, xmlNode *element, const char *name,
                   const char *value);
/** <kind name="NAME">value</kind> for each pair, in the order of the names. */
void add_named(struct conversion *conversion, xmlNode *list, const char *kind, struct pairs *pairs);
/** The pairs as attributes, in the order of the names. */
void add_attributes(struct conversion *conversion, xmlNode *element, struct pairs *pairs);

/** Qubes' eight labels, which all releases know. */
struct standard_label {
    const char *name;
    unsigned color;
};
extern const struct standard_label standard_labels[8];
bool is_standard_label(const char *name);
/** A label's colour, 0xRRGGBB. */
bool is_color(const char *untrusted_text);

bool is_mac(const char *untrusted_text);
/** True if all of it is digits, few enough for any reader. */
bool is_number(const char *untrusted_text);

/* qids.c */

/** The free qid number `index` (from 0) in R3's range; -1 when there are not so many. */
int free_r3_qid(const bool *used, size_t index);
/** Gives the counterparts their qids in R3. */
int assign_r3_qids(struct conversion *conversion);

/* to_r3.c, to_r4.c */

int to_r3(struct conversion *conversion);
int to_r4(struct conversion *conversion);
/** What every catalogue of R4 begins with: the standard labels, the pools of R3's files, dom0. */
void r4_labels(struct conversion *conversion, xmlNode *root);
void r4_pools(struct conversion *conversion, xmlNode *root);
void r4_dom0(struct conversion *conversion, xmlNode *domains);

/* to_r3_settings.c, to_r4_settings.c */

/** True if others may use it as their netvm. */
bool r3_serves(const struct draft *draft);
/** What R3 keeps of the VM's settings, as attributes; the rest is named. */
void r3_settings(struct conversion *conversion, const struct draft *draft,
                 struct pairs *ret_attributes);
void r4_properties(struct conversion *conversion, const struct draft *draft,
                   struct pairs *ret_properties);
void r4_features(struct conversion *conversion, const struct draft *draft,
                 struct pairs *ret_features);
/** Names the attributes of R3 that have no counterpart in R4. */
void r4_leave_out(struct conversion *conversion, const struct draft *draft);

/* devices.c */

/** A PCI address BB:DD.F with the given separator. */
bool is_pci_address(const char *untrusted_text, char separator);
/** Adds the R3 VM's PCI devices as <devices class="pci">. */
void r4_devices(struct conversion *conversion, const struct draft *draft, xmlNode *domain);
/** Adds pcidevs and pci_strictreset; names all other devices.  True if there is a PCI device. */
bool r3_devices(struct conversion *conversion, const struct draft *draft, struct pairs *attributes);

#endif
