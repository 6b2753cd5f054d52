/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/relay_options.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include <qcmp/wire.h>

#include "base/quantity.h"
#include "base/text.h"
#include "net/address.h"
#include "net/target.h"

#define DAY_NS (INT64_C(86400) * 1000000000)

/* As fine as a fraction can be told. */
#define FRACTION_UNIT INT64_C(1000000000000000)

#define SHOWN_BYTES 200

/* An impairment is set for both directions, for the one, or for the other. */
#define SCOPES (1 + RELAY_DIRECTIONS)
enum {
    BOTH = RELAY_DIRECTIONS
};

/* What the line says, before the directions have what is meant for both. */
struct line {
    struct relay_arguments arguments;
    struct impair_settings scopes[SCOPES]; /* by direction; the last is for both */
    struct {
        bool delay_ns, jitter_ns, distribution, loss, duplicate, reorder, rate_bits;
    } given[SCOPES];
    const char *listen, *to; /* words of argv */
};

static int parse_text(const char *text, void *value)
{
    memcpy(value, &text, sizeof text);
    return 0;
}

int relay_rate_parse(const char *text, void *bits)
{
    static const struct quantity_unit units[] = {
        {"", 1}, {"k", 1000}, {"m", 1000000}, {"g", 1000000000}, {NULL, 0}};
    int64_t parsed;

    if (quantity_parse(text, units, &parsed) != 0 || parsed > IMPAIR_MAX_RATE_BITS)
        return -1;
    memcpy(bits, &parsed, sizeof parsed);
    return 0;
}

int relay_fraction_parse(const char *text, void *fraction)
{
    static const struct quantity_unit units[] = {{"", FRACTION_UNIT}, {NULL, 0}};
    int64_t parsed;

    if (quantity_parse(text, units, &parsed) != 0 || parsed > FRACTION_UNIT)
        return -1;
    double value = (double)parsed / (double)FRACTION_UNIT;
    memcpy(fraction, &value, sizeof value);
    return 0;
}

static const struct field_type text_type = {.parse = parse_text};
static const struct field_type rate_type = {
    .parse = relay_rate_parse, .expected = "a number of bits a second up to 1000G, such as 2.5M"};
static const struct field_type fraction_type = {.parse = relay_fraction_parse,
                                                .expected = "a fraction from 0 to 1, such as 0.01"};
static const char *const distributions[] = {
    [IMPAIR_UNIFORM] = "uniform", [IMPAIR_NORMAL] = "normal", [IMPAIR_PARETO] = "pareto", NULL};

#define SCOPE(flag_, scope_, member_, help_, default_, ...)                                        \
    {                                                                                              \
        .flag = (flag_), .help = (help_), .default_help = (default_),                              \
        FIELD_AT(struct line, scopes[scope_].member_),                                             \
        FIELD_GIVEN(struct line, given[scope_].member_), __VA_ARGS__                               \
    }
/* Three rows, which stand in this order. */
#define IMPAIRMENT(flag_, member_, help_, default_, ...)                                           \
    SCOPE(flag_, BOTH, member_, help_, default_, __VA_ARGS__),                                     \
        SCOPE("up-" flag_, RELAY_UP, member_, "the same, from clients to the server alone", NULL,  \
              __VA_ARGS__),                                                                        \
        SCOPE("down-" flag_, RELAY_DOWN, member_, "the same, from the server to clients alone",    \
              NULL, __VA_ARGS__)
#define DURATION                                                                                   \
    .placeholder = "DURATION", .kind = FIELD_DURATION, .max = IMPAIR_MAX_SET_NS,                   \
    .expected = "a duration of up to one hour, such as 20ms"
#define FRACTION .placeholder = "P", .kind = FIELD_CUSTOM, .type = &fraction_type

static const struct field fields[] = {
    {.flag = "listen",
     .placeholder = "ADDRESS",
     .help = "where clients send to: address:port; port 0: a free one",
     .kind = FIELD_CUSTOM,
     .type = &text_type,
     FIELD_AT(struct line, listen)},
    {.flag = "to",
     .placeholder = "ADDRESS",
     .help = "the server: address or name, and port if it is not 7600",
     .kind = FIELD_CUSTOM,
     .type = &text_type,
     FIELD_AT(struct line, to)},
    IMPAIRMENT("delay", delay_ns, "how long a datagram is held", "0", DURATION),
    IMPAIRMENT("jitter", jitter_ns, "how much the delay varies", "0", DURATION),
    IMPAIRMENT("distribution", distribution, "how it varies", "uniform",
               .placeholder = "uniform|normal|pareto", .kind = FIELD_WORD, .words = distributions),
    IMPAIRMENT("loss", loss, "fraction of datagrams that are lost", "0", FRACTION),
    IMPAIRMENT("duplicate", duplicate, "fraction that comes twice", "0", FRACTION),
    IMPAIRMENT("reorder", reorder, "fraction that skips the delay", "0", FRACTION),
    IMPAIRMENT("rate", rate_bits, "most bits a second, such as 2.5M; 0: any number", "0",
               .placeholder = "BITS", .kind = FIELD_CUSTOM, .type = &rate_type),
    {.flag = "seed",
     .placeholder = "N",
     .help = "of all choices: the same seed, the same choices",
     .default_help = "a random number",
     .kind = FIELD_NUMBER,
     .max = INT64_MAX,
     FIELD_AT(struct line, arguments.options.seed),
     FIELD_GIVEN(struct line, arguments.seed_given)},
    {.flag = "idle",
     .placeholder = "DURATION",
     .help = "after which a client that neither sends nor gets anything is forgotten",
     .default_text = "60s",
     .kind = FIELD_DURATION,
     .min = 1,
     .max = DAY_NS,
     FIELD_AT(struct line, arguments.options.idle_ns)},
    OPTION_FORMAT(struct line, arguments.json, "report", "how to print the counts at the end"),
    OPTION_MARK(struct line, arguments.help, "help", 'h', "print this help"),
    {0},
};

