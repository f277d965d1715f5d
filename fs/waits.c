/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "waits.h"

#include <errno.h>
#include <stdlib.h>

#include "fs.h"
#include "qubesfs/clock.h"

#define WRITE_PATIENCE_NS (15 * 1000000000ull)
#define NAME_PATIENCE_NS  (5 * 1000000000ull)
/* Programs expect no EINTR of an open or stat that a disk answers at once, whatever signals they use. */
#define INTERRUPT_PATIENCE_NS 1000000000ull

struct wait {
    struct wait *next;
    uint64_t number;
    uint64_t deadline; /* clock_monotonic_ns; 0: none */
    int late;          /* the errno to answer with then */
    fuse_req_t request;
    struct fs *fs;
    struct node *node; /* one reference */
    enum wait_kind kind;
    struct handle *handle; /* WAIT_READ, WAIT_TAKE: one reference */
    bool arming;           /* libfuse is being told of it: nobody else may answer yet */
    int doomed;            /* the errno to answer with once it is armed */
    bool interrupted;      /* the same two */
};

/* The kernel holds the file's lock until a write is answered. */
static bool locks_file(enum wait_kind kind)
{
    return kind == WAIT_WRITE || kind == WAIT_TAKE;
}

/* Takes the wait out of the list to be answered with `error`; NULL: not yet, it will be.  Called
 * with the lock held. */
static struct wait *unlink_wait(struct wait **place, int error)
{
    struct wait *wait = *place;

    if (wait->arming) {
        wait->doomed = error;
        return NULL;
    }
    *place = wait->next;
    wait->next = NULL;
    return wait;
}

static struct wait **find(struct waits *waits, uint64_t number)
{
    struct wait **place = &waits->first;

    while (*place && (*place)->number != number)
        place = &(*place)->next;
    return *place ? place : NULL;
}

void waits_done(struct fs *fs, struct wait *wait)
{
    pthread_mutex_lock(&fs->tree.lock);
    if (locks_file(wait->kind) && --wait->node->unanswered == 0) {
        if (wait->node->change_parked) {
            wait->node->change_parked = false;
            notify_changed(fs, wait->node);
        }
        item_answered(fs, wait->node);
    }
    node_unref(wait->node);
    pthread_mutex_unlock(&fs->tree.lock);
    if (wait->handle)
        handle_unref(wait->handle);
    free(wait);
}

static void answer(struct wait *wait, int error)
{
    fuse_reply_err(wait->request, error);
    waits_done(wait->fs, wait);
}

/* libfuse calls this from the thread that read the interrupt; `cookie` is the wait's number. */
static void interrupted(fuse_req_t request, void *cookie)
{
    struct fs *fs = fuse_req_userdata(request);
    uint64_t number = (uintptr_t)cookie;
    struct handle *reader = NULL;
    struct wait *wait = NULL, **place;

    pthread_mutex_lock(&fs->waits.lock);
    place = find(&fs->waits, number);
    if (place && (*place)->handle && !(*place)->arming) {
        (*place)->interrupted = true;
        reader = handle_ref((*place)->handle);
    } else if (place && (*place)->kind == WAIT_OTHER) {
        if ((*place)->deadline == 0)
            (*place)->deadline = clock_monotonic_ns() + INTERRUPT_PATIENCE_NS;
        (*place)->late = EINTR;
        pthread_cond_signal(&fs->waits.moved);
    } else if (place) {
        wait = unlink_wait(place, EINTR);
    }
    pthread_mutex_unlock(&fs->waits.lock);
    if (wait)
        answer(wait, EINTR);
    if (reader) {
        handle_interrupt(reader, number);
        handle_unref(reader);
    }
}

uint64_t waits_add(struct fs *fs, fuse_req_t request, struct node *node, enum wait_kind kind,
                   struct handle *handle)
{
    struct wait *wait = malloc(sizeof(*wait)), **place;
    uint64_t number = 0;
    int refused = 0;

    if (!wait) {
        fuse_reply_err(request, ENOMEM);
        return 0;
    }
    *wait = (struct wait){.request = request,
                          .fs = fs,
                          .node = node,
                          .kind = kind,
                          .arming = true,
                          .late = EINPROGRESS};
    if (kind == WAIT_WRITE)
        wait->deadline = clock_monotonic_ns() + WRITE_PATIENCE_NS;
    else if (kind == WAIT_NAME)
        wait->deadline = clock_monotonic_ns() + NAME_PATIENCE_NS;
    if (handle)
        wait->handle = handle_ref(handle);
    pthread_mutex_lock(&fs->waits.lock);
    pthread_mutex_lock(&fs->tree.lock);
    /* a node on its way out must not get a writer: its removal would wait for the file's lock */
    if ((locks_file(kind) || kind == WAIT_NAME) && node->phase != NODE_VISIBLE)
        refused = ENOENT;
    else if (fs->waits.ending)
        refused = ENODEV;
    node_ref(node)->unanswered += locks_file(kind);
    pthread_mutex_unlock(&fs->tree.lock);
    if (!refused) {
        number = wait->number = ++fs->waits.next_id;
        wait->next = fs->waits.first;
        fs->waits.first = wait;
        pthread_cond_signal(&fs->waits.moved);
    }
    pthread_mutex_unlock(&fs->waits.lock);
    if (refused) {
        answer(wait, refused);
        return 0;
    }
    fuse_req_interrupt_func(request, interrupted, (void *)(uintptr_t)number);

