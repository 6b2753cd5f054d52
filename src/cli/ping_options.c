#include "cli/ping_options.h"

#include <stdio.h>
#include <string.h>

#include "base/duration.h"
#include "base/number.h"
#include "base/options.h"

#define EXPECTED_BYTES 64

static int set_amount(struct ping_run *run, const char *value, char *message, size_t capacity)
{
    char expected[EXPECTED_BYTES];
    uint64_t amount;
    if (number_parse(value, 1, PING_MAX_AMOUNT, &amount) != 0) {
        snprintf(expected, sizeof expected, "a number from 1 to %d", PING_MAX_AMOUNT);
        return options_refuse("amount", value, expected, message, capacity);
    }
    run->amount = (size_t)amount;
    return 0;
}

static int set_duration(int64_t *ns, int64_t least_ns, const char *name, const char *value,
                        char *message, size_t capacity)
{
    int64_t parsed_ns;
    if (duration_parse(value, &parsed_ns) != 0 || parsed_ns < least_ns ||
        parsed_ns > PING_MAX_INTERVAL_NS)
        return options_refuse(name, value,
                              least_ns > 0 ? "a duration above 0 up to one day, such as 500ms"
                                           : "a duration up to one day, such as 500ms",
                              message, capacity);
    *ns = parsed_ns;
    return 0;
}

int ping_option_apply(struct ping_run *run, const char *name, const char *value, char *message,
                      size_t capacity)
{
    if (strcmp(name, "amount") == 0)
        return set_amount(run, value, message, capacity);
    if (strcmp(name, "interval") == 0)
        return set_duration(&run->interval_ns, 0, name, value, message, capacity);
    if (strcmp(name, "timeout") == 0)
        return set_duration(&run->timeout_ns, 1, name, value, message, capacity);
    return 0;
}

int ping_option_family(enum qcmp_family *family, const char *name, char *message, size_t capacity)
{
    enum qcmp_family asked = strcmp(name, "ipv4") == 0 ? QCMP_FAMILY_IPV4 : QCMP_FAMILY_IPV6;
    if (*family != QCMP_FAMILY_ANY && *family != asked) {
        snprintf(message, capacity, "-4 and -6 exclude each other");
        return -1;
    }
    *family = asked;
    return 0;
}

int ping_option_format(bool *json, const char *value, char *message, size_t capacity)
{
    *json = strcmp(value, "json") == 0;
    if (*json || strcmp(value, "human") == 0)
        return 0;
    return options_refuse("format", value, "human or json", message, capacity);
}
