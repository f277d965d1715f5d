/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A receiver from inside: what its two halves, calls (receive.c) and the thread (receive_thread.c),
 * share. */
#ifndef BACKUP_RECEIVE_STATE_H
#define BACKUP_RECEIVE_STATE_H

#include "qubesfs/restore.h"
#include "receive.h"

enum receiver_state { IDLE, TAKING, DONE, FAILED };

struct taking {
    struct taking *next;
    bool flush, may_go_on;
    off_t offset;
    size_t size, taken; /* taken: on its way, or about to be */
    bool interrupted;   /* to be answered when there is something to answer with */
    char *data;
    void (*done)(void *cookie, ssize_t result);
    void *cookie;
};

struct backup_receiver {
    /* in the service's list, under its lock */
    struct backup_receiver *next, **link;
    struct backup_plan *plan;
    struct backup_service *service;
    bool verify, append;
    bool active; /* guarded by the service's lock: between its first byte and its end */

    pthread_mutex_t lock; /* guards what follows; a leaf, but for restore_cancel */
    pthread_cond_t wake;
    enum receiver_state state;
    struct error error; /* of FAILED */
    uint64_t position;  /* where the next byte belongs */
    off_t base;         /* of an appending writer: its first offset */
    bool running;       /* there is a thread */
    bool closed, cancelled, ending;
    struct taking *queue;
    struct taking *at_work; /* being taken by the thread; NULL also once it was answered */
    struct restore *restore;

    uint64_t begun_ns; /* the thread's own */
};

void taking_free(struct taking *taking);
void taking_answer(struct taking *taking, ssize_t result);
/** The last of all: nobody has it, and its thread is at its end. */
void receiver_destroy(struct backup_receiver *receiver);
/** receive_thread.c: takes what is queued until the file is closed; lets go of the receiver. */
void *receiver_thread(void *cookie);

#endif
