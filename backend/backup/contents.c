/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a plan's `contents` says: a line for each file that a backup would hold now, and, as lines
 * that begin with `#`, what one should know about it. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"

static void add_line(struct text *text, uint64_t bytes, const char *name, const char *base,
                     const char *source)
{
    text_printf(text, "%llu\t", (unsigned long long)bytes);
    text_escape(text, name, strlen(name));
    if (base)
        text_printf(text, "/%s", base);
    text_string(text, "\t");
    text_escape(text, source, strlen(source));
    text_string(text, "\n");
}

static void add_item(struct text *text, const struct item *item)
{
    struct stat status;

    if (item->image_count < 2) {
        add_line(text, item->size.disk_bytes, item->name, NULL,
                 item->image_count == 1 ? item->images[0].place.path
                 : item->path           ? item->path
                                        : "");
        return;
    }
    for (size_t i = 0; i < item->image_count; i++) {
        const struct item_image *image = &item->images[i];
        uint64_t bytes = 0;

        if (stat(image->place.path, &status) == 0)
            bytes = (uint64_t)status.st_blocks * 512;
        add_line(text, bytes, item->name, image->base, image->place.path);
    }
}

/* Each line of `VM<TAB>what`. */
static void add_left_out(struct text *text, const char *lines)
{
    for (const char *at = lines; at && *at; at += strcspn(at, "\n"), at += *at == '\n') {
        size_t vm = strcspn(at, "\t\n"), length = strcspn(at, "\n");

        text_string(text, "# left out: ");
        if (vm < length && !(vm == 1 && *at == '*')) {
            text_escape(text, at, vm);
            text_string(text, ": ");
        }
        if (vm < length)
            text_escape(text, at + vm + 1, length - vm - 1);
        else
            text_escape(text, at, length);
        text_string(text, "\n");
    }
}

/* The catalogue, and what of it has no place in the backup. */
static int add_catalogue(struct text *text, const struct job *job, char **ret_left_out,
                         struct error *ret_error)
{
    struct catalogue_mark *marks;
    char *document CLEANUP_FREE = NULL;
    size_t count, length;
    int result = job_marks(job, &marks, &count);

    if (result < 0)
        return error_set(ret_error, result, "out of memory");
    result = catalogue_export(job->service->catalogue_path, job_form(job), marks, count, &document,
                              &length, ret_left_out, ret_error);
    job_marks_free(marks, count);
    if (result == 0)
        add_line(text, length, "qubes.xml", NULL, job->service->catalogue_path);
    return result;
}

/* What the last restore or verification found. */
static void add_outcome(struct text *text, struct backup_plan *plan)
{
    LOCK_SCOPE(&plan->lock);
    if (plan->outcome)
        text_string(text, plan->outcome);
}

static int list_job(struct backup_plan *plan, struct text *ret_text, struct error *ret_error)
{
    struct archive_options options = plan_options(plan);
    struct text text CLEANUP_TEXT = TEXT_INIT;
    struct job job CLEANUP(job_free);
    char *left_out CLEANUP_FREE = NULL;
    int result = job_make(plan, NULL, &job, ret_error);

    for (size_t i = 0; result == 0 && i < job.count; i++)
        result = item_measure(&job, &job.items[i], ret_error);
    if (result == 0)
        result = add_catalogue(&text, &job, &left_out, ret_error);
    if (result < 0)
        return result;
    for (size_t i = 0; i < job.count; i++)
        add_item(&text, &job.items[i]);
    add_left_out(&text, left_out);
    add_left_out(&text, job.left_out.data);
    if (options.compression == ARCHIVE_ZSTD)
        text_string(&text, "# compressed with zstd: a Qubes that restores this needs zstd "
                           "installed\n");
    text_append(ret_text, text.data, text.length);
    return 0;
}

int backup_contents(struct backup_plan *plan, char **ret_text, struct error *ret_error)
{
    struct text text CLEANUP_TEXT = TEXT_INIT, outcome CLEANUP_TEXT = TEXT_INIT;
    int result = list_job(plan, &text, ret_error);

    add_outcome(&outcome, plan);
    if (result < 0 && outcome.length == 0)
        return result;
    if (result < 0)
        text_printf(&text, "# no backup can be made now: %s\n", ret_error->text);
    text_append(&text, outcome.data, outcome.length);
    result = text_take(&text, ret_text, NULL);
    return result < 0 ? error_set(ret_error, result, "out of memory") : 0;
}
