/* SPDX-License-Identifier: Apache-2.0 */
#include "qcmp/settings.h"

#include "config/types.h"

#define SECOND_NS INT64_C(1000000000)

#define AT(member) FIELD_AT(struct qcmp_settings, member)

/* The last rule beside the one before it. */
static int check_rules(const void *items, size_t count)
{
    const struct guard_rule *last = (const struct guard_rule *)items + count - 1;

    if (last->burst > (uint64_t)last->rate * GUARD_MAX_FILL_SECONDS)
        return -1;
    return count == 1 || last->prefix < last[-1].prefix ? 0 : -1;
}

#define RULE_ROWS(bits)                                                                            \
    {                                                                                              \
        {.key = "prefix",                                                                          \
         .kind = FIELD_NUMBER,                                                                     \
         .min = 1,                                                                                 \
         .max = (bits),                                                                            \
         .flags = FIELD_REQUIRED,                                                                  \
         FIELD_AT(struct guard_rule, prefix)},                                                     \
            {.key = "rate",                                                                        \
             .kind = FIELD_NUMBER,                                                                 \
             .min = 1,                                                                             \
             .max = GUARD_MAX_RATE,                                                                \
             .flags = FIELD_REQUIRED,                                                              \
             FIELD_AT(struct guard_rule, rate)},                                                   \
            {.key = "burst",                                                                       \
             .kind = FIELD_NUMBER,                                                                 \
             .min = 1,                                                                             \
             .max = (int64_t)GUARD_MAX_BURST,                                                      \
             .flags = FIELD_REQUIRED,                                                              \
             FIELD_AT(struct guard_rule, burst)},                                                  \
            {0},                                                                                   \
    }

static const struct field ipv4_rule[] = RULE_ROWS(32);
static const struct field ipv6_rule[] = RULE_ROWS(128);

#define RULES(key_, help_, member, rows)                                                           \
    {                                                                                              \
        .key = (key_), .help = (help_), .kind = FIELD_ARRAY, .flags = FIELD_UNIQUE, .min = 1,      \
        .max = GUARD_LEVELS, .expected = "a list of 1 to 4 maps", .members = (rows),               \
        .item_bytes = sizeof(struct guard_rule), AT(member.items),                                 \
        .count_offset = offsetof(struct qcmp_settings, member.count), .check_items = check_rules,  \
        .check_expected =                                                                          \
            "a burst of at most 60 times the rate, and a shorter prefix than in the "              \
            "item before"                                                                          \
    }

#define PREFIXES(key_, help_, member)                                                              \
    {                                                                                              \
        .key = (key_), .help = (help_), .kind = FIELD_LIST, .flags = FIELD_PRIVATE,                \
        .max = QCMP_MAX_PREFIXES, .expected = "a list of at most 131072 prefixes",                 \
        .members = prefix_row, .item_bytes = sizeof(struct prefix), AT(member)                     \
    }

#define PORT_ROW                                                                                   \
    {                                                                                              \
        .key = "qcmp_port", .flag = "service.qcmp.port", .variable = "QUILKIN_SERVICE_QCMP_PORT",  \
        .help = "the UDP port for QCMP; 0 takes a free one", .default_text = "7600", TYPES_PORT,   \
        AT(port)                                                                                   \
    }

/* Also what a provider's file has. */
static const struct field provided[] = {PORT_ROW, {0}};

static const struct field fields[] = {
    {.flag = "service.qcmp",
     .variable = "QUILKIN_SERVICE_QCMP",
     .help = "answer QCMP pings",
     .flags = FIELD_SERVICE,
     AT(enabled)},
    PORT_ROW,
    {.key = "paddock.qcmp.listen",
     .help = "the addresses to bind",
     TYPES_LISTEN(struct qcmp_settings, listen)},
    {.key = "paddock.qcmp.receive_buffer",
     .flag = "service.qcmp.receive-buffer",
     .help = "what a socket holds, as time at a worker's full rate",
     .placeholder = "DURATION",
     TYPES_RECEIVE_BUFFER,
     AT(receive_buffer_ns)},
    {.key = "paddock.qcmp.max_age",
     .help = "a ping that waited longer is dropped; 0 is never",
     .kind = FIELD_DURATION,
     .max = SECOND_NS * 86400 * 365,
     AT(max_age_ns)},
    PREFIXES("paddock.qcmp.access.allow",
             "prefixes that may ask; where there are some, others may not", allow),
    PREFIXES("paddock.qcmp.access.deny",
             "prefixes that may not ask; the longest match of both lists decides, then deny", deny),
    {.key = "paddock.qcmp.guard.enabled",
     .flag = "service.qcmp.guard",
     .variable = "QUILKIN_SERVICE_QCMP_GUARD",
     .help = "limit the answers to each source",
     .default_text = "true",
     AT(guard_enabled)},
    {.key = "paddock.qcmp.guard.loopback",
     .help = "whether loopback sources are limited, too",
     AT(guard.loopback)},
    {.key = "paddock.qcmp.guard.replies_per_second",
     .help = "of the whole process, in any second; half of them are for sources that have been "
             "seen for a second",
     .kind = FIELD_NUMBER,
     .min = 1,
     .max = GUARD_MAX_REPLIES,
     AT(guard.replies_per_second)},
    RULES("paddock.qcmp.guard.ipv4",
          "answers a second (rate) and at once (burst) for each prefix of that many bits",
          guard.ipv4, ipv4_rule),
    RULES("paddock.qcmp.guard.ipv6", "as ipv4, for IPv6", guard.ipv6, ipv6_rule),
    {.key = "paddock.qcmp.guard.leak",
     .help = "one refused ping in so many is answered all the same; 0: none",
     .kind = FIELD_NUMBER,
     .max = GUARD_MAX_LEAK,
     AT(guard.leak)},
    {0},
};

static void defaults(void *settings, const struct config_environment *environment)
{
    struct qcmp_settings *qcmp = settings;

    (void)environment;
    qcmp->listen_count = 1; /* :: */
    qcmp->guard = guard_default_rules;
}

const struct config_section qcmp_section = {.name = "qcmp",
                                            .fields = fields,
                                            .bytes = sizeof(struct qcmp_settings),
                                            .defaults = defaults,
                                            .provided = provided};
