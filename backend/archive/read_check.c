/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first stage: finds the header, authenticates each outer member, and sees to the order of
 * names: the chunks of an inner archive one after the other, from 0, none left out, and each
 * archive once.  What it hands on is authentic, though in formats 2 and 3 not its name.
 *
 * Members that come before the header are held, as far as there is room.  If none comes, and their
 * names are those of format 2, it is one of those that have none.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qubesfs/archive.h"
#include "qubesfs/cleanup.h"
#include "qubesfs/locked.h"
#include "read_container.h"
#include "read_names.h"
#include "read_proof.h"
#include "read_seen.h"
#include "read_state.h"

#define HEADER_NAME       "backup-header"
#define HEADER_PROOF_NAME "backup-header.hmac"
#define HEADER_PREFIX     "backup-header!"

#define HELD_MAX     64u
#define HELD_BIG_MAX 1u
#define NOTED_MAX    (1u << 20)

struct checker {
    struct archive_reader *reader;
    struct container_key *key; /* locked */
    bool opened;
    struct piece *header, *header_proof; /* until both are there */
    struct lane held;
    unsigned held_count, held_big;

    struct piece *pending; /* formats 2 and 3: a chunk whose .hmac comes next */
    bool proven;           /* something was authenticated: the passphrase is right */
    char *archive;         /* the one at work */
    unsigned next;         /* chunk of it */
    bool last_was_short;
    struct seen seen;
    unsigned noted; /* chunks, for the manifest */
};

static int open_scrypt_header(struct checker *checker, struct error *ret_error)
{
    struct archive_reader *reader = checker->reader;
    const struct piece *header = checker->header, *proof = checker->header_proof;
    struct container_cost cost;
    int result =
        container_cost(proof->data, proof->length, reader->kdf_memory_max, &cost, ret_error);

    if (result < 0)
        return ret_error->text[0] ? error_prefix(ret_error, HEADER_PROOF_NAME) : result;
    result = container_derive(&cost, proof->data, HEADER_PREFIX, reader->passphrase,
                              &reader->stopped, checker->key);
    if (result == 0)
        result = container_open(checker->key, proof->data, proof->length);
    if (result == -EKEYREJECTED)
        return error_set(ret_error, result,
                         "wrong passphrase (or the beginning of the backup is damaged)");
    if (result == 0 && (proof->length != header->length + CONTAINER_OVERHEAD ||
                        memcmp(proof->data + CONTAINER_HEADER, header->data, header->length) != 0))
        result = -EBADMSG;
    if (result == -EBADMSG)
        return error_set(ret_error, result, HEADER_NAME " is damaged");
    return result;
}

static int open_hmac_header(struct checker *checker, struct proof *ret_proof,
                            struct error *ret_error)
{
    const struct piece *header = checker->header, *text = checker->header_proof;
    int result;

    if (!proof_parse((const char *)text->data, text->length, ret_proof))
        return error_set(ret_error, -EBADMSG, HEADER_PROOF_NAME " can't be understood");
    result = proof_check(ret_proof, checker->reader->passphrase, header->data, header->length);
    if (result == 0)
        return error_set(ret_error, -EKEYREJECTED,
                         "wrong passphrase (or the beginning of the backup is damaged)");
    return result < 0 ? result : 0;
}

/* Authenticates the header, then parses it. */
static int open_header(struct checker *checker, struct error *ret_error)
{
    const struct piece *header = checker->header, *proof = checker->header_proof;
    bool scrypt = proof->length >= 7 && !memcmp(proof->data, "scrypt", 7);
    struct read_header *parsed = &checker->reader->header;
    struct proof hmac = {.digest = MAC_SHA512};
    int result = scrypt ? open_scrypt_header(checker, ret_error)
                        : open_hmac_header(checker, &hmac, ret_error);

    if (result == 0)
        result = read_header_parse((const char *)header->data, header->length, parsed, ret_error);
    if (result < 0)
        return result;
    if (parsed->scrypt != scrypt || (!scrypt && parsed->digest != hmac.digest))
        return error_set(ret_error, -EINVAL,
                         HEADER_NAME " names another hmac-algorithm than it is authenticated by");
    checker->proven = true;
    return 0;
}

