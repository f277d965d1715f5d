/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A receiver's thread: it gives the restore what is written, and answers. */
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/stat.h>

#include "qubesfs/clock.h"
#include "receive_state.h"

/* what the restore is given at once: an interrupted write need not wait for more */
#define PIECE (128u << 10)

/* One restore at a time: they would not know of each other's names.  And one of a plan, since there
 * is one `status`. */
static int enter(struct backup_receiver *receiver, struct error *ret_error)
{
    struct backup_service *service = receiver->service;

    LOCK_SCOPE(&service->lock);
    if (service->closing || service->restores_end)
        return error_set(ret_error, -ECANCELED, "qubesfs is ending");
    if (receiver->plan->removed)
        return error_set(ret_error, -ENOENT, "the plan \"%s\" was removed", receiver->plan->name);
    for (const struct backup_receiver *other = service->receivers; other; other = other->next)
        if (other->active &&
            (other->plan == receiver->plan || !(other->verify || receiver->verify)))
            return error_set(ret_error, -EBUSY,
                             "a backup is being written to %s/%s already: wait for its end, or "
                             "write cancel to its `control`",
                             other->plan->name, other->verify ? "verify" : "backup");
    receiver->active = true;
    service->active++;
    return 0;
}

static void leave(struct backup_receiver *receiver)
{
    struct backup_service *service = receiver->service;

    OPENSSL_thread_stop(); /* as a stream's thread does */
    LOCK_SCOPE(&service->lock);
    receiver->active = false;
    service->active--;
    pthread_cond_broadcast(&service->quiet);
}

static void progress(void *cookie, uint64_t done, uint64_t total, const char *current)
{
    const struct backup_receiver *receiver = cookie;

    outcome_progress(receiver->plan, receiver, receiver->verify, done, total, receiver->begun_ns,
                     current);
}

static int make_restore(struct backup_receiver *receiver, const struct owners *owners,
                        struct restore **ret_restore, struct error *ret_error)
{
    struct backup_plan *plan = receiver->plan;
    struct backup_service *service = receiver->service;
    const struct restore_listener listener = {receiver, progress};
    struct secret *passphrase = plan_passphrase(plan);
    char *include CLEANUP_FREE = NULL, *exclude CLEANUP_FREE = NULL, *home CLEANUP_FREE = NULL;
    struct restore_options options = {
        .verify = receiver->verify,
        .passphrase = passphrase,
        .kdf_memory_max = service->kdf_memory_max,
        .root = service->root,
        .catalogue_path = service->catalogue_path,
        .state = service->state,
    };
    struct stat status;
    int result = backup_list_get(plan, BACKUP_INCLUDE, &include);

    if (result == 0)
        result = backup_list_get(plan, BACKUP_EXCLUDE, &exclude);
    if (owners_home(owners) && !(home = text_format("%s%s", service->root, owners_home(owners))))
        result = -ENOMEM;
    options.include = include;
    options.exclude = exclude;
    options.home = home && stat(home, &status) == 0 && S_ISDIR(status.st_mode) ? home : NULL;
    plan_restore_options(plan, &options);
    if (result < 0)
        error_set(ret_error, result, "out of memory");
    else if (!passphrase)
        result = error_set(ret_error, -ENOKEY,
                           "there is no passphrase: write the backup's to \"passphrase\" first");
    else if (!service->state && !receiver->verify)
        result = error_set(ret_error, -ENOTSUP, "there is no directory to restore in");
    else
        result = restore_new(&options, &listener, ret_restore, ret_error);
    secret_unref(passphrase);
    return result;
}

/* A verification writes nothing. */
static int check_owner(const struct backup_receiver *receiver, struct error *ret_error)
{
    return receiver->verify ? 0 : host_catalogue_is_owned(receiver->service->host, ret_error);
}

/* The first byte came. */
static int begin(struct backup_receiver *receiver, struct error *ret_error)
{
    struct owners *owners;
    struct restore *restore;
    int result = enter(receiver, ret_error);

    if (result < 0)
        return result;
    result = check_owner(receiver, ret_error);
    if (result < 0) {
        leave(receiver);
        return result;
    }
    result = owners_new(receiver->service->host, &owners);
    if (result < 0) {
        error_set(ret_error, result, "out of memory");
    } else {
        result = make_restore(receiver, owners, &restore, ret_error);
        owners_free(owners);
    }
    if (result < 0) {
        leave(receiver);
        return result;
    }
    receiver->begun_ns = clock_monotonic_ns();
    outcome_begin(receiver->plan, receiver, receiver->verify);
    LOCK_SCOPE(&receiver->lock);
    receiver->restore = restore;
    receiver->state = TAKING;
    if (receiver->cancelled || receiver->ending)
        restore_cancel(restore);
    return 0;
}

/* As restore_finish; whose the catalogue is may have changed meanwhile. */
static int finish(struct backup_receiver *receiver, bool may_go_on, struct error *ret_error)
{
    int result = check_owner(receiver, ret_error);

    return result < 0 ? result : restore_finish(receiver->restore, may_go_on, ret_error);
}

/* It is over, one way or the other: tells that, and takes back what is not in force. */
static void end(struct backup_receiver *receiver, const struct error *error)
{
    struct restore *restore;
    char *lines CLEANUP_FREE = NULL;
    uint64_t done, total;
    bool cancelled;

    pthread_mutex_lock(&receiver->lock);
    restore = MOVE_POINTER(receiver->restore);
    receiver->state = error ? FAILED : DONE;
    if (error)
        receiver->error = *error;
    cancelled = receiver->cancelled;
    pthread_mutex_unlock(&receiver->lock);
    restore_stop(restore); /* it still writes to what is asked for now */
    restore_progress(restore, &done, &total);
    if (restore_result(restore, &lines))
        lines = NULL;
    restore_free(restore);
    outcome_end(receiver->plan, receiver, receiver->verify, done, error ? total : done, lines,
                error, cancelled);
    leave(receiver);
}

