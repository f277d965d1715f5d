/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keys.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/locked.h"
#include "scrypt.h"
#include "threads.h"

/* the next file's, two of this one's next chunks, one at work and the one that is asked for */
#define ENTRIES 5u

enum state { FREE, WANTED, AT_WORK, READY };

struct entry {
    enum state state;
    bool urgent;    /* somebody waits for it: it goes first and is not forgotten */
    uint64_t order; /* the older one goes first */
    int result;     /* of READY */
    char *name;
};

struct keys {
    const struct archive_options *options;
    const struct salts *salts;
    struct container_key *derived; /* ENTRIES of them, locked; that of an entry AT_WORK is its
                                      thread's */
    struct scrypt *scrypt;         /* the thread's; NULL: not needed yet */
    pthread_t thread;
    bool started;
    atomic_bool stopped; /* looked at while a key is derived; set under the lock */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wanted, ready;
    struct entry entries[ENTRIES];
    uint64_t order;
};

/* Format 4's own: what the passphrase becomes for the member `name`. */
static size_t compose(const struct archive_options *options, const char *name, char *buffer,
                      size_t room)
{
    int length = strcmp(name, "backup-header")
                     ? snprintf(buffer, room, "%s!%s!", options->backup_id, name)
                     : snprintf(buffer, room, "backup-header!");

    memcpy(buffer + length, secret_data(options->passphrase), secret_length(options->passphrase));
    return (size_t)length + secret_length(options->passphrase);
}

static int derive(struct keys *keys, const char *name, struct container_key *key)
{
    const struct archive_options *options = keys->options;
    size_t room = sizeof(options->backup_id) + strlen(name) + sizeof("backup-header!") +
                  secret_length(options->passphrase);
    char *passphrase;
    int result = salt_make(keys->salts, name, key->salt, sizeof(key->salt));

    if (result == 0 && !keys->scrypt)
        result = scrypt_new(options->kdf_log2_n, &keys->scrypt);
    if (result < 0)
        return result;
    passphrase = locked_alloc(room);
    if (!passphrase)
        return -ENOMEM;
    /* both keys are one piece of 64 bytes */
    result = scrypt_run(keys->scrypt, passphrase, compose(options, name, passphrase, room),
                        key->salt, sizeof(key->salt), key->cipher,
                        sizeof(key->cipher) + sizeof(key->mac), &keys->stopped);
    locked_free(passphrase, room);
    return result;
}

/*
 * The functions down to the thread are called with the lock held.
 */

static void clear(struct keys *keys, struct entry *entry)
{
    explicit_bzero(&keys->derived[entry - keys->entries], sizeof(*keys->derived));
    free(entry->name);
    *entry = (struct entry){.state = FREE};
}

static struct entry *find(struct keys *keys, const char *name)
{
    for (size_t i = 0; i < ENTRIES; i++)
        if (keys->entries[i].state != FREE && !strcmp(keys->entries[i].name, name))
            return &keys->entries[i];
    return NULL;
}

/* An entry for `name`: a free one, or that of the key that was wanted first and not asked for. */
static struct entry *add(struct keys *keys, const char *name)
{
    struct entry *best = NULL;
    char *copy = strdup(name);

    if (!copy)
        return NULL;
    for (size_t i = 0; i < ENTRIES; i++) {
        struct entry *entry = &keys->entries[i];

        if (entry->state == FREE) {
            best = entry;
            break;
        }
        if (entry->state != AT_WORK && !entry->urgent && (!best || entry->order < best->order))
            best = entry;
    }
    /* there is one: no more than one is at work, and one caller waits for one */
    clear(keys, best);
    *best = (struct entry){.state = WANTED, .order = keys->order++, .name = copy};
    pthread_cond_signal(&keys->wanted);
    return best;
}

static struct entry *next_wanted(struct keys *keys)
{
    struct entry *best = NULL;

    for (size_t i = 0; i < ENTRIES; i++) {
        struct entry *entry = &keys->entries[i];

        if (entry->state == WANTED &&
            (!best || entry->urgent > best->urgent ||
             (entry->urgent == best->urgent && entry->order < best->order)))
            best = entry;
    }
    return best;
}

static void *thread(void *cookie)
{
    struct keys *keys = cookie;

    LOCK_SCOPE(&keys->lock);
    while (!keys->stopped) {
        struct entry *entry = next_wanted(keys);
        int result;

        if (!entry) {
            pthread_cond_wait(&keys->wanted, &keys->lock);
            continue;
        }
        entry->state = AT_WORK;
        pthread_mutex_unlock(&keys->lock);
        result = derive(keys, entry->name, &keys->derived[entry - keys->entries]);
        pthread_mutex_lock(&keys->lock);
        entry->state = READY;
        entry->result = result;
        pthread_cond_broadcast(&keys->ready);
    }
    return NULL;
}

int keys_new(const struct archive_options *options, const struct salts *salts,
             struct keys **ret_keys)
{
    struct keys *keys = calloc(1, sizeof(*keys));
    int result = 0;

    if (!keys)
        return -ENOMEM;
    keys->options = options;
    keys->salts = salts;
    pthread_mutex_init(&keys->lock, NULL);
    pthread_cond_init(&keys->wanted, NULL);
    pthread_cond_init(&keys->ready, NULL);
    keys->derived = locked_alloc(ENTRIES * sizeof(*keys->derived));
    if (!keys->derived)
        result = -ENOMEM;
    if (result == 0) {
        result = thread_start(&keys->thread, "backup-key", thread, keys);
        keys->started = result == 0;
    }
    if (result < 0) {
        keys_free(keys);
        return result;
    }
    *ret_keys = keys;
    return 0;
}

void keys_stop(struct keys *keys)
{
    LOCK_SCOPE(&keys->lock);
    keys->stopped = true;
    pthread_cond_broadcast(&keys->wanted);
    pthread_cond_broadcast(&keys->ready);
}

void keys_free(struct keys *keys)
{
    if (!keys)
        return;
    keys_stop(keys);
    if (keys->started)
        pthread_join(keys->thread, NULL);
    scrypt_free(keys->scrypt);
    for (size_t i = 0; i < ENTRIES; i++)
        free(keys->entries[i].name);
    locked_free(keys->derived, ENTRIES * sizeof(*keys->derived));
    pthread_mutex_destroy(&keys->lock);
    pthread_cond_destroy(&keys->wanted);
    pthread_cond_destroy(&keys->ready);
    free(keys);
}

void keys_want(struct keys *keys, const char *name)
{
    LOCK_SCOPE(&keys->lock);
    if (!find(keys, name))
        add(keys, name); /* without memory it is derived when it is asked for */
}

void keys_forget(struct keys *keys, const char *name)
{
    struct entry *entry;

    LOCK_SCOPE(&keys->lock);
    entry = find(keys, name);
    if (entry && entry->state != AT_WORK)
        clear(keys, entry);
}

int keys_get(struct keys *keys, const char *name, struct container_key *ret_key)
{
    struct entry *entry;
    int result;

    LOCK_SCOPE(&keys->lock);
    entry = find(keys, name);
    if (!entry)
        entry = add(keys, name);
    if (!entry)
        return -ENOMEM;
    entry->urgent = true;
    while (entry->state != READY && !keys->stopped)
        pthread_cond_wait(&keys->ready, &keys->lock);
    if (entry->state != READY)
        return -ECANCELED;
    result = entry->result;
    if (result == 0)
        memcpy(ret_key, &keys->derived[entry - keys->entries], sizeof(*ret_key));
    clear(keys, entry);
    return result;
}