static int check_member(struct checker *checker, struct piece *piece, struct error *ret_error);

/* The header is known, or it is known that there is none: what was held goes on. */
static int open_archive(struct checker *checker, struct error *ret_error)
{
    struct archive_reader *reader = checker->reader;
    struct piece *piece = calloc(1, sizeof(*piece));
    int result = 0;

    if (!piece)
        return -ENOMEM;
    piece->kind = PIECE_HEADER;
    pthread_mutex_lock(&reader->lock);
    reader->pieces++;
    reader->opened = true;
    pthread_mutex_unlock(&reader->lock);
    checker->opened = true;
    reader_put(reader, &reader->to_unpack, piece);
    while (result == 0 && checker->held.first) {
        piece = checker->held.first;
        checker->held.first = piece->next;
        piece->next = NULL;
        result = check_member(checker, piece, ret_error);
    }
    return result;
}

static int open_headerless(struct checker *checker, struct error *ret_error)
{
    struct names_parts parts;

    if (!checker->held.first || !names_split(checker->held.first->name, &parts))
        return error_set(ret_error, -EINVAL, "this is no Qubes backup: it has no " HEADER_NAME);
    if (checker->header || checker->header_proof || parts.kind == NAMES_CONTAINER)
        return error_set(ret_error, -EINVAL,
                         "the " HEADER_NAME
                         " of this backup stands too far behind its begin to be read");
    checker->reader->headerless = true;
    checker->reader->header = (struct read_header){.version = 2};
    return open_archive(checker, ret_error);
}

/* A member, while the header is not known.  Takes the piece. */
static int hold(struct checker *checker, struct piece *piece, struct error *ret_error)
{
    bool header = !strcmp(piece->name, HEADER_NAME);
    struct piece **place = header ? &checker->header : &checker->header_proof;
    int result;

    if (header || !strcmp(piece->name, HEADER_PROOF_NAME)) {
        if (*place || piece->length > READ_HEADER_MAX) {
            reader_drop(checker->reader, piece);
            return error_set(ret_error, -EINVAL, HEADER_NAME " is there twice, or too big");
        }
        *place = piece;
        if (!checker->header || !checker->header_proof)
            return 0;
        result = open_header(checker, ret_error);
        return result < 0 ? result : open_archive(checker, ret_error);
    }
    if (checker->held.first)
        checker->held.last->next = piece;
    else
        checker->held.first = piece;
    checker->held.last = piece;
    checker->held_count++;
    checker->held_big += piece->big;
    if (checker->held_count <= HELD_MAX && checker->held_big <= HELD_BIG_MAX)
        return 0;
    return open_headerless(checker, ret_error);
}

/* The chunk is authentic: its place in the stream, then on it goes.  Takes the piece. */
static int hand_on(struct checker *checker, struct piece *piece, const struct names_parts *parts,
                   struct error *ret_error)
{
    struct archive_reader *reader = checker->reader;
    bool same = checker->archive && strlen(checker->archive) == parts->base_length &&
                !memcmp(checker->archive, piece->name, parts->base_length);
    int result = piece_rename(piece, piece->name, parts->base_length);

    piece->number = parts->number;
    if (result == 0 && parts->number != (same ? checker->next : 0))
        result = error_set(ret_error, -EBADMSG, "part %u of %s is not where it belongs",
                           parts->number, piece->name);
    if (result == 0 && same && checker->last_was_short && piece->payload > 0)
        result = error_set(ret_error, -EBADMSG, "part %u of %s follows one that is too short",
                           parts->number, piece->name);
    if (result == 0 && !same) {
        result = seen_add(&checker->seen, piece->name);
        if (result == -EEXIST)
            result = error_set(ret_error, -EBADMSG, "%s is there twice", piece->name);
        else if (result == -E2BIG)
            error_set(ret_error, result, "the backup has more files than can be read");
        free(checker->archive);
        checker->archive = strdup(piece->name);
        if (result == 0 && !checker->archive)
            result = -ENOMEM;
    }
    if (result < 0) {
        reader_drop(reader, piece);
        return result;
    }
    checker->next = parts->number + 1;
    checker->last_was_short = reader->header.version > 2 && piece->payload < reader->chunk_size;
    reader_put(reader, &reader->to_unpack, piece);
    return 0;
}

