/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Regular expressions in the syntax of Rust's regex crate, over PCRE2. What costs more than a
 * bounded time is not accepted: no look-around, no back-references, no recursion; and a match has a
 * limit of steps.
 */
#ifndef PADDOCK_FILTERS_REGEX_H
#define PADDOCK_FILTERS_REGEX_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define REGEX_MAX_BYTES 1024

/** A compiled expression; read only, so that all workers share it. */
struct regex;

/** What a worker needs for a match. */
struct regex_memory;

/** Compiles an expression.
 * @param[out] regex untouched on failure; freed by regex_free().
 * @return 0; -EINVAL, with what is wrong and where in @p error; or -ENOMEM. */
int regex_new(struct regex **regex, const char *pattern, struct error *error);
void regex_free(struct regex *regex);

/** NULL without memory. */
struct regex_memory *regex_memory_new(const struct regex *regex);
void regex_memory_free(struct regex_memory *memory);

/** Looks for the expression.
 * @param[out] begin,end where the first match is; set where there is one.
 * @return 0: no match, or one that would take too long to find; 1; or 2, for several. */
unsigned regex_find(const struct regex *regex, struct regex_memory *memory, const uint8_t *data,
                    size_t bytes, size_t *begin, size_t *end);

#endif
