/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/siphash.h"
#include "support/random.h"

/* SipHash-c-d of any message as its authors describe it, byte by byte. */
struct naive {
    uint64_t v[4];
};

static uint64_t rotated(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static void naive_rounds(struct naive *s, int rounds)
{
    uint64_t *v = s->v;
    for (int i = 0; i < rounds; i++) {
        v[0] += v[1], v[1] = rotated(v[1], 13), v[1] ^= v[0], v[0] = rotated(v[0], 32);
        v[2] += v[3], v[3] = rotated(v[3], 16), v[3] ^= v[2];
        v[0] += v[3], v[3] = rotated(v[3], 21), v[3] ^= v[0];
        v[2] += v[1], v[1] = rotated(v[1], 17), v[1] ^= v[2], v[2] = rotated(v[2], 32);
    }
}

static uint64_t word_at(const uint8_t *bytes)
{
    uint64_t word = 0;
    for (int i = 7; i >= 0; i--)
        word = word << 8 | bytes[i];
    return word;
}

static uint64_t naive_siphash(int c, int d, const uint8_t key[16], const uint8_t *text, size_t size)
{
    struct naive s = {{word_at(key) ^ UINT64_C(0x736f6d6570736575),
                       word_at(key + 8) ^ UINT64_C(0x646f72616e646f6d),
                       word_at(key) ^ UINT64_C(0x6c7967656e657261),
                       word_at(key + 8) ^ UINT64_C(0x7465646279746573)}};
    for (size_t at = 0; at <= size; at += 8) {
        uint8_t block[8] = {0};
        size_t left = size - at;
        memcpy(block, text + at, left < 8 ? left : 8);
        if (left < 8)
            block[7] = (uint8_t)size;
        s.v[3] ^= word_at(block);
        naive_rounds(&s, c);
        s.v[0] ^= word_at(block);
    }
    s.v[2] ^= 0xff;
    naive_rounds(&s, d);
    return s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}

/* The vector of the paper's appendix, so that the test's own version is right. */
static void the_naive_version_agrees_with_the_paper(void **state)
{
    uint8_t key[16], text[15];
    (void)state;
    for (uint8_t i = 0; i < 16; i++)
        key[i] = i;
    for (uint8_t i = 0; i < 15; i++)
        text[i] = i;
    assert_true(naive_siphash(2, 4, key, text, sizeof text) == UINT64_C(0xa129ca6149be45e5));
}

static void seventeen_bytes_hash_as_the_naive_version_has_it(void **state)
{
    uint64_t seed = 1;
    (void)state;
    for (int i = 0; i < 10000; i++) {
        uint64_t random[5];
        uint8_t key[16], text[17];
        for (int j = 0; j < 5; j++)
            random[j] = random_next(&seed);
        for (int j = 0; j < 8; j++) {
            key[j] = (uint8_t)(random[0] >> 8 * j);
            key[8 + j] = (uint8_t)(random[1] >> 8 * j);
            text[j] = (uint8_t)(random[2] >> 8 * j);
            text[8 + j] = (uint8_t)(random[3] >> 8 * j);
        }
        text[16] = (uint8_t)random[4];
        struct siphash_key words = {{random[0], random[1]}};
        uint64_t hash = siphash_17(&words, random[2], random[3], text[16]);
        assert_true(hash == naive_siphash(1, 3, key, text, sizeof text));
    }
}

static void any_length_hashes_as_the_naive_version_has_it(void **state)
{
    uint64_t seed = 2;
    (void)state;
    for (size_t bytes = 0; bytes <= 64; bytes++) {
        struct siphash_key key = {{random_next(&seed), random_next(&seed)}};
        uint8_t key_bytes[16], text[64] = {0};
        for (int j = 0; j < 8; j++) {
            key_bytes[j] = (uint8_t)(key.words[0] >> 8 * j);
            key_bytes[8 + j] = (uint8_t)(key.words[1] >> 8 * j);
        }
        for (size_t j = 0; j < bytes; j++)
            text[j] = (uint8_t)random_next(&seed);
        assert_true(siphash(&key, text, bytes) == naive_siphash(1, 3, key_bytes, text, bytes));
    }
}

static void a_key_is_another_each_time(void **state)
{
    struct siphash_key first = {{0}}, second = {{0}};
    (void)state;
    assert_int_equal(siphash_key_init(&first), 0);
    assert_int_equal(siphash_key_init(&second), 0);
    assert_memory_not_equal(&first, &second, sizeof first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_naive_version_agrees_with_the_paper),
        cmocka_unit_test(seventeen_bytes_hash_as_the_naive_version_has_it),
        cmocka_unit_test(any_length_hashes_as_the_naive_version_has_it),
        cmocka_unit_test(a_key_is_another_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