/* What the manifest will tell: all of the member, as it stands in the stream. */
static int note(struct checker *checker, const struct piece *piece, const struct names_parts *parts,
                struct error *ret_error)
{
    struct archive_reader *reader = checker->reader;
    char *file CLEANUP_FREE = strndup(piece->name, parts->base_length);
    struct chunk chunk = {.data = piece->data, .length = piece->length};

    if (!reader->header.manifest)
        return 0;
    if (!file)
        return -ENOMEM;
    if (checker->archive && !strcmp(checker->archive, ARCHIVE_MANIFEST))
        return strcmp(file, ARCHIVE_MANIFEST)
                   ? error_set(ret_error, -EBADMSG, "%s follows the manifest, which is the end",
                               piece->name)
                   : 0;
    if (!strcmp(file, ARCHIVE_MANIFEST))
        return 0;
    if (checker->noted++ == NOTED_MAX)
        return error_set(ret_error, -E2BIG, "the backup has more parts than can be read");
    if (parts->number == 0)
        chunk.file = file;
    if (manifest_digest(&chunk) < 0)
        return -ENOMEM;
    return manifest_add(reader->manifest, &chunk);
}

/* Format 4: each member is a container of its own. */
static int check_container(struct checker *checker, struct piece *piece,
                           const struct names_parts *parts, struct error *ret_error)
{
    struct archive_reader *reader = checker->reader;
    char *prefix CLEANUP_FREE = NULL;
    struct container_cost cost;
    int result =
        container_cost(piece->data, piece->length, reader->kdf_memory_max, &cost, ret_error);

    if (result < 0)
        return ret_error->text[0] ? error_prefix(ret_error, "%s", piece->name) : result;
    if (asprintf(&prefix, "%s!%.*s!", reader->header.backup_id, (int)parts->chunk_length,
                 piece->name) < 0) {
        prefix = NULL;
        return -ENOMEM;
    }
    result = note(checker, piece, parts, ret_error);
    if (result < 0)
        return result;
    result = container_derive(&cost, piece->data, prefix, reader->passphrase, &reader->stopped,
                              checker->key);
    if (result == 0)
        result = container_open(checker->key, piece->data, piece->length);
    if (result == -EKEYREJECTED)
        return error_set(ret_error, -EBADMSG,
                         "%s is damaged, or was made for another place or another backup",
                         piece->name);
    if (result == -EBADMSG)
        return error_set(ret_error, result, "%s is damaged", piece->name);
    piece->offset = CONTAINER_HEADER;
    piece->payload = piece->length - CONTAINER_OVERHEAD;
    return result;
}

/* Formats 2 and 3: `text` is the .hmac of the pending chunk. */
static int check_pending(struct checker *checker, const struct piece *text, struct error *ret_error)
{
    struct archive_reader *reader = checker->reader;
    const struct piece *piece = checker->pending;
    struct proof proof;
    int result;

    if (!proof_parse((const char *)text->data, text->length, &proof))
        return error_set(ret_error, -EBADMSG, "%s can't be understood", text->name);
    /* the first one of a backup without a header says which digest it is */
    if (!checker->proven)
        reader->header.digest = proof.digest;
    if (proof.digest != reader->header.digest)
        return error_set(ret_error, -EBADMSG, "%s is by another digest than the header",
                         text->name);
    result = proof_check(&proof, reader->passphrase, piece->data, piece->length);
    if (result < 0)
        return result;
    if (result == 0 && !checker->proven)
        return error_set(ret_error, -EKEYREJECTED,
                         "wrong passphrase (or the beginning of the backup is damaged)");
    if (result == 0)
        return error_set(ret_error, -EBADMSG, "%s is damaged", piece->name);
    checker->proven = true;
    return 0;
}

