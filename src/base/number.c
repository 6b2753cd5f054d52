/* SPDX-License-Identifier: Apache-2.0 */
#include "base/number.h"

#include <string.h>

int number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
    uint64_t number = 0;

    if (*text == '\0')
        return -1;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*text - '0'), &number))
            return -1;
    }
    if (number < min || number > max)
        return -1;
    *value = number;
    return 0;
}

int boolean_parse(const char *text, bool *value)
{
    bool is_true = strcmp(text, "true") == 0;

    if (!is_true && strcmp(text, "false") != 0)
        return -1;
    *value = is_true;
    return 0;
}
