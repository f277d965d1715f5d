/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's VMs, and how those of a new catalogue are the same, renamed, new or gone. */
#include <errno.h>
#include <string.h>

#include "internal.h"

const char *record_name(const struct record *record)
{
    return record->entry ? record->entry->name : "dom0";
}

void record_free(struct record *record)
{
    if (!record)
        return;
    if (record->entry)
        catalogue_entry_unref(record->entry);
    domain_unref(record->domain);
    error_lines_free(&record->errors);
    vm_unref(record->vm);
    free(record);
}

struct record *record_by_identity(struct host *host, uint64_t identity)
{
    for (size_t i = 0; i < host->record_count; i++)
        if (host->records[i]->identity == identity)
            return host->records[i];
    return NULL;
}

static bool is_dom0(const struct record *record)
{
    return strcmp(record_name(record), "dom0") == 0;
}

/* A VM of the same name is another one if its uuid is: removed and made anew, perhaps with the same
 * qid.  Where one has no uuid (none is given before the first start), the qid decides. */
static bool is_same(const struct record *record, const struct catalogue_entry *entry)
{
    const struct catalogue_entry *before = record->entry;

    if (!before || strcmp(entry->name, "dom0") == 0)
        return true;
    if (before->uuid[0] && entry->uuid[0])
        return strcmp(before->uuid, entry->uuid) == 0;
    return before->qid == entry->qid;
}

/* A VM of another name is the same one if its uuid is; or its qid and class, where no uuid denies
 * it (a qid is used again for a new VM). */
static bool is_renamed(const struct record *record, const struct catalogue_entry *entry)
{
    const struct catalogue_entry *before = record->entry;

    if (!before || is_dom0(record))
        return false;
    if (before->uuid[0] && entry->uuid[0])
        return strcmp(before->uuid, entry->uuid) == 0;
    return before->uuid[0] == entry->uuid[0] && before->qid == entry->qid &&
           before->vm_class == entry->vm_class;
}

static void set_entry(struct record *record, const struct catalogue_entry *entry)
{
    if (record->entry == entry)
        return;
    if (record->entry)
        catalogue_entry_unref(record->entry);
    record->entry = entry ? catalogue_entry_ref(entry) : NULL;
    record->dirty = true;
}

static struct record *record_new(struct host *host, const struct catalogue_entry *entry)
{
    struct record *record = calloc(1, sizeof(*record));

    if (!record)
        return NULL;
    record->identity = host->next_identity++;
    record->entry = entry ? catalogue_entry_ref(entry) : NULL;
    record->dirty = true;
    return record;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(record_name(*(struct record *const *)a), record_name(*(struct record *const *)b));
}

static int by_qid(const void *a, const void *b)
{
    const struct record *const *x = a, *const *y = b;
    int first = (*x)->entry ? (*x)->entry->qid : -1, second = (*y)->entry ? (*y)->entry->qid : -1;

    return (first > second) - (first < second);
}

/* The record, among those that no entry has claimed by name, that was renamed to `entry`. */
static struct record *find_renamed(struct record **left, size_t count,
                                   const struct catalogue_entry *entry)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int qid = left[middle]->entry ? left[middle]->entry->qid : -1;

        if (qid < entry->qid)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < count && left[low]->entry && left[low]->entry->qid == entry->qid &&
        is_renamed(left[low], entry))
        return left[low];
    return NULL;
}

int records_join(struct host *host, const struct catalogue *catalogue)
{
    size_t entries = catalogue ? catalogue->entry_count : 0;
    size_t most = host->record_count + entries + 1, count = 0, left_count = 0, new_count = 0;
    struct record **records = calloc(most, sizeof(*records));
    struct record **left CLEANUP_FREE = calloc(most, sizeof(*left));
    struct record **removed =
        reallocarray(host->removed, host->removed_count + most, sizeof(*removed));
    const struct catalogue_entry **fresh CLEANUP_FREE = calloc(most, sizeof(*fresh));
    bool have_dom0 = false;
    size_t r = 0, e = 0;

    if (removed)
        host->removed = removed;
    if (!records || !left || !removed || !fresh) {
        free(records);
        return -ENOMEM;
    }
    /* both are sorted by name */
    while (r < host->record_count || e < entries) {
        struct record *record = r < host->record_count ? host->records[r] : NULL;
        const struct catalogue_entry *entry = e < entries ? catalogue->entries[e] : NULL;
        int order = !record ? 1 : !entry ? -1 : strcmp(record_name(record), entry->name);

        if (order == 0 && is_same(record, entry)) {
            set_entry(record, entry);
            records[count++] = record;
        } else if (order <= 0) {
            left[left_count++] = record;
        }
        if (order > 0 || (order == 0 && !is_same(record, entry)))
            fresh[new_count++] = entry;
        r += order <= 0;
        e += order >= 0;
    }
    qsort(left, left_count, sizeof(*left), by_qid);
    for (size_t i = 0; i < new_count; i++) {
        struct record *record = find_renamed(left, left_count, fresh[i]);

        if (record) {
            size_t place = 0;

            while (left[place] != record)
                place++;
            memmove(left + place, left + place + 1, (--left_count - place) * sizeof(*left));
            set_entry(record, fresh[i]);
        } else {
            record = record_new(host, fresh[i]);
        }
        if (record)
            records[count++] = record;
    }
    for (size_t i = 0; i < left_count; i++) {
        if (is_dom0(left[i])) {
            set_entry(left[i], NULL);
            records[count++] = left[i];
        } else {
            host->removed[host->removed_count++] = left[i];
        }
    }
    for (size_t i = 0; i < count; i++)
        have_dom0 = have_dom0 || is_dom0(records[i]);
    if (!have_dom0 && (records[count] = record_new(host, NULL)) != NULL)
        count++;
    qsort(records, count, sizeof(*records), by_name);
    free(host->records);
    host->records = records;
    host->record_count = count;
    return 0;
}
