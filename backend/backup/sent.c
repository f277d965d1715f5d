/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sent.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_SIZE 16
#define TAG_SIZE 16

struct piece {
    uint64_t begin;
    bool first; /* of its part */
    unsigned char digest[TAG_SIZE];
};

struct sent {
    unsigned char key[KEY_SIZE];
    struct piece *pieces; /* the last one is open: its digest is still growing in `open` */
    size_t count, capacity;
    EVP_CIPHER_CTX *open;
    uint64_t length;

    /* after a rewind, while what was sent is made again */
    bool checking;
    size_t at; /* the piece that is being made again */
    EVP_CIPHER_CTX *check;
    uint64_t position;
    unsigned char *held;
    size_t held_length;
};

void sent_free(struct sent *sent)
{
    if (!sent)
        return;
    EVP_CIPHER_CTX_free(sent->open);
    EVP_CIPHER_CTX_free(sent->check);
    free(sent->held);
    free(sent->pieces);
    OPENSSL_cleanse(sent->key, sizeof(sent->key));
    free(sent);
}

int sent_new(struct sent **ret_sent)
{
    struct sent *sent = calloc(1, sizeof(*sent));

    if (!sent)
        return -ENOMEM;
    sent->open = EVP_CIPHER_CTX_new();
    sent->check = EVP_CIPHER_CTX_new();
    if (!sent->open || !sent->check) {
        sent_free(sent);
        return -ENOMEM;
    }
    if (getentropy(sent->key, KEY_SIZE) != 0) {
        sent_free(sent);
        return -EIO;
    }
    *ret_sent = sent;
    return 0;
}

/* Each piece has a nonce of its own: its number. */
static int digest_begin(const struct sent *sent, EVP_CIPHER_CTX *digest, size_t piece)
{
    unsigned char nonce[12] = {0};
    uint64_t number = piece;

    memcpy(nonce, &number, sizeof(number));
    return EVP_EncryptInit_ex(digest, EVP_aes_128_gcm(), NULL, sent->key, nonce) == 1 ? 0 : -ENOMEM;
}

static int digest_add(EVP_CIPHER_CTX *digest, const void *data, size_t length)
{
    int ignored;

    return EVP_EncryptUpdate(digest, NULL, &ignored, data, (int)length) == 1 ? 0 : -ENOMEM;
}

static int digest_end(EVP_CIPHER_CTX *digest, unsigned char ret_digest[TAG_SIZE])
{
    unsigned char nothing[16];
    int ignored;

    if (EVP_EncryptFinal_ex(digest, nothing, &ignored) != 1 ||
        EVP_CIPHER_CTX_ctrl(digest, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, ret_digest) != 1)
        return -ENOMEM;
    return 0;
}

