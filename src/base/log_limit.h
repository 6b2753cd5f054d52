/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Keeps a warning that comes again and again from filling the log: each distinct one is let through
 * once a second, and then says how many of it were not.
 */
#ifndef PADDOCK_BASE_LOG_LIMIT_H
#define PADDOCK_BASE_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_LIMIT_NS INT64_C(1000000000)

/** Distinct warnings that are remembered; one more takes the place of the one that was written
 * longest ago, and of how many of it were not. */
#define LOG_LIMIT_ENTRIES 64

/** Bytes of a warning's message that are remembered, with a terminator. */
#define LOG_LIMIT_TEXT_BYTES 96

/** A table of fixed size; zeroed it is empty. Not thread-safe. */
struct log_limit {
    struct log_limit_entry {
        uint64_t key; /**< of the warning, 0 = free */
        int64_t written_ns;
        uint64_t suppressed; /**< since then */
        char message[LOG_LIMIT_TEXT_BYTES];
    } entries[LOG_LIMIT_ENTRIES];
};

/**
 * Asks whether a warning may be written now.
 *
 * @param key what makes it distinct, such as a hash of its text.
 * @param message for log_limit_take(); NULL is empty.
 * @param now_ns any clock; one that is set back lets warnings through.
 * @param[out] suppressed how many of it were not since the last one; set if it may.
 * @return whether it may.
 */
bool log_limit_pass(struct log_limit *limit, uint64_t key, const char *message, int64_t now_ns,
                    uint64_t *suppressed);

/**
 * Takes one of those that were not let through and did not come again: their second is over.
 *
 * @param now_ns INT64_MAX: as if it were over for all.
 * @param[out] taken its message, and how many of it; untouched if there is none.
 * @return whether there was one.
 */
bool log_limit_take(struct log_limit *limit, int64_t now_ns, struct log_limit_entry *taken);

#endif
