/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The properties of a VM that may be set, and the rules for their values: one line a property and
 * form.  Source: qvm-prefs and the VM classes of Qubes R3.2, qubes.vm of R4.0 to R4.3.
 *
 * A value is checked in two steps.  property_parse looks at the text alone, so that it also fits
 * values from elsewhere (a backup's catalogue); property_check (property_rules.c) looks at the
 * other VMs, the kernels on the disk and what runs.
 */
#ifndef QUBESFS_CATALOGUE_PROPERTIES_H
#define QUBESFS_CATALOGUE_PROPERTIES_H

#include "internal.h"

enum property_type {
    PROPERTY_BOOL,     /* stored True, False */
    PROPERTY_NUMBER,   /* from `least` to `most` */
    PROPERTY_LABEL,    /* red, ... */
    PROPERTY_VM,       /* another VM's name */
    PROPERTY_KERNEL,   /* a directory's name below /var/lib/qubes/vm-kernels */
    PROPERTY_TEXT,     /* one line */
    PROPERTY_USER,     /* a user's name inside the VM */
    PROPERTY_MAC,      /* stored in upper case, as R3 does, or lower, as R4 */
    PROPERTY_IP4,      /* */
    PROPERTY_IP6,      /* */
    PROPERTY_WORD,     /* one of `words` */
    PROPERTY_PCI,      /* addresses, stored as a Python list */
    PROPERTY_DRIVE,    /* [hd:|cdrom:][VM:]/path, stored with all three */
    PROPERTY_TIMEZONE, /* localtime, or seconds east of it */
};

struct property {
    const char *name; /* as prefs/ has it */
    enum catalogue_form form;
    enum property_type type;
    unsigned classes;      /* a bit (1u << vm_class) for each class of VM that has it */
    bool none;             /* `none` is a value */
    bool halted;           /* not to be changed while the VM runs */
    uint64_t least, most;  /* PROPERTY_NUMBER */
    const char *words;     /* PROPERTY_WORD: separated by spaces */
    const char *attribute; /* R3: where it is stored, if not under its name */
    const char *chooser;   /* R3: the attribute that says True where the default is in force */
    const char *fallback;  /* R3: what `default` stores; NULL: property_rules.c knows, or nothing */
};

/** The property of that name which VMs of that class have and which may be set; NULL: there is
 * none.  A property's classes do not tell whether a document may hold it. */
const struct property *property_find(enum catalogue_form form, enum vm_class vm_class,
                                     const char *name);

/**
 * Checks a value by itself and spells it as a catalogue of that form stores it, but for VMs (their
 * names; "none" for none) and labels (their names).  `default` is no value here.  `ret_value` is a
 * constant or in the arena.  Returns 0, -EINVAL with "NAME ..." in `ret_error`, or -ENOMEM.
 */
int property_parse(const struct property *property, const char *untrusted_value,
                   struct arena *arena, const char **ret_value, struct error *ret_error);

#endif
