/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plan's options: each is one word of a few, so that no value needs to be checked ever again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "qubesfs/clock.h"
#include "qubesfs/restore.h"
#include "qubesfs/text.h"

struct option {
    const char *name;
    const char *words[8]; /* the first one is the default; up to a NULL */
};

static const struct option options[BACKUP_OPTION_COUNT] = {
    [BACKUP_FORMAT] = {"format", {"4", "3"}},
    [BACKUP_ENCRYPTED] = {"encrypted", {"1", "0"}},
    [BACKUP_KDF] = {"kdf", {"17", "14", "15", "16", "18", "19", "20"}},
    [BACKUP_COMPRESSION] = {"compression", {"gzip", "zstd", "none"}},
    [BACKUP_LEVEL] = {"level", {"default", "fast", "small"}},
    [BACKUP_CONFLICT] = {"conflict", {"refuse", "rename", "skip"}},
    [BACKUP_MISSING] = {"missing", {"default", "refuse", "skip"}},
    [BACKUP_DOM0_HOME] = {"dom0_home", {"1", "0"}},
};

const char *backup_option_name(enum backup_option option)
{
    return options[option].name;
}

enum backup_option backup_option_find(const char *name)
{
    enum backup_option option = 0;

    while (option < BACKUP_OPTION_COUNT && strcmp(options[option].name, name) != 0)
        option++;
    return option;
}

/* The word's place, or -EINVAL. */
static int find_word(const struct option *option, const char *untrusted_value, size_t length)
{
    for (int i = 0; i < (int)ARRAY_SIZE(option->words) && option->words[i]; i++)
        if (strlen(option->words[i]) == length &&
            memcmp(option->words[i], untrusted_value, length) == 0)
            return i;
    return -EINVAL;
}

static int refuse_value(const struct option *option, const char *untrusted_value, size_t length,
                        struct error *ret_error)
{
    struct text words CLEANUP_TEXT = TEXT_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(option->words) && option->words[i]; i++)
        text_printf(&words, "%s%s", i > 0 ? ", " : "", option->words[i]);
    return error_set(ret_error, -EINVAL, "%s cannot be \"%.*s\": it is one of %s", option->name,
                     length < 100 ? (int)length : 100, untrusted_value,
                     words.data ? words.data : "?");
}

const char *plan_word(const struct backup_plan *plan, enum backup_option option)
{
    return options[option].words[plan->words[option]];
}

static bool agree_now(const struct backup_plan *plan)
{
    return strcmp(plan_word(plan, BACKUP_FORMAT), "4") != 0 ||
           strcmp(plan_word(plan, BACKUP_ENCRYPTED), "1") == 0;
}

int backup_option_set(struct backup_plan *plan, enum backup_option option,
                      const char *untrusted_value, size_t length, struct error *ret_error)
{
    int word, before;
    bool agree;

    if (length > 0 && untrusted_value[length - 1] == '\n')
        length--;
    word = find_word(&options[option], untrusted_value, length);
    if (word < 0)
        return refuse_value(&options[option], untrusted_value, length, ret_error);
    pthread_mutex_lock(&plan->lock);
    before = plan->words[option];
    plan->words[option] = (unsigned char)word;
    agree = agree_now(plan);
    if (!agree)
        plan->words[option] = (unsigned char)before;
    else if (before != word)
        plan->word_changed[option] = clock_wall_unique();
    pthread_mutex_unlock(&plan->lock);
    if (!agree && option == BACKUP_FORMAT)
        return error_set(ret_error, -EINVAL,
                         "a backup of format 4 is always encrypted, and `encrypted` is 0: write 1 "
                         "to it first");
    if (!agree)
        return error_set(ret_error, -EINVAL,
                         "a backup of format 4 is always encrypted: write 3 to `format` first");
    if (before != word)
        plan_save(plan);
    return 0;
}

int plan_take_word(struct backup_plan *plan, enum backup_option option, const char *untrusted_value,
                   struct error *ret_error)
{
    size_t length = strlen(untrusted_value);
    int word = find_word(&options[option], untrusted_value, length);

    if (word < 0)
        return refuse_value(&options[option], untrusted_value, length, ret_error);
    LOCK_SCOPE(&plan->lock);
    plan->words[option] = (unsigned char)word;
    return 0;
}

void plan_make_options_agree(struct backup_plan *plan)
{
    LOCK_SCOPE(&plan->lock);
    if (!agree_now(plan))
        plan->words[BACKUP_ENCRYPTED] = 0;
}

const char *backup_option_get(struct backup_plan *plan, enum backup_option option)
{
    LOCK_SCOPE(&plan->lock);
    return plan_word(plan, option);
}

struct timespec backup_option_time(struct backup_plan *plan, enum backup_option option)
{
    LOCK_SCOPE(&plan->lock);
    return plan->word_changed[option];
}

struct archive_options plan_options(struct backup_plan *plan)
{
    static const enum archive_compression compressions[] = {ARCHIVE_GZIP, ARCHIVE_ZSTD,
                                                            ARCHIVE_NONE};
    static const enum archive_level levels[] = {ARCHIVE_DEFAULT, ARCHIVE_FAST, ARCHIVE_SMALL};

    LOCK_SCOPE(&plan->lock);
    return (struct archive_options){
        .format = (unsigned)atoi(plan_word(plan, BACKUP_FORMAT)),
        .encrypted = plan_word(plan, BACKUP_ENCRYPTED)[0] == '1',
        .compression = compressions[plan->words[BACKUP_COMPRESSION]],
        .level = levels[plan->words[BACKUP_LEVEL]],
        .kdf_log2_n = (unsigned)atoi(plan_word(plan, BACKUP_KDF)),
    };
}

void plan_restore_options(struct backup_plan *plan, struct restore_options *ret_options)
{
    static const enum import_conflict conflicts[] = {
        IMPORT_CONFLICT_REFUSE, IMPORT_CONFLICT_RENAME, IMPORT_CONFLICT_SKIP};
    static const enum import_missing missing[] = {IMPORT_MISSING_DEFAULT, IMPORT_MISSING_REFUSE,
                                                  IMPORT_MISSING_SKIP};

    LOCK_SCOPE(&plan->lock);
    ret_options->conflict = conflicts[plan->words[BACKUP_CONFLICT]];
    ret_options->missing = missing[plan->words[BACKUP_MISSING]];
    ret_options->dom0_home = plan_word(plan, BACKUP_DOM0_HOME)[0] == '1';
}
