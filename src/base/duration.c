#include "base/duration.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

static const char digits[] = "0123456789";

/* 0 for what is no unit. */
static int64_t unit_ns(const char *suffix)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {
        {"", NS_PER_S},         {"ns", 1},
        {"us", NS_PER_US},      {"ms", NS_PER_MS},
        {"s", NS_PER_S},        {"m", 60 * NS_PER_S},
        {"h", 3600 * NS_PER_S}, {"d", 86400 * NS_PER_S},
    };

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcasecmp(suffix, units[i].name) == 0)
            return units[i].ns;
    }
    return 0;
}

static int parse_whole(const char *text, size_t length, int64_t unit, int64_t *ns)
{
    int64_t value = 0;

    for (size_t i = 0; i < length; i++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, text[i] - '0', &value))
            return -1;
    }
    return __builtin_mul_overflow(value, unit, ns) ? -1 : 0;
}

/* From the last digit to the first, so that each step divides by ten and a remainder, wherever it
   appears, means that the whole is no multiple of a nanosecond. The sum stays below ten units, and
   needs no wider type however many digits there are. */
static int parse_fraction(const char *text, size_t length, int64_t unit, int64_t *ns)
{
    int64_t value = 0;

    for (size_t i = length; i-- > 0;) {
        value += (text[i] - '0') * unit;
        if (value % 10 != 0)
            return -1;
        value /= 10;
    }
    *ns = value;
    return 0;
}

int duration_parse(const char *text, int64_t *ns)
{
    size_t whole_length = strspn(text, digits);
    const char *fraction = text + whole_length;
    size_t fraction_length = 0;
    int64_t whole_ns = 0;
    int64_t fraction_ns = 0;

    if (whole_length == 0)
        return -1;
    if (*fraction == '.') {
        fraction++;
        fraction_length = strspn(fraction, digits);
        if (fraction_length == 0)
            return -1;
    }
    int64_t unit = unit_ns(fraction + fraction_length);
    if (unit == 0 || parse_whole(text, whole_length, unit, &whole_ns) < 0 ||
        parse_fraction(fraction, fraction_length, unit, &fraction_ns) < 0)
        return -1;
    if (__builtin_add_overflow(whole_ns, fraction_ns, &whole_ns))
        return -1;
    *ns = whole_ns;
    return 0;
}

/* Thousandths of a number, without the zeros at their end. */
static int print_seconds(char *text, size_t capacity, const char *sign, uint64_t thousandths)
{
    uint64_t fraction = thousandths % 1000;
    int decimals = 3;

    while (decimals > 0 && fraction % 10 == 0) {
        fraction /= 10;
        decimals--;
    }
    if (decimals == 0)
        return snprintf(text, capacity, "%s%" PRIu64 " s", sign, thousandths / 1000);
    return snprintf(text, capacity, "%s%" PRIu64 ".%0*" PRIu64 " s", sign, thousandths / 1000,
                    decimals, fraction);
}

size_t duration_format(int64_t ns, char *text, size_t capacity)
{
    const char *sign = ns < 0 ? "-" : "";
    uint64_t size = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    int length;

    if (size < NS_PER_US)
        length = snprintf(text, capacity, "%s%" PRIu64 " ns", sign, size);
    else if (size < NS_PER_S)
        length = snprintf(text, capacity, "%s%" PRIu64 ".%03" PRIu64 " ms", sign, size / NS_PER_MS,
                          size / NS_PER_US % 1000);
    else
        length = print_seconds(text, capacity, sign, size / NS_PER_MS);
    return (size_t)length;
}
