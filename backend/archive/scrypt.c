/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the time goes: 2^18 times (N = 2^17) 16 of Salsa20/8, each of which waits for the one
 * before.  So it counts that nothing stands between them: the words of each 64 bytes are kept in
 * the order of their diagonals, which makes a row of Salsa20 one vector, from the first step to the
 * last; the first loop writes a block where the next step reads it; the second one adds two blocks
 * while it mixes them, and asks for all of a block as soon as it knows which one it is.
 */
#include "scrypt.h"

#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mac.h"
#include "qubesfs/locked.h"

#define R          8u
#define BLOCK_SIZE (128u * R)
#define PIECES     (2u * R) /* of 64 bytes, in a block */
#define SHA256     32u
#define ASK_EVERY  1024u /* steps, of a microsecond each */
#define HUGE_PAGE  ((size_t)2 << 20)

/* four words that Salsa20 works on at a time; compilers make of it what the processor has */
typedef uint32_t row __attribute__((vector_size(16)));

struct piece {
    row a, b, c, d;
};

struct block {
    struct piece pieces[PIECES];
};

struct work {
    unsigned char bytes[BLOCK_SIZE]; /* before the loops and after them */
    struct block x, y;
};

struct scrypt {
    uint64_t n;
    size_t size;     /* of the mapping */
    void *mapping;   /* NULL: none */
    struct block *v; /* n of them, in the mapping */
    struct work *work;
};

/* One thread's own memory, indices below n: with the sanitizers' checks it takes twenty times as
 * long, and so do the tests. */
#define UNCHECKED __attribute__((no_sanitize("address", "thread", "undefined")))
#define INNER     static inline __attribute__((always_inline)) UNCHECKED

#define TURN_1(x) __builtin_shufflevector(x, x, 3, 0, 1, 2)
#define TURN_2(x) __builtin_shufflevector(x, x, 2, 3, 0, 1)
#define TURN_3(x) __builtin_shufflevector(x, x, 1, 2, 3, 0)

INNER void step(row *x, row a, row b, unsigned bits)
{
    row sum = a + b;

    *x ^= sum << bits;
    *x ^= sum >> (32 - bits);
}

INNER void double_round(struct piece *x)
{
    step(&x->b, x->a, x->d, 7);
    step(&x->c, x->b, x->a, 9);
    step(&x->d, x->c, x->b, 13);
    step(&x->a, x->d, x->c, 18);
    x->b = TURN_1(x->b);
    x->c = TURN_2(x->c);
    x->d = TURN_3(x->d);
    step(&x->d, x->a, x->b, 7);
    step(&x->c, x->d, x->a, 9);
    step(&x->b, x->c, x->d, 13);
    step(&x->a, x->b, x->c, 18);
    x->b = TURN_3(x->b);
    x->c = TURN_2(x->c);
    x->d = TURN_1(x->d);
}

INNER struct piece sum(struct piece x, struct piece y)
{
    return (struct piece){x.a ^ y.a, x.b ^ y.b, x.c ^ y.c, x.d ^ y.d};
}

/* Salsa20/8.  No loop: -O2 doesn't unroll it. */
INNER struct piece salsa(struct piece x)
{
    struct piece y = x;

    double_round(&y);
    double_round(&y);
    double_round(&y);
    double_round(&y);
    return (struct piece){x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d};
}

/* BlockMix of `from`, or of `from` and `other` (NULL: none) added. */
INNER void mix(struct block *restrict to, const struct block *restrict from,
               const struct block *restrict other)
{
#define PIECE(i) (other ? sum(from->pieces[i], other->pieces[i]) : from->pieces[i])
    struct piece x = PIECE(PIECES - 1);

    for (unsigned i = 0; i < R; i++) {
        to->pieces[i] = x = salsa(sum(x, PIECE(2 * i)));
        to->pieces[R + i] = x = salsa(sum(x, PIECE(2 * i + 1)));
    }
#undef PIECE
}

INNER bool asked_to_stop(const atomic_bool *cancelled, uint64_t at)
{
    return at % ASK_EVERY == 0 && cancelled &&
           atomic_load_explicit(cancelled, memory_order_relaxed);
}

/* ROMix of work->x. */
UNCHECKED static int mix_all(struct scrypt *scrypt, const atomic_bool *cancelled)
{
    struct block *x = &scrypt->work->x, *y = &scrypt->work->y, *swap, *v = scrypt->v;
    uint64_t n = scrypt->n;

    v[0] = *x;
    for (uint64_t i = 0; i < n - 1; i++) {
        if (asked_to_stop(cancelled, i))
            return -ECANCELED;
        mix(&v[i + 1], &v[i], NULL);
    }
    mix(x, &v[n - 1], NULL);
    for (uint64_t i = 0; i < n; i++) {
        /* the first word of the last 64 bytes stays the first one in any order */
        const struct block *other = &v[x->pieces[PIECES - 1].a[0] & (n - 1)];

        if (asked_to_stop(cancelled, i))
            return -ECANCELED;
        for (unsigned piece = 0; piece < PIECES; piece++)
            __builtin_prefetch(&other->pieces[piece]);
        mix(y, x, other);
        swap = x, x = y, y = swap;
    }
    /* n is even, so it is work->x again */
    return 0;
}

