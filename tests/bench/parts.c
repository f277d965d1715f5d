/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parts IMAGE: what each part of a backup costs, all cores at work on it at once, as they are in a
 * backup.  A line each: "NAME NANOSECONDS RATIO", nanoseconds of one core for a byte that goes in,
 * and how many come out.  `key` is one key of format 4 at log2 N = 17, and takes nanoseconds
 * itself.
 *
 * Memory is one derivation's for each core.
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "archive/cipher.h"
#include "archive/codec.h"
#include "archive/mac.h"
#include "archive/scrypt.h"

#define SECONDS 2

enum part { READ, CBC, CTR, SHA512, SHA256, DIGEST, GZIP_FAST, GZIP, GZIP_SMALL, ZSTD, KEY, PARTS };

static const char *const names[] = {"read",        "cbc",    "ctr",       "hmac-sha512",
                                    "hmac-sha256", "sha256", "gzip-fast", "gzip",
                                    "gzip-small",  "zstd",   "key"};

struct worker {
    pthread_t thread;
    enum part part;
    int image;
    off_t from, size;
    uint64_t in, out; /* bytes */
    double seconds;
};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void check(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "parts: %s does not work\n", what);
        exit(1);
    }
}

/* The next MiB of the image that is data, as a backup reads it. */
static size_t next_block(struct worker *worker, unsigned char *block)
{
    off_t data = lseek(worker->image, worker->from, SEEK_DATA);
    ssize_t length;

    worker->from = data < 0 || data >= worker->size ? lseek(worker->image, 0, SEEK_DATA) : data;
    length = pread(worker->image, block, CODEC_BLOCK, worker->from);
    check(length > 0, "reading");
    worker->from += length;
    return (size_t)length;
}

struct tools {
    struct cipher *cipher;
    struct mac *mac;
    EVP_MD_CTX *digest;
    const struct codec *codec;
    void *context;
    struct scrypt *scrypt;
};

static void open_tools(enum part part, struct tools *tools)
{
    static const unsigned char zeros[32];
    enum archive_level level = part == GZIP_FAST    ? ARCHIVE_FAST
                               : part == GZIP_SMALL ? ARCHIVE_SMALL
                                                    : ARCHIVE_DEFAULT;

    *tools = (struct tools){.codec = codec_find(part == ZSTD ? ARCHIVE_ZSTD : ARCHIVE_GZIP)};
    check(cipher_new(part == CBC ? CIPHER_CBC : CIPHER_CTR, &tools->cipher) == 0 &&
              cipher_begin(tools->cipher, zeros, zeros) == 0,
          "AES");
    check(mac_new(part == SHA512 ? MAC_SHA512 : MAC_SHA256, &tools->mac) == 0 &&
              mac_begin(tools->mac, zeros, sizeof(zeros)) == 0,
          "HMAC");
    tools->digest = EVP_MD_CTX_new();
    check(tools->digest && EVP_DigestInit_ex(tools->digest, EVP_sha256(), NULL), "SHA-256");
    check(tools->codec->open(level, &tools->context) == 0, "compression");
    check(part != KEY || scrypt_new(17, &tools->scrypt) == 0, "scrypt");
}

/* How many bytes come out. */
static size_t once(enum part part, struct tools *tools, const unsigned char *block, size_t length,
                   unsigned char *out)
{
    unsigned char key[64];

    switch (part) {
    case READ:
        return length;
    case CBC:
    case CTR:
        length &= ~(size_t)15;
        check(cipher_encrypt(tools->cipher, block, length, out) == 0, "AES");
        return length;
    case SHA512:
    case SHA256:
        check(mac_update(tools->mac, block, length) == 0, "HMAC");
        return length;
    case DIGEST:
        check(EVP_DigestUpdate(tools->digest, block, length), "SHA-256");
        return length;
    case KEY:
        check(scrypt_run(tools->scrypt, "x", 1, "y", 1, key, sizeof(key), NULL) == 0, "scrypt");
        return 1;
    default:
        check(tools->codec->pack(tools->context, block, length, out, &length) == 0, "compression");
        return length;
    }
}

/* Only READ counts the time of reading. */
static void *work(void *cookie)
{
    struct worker *worker = cookie;
    unsigned char *block = malloc(CODEC_BLOCK), *out = malloc(2 * CODEC_BLOCK);
    double begin = now(), spent = 0;
    struct tools tools;

    open_tools(worker->part, &tools);
    if (worker->part == KEY)
        once(KEY, &tools, block, 0, out); /* maps its memory */
    begin = now();
    while (now() - begin < SECONDS) {
        double before = now();
        size_t length = worker->part == KEY ? 1 : next_block(worker, block);

        if (worker->part != READ)
            before = now();
        worker->out += once(worker->part, &tools, block, length, out);
        worker->in += length;
        spent += now() - before;
    }
    worker->seconds = spent;
    cipher_free(tools.cipher);
    mac_free(tools.mac);
    EVP_MD_CTX_free(tools.digest);
    tools.codec->close(tools.context);
    scrypt_free(tools.scrypt);
    free(block);
    free(out);
    return NULL;
}

static void measure(enum part part, const char *image, unsigned cores)
{
    struct worker *workers = calloc(cores, sizeof(*workers));
    uint64_t in = 0, out = 0;
    double seconds = 0;

    for (unsigned i = 0; i < cores; i++) {
        workers[i] = (struct worker){.part = part, .image = open(image, O_RDONLY | O_CLOEXEC)};
        check(workers[i].image >= 0, image);
        workers[i].size = lseek(workers[i].image, 0, SEEK_END);
        workers[i].from = workers[i].size / cores * i;
        check(!pthread_create(&workers[i].thread, NULL, work, &workers[i]), "starting a thread");
    }
    for (unsigned i = 0; i < cores; i++) {
        pthread_join(workers[i].thread, NULL);
        close(workers[i].image);
        in += workers[i].in;
        out += workers[i].out;
        seconds += workers[i].seconds;
    }
    printf("%s %.4f %.4f\n", names[part], seconds * 1e9 / (double)in, (double)out / (double)in);
    free(workers);
}

int main(int count, char **words)
{
    if (count != 2)
        return 2;
    for (enum part part = READ; part < PARTS; part++)
        measure(part, words[1], (unsigned)sysconf(_SC_NPROCESSORS_ONLN));
    return 0;
}
