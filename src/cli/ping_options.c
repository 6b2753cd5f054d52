#include "cli/ping_options.h"

#include <stdio.h>
#include <string.h>

#include "base/duration.h"
#include "base/number.h"

static int set_amount(struct ping_run *run, const char *value, char *message, size_t capacity)
{
    uint64_t amount;
    if (number_parse(value, 1, PING_MAX_AMOUNT, &amount) != 0) {
        snprintf(message, capacity, "option '--amount': '%s' is not a number from 1 to %d", value,
                 PING_MAX_AMOUNT);
        return -1;
    }
    run->amount = (size_t)amount;
    return 0;
}

static int set_duration(int64_t *ns, int64_t least_ns, const char *name, const char *value,
                        char *message, size_t capacity)
{
    int64_t parsed_ns;
    if (duration_parse(value, &parsed_ns) != 0 || parsed_ns < least_ns ||
        parsed_ns > PING_MAX_INTERVAL_NS) {
        snprintf(message, capacity,
                 "option '--%s': '%s' is not a duration%s up to one day, such as 500ms", name,
                 value, least_ns > 0 ? " above 0" : "");
        return -1;
    }
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
    snprintf(message, capacity, "option '--format': '%s' is neither human nor json", value);
    return -1;
}
