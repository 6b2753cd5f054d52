/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * SipHash-1-3 (Aumasson and Bernstein): a keyed hash, so that somebody who does not know the key
 * cannot choose inputs that collide. The variant with fewer rounds is the one for hash tables whose
 * results nobody sees. Freestanding but for siphash_key_init(); compiles for BPF.
 */
#ifndef PADDOCK_BASE_SIPHASH_H
#define PADDOCK_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/** 128 random bits: the first eight bytes of the key as a little-endian number, then the others. */
struct siphash_key {
    uint64_t words[2];
};

/** A random key. @return 0 or a negative errno value. */
int siphash_key_init(struct siphash_key *key);

/** The four words between the rounds. */
struct siphash_state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t siphash_rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static inline void siphash_round(struct siphash_state *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = siphash_rotate(s->v1, 13) ^ s->v0;
    s->v3 = siphash_rotate(s->v3, 16) ^ s->v2;
    s->v0 = siphash_rotate(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = siphash_rotate(s->v1, 17) ^ s->v2;
    s->v3 = siphash_rotate(s->v3, 21) ^ s->v0;
    s->v2 = siphash_rotate(s->v2, 32);
}

static inline void siphash_block(struct siphash_state *s, uint64_t block)
{
    s->v3 ^= block;
    siphash_round(s);
    s->v0 ^= block;
}

static inline struct siphash_state siphash_start(const struct siphash_key *key)
{
    return (struct siphash_state){.v0 = key->words[0] ^ UINT64_C(0x736f6d6570736575),
                                  .v1 = key->words[1] ^ UINT64_C(0x646f72616e646f6d),
                                  .v2 = key->words[0] ^ UINT64_C(0x6c7967656e657261),
                                  .v3 = key->words[1] ^ UINT64_C(0x7465646279746573)};
}

static inline uint64_t siphash_finish(struct siphash_state *s)
{
    s->v2 ^= 0xff;
    siphash_round(s);
    siphash_round(s);
    siphash_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/** The hash of 17 bytes: two words in little-endian order, and a last byte. */
static inline uint64_t siphash_17(const struct siphash_key *key, uint64_t first, uint64_t second,
                                  uint8_t last)
{
    struct siphash_state s = siphash_start(key);
    siphash_block(&s, first);
    siphash_block(&s, second);
    siphash_block(&s, UINT64_C(17) << 56 | last);
    return siphash_finish(&s);
}

/** A little-endian number of eight bytes; compilers make one load of it. */
static inline uint64_t siphash_word(const uint8_t *data)
{
    return (uint64_t)data[0] | (uint64_t)data[1] << 8 | (uint64_t)data[2] << 16 |
           (uint64_t)data[3] << 24 | (uint64_t)data[4] << 32 | (uint64_t)data[5] << 40 |
           (uint64_t)data[6] << 48 | (uint64_t)data[7] << 56;
}

/** The hash of any bytes. */
static inline uint64_t siphash(const struct siphash_key *key, const uint8_t *data, size_t bytes)
{
    struct siphash_state s = siphash_start(key);
    uint64_t last = (uint64_t)bytes << 56;
    size_t i = 0;
    for (; i + 8 <= bytes; i += 8)
        siphash_block(&s, siphash_word(data + i));
    for (; i < bytes; i++)
        last |= (uint64_t)data[i] << 8 * (i % 8);
    siphash_block(&s, last);
    return siphash_finish(&s);
}

#endif
