/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How big a backup will be.  `stat` of a backup asks it, often: what was measured is kept, for a
 * file as long as its stat stays the same, for a directory for some seconds.
 */
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"
#include "qubesfs/clock.h"
#include "qubesfs/text.h"

#define DIRECTORY_SECONDS 2
#define LIVE_SECONDS      30
/* beyond this the cache holds what is long gone, and is emptied */
#define ENTRIES_MAX 20000

/* A live tree may grow between the stat of a backup and its reading. */
#define LIVE_SLACK(bytes) ((bytes) / 4 + (64u << 20))

struct cached {
    char *path;
    struct archive_size size;
    uint64_t measured_ns;
    struct stat status; /* of the file; all zero for a directory */
};

struct size_cache {
    pthread_mutex_t lock; /* guards what follows; not held while something is measured */
    void *tree;           /* of tsearch, by path */
    size_t count;
};

int size_cache_new(struct size_cache **ret_cache)
{
    struct size_cache *cache = calloc(1, sizeof(*cache));

    if (!cache)
        return -ENOMEM;
    pthread_mutex_init(&cache->lock, NULL);
    *ret_cache = cache;
    return 0;
}

static void free_cached(void *entry)
{
    free(((struct cached *)entry)->path);
    free(entry);
}

void size_cache_free(struct size_cache *cache)
{
    if (!cache)
        return;
    tdestroy(cache->tree, free_cached);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct cached *)a)->path, ((const struct cached *)b)->path);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_blocks == b->st_blocks && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static bool find(struct size_cache *cache, const char *path, bool live, const struct stat *status,
                 struct archive_size *ret_size)
{
    struct cached key = {.path = (char *)path}, **found;
    uint64_t keep_ns = (live ? LIVE_SECONDS : DIRECTORY_SECONDS) * 1000000000ull;
    bool good;

    LOCK_SCOPE(&cache->lock);
    found = tfind(&key, &cache->tree, compare);
    if (!found)
        return false;
    if (S_ISREG(status->st_mode))
        good = same_file(&(*found)->status, status);
    else
        good = clock_monotonic_ns() - (*found)->measured_ns < keep_ns;
    if (good)
        *ret_size = (*found)->size;
    return good;
}

/* Not being able to remember is no error. */
static void remember(struct size_cache *cache, const char *path, const struct archive_size *size,
                     const struct stat *status)
{
    struct cached *added = calloc(1, sizeof(*added)), **found;

    if (!added)
        return;
    *added = (struct cached){.path = strdup(path),
                             .size = *size,
                             .measured_ns = clock_monotonic_ns(),
                             .status = *status};
    if (!added->path) {
        free(added);
        return;
    }
    LOCK_SCOPE(&cache->lock);
    if (cache->count >= ENTRIES_MAX) {
        tdestroy(cache->tree, free_cached);
        cache->tree = NULL;
        cache->count = 0;
    }
    found = tsearch(added, &cache->tree, compare);
    if (!found) {
        free_cached(added);
    } else if (*found != added) {
        free_cached(*found);
        *found = added;
    } else {
        cache->count++;
    }
}

#define IMAGES_MAX 4 /* of one item */

static int measure(const struct job *job, const struct item *item, struct archive_size *ret_size,
                   struct error *ret_error)
{
    struct archive_image images[IMAGES_MAX];
    struct archive_source source = job_source(job, item, images);

    return archive_measure(&source, ret_size, ret_error);
}

/* Images that are not open are, for this long. */
static int measure_closed(const struct job *job, struct item *item, struct error *ret_error)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < item->image_count; i++)
        result = storage_open(&item->images[i].place, job->service->root, true, true,
                              &item->images[i].open, ret_error);
    if (result == 0)
        result = measure(job, item, &item->size, ret_error);
    for (size_t i = 0; i < item->image_count; i++)
        storage_close(&item->images[i].open);
    return result;
}