/* Word i of the vectors is word 5 * i (modulo 16) of the bytes. */
static size_t place(unsigned i)
{
    return i / 16 * 64 + i * 5 % 16 * 4;
}

static void load(struct block *block, const unsigned char *bytes)
{
    for (unsigned i = 0; i < BLOCK_SIZE / 4; i++) {
        uint32_t word;

        memcpy(&word, bytes + place(i), 4);
        word = le32toh(word);
        memcpy((unsigned char *)block + 4 * i, &word, 4);
    }
}

static void store(unsigned char *bytes, const struct block *block)
{
    for (unsigned i = 0; i < BLOCK_SIZE / 4; i++) {
        uint32_t word;

        memcpy(&word, (const unsigned char *)block + 4 * i, 4);
        word = htole32(word);
        memcpy(bytes + place(i), &word, 4);
    }
}

/* PBKDF2-HMAC-SHA256 with one round. */
static int stretch(const void *passphrase, size_t passphrase_length, const void *salt,
                   size_t salt_length, unsigned char *ret_bytes, size_t length)
{
    unsigned char digest[MAC_SIZE_MAX];
    struct mac *mac;
    int result = mac_new(MAC_SHA256, &mac);

    if (result < 0)
        return result;
    for (uint32_t number = 1; result == 0 && length > 0; number++) {
        uint32_t big_endian = htobe32(number);
        size_t piece = length < SHA256 ? length : SHA256;

        result = mac_begin(mac, passphrase, passphrase_length);
        if (result == 0)
            result = mac_update(mac, salt, salt_length);
        if (result == 0)
            result = mac_update(mac, &big_endian, sizeof(big_endian));
        if (result == 0)
            result = mac_end(mac, digest);
        if (result == 0)
            memcpy(ret_bytes, digest, piece);
        ret_bytes += piece;
        length -= piece;
    }
    explicit_bzero(digest, sizeof(digest));
    mac_free(mac);
    return result;
}

int scrypt_run(struct scrypt *scrypt, const void *passphrase, size_t passphrase_length,
               const void *salt, size_t salt_length, void *ret_key, size_t key_length,
               const atomic_bool *cancelled)
{
    struct work *work = scrypt->work;
    int result = stretch(passphrase, passphrase_length, salt, salt_length, work->bytes, BLOCK_SIZE);

    if (result < 0)
        return result;
    load(&work->x, work->bytes);
    result = mix_all(scrypt, cancelled);
    if (result < 0)
        return result;
    store(work->bytes, &work->x);
    return stretch(passphrase, passphrase_length, work->bytes, BLOCK_SIZE, ret_key, key_length);
}

/* Huge pages, as the second loop goes to a place of its own in each step. */
static int map(struct scrypt *scrypt)
{
    size_t length = scrypt->n * sizeof(struct block);
    uintptr_t address;

    scrypt->size = length + HUGE_PAGE;
    scrypt->mapping = mmap(NULL, scrypt->size, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (scrypt->mapping == MAP_FAILED) {
        scrypt->mapping = NULL;
        return -ENOMEM;
    }
    address = ((uintptr_t)scrypt->mapping + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    scrypt->v = (struct block *)address;
    madvise(scrypt->mapping, scrypt->size, MADV_HUGEPAGE); /* without them it only takes longer */
    if (madvise(scrypt->mapping, scrypt->size, MADV_DONTDUMP) ||
        madvise(scrypt->mapping, scrypt->size, MADV_DONTFORK))
        return -ENOMEM;
    mlock(scrypt->v, length); /* it needn't: see scrypt.h */
    return 0;
}

int scrypt_new(unsigned log2_n, struct scrypt **ret_scrypt)
{
    struct scrypt *scrypt;
    int result;

    if (log2_n < 1 || log2_n > SCRYPT_LOG2_N_MAX)
        return -EINVAL;
    scrypt = calloc(1, sizeof(*scrypt));
    if (!scrypt)
        return -ENOMEM;
    scrypt->n = (uint64_t)1 << log2_n;
    scrypt->work = locked_alloc(sizeof(*scrypt->work));
    result = scrypt->work ? map(scrypt) : -ENOMEM;
    if (result < 0) {
        scrypt_free(scrypt);
        return result;
    }
    *ret_scrypt = scrypt;
    return 0;
}

void scrypt_free(struct scrypt *scrypt)
{
    if (!scrypt)
        return;
    if (scrypt->mapping) {
        if (scrypt->v)
            explicit_bzero(scrypt->v, scrypt->n * sizeof(struct block));
        munmap(scrypt->mapping, scrypt->size);
    }
    locked_free(scrypt->work, sizeof(*scrypt->work));
    free(scrypt);
}

int scrypt_derive(const void *passphrase, size_t passphrase_length, const void *salt,
                  size_t salt_length, unsigned log2_n, void *ret_key, size_t key_length,
                  const atomic_bool *cancelled)
{
    struct scrypt *scrypt;
    int result = scrypt_new(log2_n, &scrypt);

    if (result < 0)
        return result;
    result = scrypt_run(scrypt, passphrase, passphrase_length, salt, salt_length, ret_key,
                        key_length, cancelled);
    scrypt_free(scrypt);
    return result;
}
