/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The built-in templates: the files of templates/ as they are, put in by the assembler (make runs
 * in the repository's root). */
#include <string.h>

#include "room.h"

#define EMBED(name, file)                                                                          \
    __asm__(".pushsection .rodata\n"                                                               \
            "template_" name ":\n"                                                                 \
            ".incbin \"" file "\"\n"                                                               \
            "template_" name "_end:\n"                                                             \
            ".byte 0\n"                                                                            \
            ".popsection\n")

EMBED("qemu", "backend/hypervisor/templates/qemu.xml");
EMBED("test", "backend/hypervisor/templates/test.xml");

EMBED("xen", "backend/hypervisor/templates/xen.xml");

extern const char template_qemu[], template_qemu_end[], template_test[], template_test_end[];
extern const char template_xen[], template_xen_end[];

const char *templates_builtin(const char *file, size_t *ret_length)
{
    const struct {
        const char *file, *start, *end;
    } all[] = {
        {"qemu.xml", template_qemu, template_qemu_end},
        {"test.xml", template_test, template_test_end},
        {"xen.xml", template_xen, template_xen_end},
    };

    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (strcmp(all[i].file, file) == 0) {
            *ret_length = (size_t)(all[i].end - all[i].start);
            return all[i].start;
        }
    return NULL;
}