int item_measure(const struct job *job, struct item *item, struct error *ret_error)
{
    const char *path = item->image_count == 1 ? item->images[0].place.path : item->path;
    struct stat status;
    int result;

    if (item->text) {
        item->size =
            (struct archive_size){archive_data_size(strlen(item->text)), strlen(item->text)};
        return 0;
    }
    if (item->image_count > 0 && item->images[0].open.fd >= 0)
        return measure(job, item, &item->size, ret_error);
    if (!path)
        return measure_closed(job, item, ret_error);
    if (lstat(path, &status))
        return error_set(ret_error, -errno, "can't look at %s: %s", path, strerror(errno));
    /* a link's target below --root is not what stat finds: such a file is measured each time */
    if (!S_ISLNK(status.st_mode) &&
        find(job->service->sizes, path, item->live, &status, &item->size))
        return 0;
    result = measure_closed(job, item, ret_error);
    if (result == 0 && !S_ISLNK(status.st_mode))
        remember(job->service->sizes, path, &item->size, &status);
    return result;
}

/* The catalogue inside: what is there with some attributes more for each VM, maybe spelled longer.
 */
static uint64_t catalogue_bound(const struct backup_service *service, const struct job *job)
{
    struct stat status;
    uint64_t length = 65536;

    if (stat(service->catalogue_path, &status) == 0)
        length += 4 * (uint64_t)status.st_size;
    if (job->snapshot->catalogue)
        length += 1024 * (uint64_t)job->snapshot->catalogue->entry_count;
    return archive_data_size((size_t)length);
}

uint64_t job_bound(const struct job *job, const struct archive_options *options,
                   size_t document_length)
{
    uint64_t document = document_length > 0 ? archive_data_size(document_length)
                                            : catalogue_bound(job->service, job);
    struct archive_bound bound;

    archive_bound_begin(&bound, options);
    archive_bound_add(&bound, ARCHIVE_CATALOGUE, document);
    for (size_t i = 0; i < job->count; i++) {
        uint64_t bytes = job->items[i].size.tar_bytes;

        archive_bound_add(&bound, job->items[i].name,
                          bytes + (job->items[i].live ? LIVE_SLACK(bytes) : 0));
    }
    return archive_bound_end(&bound);
}

uint64_t job_tar_bytes(const struct job *job, size_t document_length)
{
    uint64_t bytes = archive_data_size(document_length);

    for (size_t i = 0; i < job->count; i++)
        bytes += job->items[i].size.tar_bytes;
    return bytes;
}

/* How long the catalogue in the backup is; 0 when it can't be made. */
static size_t document_length(const struct job *job)
{
    struct catalogue_mark *marks;
    char *document CLEANUP_FREE = NULL;
    size_t count, length = 0;

    if (job_marks(job, &marks, &count))
        return 0;
    if (catalogue_export(job->service->catalogue_path, job_form(job), marks, count, &document,
                         &length, NULL, NULL))
        length = 0;
    job_marks_free(marks, count);
    return length;
}

/*
 * Header and catalogue are always counted, so that the size is never 0: not even when nothing can
 * be backed up now, because a tool that copies nothing from an empty file would not meet the read's
 * error.
 */
int backup_size(struct backup_plan *plan, const char *vm_name, uint64_t *ret_size)
{
    struct archive_options options = plan_options(plan);
    struct job job CLEANUP(job_free);
    struct error ignored;
    int result = job_make(plan, vm_name, &job, &ignored);

    if (result == -ENOMEM)
        return result;
    /* what can't be measured (and is left at 0) makes the read fail, too */
    for (size_t i = 0; i < job.count; i++)
        item_measure(&job, &job.items[i], &ignored);
    backup_name(options.backup_id, 0); /* only its length is of use here */
    /* with compression it is an upper bound in any case */
    *ret_size =
        job_bound(&job, &options,
                  result == 0 && options.compression == ARCHIVE_NONE ? document_length(&job) : 0);
    return 0;
}