/* Formats 2 and 3: a chunk, then its .hmac.  Takes the piece. */
static int check_pair(struct checker *checker, struct piece *piece, struct error *ret_error)
{
    struct archive_reader *reader = checker->reader;
    struct piece *pending = checker->pending;
    struct names_parts parts;
    int result;

    if (!pending) {
        checker->pending = piece;
        return names_split(piece->name, &parts) && parts.kind == NAMES_CHUNK
                   ? 0
                   : error_set(ret_error, -EBADMSG, "%s does not belong into a backup",
                               piece->name);
    }
    if (!names_split(piece->name, &parts) || parts.kind != NAMES_HMAC ||
        parts.chunk_length != strlen(pending->name) ||
        memcmp(piece->name, pending->name, parts.chunk_length) != 0)
        result = error_set(ret_error, -EBADMSG, "%s.hmac is missing: %s follows", pending->name,
                           piece->name);
    else
        result = check_pending(checker, piece, ret_error);
    reader_drop(reader, piece);
    if (result == 0)
        result = note(checker, pending, &parts, ret_error);
    if (result < 0)
        return result;
    return hand_on(checker, MOVE_POINTER(checker->pending), &parts, ret_error);
}

/* Takes the piece. */
static int check_member(struct checker *checker, struct piece *piece, struct error *ret_error)
{
    struct names_parts parts;
    int result;

    if (checker->reader->header.version < 4)
        return check_pair(checker, piece, ret_error);
    if (!names_split(piece->name, &parts) || parts.kind != NAMES_CONTAINER)
        result = error_set(ret_error, -EBADMSG, "%s does not belong into a backup", piece->name);
    else
        result = check_container(checker, piece, &parts, ret_error);
    if (result < 0) {
        reader_drop(checker->reader, piece);
        return result;
    }
    return hand_on(checker, piece, &parts, ret_error);
}

/* Takes the piece. */
static int flush(struct checker *checker, struct piece *piece, struct error *ret_error)
{
    int result = 0;

    /* all may be there, of a small backup without a header */
    if (!checker->opened && checker->held.first && !checker->header && !checker->header_proof &&
        !piece->incomplete)
        result = open_headerless(checker, ret_error);
    if (result < 0) {
        /* what waits for it hears of the error, not of an end that has not come */
        reader_drop(checker->reader, piece);
        return result;
    }
    piece->incomplete = piece->incomplete || !checker->opened || checker->pending;
    reader_put(checker->reader, &checker->reader->to_unpack, piece);
    return 0;
}

static int take(struct checker *checker, struct piece *piece, struct error *ret_error)
{
    if (piece->kind == PIECE_FLUSH)
        return flush(checker, piece, ret_error);
    return checker->opened ? check_member(checker, piece, ret_error)
                           : hold(checker, piece, ret_error);
}

static void clear(struct checker *checker)
{
    struct archive_reader *reader = checker->reader;

    for (struct piece *piece = checker->held.first, *next; piece; piece = next) {
        next = piece->next;
        reader_drop(reader, piece);
    }
    reader_drop(reader, checker->header);
    reader_drop(reader, checker->header_proof);
    reader_drop(reader, checker->pending);
    locked_free(checker->key, sizeof(*checker->key));
    seen_free(&checker->seen);
    free(checker->archive);
}

void *read_check_thread(void *cookie)
{
    struct archive_reader *reader = cookie;
    struct checker checker = {.reader = reader};
    struct error error = {.code = 0};
    struct piece *piece;
    int result = 0;

    checker.key = locked_alloc(sizeof(*checker.key));
    if (!checker.key)
        result = -ENOMEM;
    while (result == 0 && (piece = reader_take(reader, &reader->to_check)) != NULL) {
        result = take(&checker, piece, &error);
        if (result < 0) /* before the caller is told that it was checked */
            reader_fail(reader, result, &error);
        pthread_mutex_lock(&reader->lock);
        reader->checking--;
        pthread_cond_broadcast(&reader->changed);
        pthread_mutex_unlock(&reader->lock);
    }
    if (!checker.key)
        reader_fail(reader, result, &error);
    clear(&checker);
    return NULL;
}
