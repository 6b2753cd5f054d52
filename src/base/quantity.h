/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Numbers with a unit as text, read exactly: what durations, rates and fractions have in common.
 */
#ifndef PADDOCK_BASE_QUANTITY_H
#define PADDOCK_BASE_QUANTITY_H

#include <stdint.h>

/** The greatest size of a unit: a digit times it, and what a fraction adds, must fit. */
#define QUANTITY_MAX_UNIT (INT64_MAX / 10)

/** A unit. A row without a name ends a table; a name of "" is of a number without a unit. */
struct quantity_unit {
    const char *name; /**< matched in any capitals */
    int64_t size;     /**< 1 to #QUANTITY_MAX_UNIT */
};

/**
 * Reads digits, an optional decimal fraction and a unit of a table.
 *
 * The arithmetic is exact: what is no whole number (half of a unit of 1) is refused, not rounded.
 * Signs, spaces, a fraction without digits on both sides and anything after the unit are refused.
 *
 * @param[out] value 0 to INT64_MAX; untouched on failure.
 * @return 0, or -1 when @p text is no such quantity or does not fit.
 */
int quantity_parse(const char *text, const struct quantity_unit *units, int64_t *value);

#endif
