/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The save that makes all restored VMs appear at once. */
#include "import.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int check_same_host(struct catalogue_import *import, const struct import_host *host,
                           struct error *ret_error)
{
    struct import_pool pool;
    int result;

    if (host->reading.form != import->form)
        return error_set(ret_error, -EEXIST,
                         "%s: another catalogue has taken its place since the restore has begun",
                         import->path);
    if (import->form == CATALOGUE_R3)
        return 0;
    result = import_choose_pool(host, &import->arena, &pool, ret_error);
    if (!result && (strcmp(pool.name, import->pool.name) != 0 ||
                    strcmp(pool.directory, import->pool.directory) != 0))
        result =
            error_set(ret_error, -ENOTSUP,
                      "%s: the default pool has changed since the restore has begun", import->path);
    return result;
}

static int make_again(struct catalogue_import *import, struct import_host *host, const char *data,
                      size_t length, char **ret_data, size_t *ret_length, struct error *ret_error)
{
    struct import_pass pass = {.import = import, .host = host, .again = true, .error = ret_error};
    int result = import_make(&pass, data, length, ret_data, ret_length);

    arena_free(&pass.arena);
    return result;
}

/* As bytes_edit: the catalogue of this moment, under its lock. */
static int add_vms(void *cookie, const char *path, const char *untrusted_data, size_t length,
                   char **ret_data, size_t *ret_length, struct error *ret_error)
{
    struct catalogue_import *import = cookie;
    struct import_host host = {.document = NULL};
    int result = import_host_read(&host, path, untrusted_data, length, ret_error);

    if (!result)
        result = check_same_host(import, &host, ret_error);
    if (!result)
        result = make_again(import, &host, untrusted_data, length, ret_data, ret_length, ret_error);
    import_host_free(&host);
    return result;
}

static int make_file(struct catalogue_import *import, struct error *ret_error)
{
    struct import_host host = {.document = NULL};
    char *data CLEANUP_FREE = NULL;
    size_t length = 0;
    int result = import_host_fresh(&host, import, ret_error);

    if (!result)
        result = make_again(import, &host, NULL, 0, &data, &length, ret_error);
    import_host_free(&host);
    return result ? result : create_file(import->path, data, length, ret_error);
}

int catalogue_import_save(struct catalogue_import *import, int cancel_fd, struct error *ret_error)
{
    const struct patience patience = {.seconds = 15, .cancel_fd = cancel_fd};
    struct stat status;
    bool any = false;
    int result;

    if (import->verify)
        return error_set(ret_error, -EINVAL, "an import that only verifies can't be saved");
    for (size_t i = 0; i < import->count; i++)
        any = any || import_is_restored(&import->vms[i]);
    if (!any)
        return 0;
    /* somebody may make one at this very moment */
    if (import->fresh && lstat(import->path, &status) < 0 && errno == ENOENT) {
        result = make_file(import, ret_error);
        if (result != -EEXIST || lstat(import->path, &status) < 0)
            return result;
    }
    return edit_bytes(import->path, &patience, add_vms, import, ret_error);
}
