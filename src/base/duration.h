/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Durations as text: what people write on a command line, and what they read.
 */
#ifndef PADDOCK_BASE_DURATION_H
#define PADDOCK_BASE_DURATION_H

#include <stddef.h>
#include <stdint.h>

/** Room for everything that duration_format() writes. */
#define DURATION_TEXT_BYTES 32

/**
 * Reads digits, an optional decimal fraction and an optional unit: `ns`, `us`, `ms`, `s`, `m`, `h`
 * or `d`, in small or capital letters. Without a unit the number counts seconds. Examples: "5",
 * "100ms", "1.5h".
 *
 * The arithmetic is exact: a number that is no whole number of nanoseconds ("0.5ns") is refused,
 * not rounded. Signs, spaces, a fraction without digits on both sides and anything after the unit
 * are refused.
 *
 * @param[out] ns 0 to INT64_MAX; untouched on failure.
 * @return 0, or -1 when @p text is no duration or does not fit.
 */
int duration_parse(const char *text, int64_t *ns);

/**
 * Writes a duration for people: below a microsecond as "500 ns", below a second as milliseconds
 * with three decimals
 * ("0.123 ms"), from there as seconds with as many of three decimals as say something ("1.5 s").
 * What is finer is cut off.
 *
 * @param capacity bytes at @p text; a longer text is cut and terminated. 0 writes nothing.
 * @return the length of the whole text without its terminator, as snprintf does; less than
 * #DURATION_TEXT_BYTES.
 */
size_t duration_format(int64_t ns, char *text, size_t capacity);

#endif