static bool is_zero(const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (data[i])
            return false;
    return true;
}

/* Where the bytes belong, and whether there may be any. */
static int check_write(struct backup_receiver *receiver, struct taking *taking,
                       struct error *ret_error)
{
    off_t offset = taking->offset;

    if (receiver->append && receiver->position == 0)
        receiver->base = offset;
    if (receiver->append)
        offset -= receiver->base;
    if ((uint64_t)offset != receiver->position)
        return error_set(ret_error, -ESPIPE,
                         "a backup is written from its beginning to its end: the next byte is "
                         "number %llu, not %lld",
                         (unsigned long long)receiver->position, (long long)offset);
    if (receiver->state == DONE && !is_zero(taking->data, taking->size))
        return error_set(ret_error, -EINVAL,
                         "something follows the end of the backup, which is complete");
    return 0;
}

/* The next piece of the write, or nothing when it has been answered or is through. */
static size_t next_piece(struct backup_receiver *receiver, struct taking *taking)
{
    size_t piece;
    bool interrupted = false;

    pthread_mutex_lock(&receiver->lock);
    piece = receiver->at_work == taking ? taking->size - taking->taken : 0;
    if (piece > PIECE)
        piece = PIECE;
    if (piece > 0) {
        taking->taken += piece;
        interrupted = taking->interrupted;
        if (interrupted)
            receiver->at_work = NULL;
    }
    pthread_mutex_unlock(&receiver->lock);
    if (interrupted)
        taking->done(taking->cookie, (ssize_t)taking->taken);
    return piece;
}

/* The thread's own answer, unless an interrupt has answered already. */
static void answer_at_work(struct backup_receiver *receiver, struct taking *taking, ssize_t result)
{
    bool mine;

    pthread_mutex_lock(&receiver->lock);
    mine = receiver->at_work == taking;
    receiver->at_work = NULL;
    pthread_mutex_unlock(&receiver->lock);
    if (mine)
        taking_answer(taking, result);
    else
        taking_free(taking);
}

static void refuse(struct backup_receiver *receiver, const struct error *error)
{
    backup_report(receiver->plan, receiver->verify ? "verify" : "restore", error);
}

static void take_write(struct backup_receiver *receiver, struct taking *taking)
{
    struct error error;
    size_t at = 0, piece;
    int result = receiver->state == FAILED ? receiver->error.code : 0;

    if (result == 0) {
        result = check_write(receiver, taking, &error);
        if (result == 0 && receiver->state == IDLE)
            result = begin(receiver, &error);
        if (result < 0)
            refuse(receiver, &error);
    }
    if (result < 0 || receiver->state == DONE) {
        if (result == 0)
            receiver->position += taking->size;
        answer_at_work(receiver, taking, result < 0 ? result : (ssize_t)taking->size);
        return;
    }
    while (result == 0 && (piece = next_piece(receiver, taking)) > 0) {
        result = restore_write(receiver->restore, taking->data + at, piece, &error);
        at += piece;
    }
    receiver->position += at;
    if (result < 0)
        end(receiver, &error);
    answer_at_work(receiver, taking, result < 0 ? result : (ssize_t)at);
}

static void take_flush(struct backup_receiver *receiver, struct taking *taking)
{
    struct error error;
    int result = receiver->state == FAILED ? receiver->error.code : 0;

    if (receiver->state == TAKING) {
        result = finish(receiver, taking->may_go_on, &error);
        if (result == -ENODATA)
            result = -EIO; /* it may go on: nothing has ended */
        else if (result < 0 || restore_is_done(receiver->restore))
            end(receiver, result < 0 ? &error : NULL);
    }
    answer_at_work(receiver, taking, result);
}

/* Nobody has the file open any more. */
static void close_incomplete(struct backup_receiver *receiver)
{
    struct error error, why;
    int result = finish(receiver, false, &why);

    if (result == 0) {
        end(receiver, NULL);
        return;
    }
    if (result == -ENODATA)
        error_set(&error, -EIO, "cut off after %llu bytes, nothing of it was kept: %s",
                  (unsigned long long)receiver->position, why.text);
    else
        error = why;
    end(receiver, &error);
}

void *receiver_thread(void *cookie)
{
    struct backup_receiver *receiver = cookie;

    pthread_setname_np(pthread_self(), "backup-receive");
    pthread_mutex_lock(&receiver->lock);
    for (;;) {
        struct taking *taking = receiver->queue;

        if (taking) {
            receiver->queue = taking->next;
            receiver->at_work = taking;
            pthread_mutex_unlock(&receiver->lock);
            if (taking->flush)
                take_flush(receiver, taking);
            else
                take_write(receiver, taking);
            pthread_mutex_lock(&receiver->lock);
        } else if (receiver->closed) {
            break;
        } else if (receiver->state == TAKING && (receiver->cancelled || receiver->ending)) {
            struct error error;

            pthread_mutex_unlock(&receiver->lock);
            error_set(&error, -ECANCELED, "cancelled after %llu bytes, nothing of it was kept",
                      (unsigned long long)receiver->position);
            end(receiver, &error);
            pthread_mutex_lock(&receiver->lock);
        } else {
            pthread_cond_wait(&receiver->wake, &receiver->lock);
        }
    }
    pthread_mutex_unlock(&receiver->lock);
    if (receiver->state == TAKING)
        close_incomplete(receiver);
    OPENSSL_thread_stop();
    receiver_destroy(receiver);
    return NULL;
}
