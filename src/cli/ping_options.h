/** @file
 * The options that `paddock ping`, `paddock qcmp ping` and `paddock load` have in common.
 */
#ifndef PADDOCK_CLI_PING_OPTIONS_H
#define PADDOCK_CLI_PING_OPTIONS_H

#include "base/options.h"
#include "cli/ping.h"

#define PING_MAX_INTERVAL_NS (INT64_C(86400) * 1000000000)

#define PING_OPTION_AMOUNT                                                                         \
    {                                                                                              \
        .name = "amount", .letter = 'a', .kind = OPTION_VALUE, .placeholder = "N",                 \
        .help = "pings to each target", .default_text = "5"                                        \
    }
/* What happens without it is not the same. */
#define PING_OPTION_INTERVAL(help_, default_)                                                      \
    {                                                                                              \
        .name = "interval", .letter = 'i', .kind = OPTION_VALUE, .placeholder = "DURATION",        \
        .help = (help_), .default_text = (default_)                                                \
    }
#define PING_OPTION_TIMEOUT                                                                        \
    {                                                                                              \
        .name = "timeout", .letter = 't', .kind = OPTION_VALUE, .placeholder = "DURATION",         \
        .help = "how long to wait for an answer", .default_text = "1s"                             \
    }
#define PING_OPTION_IPV4                                                                           \
    {                                                                                              \
        .name = "ipv4", .letter = '4', .kind = OPTION_FLAG, .help = "IPv4 addresses only"          \
    }
#define PING_OPTION_IPV6                                                                           \
    {                                                                                              \
        .name = "ipv6", .letter = '6', .kind = OPTION_FLAG, .help = "IPv6 addresses only"          \
    }
#define PING_OPTION_FORMAT                                                                         \
    {                                                                                              \
        .name = "format", .kind = OPTION_VALUE, .placeholder = "human|json",                       \
        .help = "how to print the results", .default_text = "human"                                \
    }
#define PING_OPTION_HELP                                                                           \
    {                                                                                              \
        .name = "help", .letter = 'h', .kind = OPTION_FLAG, .help = "print this help"              \
    }

/** Sets the amount, interval or timeout of a run, if @p name is one of these.
 * @param[out] message set to one line when the value is not valid.
 * @return 0, or -1 with @p message set. */
int ping_option_apply(struct ping_run *run, const char *name, const char *value, char *message,
                      size_t capacity);

/** Takes -4 or -6.
 * @param[in,out] family QCMP_FAMILY_ANY at first.
 * @return 0, or -1 with @p message set when the other one was there. */
int ping_option_family(enum qcmp_family *family, const char *name, char *message, size_t capacity);

/** Takes the value of --format.
 * @return 0, or -1 with @p message set. */
int ping_option_format(bool *json, const char *value, char *message, size_t capacity);

#endif
