/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where volumes are: R3's files, and R4's pools (docs/FORMAT.md, storage of R4). */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/storage.h"

static const struct catalogue_pool *pool_of(const struct catalogue *catalogue,
                                            const struct catalogue_volume *volume)
{
    return catalogue_pool_find(catalogue->pools, catalogue->pool_count, volume->pool);
}

static PRINTF(2, 3) int set_path(struct storage_place *place, const char *pattern, ...)
{
    va_list arguments;
    int result;

    va_start(arguments, pattern);
    result = vasprintf(&place->path, pattern, arguments);
    va_end(arguments);
    if (result >= 0)
        return 0;
    place->path = NULL;
    return -ENOMEM;
}

/* R2 names its files in the catalogue. */
static int locate_r3(const char *root, const char *directory, const struct catalogue_entry *entry,
                     const char *name, struct storage_place *place)
{
    char attribute[32];
    const char *file;

    place->kind = STORAGE_FILE;
    snprintf(attribute, sizeof(attribute), "%s_img", name);
    file = name_value_find(entry->prefs, entry->pref_count, attribute);
    if (!file || !*file || strcmp(file, "None") == 0)
        return set_path(place, "%s/%s.img", directory, name);
    if (file[0] == '/')
        return set_path(place, "%s%s", root, file);
    return set_path(place, "%s/%s", directory, file);
}

/* Without an entry for the pool it is `file-reflink` where the file system can, else `file`: a file
 * of changes beside the image tells. */
static int locate_default(const char *directory, const char *name, struct storage_place *place)
{
    char *dirty CLEANUP_FREE = NULL;
    struct stat status;

    if (asprintf(&dirty, "%s/%s-dirty.img", directory, name) < 0) {
        dirty = NULL;
        return -ENOMEM;
    }
    place->kind = stat(dirty, &status) == 0 ? STORAGE_CLEAN : STORAGE_FILE;
    return set_path(place, "%s/%s.img", directory, name);
}

static bool leads_up(const char *vid)
{
    for (const char *at = vid; *at; at += strcspn(at, "/"), at += *at == '/')
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0'))
            return true;
    return vid[0] == '/';
}

static int locate_r4(const char *root, const struct catalogue *catalogue,
                     const struct catalogue_entry *entry, const struct catalogue_volume *volume,
                     struct storage_place *place, struct error *ret_error)
{
    const struct catalogue_pool *pool = pool_of(catalogue, volume);
    const char *driver = pool && pool->driver ? pool->driver : "";
    const char *directory =
        pool ? name_value_find(pool->options, pool->option_count, "dir_path") : NULL;

    if (!volume->vid || leads_up(volume->vid))
        return error_set(ret_error, -EINVAL, "volume %s of %s has no good vid in the catalogue",
                         volume->name, entry->name);
    if (strcmp(driver, "lvm_thin") == 0) {
        place->kind = STORAGE_LVM;
        return set_path(place, "%s/dev/%s", root, volume->vid);
    }
    if (strcmp(driver, "file-reflink") == 0)
        place->kind = STORAGE_CLEAN;
    else if (strcmp(driver, "file") == 0)
        place->kind = STORAGE_FILE;
    else
        return error_set(ret_error, -EOPNOTSUPP,
                         "volume %s of %s is in the pool \"%s\" of driver \"%s\", which can't be "
                         "read here; name the VM in `exclude`",
                         volume->name, entry->name, volume->pool ? volume->pool : "", driver);
    return set_path(place, "%s%s/%s.img", root, directory ? directory : "/var/lib/qubes",
                    volume->vid);
}

int storage_locate(const char *root, const char *directory, const struct catalogue *catalogue,
                   const struct catalogue_entry *entry, const char *name,
                   struct storage_place *ret_place, struct error *ret_error)
{
    const struct catalogue_volume *volume =
        catalogue_volume_find(entry->volumes, entry->volume_count, name);
    int result;

    *ret_place = (struct storage_place){STORAGE_FILE, NULL};
    if (catalogue->form == CATALOGUE_R3)
        result = locate_r3(root, directory, entry, name, ret_place);
    else if (volume && pool_of(catalogue, volume))
        return locate_r4(root, catalogue, entry, volume, ret_place, ret_error);
    else if (entry->volume_count > 0 && !volume)
        return error_set(ret_error, -ENOENT, "%s has no volume %s", entry->name, name);
    else
        result = locate_default(directory, name, ret_place);
    return result < 0 ? error_set(ret_error, result, "out of memory") : 0;
}

void storage_place_free(struct storage_place *place)
{
    free(place->path);
    place->path = NULL;
}
