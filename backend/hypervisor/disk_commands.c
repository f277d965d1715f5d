/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A running domain gets a disk, or loses one. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "qubesfs/text.h"

static int check_disk(const struct command *command)
{
    if (!command->domain || !command->active)
        return command_refuse(command, -ENODEV, "does not run; start it first");
    return 0;
}

static int act_attach(struct command *command)
{
    return virDomainAttachDeviceFlags(command->domain, command->xml, VIR_DOMAIN_AFFECT_LIVE);
}

static int act_detach(struct command *command)
{
    int result = virDomainDetachDeviceFlags(command->domain, command->xml, VIR_DOMAIN_AFFECT_LIVE);

    if (result) {
        const virError *error = virGetLastError();
        bool refused = error && error->message && strstr(error->message, "reject");

        command_note_failure(command);
        if (refused)
            command->failure.code = -EBUSY;
    }
    return result;
}

/* The names were checked: none has a character that means something in XML. */
static int disk_xml(struct hypervisor *hypervisor, const struct disk_request *disk, char **ret_xml,
                    struct error *ret_error)
{
    const char *driver = hypervisor_driver(hypervisor), *bus = "virtio";
    bool xen = driver && strcasecmp(driver, "xen") == 0;
    struct text text CLEANUP_TEXT = TEXT_INIT;

    if (xen)
        bus = "xen";
    else if (strncmp(disk->target, "sd", 2) == 0)
        bus = "scsi";
    text_printf(&text,
                "<disk type='block' device='disk'><driver name='%s' type='raw'/>"
                "<source dev='%s'/><target dev='%s' bus='%s'/>",
                xen ? "phy" : "qemu", disk->source, disk->target, bus);
    if (strcmp(disk->backend, "dom0") != 0)
        text_printf(&text, "<backenddomain name='%s'/>", disk->backend);
    if (disk->read_only)
        text_string(&text, "<readonly/>");
    text_string(&text, "</disk>");
    return text_take(&text, ret_xml, NULL) ? error_set(ret_error, -ENOMEM, "out of memory") : 0;
}

int hypervisor_attach_disk(struct hypervisor *hypervisor, const struct domain_key *key,
                           const struct disk_request *disk, struct error *ret_error)
{
    static const struct command_kind kind = {"given the disk", NULL, check_disk, act_attach};
    char *xml CLEANUP_FREE = NULL;
    int result = disk_xml(hypervisor, disk, &xml, ret_error);

    return result ? result : command_run(hypervisor, key, xml, &kind, ret_error);
}

int hypervisor_detach_disk(struct hypervisor *hypervisor, const struct domain_key *key,
                           const struct disk_request *disk, struct error *ret_error)
{
    static const struct command_kind kind = {"relieved of the disk", NULL, check_disk, act_detach};
    char *xml CLEANUP_FREE = NULL;
    int result = disk_xml(hypervisor, disk, &xml, ret_error);

    return result ? result : command_run(hypervisor, key, xml, &kind, ret_error);
}
