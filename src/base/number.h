/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Numbers and truth values as text, read strictly.
 */
#ifndef PADDOCK_BASE_NUMBER_H
#define PADDOCK_BASE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Reads an unsigned decimal integer: digits and nothing else, neither sign nor space. Leading zeros
 * are fine.
 *
 * @param[out] value @p min to @p max, both included; untouched on failure.
 * @return 0, or -1 when @p text is no number or outside the range.
 */
int number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *value);

/**
 * Reads `true` or `false`, in small letters.
 *
 * @param[out] value untouched on failure.
 * @return 0, or -1 for any other text.
 */
int boolean_parse(const char *text, bool *value);

#endif