/* Ends the open piece, and begins another one where it ends. */
static int next_piece(struct sent *sent, bool first)
{
    int result;

    if (sent->count == sent->capacity) {
        size_t capacity = sent->capacity ? 2 * sent->capacity : 64;
        struct piece *grown = reallocarray(sent->pieces, capacity, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        sent->pieces = grown;
        sent->capacity = capacity;
    }
    if (sent->count > 0) {
        result = digest_end(sent->open, sent->pieces[sent->count - 1].digest);
        if (result < 0)
            return result;
    }
    result = digest_begin(sent, sent->open, sent->count);
    if (result < 0)
        return result;
    sent->pieces[sent->count++] = (struct piece){.begin = sent->length, .first = first};
    return 0;
}

static uint64_t piece_end(const struct sent *sent, size_t piece)
{
    return piece + 1 < sent->count ? sent->pieces[piece + 1].begin : sent->length;
}

/* The last piece that was sent goes on growing after it was checked: its digest so far is made from
 * a copy. */
static int digest_of_open(struct sent *sent)
{
    EVP_CIPHER_CTX *copy = EVP_CIPHER_CTX_new();
    int result = copy && EVP_CIPHER_CTX_copy(copy, sent->open) == 1 ? 0 : -ENOMEM;

    if (result == 0)
        result = digest_end(copy, sent->pieces[sent->count - 1].digest);
    EVP_CIPHER_CTX_free(copy);
    return result;
}

typedef int out_function(void *cookie, uint64_t offset, const void *data, size_t length);

/* Lets pieces go that are there again as a whole. */
static int pass_pieces(struct sent *sent, out_function *out, void *cookie)
{
    while (sent->checking && sent->position == piece_end(sent, sent->at)) {
        unsigned char digest[TAG_SIZE];
        int result = digest_end(sent->check, digest);

        if (result < 0)
            return result;
        if (CRYPTO_memcmp(digest, sent->pieces[sent->at].digest, TAG_SIZE) != 0)
            return -EBUSY;
        if (sent->held_length > 0)
            result = out(cookie, sent->position - sent->held_length, sent->held, sent->held_length);
        sent->held_length = 0;
        if (result < 0)
            return result;
        if (++sent->at == sent->count) {
            sent->checking = false;
            free(sent->held);
            sent->held = NULL;
            return 0;
        }
        result = digest_begin(sent, sent->check, sent->at);
        if (result < 0)
            return result;
        /* an empty one is passed when the part after it begins */
        if (piece_end(sent, sent->at) == sent->position)
            return 0;
    }
    return 0;
}

static int ignore(void *cookie, uint64_t offset, const void *data, size_t length)
{
    (void)cookie;
    (void)offset;
    (void)data;
    (void)length;
    return 0;
}

int sent_part(struct sent *sent)
{
    int result;

    if (!sent->checking)
        return next_piece(sent, true);
    /* nothing is held here: a part's last piece was passed with its last byte */
    if (sent->held_length > 0 || sent->position != sent->pieces[sent->at].begin ||
        !sent->pieces[sent->at].first)
        return -EBUSY;
    result = pass_pieces(sent, ignore, NULL);
    return result;
}

static int check(struct sent *sent, const unsigned char **data, size_t *length, out_function *out,
                 void *cookie)
{
    uint64_t left = piece_end(sent, sent->at) - sent->position;
    size_t take = *length < left ? *length : (size_t)left;
    int result = digest_add(sent->check, *data, take);

    if (result < 0)
        return result;
    memcpy(sent->held + sent->held_length, *data, take);
    sent->held_length += take;
    sent->position += take;
    *data += take;
    *length -= take;
    return pass_pieces(sent, out, cookie);
}

int sent_take(struct sent *sent, const void *data, size_t length, out_function *out, void *cookie)
{
    const unsigned char *bytes = data;
    int result = 0;

    while (length > 0) {
        uint64_t offset = sent->length, in_piece;
        size_t take;

        if (sent->checking) {
            result = check(sent, &bytes, &length, out, cookie);
            if (result < 0)
                return result;
            continue;
        }
        in_piece = sent->length - sent->pieces[sent->count - 1].begin;
        if (in_piece == SENT_PIECE) {
            result = next_piece(sent, false);
            if (result < 0)
                return result;
            in_piece = 0;
        }
        take = length < SENT_PIECE - in_piece ? length : (size_t)(SENT_PIECE - in_piece);
        result = digest_add(sent->open, bytes, take);
        if (result < 0)
            return result;
        sent->length += take; /* from here on it may have left */
        result = out(cookie, offset, bytes, take);
        if (result < 0)
            return result;
        bytes += take;
        length -= take;
    }
    return 0;
}

uint64_t sent_length(const struct sent *sent)
{
    return sent->length;
}

int sent_rewind(struct sent *sent, uint64_t offset, size_t *ret_part, uint64_t *ret_begin)
{
    size_t part = 0, at = 0;
    int result;

    if (sent->count == 0 || offset > sent->length)
        return -ESPIPE;
    for (size_t i = 0, number = 0; i < sent->count && sent->pieces[i].begin <= offset; i++)
        if (sent->pieces[i].first) {
            at = i;
            part = number++;
        }
    result = digest_of_open(sent);
    if (result == 0)
        result = digest_begin(sent, sent->check, at);
    if (result == 0 && !sent->held)
        sent->held = malloc(SENT_PIECE);
    if (result < 0 || !sent->held)
        return -ENOMEM;
    sent->checking = true;
    sent->at = at;
    sent->position = sent->pieces[at].begin;
    sent->held_length = 0;
    *ret_part = part;
    *ret_begin = sent->position;
    return 0;
}

int sent_finish(struct sent *sent)
{
    return sent->checking ? -EBUSY : 0;
}