const struct command relay_command = {
    .name = "relay",
    .help_name = "relay",
    .about = "Usage: paddock relay --listen ADDRESS --to ADDRESS [OPTION...]\n"
             "\n"
             "Relays UDP between clients and a server as badly as a network can: late, in another\n"
             "order, twice or not at all. SIGINT or SIGTERM ends it; it prints what became of all\n"
             "datagrams.\n",
    .exit_status = "0 when it was told to stop, 2 for wrong usage, 255 if the system fails.",
    .fields = fields};

/* What is given for one direction overrides what is given for both. */
static void merge_directions(struct line *line)
{
    const char *both = (const char *)&line->scopes[BOTH];
    const char *both_given = (const char *)&line->given[BOTH];

    memset(line->arguments.options.settings, 0, sizeof line->arguments.options.settings);
    for (const struct field *field = fields; field->flag != NULL; field++) {
        size_t offset = field->offset - offsetof(struct line, scopes);
        size_t given = field->given - 1 - offsetof(struct line, given);
        if (field->given == 0 || offset / sizeof(struct impair_settings) != BOTH)
            continue;
        offset %= sizeof(struct impair_settings);
        given %= sizeof line->given[0];
        for (unsigned i = 0; i < RELAY_DIRECTIONS; i++) {
            bool is_own = ((const bool *)&line->given[i])[given];
            const char *from = is_own ? (const char *)&line->scopes[i] : both;
            if (is_own || both_given[given] != 0)
                memcpy((char *)&line->arguments.options.settings[i] + offset, from + offset,
                       field->bytes);
        }
    }
}

/* Returns what is wrong with an address, or NULL: it was resolved. */
static const char *resolve(const struct target *target, int flags, struct sockaddr_storage *address,
                           socklen_t *bytes)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV | flags};
    struct addrinfo *found;
    char port[8];

    snprintf(port, sizeof port, "%u", (unsigned)target->port);
    int error = getaddrinfo(target->host, port, &hints, &found);
    if (error != 0)
        return flags & AI_NUMERICHOST ? "not a numeric address" : gai_strerror(error);
    memset(address, 0, sizeof *address);
    memcpy(address, found->ai_addr, found->ai_addrlen);
    *bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return NULL;
}

static const char *listen_flaw(struct relay_options *options, const char *text)
{
    char copy[TARGET_HOST_BYTES + 8];
    struct target target;
    struct sockaddr_storage address;
    socklen_t bytes;
    size_t length = strlen(text);
    const char *colon = strchr(text, ':');
    bool has_port = text[0] == '[' || (colon != NULL && strchr(colon + 1, ':') == NULL);

    /* Port 0 is a mistake to target_parse(). */
    snprintf(copy, sizeof copy, "%s", text);
    if (has_port && length > 2 && length < sizeof copy && strcmp(text + length - 2, ":0") == 0)
        copy[length - 2] = '\0';
    enum target_error error = target_parse(copy, 0, &target);
    if (error != TARGET_OK)
        return target_error_text(error);
    const char *flaw = resolve(&target, AI_NUMERICHOST, &address, &bytes);
    if (flaw != NULL)
        return flaw;

    options->listen = address_from_socket(&address);
    options->listen_port = target.port;
    if (address_is_link_local(&options->listen))
        return "of a link-local address the interface is not known: listen on ::";
    return address_is_any(&options->listen) || address_is_unicast(&options->listen)
               ? NULL
               : "not an address that a host can have";
}

static const char *to_flaw(struct relay_options *options, const char *text)
{
    struct target target;
    enum target_error error = target_parse(text, QCMP_PORT, &target);

    if (error != TARGET_OK)
        return target_error_text(error);
    const char *flaw = resolve(&target, 0, &options->to, &options->to_bytes);
    if (flaw != NULL)
        return flaw;
    struct in6_addr address = address_from_socket(&options->to);
    return address_is_unicast(&address) ? NULL : "not an address of one host";
}

int relay_arguments_parse(struct relay_arguments *arguments, int argc, char *const *argv,
                          struct error *error)
{
    static const struct {
        const char *name;
        const char *(*flaw)(struct relay_options *options, const char *text);
    } addresses[] = {{"listen", listen_flaw}, {"to", to_flaw}};
    struct line line = {.arguments.options.max_clients = RELAY_MAX_CLIENTS};
    const struct field_table table = {fields, &line};
    struct flags_words words = {.items = NULL};
    char shown[SHOWN_BYTES];

    field_defaults(fields, &line);
    int result = flags_parse(&table, argc, argv, &words, error);
    if (result != 0)
        return result;
    merge_directions(&line);
    const char *const texts[] = {line.listen, line.to};
    for (size_t i = 0; i < 2 && !line.arguments.help; i++) {
        if (texts[i] == NULL)
            return error_set(error, -EINVAL, "option '--%s' is missing", addresses[i].name);
    }
    for (size_t i = 0; i < 2 && !line.arguments.help; i++) {
        const char *flaw = addresses[i].flaw(&line.arguments.options, texts[i]);
        text_escape(texts[i], shown, sizeof shown);
        if (flaw != NULL)
            return error_set(error, -EINVAL, "option '--%s': '%s': %s", addresses[i].name, shown,
                             flaw);
    }
    *arguments = line.arguments;
    return 0;
}
