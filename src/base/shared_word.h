/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A 64-bit word that several threads, or several CPUs in a BPF program, change at once. Operations
 * are relaxed: a word is the whole of what it says, and nothing else is handed over with it. Those
 * that are called ordered hand over: what was done before a word was replaced is seen by who loads
 * that. Freestanding; compiles for BPF, whose back end in clang 14 knows neither C11 atomics nor
 * any order but the full one of __sync.
 */
#ifndef PADDOCK_BASE_SHARED_WORD_H
#define PADDOCK_BASE_SHARED_WORD_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __bpf__

static inline uint64_t shared_word_load(const uint64_t *word)
{
    return *(const volatile uint64_t *)word;
}

static inline bool shared_word_replace(uint64_t *word, uint64_t before, uint64_t after)
{
    return __sync_val_compare_and_swap(word, before, after) == before;
}

static inline uint64_t shared_word_load_ordered(uint64_t *word)
{
    return __sync_fetch_and_add(word, 0);
}

static inline bool shared_word_replace_ordered(uint64_t *word, uint64_t before, uint64_t after)
{
    return shared_word_replace(word, before, after);
}

static inline uint64_t shared_word_exchange(uint64_t *word, uint64_t after)
{
    return __sync_lock_test_and_set(word, after);
}

static inline uint64_t shared_word_opaque(uint64_t value)
{
    __asm__ volatile("" : "+r"(value));
    return value;
}

/** A number of 16 bits for an index: the verifier of Linux 6.1 does not see that swapped bytes are
 * below 65536. */
static inline uint64_t shared_word_16(uint16_t value)
{
    return shared_word_opaque(value) & 0xffff;
}

#else

/** Reads a word. */
static inline uint64_t shared_word_load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/** Writes @p after if the word is still @p before. @return whether it was. */
static inline bool shared_word_replace(uint64_t *word, uint64_t before, uint64_t after)
{
    return __atomic_compare_exchange_n(word, &before, after, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

static inline uint64_t shared_word_load_ordered(uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline bool shared_word_replace_ordered(uint64_t *word, uint64_t before, uint64_t after)
{
    return __atomic_compare_exchange_n(word, &before, after, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

/** Writes a word; ordered. @return what it was. */
static inline uint64_t shared_word_exchange(uint64_t *word, uint64_t after)
{
    return __atomic_exchange_n(word, after, __ATOMIC_ACQ_REL);
}

/** The same value. For BPF the compiler does not know that, so that it leaves arithmetic as it is
 * and makes no branches of it, each of which the kernel's verifier would follow. */
static inline uint64_t shared_word_opaque(uint64_t value)
{
    return value;
}

#endif

#endif
