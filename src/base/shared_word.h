/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A 64-bit word that several threads, or several CPUs in a BPF program, change at once. All
 * operations are relaxed: a word is the whole of what it says, and nothing else is handed over with
 * it. Freestanding; compiles for BPF, whose back end in clang 14 knows neither C11 atomics nor any
 * order but the full one of __sync.
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

static inline uint64_t shared_word_opaque(uint64_t value)
{
    __asm__ volatile("" : "+r"(value));
    return value;
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

/** The same value. For BPF the compiler does not know that, so that it leaves arithmetic as it is
 * and makes no branches of it, each of which the kernel's verifier would follow. */
static inline uint64_t shared_word_opaque(uint64_t value)
{
    return value;
}

#endif

#endif
