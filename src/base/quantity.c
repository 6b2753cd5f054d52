/* SPDX-License-Identifier: Apache-2.0 */
#include "base/quantity.h"

#include <string.h>
#include <strings.h>

static const char digits[] = "0123456789";

/* 0 for what is no unit. */
static int64_t size_of_unit(const struct quantity_unit *units, const char *suffix)
{
    for (; units->name != NULL; units++) {
        if (strcasecmp(suffix, units->name) == 0)
            return units->size;
    }
    return 0;
}

static int parse_whole(const char *text, size_t length, int64_t unit, int64_t *result)
{
    int64_t value = 0;

    for (size_t i = 0; i < length; i++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, text[i] - '0', &value))
            return -1;
    }
    return __builtin_mul_overflow(value, unit, result) ? -1 : 0;
}

/* From the last digit to the first, so that each step divides by ten and a remainder, wherever it
 * appears, means that the value is no whole number. The sum stays below ten units, and needs no
 * wider type however many digits there are. */
static int parse_fraction(const char *text, size_t length, int64_t unit, int64_t *result)
{
    int64_t value = 0;

    for (size_t i = length; i-- > 0;) {
        value += (text[i] - '0') * unit;
        if (value % 10 != 0)
            return -1;
        value /= 10;
    }
    *result = value;
    return 0;
}

int quantity_parse(const char *text, const struct quantity_unit *units, int64_t *value)
{
    size_t whole_length = strspn(text, digits);
    const char *fraction = text + whole_length;
    size_t fraction_length = 0;
    int64_t whole_part = 0;
    int64_t fraction_part = 0;

    if (whole_length == 0)
        return -1;
    if (*fraction == '.') {
        fraction++;
        fraction_length = strspn(fraction, digits);
        if (fraction_length == 0)
            return -1;
    }
    int64_t unit = size_of_unit(units, fraction + fraction_length);
    if (unit == 0 || parse_whole(text, whole_length, unit, &whole_part) < 0 ||
        parse_fraction(fraction, fraction_length, unit, &fraction_part) < 0)
        return -1;
    if (__builtin_add_overflow(whole_part, fraction_part, &whole_part))
        return -1;
    *value = whole_part;
    return 0;
}
