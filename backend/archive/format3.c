/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Format 3: the stream of a file is what `openssl enc -aes-256-cbc -md md5 -pass pass:PASSPHRASE`
 * makes (or the bytes as they are), cut afterwards; each chunk has a `.hmac` beside it.
 *
 *     0   8  "Salted__"
 *     8   8  salt
 *     16  n  AES-256-CBC with PKCS#7 padding
 *
 * Key and first vector come from EVP_BytesToKey with MD5 and one round; weak, but what every reader
 * of the format expects.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cipher.h"
#include "outer.h"
#include "qubesfs/cleanup.h"
#include "qubesfs/locked.h"
#include "salts.h"
#include "sealer.h"

#define MAGIC      "Salted__"
#define MAGIC_SIZE 8u
#define SALT_SIZE  8u

struct sealer3 {
    struct sealer sealer;
    const struct archive_options *options;
    struct salts *salts;
    struct mac *mac;
    struct cipher *cipher;        /* NULL: not encrypted */
    struct cipher_secret *secret; /* locked */
    /* what makes no whole block of the cipher yet */
    unsigned char rest[CIPHER_BLOCK];
    size_t rest_length;
};

static int mac_start(struct sealer3 *sealer)
{
    const struct secret *passphrase = sealer->options->passphrase;

    return mac_begin(sealer->mac, secret_data(passphrase), secret_length(passphrase));
}

static int prove_header(struct sealer *base, const struct text *header, struct text *proof)
{
    struct sealer3 *sealer = (struct sealer3 *)base;
    unsigned char digest[MAC_SIZE_MAX];
    char text[MAC_TEXT_LENGTH + 1];
    int result = mac_start(sealer);

    if (result == 0)
        result = mac_update(sealer->mac, header->data, header->length);
    if (result == 0)
        result = mac_end(sealer->mac, digest);
    if (result < 0)
        return result;
    mac_text(digest, text);
    text_append(proof, text, MAC_TEXT_LENGTH);
    return text_status(proof);
}

/* All of a file's chunks are one stream of the cipher: it begins with the first one. */
static int begin(struct sealer *base, const char *name, const char *next)
{
    (void)base, (void)name, (void)next;
    return 0;
}

static int set_key(struct sealer3 *sealer, const unsigned char *salt)
{
    const struct secret *passphrase = sealer->options->passphrase;
    int result = cipher_derive(CIPHER_MD5, secret_data(passphrase), secret_length(passphrase), salt,
                               sealer->secret);

    sealer->rest_length = 0;
    if (result == 0)
        result = cipher_begin(sealer->cipher, sealer->secret->key, sealer->secret->vector);
    return result;
}

static void add(struct chunk *chunk, size_t length)
{
    chunk->length += length;
    chunk->payload += length;
}

static int open_chunk(struct sealer *base, struct chunk *chunk)
{
    struct sealer3 *sealer = (struct sealer3 *)base;
    unsigned char *salt = chunk->data + MAGIC_SIZE;
    int result;

    if (!sealer->cipher || chunk->number > 0)
        return 0;
    memcpy(chunk->data, MAGIC, MAGIC_SIZE);
    result = salt_make(sealer->salts, chunk->name, salt, SALT_SIZE);
    if (result == 0)
        result = set_key(sealer, salt);
    if (result == 0)
        add(chunk, MAGIC_SIZE + SALT_SIZE);
    return result;
}

static int encrypt(struct sealer3 *sealer, struct chunk *chunk, const unsigned char *data,
                   size_t length)
{
    int result = cipher_encrypt(sealer->cipher, data, length, chunk->data + chunk->length);

    if (result == 0)
        add(chunk, length);
    return result;
}

/* A chunk's length is a multiple of the cipher's block, and what there is room for too: with what
 * was kept back, no more comes out than that. */
static int put(struct sealer *base, struct chunk *chunk, const unsigned char *data, size_t length)
{
    struct sealer3 *sealer = (struct sealer3 *)base;
    size_t whole;
    int result = 0;

    if (!sealer->cipher) {
        memcpy(chunk->data + chunk->length, data, length);
        add(chunk, length);
        return 0;
    }
    if (sealer->rest_length > 0) {
        size_t piece = CIPHER_BLOCK - sealer->rest_length;

        if (piece > length)
            piece = length;
        memcpy(sealer->rest + sealer->rest_length, data, piece);
        sealer->rest_length += piece;
        data += piece;
        length -= piece;
        if (sealer->rest_length < CIPHER_BLOCK)
            return 0;
        result = encrypt(sealer, chunk, sealer->rest, CIPHER_BLOCK);
    }
    whole = length - length % CIPHER_BLOCK;
    if (result == 0 && whole > 0)
        result = encrypt(sealer, chunk, data, whole);
    sealer->rest_length = length - whole;
    memcpy(sealer->rest, data + whole, sealer->rest_length);
    return result;
}

