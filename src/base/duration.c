/* SPDX-License-Identifier: Apache-2.0 */
#include "base/duration.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/quantity.h"

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

int duration_parse(const char *text, int64_t *ns)
{
    static const struct quantity_unit units[] = {
        {"", NS_PER_S},
        {"ns", 1},
        {"us", NS_PER_US},
        {"ms", NS_PER_MS},
        {"s", NS_PER_S},
        {"m", 60 * NS_PER_S},
        {"h", 3600 * NS_PER_S},
        {"d", 86400 * NS_PER_S},
        {NULL, 0},
    };

    return quantity_parse(text, units, ns);
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
