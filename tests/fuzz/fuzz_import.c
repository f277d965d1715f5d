/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as the catalogue inside a backup, imported into hosts of both forms and into none.  The
 * last byte chooses the options.  What is decided must keep its promises, and the host's catalogue
 * must be what it was, but for new VMs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "catalogue/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char host_r3[] =
    "<QubesVmCollection default_template='7' default_netvm='9' default_fw_netvm='8'>\n"
    "<QubesTemplateVm qid='7' name='own' template_qid='none'/>\n"
    "<QubesNetVm qid='8' name='net' template_qid='7' netid='1'/>\n"
    "<QubesProxyVm qid='9' name='fw' template_qid='7' netid='2' netvm_qid='8'/>\n"
    "<QubesAppVm qid='4' name='app' template_qid='7' netvm_qid='1'/>\n</QubesVmCollection>\n";
static const char host_r4[] =
    "<qubes><labels><label id='label-1' color='0x000000'>red</label></labels>"
    "<pools><pool name='p' driver='file' dir_path='/srv/q'/></pools><properties>"
    "<property name='default_pool'>p</property><property name='default_template'>own</property>"
    "<property name='default_netvm'>fw</property></properties><domains>"
    "<domain id='domain-1' class='TemplateVM'><properties><property name='name'>own</property>"
    "</properties></domain><domain id='domain-2' class='AppVM'><properties>"
    "<property name='name'>fw</property><property name='provides_network'>True</property>"
    "<property name='netvm'/></properties></domain><domain id='domain-3' class='AppVM'>"
    "<properties><property name='name'>app</property></properties></domain></domains></qubes>";

static void require(bool promise)
{
    if (!promise)
        abort();
}

static bool is_line(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++)
        if (*at < 0x20 || *at == 0x7f)
            return false;
    return utf8_valid(text, strlen(text));
}

static void check_vm(const struct catalogue_import *import, const struct catalogue_import_vm *vm,
                     bool verify)
{
    size_t length = strlen(vm->backup_path);

    require(is_line(vm->reason) && (*vm->reason != '\0') == (vm->action == IMPORT_SKIP));
    require(length > 3 && vm->backup_path[length - 1] == '/' && path_ok(vm->backup_path));
    require(vm->backup_path[0] != '/' && is_line(vm->backup_path));
    require(catalogue_import_find(import, vm->backup_path) == vm);
    require(!vm->menu || utf8_valid(vm->menu, strlen(vm->menu)));
    require(utf8_valid(vm->notes, strlen(vm->notes)));
    require(!*vm->notes || vm->notes[strlen(vm->notes) - 1] == '\n');
    if (vm->vm_class == VM_CLASS_ADMIN) {
        require(!vm->directory && !vm->image_directory && strcmp(vm->name, "dom0") == 0);
        return;
    }
    require(!vm_name_reason(vm->name) && !vm_name_reason(vm->new_name));
    if (vm->action == IMPORT_SKIP)
        return;
    require(strlen(vm->uuid) == 36);
    require((vm->directory == NULL) == verify && (vm->image_directory == NULL) == verify);
    require(verify || (path_ok(vm->directory) && strstr(vm->directory, vm->new_name)));
}

/* The save's own work, in memory. */
static void check_save(struct catalogue_import *import, const char *document)
{
    struct import_host host;
    struct error error = {0};
    char *made = NULL;
    const struct catalogue *before, *after;
    size_t length = 0, added = 0;
    int result = document ? import_host_read(&host, "host", document, strlen(document), &error)
                          : import_host_fresh(&host, import, &error);

    require(result == 0);
    struct import_pass pass = {.import = import, .host = &host, .again = true, .error = &error};

    result = import_make(&pass, document, document ? strlen(document) : 0, &made, &length);
    require(result == 0);
    require(catalogue_parse("made", made, length, NULL, &after, &error) == 0);
    for (size_t i = 0; i < catalogue_import_count(import); i++) {
        const struct catalogue_import_vm *vm = catalogue_import_vm(import, i);
        const struct catalogue_entry *entry = catalogue_find(after, vm->new_name);

        if (vm->action == IMPORT_SKIP || vm->vm_class == VM_CLASS_ADMIN)
            continue;
        added++;
        require(entry && strcmp(entry->uuid, vm->uuid) == 0);
        require(entry->template_name == NULL || catalogue_find(after, entry->template_name));
        require(entry->netvm_name == NULL || catalogue_find(after, entry->netvm_name));
        require(after->form == CATALOGUE_R4 || entry->qid <= R3_QID_MAX);
    }
    if (document) {
        const char *tag = after->form == CATALOGUE_R3 ? "</QubesVmC" : "</domains";
        size_t head = (size_t)(strstr(document, tag) - document), tail = strlen(document) - head;

        require(catalogue_parse("host", document, strlen(document), NULL, &before, &error) == 0);
        require(after->entry_count == before->entry_count + added);
        require(memcmp(made, document, head) == 0);
        require(memcmp(made + length - tail, document + head, tail) == 0);
        catalogue_unref(before);
    }
    catalogue_unref(after);
    free(made);
    arena_free(&pass.arena);
    import_host_free(&host);
}

/* A file that has the text and is on no disk. */
static const char *path_of(const char *document)
{
    static char paths[2][64];
    static int fds[2] = {-1, -1};
    int which = document == host_r4;

    if (!document)
        return "/nonexistent/qubes.xml";
    if (fds[which] < 0) {
        fds[which] = memfd_create("host", MFD_CLOEXEC);
        require(write(fds[which], document, strlen(document)) == (ssize_t)strlen(document));
        snprintf(paths[which], sizeof(paths[which]), "/proc/self/fd/%d", fds[which]);
    }
    return paths[which];
}

static void try(const uint8_t *data, size_t size, const struct catalogue_import_options *options,
                const char *document)
{
    static const char list[] = "a.desktop\n b c\xff\n";
    struct catalogue_import *import = NULL;
    struct error error = {0};
    int result = catalogue_import_new(path_of(document), data, size, options, &import, &error);

    require((result == 0) == (import != NULL) && (!result || result == error.code));
    if (result) {
        require(*error.text && is_line(error.text) && result != -ENOMEM);
        return;
    }
    require(is_line(catalogue_import_notes(import)) ||
            strchr(catalogue_import_notes(import), '\n'));
    for (size_t i = 0; i < catalogue_import_count(import); i++) {
        const struct catalogue_import_vm *vm = catalogue_import_vm(import, i);

        check_vm(import, vm, options->verify);
        require(catalogue_import_set_size(import, vm, "private", size) == 0);
        require(catalogue_import_set_menu(import, vm, list, sizeof(list) - 1) == 0);
    }
    if (!options->verify)
        check_save(import, document);
    catalogue_import_free(import);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t choice = size > 0 ? data[--size] : 0;
    struct catalogue_import_options options = {
        .conflict = choice % 4 == 0 ? IMPORT_CONFLICT_SKIP : IMPORT_CONFLICT_RENAME,
        .missing = (choice >> 2) % 4 == 0 ? IMPORT_MISSING_SKIP : IMPORT_MISSING_DEFAULT,
        .exclude = choice & 16 ? "app\nfw" : NULL,
        .verify = choice & 32,
        .dom0_home = choice & 64,
    };

    try(data, size, &options, host_r3);
    try(data, size, &options, host_r4);
    try(data, size, &options, NULL);
    return 0;
}