/* PKCS#7: as many bytes as are missing, each saying how many; 16 if none is. */
static int end(struct sealer *base, struct chunk *chunk)
{
    struct sealer3 *sealer = (struct sealer3 *)base;
    size_t missing = CIPHER_BLOCK - sealer->rest_length;

    if (!sealer->cipher)
        return 0;
    memset(sealer->rest + sealer->rest_length, (int)missing, missing);
    return encrypt(sealer, chunk, sealer->rest, CIPHER_BLOCK);
}

static int prove(struct sealer *base, const struct chunk *chunk, size_t from, size_t length)
{
    struct sealer3 *sealer = (struct sealer3 *)base;
    int result = from == 0 ? mac_start(sealer) : 0;

    return result < 0 ? result : mac_update(sealer->mac, chunk->data + from, length);
}

static int close_chunk(struct sealer *base, struct chunk *chunk)
{
    struct sealer3 *sealer = (struct sealer3 *)base;
    unsigned char digest[MAC_SIZE_MAX];
    int result = mac_end(sealer->mac, digest);

    if (result == 0)
        mac_text(digest, chunk->text);
    return result;
}

static int write_chunk(const struct chunk *chunk, const struct archive_output *output, time_t when)
{
    char *mac_name CLEANUP_FREE = NULL;
    int result;

    if (asprintf(&mac_name, "%s.hmac", chunk->name) < 0) {
        mac_name = NULL;
        return -ENOMEM;
    }
    result = outer_member(output, chunk->name, when, chunk->data, chunk->length);
    if (result == 0)
        result = outer_member(output, mac_name, when, chunk->text, MAC_TEXT_LENGTH);
    return result;
}

/* It waits for nothing. */
static void stop(struct sealer *base)
{
    (void)base;
}

static void free_sealer(struct sealer *base)
{
    struct sealer3 *sealer = (struct sealer3 *)base;

    cipher_free(sealer->cipher);
    locked_free(sealer->secret, sizeof(*sealer->secret));
    mac_free(sealer->mac);
    salts_free(sealer->salts);
    free(sealer);
}

static int open_sealer(const struct archive_options *options, struct sealer **ret_sealer)
{
    static const struct sealer_operations operations = {
        prove_header, begin,       open_chunk,  put,  end,
        prove,        close_chunk, write_chunk, stop, free_sealer};
    struct sealer3 *sealer = calloc(1, sizeof(*sealer));
    int result;

    if (!sealer)
        return -ENOMEM;
    sealer->sealer.operations = &operations;
    sealer->options = options;
    result = mac_new(MAC_SHA512, &sealer->mac);
    if (result == 0)
        result = salts_new(options->salt_seed, &sealer->salts);
    if (result == 0 && options->encrypted) {
        sealer->secret = locked_alloc(sizeof(*sealer->secret));
        result = sealer->secret ? cipher_new(CIPHER_CBC, &sealer->cipher) : -ENOMEM;
    }
    if (result < 0) {
        free_sealer(&sealer->sealer);
        return result;
    }
    *ret_sealer = &sealer->sealer;
    return 0;
}

static void header(const struct archive_options *options, const char *filter, struct text *text)
{
    text_string(text, "version=3\n"
                      "hmac-algorithm=SHA512\n"
                      "crypto-algorithm=aes-256-cbc\n");
    text_printf(text, "encrypted=%s\n", options->encrypted ? "True" : "False");
    text_printf(text, "compressed=%s\n", filter ? "True" : "False");
    if (filter)
        text_printf(text, "compression-filter=%s\n", filter);
    text_printf(text, "backup-id=%s\n", options->backup_id);
}

static uint64_t proof_size(const struct archive_options *options, const struct text *text)
{
    (void)options, (void)text;
    return outer_size(MAC_TEXT_LENGTH);
}

static uint64_t stream_size(const struct archive_options *options, uint64_t bytes)
{
    return options->encrypted
               ? MAGIC_SIZE + SALT_SIZE + bytes / CIPHER_BLOCK * CIPHER_BLOCK + CIPHER_BLOCK
               : bytes;
}

const struct format format_3 = {open_sealer, header, proof_size, stream_size, 0, MAC_TEXT_LENGTH};
