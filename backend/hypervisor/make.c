/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain's definition, made from the template of the connection's driver. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "qubesfs/text.h"
#include "room.h"

#define TEMPLATE_MAX (1024 * 1024)
#define VOLUME_CELLS 11
#define PCI_CELLS    3

/* What the kernel of a Xen VM is told: its root is a layer that its initramfs puts together. */
#define XEN_CMDLINE                                                                                \
    "root=/dev/mapper/dmroot ro nomodeset console=hvc0 rd_NO_PLYMOUTH rd.plymouth.enable=0 "       \
    "plymouth.enable=0"

/* Reads DIRECTORY/FILE.  Returns 0, -ENOENT without words, or another error with them. */
static int read_template(const char *path, char **ret_data, size_t *ret_length,
                         struct error *ret_error)
{
    int fd CLEANUP_CLOSE = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *data CLEANUP_FREE = NULL;
    struct stat status;
    ssize_t length;

    if (fd < 0 && errno == ENOENT)
        return -ENOENT;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(ret_error, -EINVAL, "%s: can't be read: %s", path, strerrordesc_np(errno));
    if (!S_ISREG(status.st_mode) || status.st_size > TEMPLATE_MAX)
        return error_set(ret_error, -EINVAL, "%s: no file of at most 1 MiB", path);
    data = malloc(TEMPLATE_MAX);
    if (!data)
        return error_set(ret_error, -ENOMEM, "out of memory");
    length = read(fd, data, TEMPLATE_MAX);
    if (length < 0)
        return error_set(ret_error, -EINVAL, "%s: can't be read: %s", path, strerrordesc_np(errno));
    *ret_data = MOVE_POINTER(data);
    *ret_length = (size_t)length;
    return 0;
}

/* The driver's template: the user's, else the built-in one.  `ret_source` (to be freed) names it.
 */
static int load_template(const char *driver, const char *templates, xmlDoc **ret_document,
                         char **ret_source, struct error *ret_error)
{
    char *data CLEANUP_FREE = NULL, file[64];
    const char *builtin;
    size_t length;
    int result;

    snprintf(file, sizeof(file), "%s.xml", driver);
    for (char *letter = file; *letter; letter++)
        *letter = *letter == '/' ? '_' : (char)tolower((unsigned char)*letter);
    if (templates) {
        if (asprintf(ret_source, "%s/%s", templates, file) < 0) {
            *ret_source = NULL;
            return error_set(ret_error, -ENOMEM, "out of memory");
        }
        result = read_template(*ret_source, &data, &length, ret_error);
        if (result == 0)
            return definition_parse(data, length, *ret_source, ret_document, ret_error);
        if (result != -ENOENT)
            return result;
        free(*ret_source);
    }
    *ret_source = strdup(file);
    if (!*ret_source)
        return error_set(ret_error, -ENOMEM, "out of memory");
    builtin = templates_builtin(file, &length);
    if (!builtin)
        return error_set(ret_error, -ENODEV,
                         "there is no template for domains of the driver %s; write %s into the "
                         "directory given with --templates",
                         driver, file);
    return definition_parse(builtin, length, *ret_source, ret_document, ret_error);
}

static const char *flag(bool set)
{
    return set ? "1" : "";
}

/* The rows of the lists; cells has room for them. */
static void fill_rows(const struct definition *definition, struct template_variable *cells)
{
    for (size_t i = 0; i < definition->volume_count; i++, cells += VOLUME_CELLS) {
        const struct definition_volume *volume = &definition->volumes[i];
        bool cdrom = volume->device && strcmp(volume->device, "cdrom") == 0;
        const struct template_variable row[VOLUME_CELLS] = {
            {"volume", volume->name},
            {"path", volume->path},
            {"target", volume->target},
            {"kind", volume->block ? "block" : "file"},
            {"block", flag(volume->block)},
            {"readonly", flag(volume->readonly)},
            {"transient", flag(volume->transient)},
            {"device", volume->device ? volume->device : "disk"},
            {"bus", cdrom ? "sata" : "virtio"},
            {"script", volume->script},
            {"backend", volume->backend},
        };

        memcpy(cells, row, sizeof(row));
    }
    for (size_t i = 0; i < definition->pci_count; i++, cells += PCI_CELLS) {
        const struct definition_pci *pci = &definition->pci[i];
        const struct template_variable row[PCI_CELLS] = {
            {"bus", pci->bus}, {"slot", pci->slot}, {"function", pci->function}};

        memcpy(cells, row, sizeof(row));
    }
}

static int fill(xmlNode *root, const char *source, const struct definition *definition,
                struct error *ret_error)
{
    struct template_variable *cells CLEANUP_FREE = NULL;
    char memory[16], maxmem[16], vcpus[16], *cmdline CLEANUP_FREE = NULL;
    size_t volume_cells = definition->volume_count * VOLUME_CELLS;
    const char *options = definition->kernelopts ? definition->kernelopts : "";

    snprintf(memory, sizeof(memory), "%u", definition->memory_mib);
    snprintf(maxmem, sizeof(maxmem), "%u", definition->maxmem_mib);
    snprintf(vcpus, sizeof(vcpus), "%u", definition->vcpus);
    cmdline = text_format("%s%s%s%s", XEN_CMDLINE, *options ? " " : "", options,
                          definition->debug ? " earlyprintk=xen" : "");
    cells = calloc(volume_cells + definition->pci_count * PCI_CELLS + 1, sizeof(*cells));
    if (!cells || !cmdline)
        return error_set(ret_error, -ENOMEM, "out of memory");
    fill_rows(definition, cells);
    const struct template_variable variables[] = {
        {"name", definition->name},
        {"uuid", definition->uuid},
        {"class", definition->vm_class},
        {"memory_mib", memory},
        {"maxmem_mib", maxmem},
        {"vcpus", vcpus},
        {"hvm", flag(definition->hvm)},
        {"kernel", definition->kernel},
        {"initrd", definition->initrd},
        {"kernelopts", definition->kernelopts},
        {"cmdline", definition->kernel ? cmdline : ""},
        {"time_basis", definition->time_basis},
        {"time_offset", definition->time_offset},
        {"e820_host", flag(definition->e820_host)},
        {"net_backend", definition->net_backend},
        {"net_ip", definition->net_ip},
        {"net_mac", definition->net_mac},
        {"console_log", definition->console_log},
        {"debug", flag(definition->debug)},
    };
    const struct template_list lists[] = {
        {"volume", cells, definition->volume_count, VOLUME_CELLS},
        {"pci", cells + volume_cells, definition->pci_count, PCI_CELLS},
    };

    return template_fill(root, source, variables, ARRAY_SIZE(variables), lists, ARRAY_SIZE(lists),
                         ret_error);
}

int definition_make(const char *driver, const char *templates, const struct definition *definition,
                    char **ret_xml, struct error *ret_error)
{
    xmlDoc *document CLEANUP(definition_free) = NULL;
    char *source CLEANUP_FREE = NULL;
    xmlNode *root;
    int result = load_template(driver, templates, &document, &source, ret_error);

    if (result < 0)
        return result;
    root = xmlDocGetRootElement(document);
    result = fill(root, source, definition, ret_error);
    if (result < 0)
        return result;
    if (definition_mark(root) < 0)
        return error_set(ret_error, -ENOMEM, "out of memory");
    return definition_print(document, ret_xml, ret_error);
}