    pthread_mutex_lock(&fs->waits.lock);
    wait->arming = false;
    refused = wait->doomed;
    if (refused) {
        place = find(&fs->waits, number);
        wait = place ? unlink_wait(place, refused) : NULL;
    }
    pthread_mutex_unlock(&fs->waits.lock);
    if (!refused)
        return number;
    if (wait)
        answer(wait, refused);
    return 0;
}

bool waits_interrupted(struct fs *fs, uint64_t number)
{
    struct wait **place;

    LOCK_SCOPE(&fs->waits.lock);
    place = find(&fs->waits, number);
    return place && (*place)->interrupted;
}

fuse_req_t waits_take(struct fs *fs, uint64_t number, struct wait **ret_wait)
{
    struct wait **place;

    LOCK_SCOPE(&fs->waits.lock);
    place = find(&fs->waits, number);
    if (!place)
        return NULL;
    *ret_wait = unlink_wait(place, 0);
    return (*ret_wait)->request;
}

void waits_release(struct fs *fs, struct node *node, int error)
{
    struct wait *taken = NULL, **place;

    pthread_mutex_lock(&fs->waits.lock);
    for (place = &fs->waits.first; *place;) {
        struct wait *wait = NULL;

        if ((*place)->node == node &&
            (locks_file((*place)->kind) || (*place)->kind == WAIT_NAME))
            wait = unlink_wait(place, error);
        if (!wait) {
            place = &(*place)->next;
            continue;
        }
        wait->next = taken;
        taken = wait;
    }
    pthread_mutex_unlock(&fs->waits.lock);
    while (taken) {
        struct wait *next = taken->next;

        answer(taken, error);
        taken = next;
    }
}

static void *clock_thread(void *cookie)
{
    struct fs *fs = cookie;
    struct waits *waits = &fs->waits;

    pthread_setname_np(pthread_self(), "qfs-waits");
    pthread_mutex_lock(&waits->lock);
    while (!waits->ending) {
        uint64_t now = clock_monotonic_ns(), next = now + 3600 * 1000000000ull;
        struct wait *late = NULL;
        struct timespec until;

        for (struct wait **place = &waits->first; *place; place = &(*place)->next) {
            if ((*place)->deadline == 0)
                continue;
            if ((*place)->deadline <= now) {
                late = unlink_wait(place, (*place)->late);
                break;
            }
            if ((*place)->deadline < next)
                next = (*place)->deadline;
        }
        if (late) {
            pthread_mutex_unlock(&waits->lock);
            answer(late, late->late);
            pthread_mutex_lock(&waits->lock);
            continue;
        }
        until.tv_sec = (time_t)(next / 1000000000);
        until.tv_nsec = (long)(next % 1000000000);
        pthread_cond_timedwait(&waits->moved, &waits->lock, &until);
    }
    pthread_mutex_unlock(&waits->lock);
    return NULL;
}

int waits_start(struct fs *fs)
{
    pthread_condattr_t monotonic;
    int result;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&fs->waits.lock, NULL);
    pthread_cond_init(&fs->waits.moved, &monotonic);
    pthread_condattr_destroy(&monotonic);
    result = pthread_create(&fs->waits.thread, NULL, clock_thread, fs);
    fs->waits.running = result == 0;
    return -result;
}

void waits_stop(struct fs *fs, int error)
{
    struct wait *all = NULL, **place;

    if (!fs->waits.running)
        return;
    pthread_mutex_lock(&fs->waits.lock);
    fs->waits.ending = true;
    for (place = &fs->waits.first; *place;) {
        struct wait *wait = unlink_wait(place, error);

        if (wait) {
            wait->next = all;
            all = wait;
        } else {
            place = &(*place)->next;
        }
    }
    pthread_cond_signal(&fs->waits.moved);
    pthread_mutex_unlock(&fs->waits.lock);
    pthread_join(fs->waits.thread, NULL);
    fs->waits.running = false;
    while (all) {
        struct wait *next = all->next;

        answer(all, error);
        all = next;
    }
}
