/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the archive's reader tells, on its own thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "qubesfs/clock.h"

#define TELL_NS 250000000ull

/* A backup may be bigger than it promised, since a file system may pack what is on it; but not
 * without bounds. */
#define SPARE_FACTOR 16
#define SPARE_BYTES  ((uint64_t)1 << 30)

/* Notes what ends the work, so that it is not taken for something else (-EIO). */
static int checked(struct restore *restore, int result)
{
    if (result < 0)
        restore->sink_failed = true;
    return result;
}

static int cancelled(const struct restore *restore, struct error *ret_error)
{
    return atomic_load(&restore->cancelled) ? error_set(ret_error, -ECANCELED, "cancelled") : 0;
}

static int header(void *cookie, const struct archive_header *told, struct error *ret_error)
{
    struct restore *restore = cookie;

    (void)ret_error;
    restore->version = told->version;
    restore->backup_form = told->version >= 4 ? CATALOGUE_R4 : CATALOGUE_R3;
    return 0;
}

static int catalogue(void *cookie, const void *untrusted_document, size_t length,
                     struct error *ret_error)
{
    struct restore *restore = cookie;

    return checked(restore, restore_plan(restore, untrusted_document, length, ret_error));
}

static void tell(struct restore *restore, bool now)
{
    const struct incoming *incoming = restore->archive.incoming;
    uint64_t time = clock_monotonic_ns(), done, total;
    char *current CLEANUP_FREE = NULL;
    const char *slash;

    if (!restore->listener.progress || (!now && time - restore->told_ns < TELL_NS))
        return;
    restore->told_ns = time;
    slash = restore->archive.name ? strrchr(restore->archive.name, '/') : NULL;
    current = text_format("%s%s%s", incoming ? incoming->vm->name : "", incoming ? " " : "",
                          slash && strcmp(slash, "/.") != 0 ? slash + 1 : "");
    restore_progress(restore, &done, &total);
    restore->listener.progress(restore->listener.cookie, done < total ? done : total, total,
                               current ? current : "");
}

static uint64_t bytes_max(const struct catalogue_import_vm *vm)
{
    uint64_t most;

    if (vm->backup_size == 0 || __builtin_mul_overflow(vm->backup_size, SPARE_FACTOR, &most) ||
        __builtin_add_overflow(most, SPARE_BYTES, &most))
        return UINT64_MAX;
    return most;
}

static int archive_begin(void *cookie, const struct archive_entry *entry, struct archive_wish *wish,
                         struct error *ret_error)
{
    struct restore *restore = cookie;
    const struct catalogue_import_vm *vm;

    if (!restore->import)
        return checked(restore,
                       error_set(ret_error, -EINVAL,
                                 "the backup's catalogue comes after its files: nothing here makes "
                                 "such a backup"));
    free(restore->archive.name);
    free(restore->archive.target);
    restore->archive.name = strdup(entry->name);
    restore->archive.target = NULL;
    restore->archive.incoming = NULL;
    restore->archive.bytes = 0;
    if (!restore->archive.name)
        return checked(restore, error_set(ret_error, -ENOMEM, "out of memory"));
    vm = catalogue_import_find(restore->import, entry->name);
    for (size_t i = 0; vm && i < restore->incoming_count; i++)
        if (restore->incoming[i].vm == vm)
            restore->archive.incoming = &restore->incoming[i];
    wish->unpack = vm && vm->action == IMPORT_RESTORE;
    if (wish->unpack)
        wish->bytes_max = bytes_max(vm);
    tell(restore, true);
    return checked(restore, cancelled(restore, ret_error));
}

static int begin(void *cookie, const struct archive_member *member, struct error *ret_error)
{
    struct restore *restore = cookie;

    return checked(restore, member_begin(restore, member, ret_error));
}

static int data(void *cookie, uint64_t offset, const void *bytes, size_t length,
                struct error *ret_error)
{
    struct restore *restore = cookie;
    int result = member_data(restore, offset, bytes, length, ret_error);

    if (result == 0)
        result = cancelled(restore, ret_error);
    if (result < 0)
        return checked(restore, result);
    atomic_fetch_add(&restore->bytes, length);
    restore->archive.bytes += length;
    tell(restore, false);
    return 0;
}

static int end(void *cookie, struct error *ret_error)
{
    struct restore *restore = cookie;

    return checked(restore, member_end(restore, ret_error));
}

static int archive_end(void *cookie, const struct archive_report *report, struct error *ret_error)
{
    struct restore *restore = cookie;

    (void)report;
    (void)ret_error;
    if (restore->archive.incoming) {
        restore->archive.incoming->any = true;
        restore->archive.incoming->bytes += restore->archive.bytes;
    }
    result_add_archive(restore);
    return 0;
}

static int manifest(void *cookie, struct error *ret_error)
{
    struct restore *restore = cookie;

    (void)ret_error;
    restore->manifest_verified = true;
    return 0;
}

struct archive_reader_sink restore_sink(struct restore *restore)
{
    return (struct archive_reader_sink){
        restore, header, catalogue, archive_begin, begin, data, end, archive_end, manifest,
    };
}
