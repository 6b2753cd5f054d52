#include "cli/relay_options.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include <qcmp/wire.h>

#include "base/duration.h"
#include "base/number.h"
#include "base/quantity.h"
#include "base/text.h"
#include "net/address.h"
#include "net/target.h"

#define DAY_NS (INT64_C(86400) * 1000000000)
#define DEFAULT_IDLE_NS (INT64_C(60) * 1000000000)

/* As fine as a fraction can be told. */
#define FRACTION_UNIT INT64_C(1000000000000000)

#define SHOWN_BYTES 200

/* An impairment is set for both directions, for one, or for the other. */
enum scope {
    SCOPE_BOTH,
    SCOPE_UP,
    SCOPE_DOWN
};
#define SCOPES 3

enum impairment {
    DELAY,
    JITTER,
    DISTRIBUTION,
    LOSS,
    DUPLICATE,
    REORDER,
    RATE
};
#define IMPAIRMENTS 7

/* The last value of each option. */
struct given {
    const char *impairments[IMPAIRMENTS][SCOPES];
    const char *listen, *to;
};

struct impairment_option {
    enum impairment impairment;
    enum scope scope;
};

#define IMPAIRMENT(name_, impairment_, placeholder_, help_, default_)                              \
    {.name = (name_),                                                                              \
     .kind = OPTION_VALUE,                                                                         \
     .placeholder = (placeholder_),                                                                \
     .help = (help_),                                                                              \
     .default_text = (default_),                                                                   \
     .user = &(const struct impairment_option){(impairment_), SCOPE_BOTH}},                        \
        {.name = "up-" name_,                                                                      \
         .kind = OPTION_VALUE,                                                                     \
         .placeholder = (placeholder_),                                                            \
         .help = "the same, from clients to the server alone",                                     \
         .user = &(const struct impairment_option){(impairment_), SCOPE_UP}},                      \
    {                                                                                              \
        .name = "down-" name_, .kind = OPTION_VALUE, .placeholder = (placeholder_),                \
        .help = "the same, from the server to clients alone",                                      \
        .user = &(const struct impairment_option)                                                  \
        {                                                                                          \
            (impairment_), SCOPE_DOWN                                                              \
        }                                                                                          \
    }

const struct option_spec relay_option_specs[] = {
    {.name = "listen",
     .kind = OPTION_VALUE,
     .placeholder = "ADDRESS",
     .help = "where clients send to: address:port; port 0: a free one"},
    {.name = "to",
     .kind = OPTION_VALUE,
     .placeholder = "ADDRESS",
     .help = "the server: address or name, and port if it is not 7600"},
    IMPAIRMENT("delay", DELAY, "DURATION", "how long a datagram is held", "0"),
    IMPAIRMENT("jitter", JITTER, "DURATION", "how much the delay varies", "0"),
    IMPAIRMENT("distribution", DISTRIBUTION, "uniform|normal|pareto", "how it varies", "uniform"),
    IMPAIRMENT("loss", LOSS, "P", "fraction of datagrams that are lost", "0"),
    IMPAIRMENT("duplicate", DUPLICATE, "P", "fraction that comes twice", "0"),
    IMPAIRMENT("reorder", REORDER, "P", "fraction that skips the delay", "0"),
    IMPAIRMENT("rate", RATE, "BITS", "most bits a second, such as 2.5M; 0: any number", "0"),
    {.name = "seed",
     .kind = OPTION_VALUE,
     .placeholder = "N",
     .help = "of all choices: the same seed, the same choices",
     .default_text = "a random number"},
    {.name = "idle",
     .kind = OPTION_VALUE,
     .placeholder = "DURATION",
     .help = "after which a client that neither sends nor gets anything is forgotten",
     .default_text = "60s"},
    {.name = "report",
     .kind = OPTION_VALUE,
     .placeholder = "human|json",
     .help = "how to print the counts at the end",
     .default_text = "human"},
    {.name = "help", .letter = 'h', .kind = OPTION_FLAG, .help = "print this help"},
    {.name = NULL},
};

int relay_rate_parse(const char *text, int64_t *bits)
{
    static const struct quantity_unit units[] = {
        {"", 1}, {"k", 1000}, {"m", 1000000}, {"g", 1000000000}, {NULL, 0}};
    int64_t parsed;
    if (quantity_parse(text, units, &parsed) != 0 || parsed > IMPAIR_MAX_RATE_BITS)
        return -1;
    *bits = parsed;
    return 0;
}

int relay_fraction_parse(const char *text, double *fraction)
{
    static const struct quantity_unit units[] = {{"", FRACTION_UNIT}, {NULL, 0}};
    int64_t parsed;
    if (quantity_parse(text, units, &parsed) != 0 || parsed > FRACTION_UNIT)
        return -1;
    *fraction = (double)parsed / (double)FRACTION_UNIT;
    return 0;
}

static int duration_in_range(const char *text, int64_t least_ns, int64_t most_ns, int64_t *ns)
{
    int64_t parsed_ns;
    if (duration_parse(text, &parsed_ns) != 0 || parsed_ns < least_ns || parsed_ns > most_ns)
        return -1;
    *ns = parsed_ns;
    return 0;
}

static int distribution_parse(const char *text, enum impair_distribution *distribution)
{
    static const char *const names[] = {
        [IMPAIR_UNIFORM] = "uniform", [IMPAIR_NORMAL] = "normal", [IMPAIR_PARETO] = "pareto"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *distribution = (enum impair_distribution)i;
            return 0;
        }
    }
    return -1;
}

static int impairment_apply(struct impair_settings *settings, enum impairment impairment,
                            const char *text)
{
    switch (impairment) {
    case DELAY:
        return duration_in_range(text, 0, IMPAIR_MAX_SET_NS, &settings->delay_ns);
    case JITTER:
        return duration_in_range(text, 0, IMPAIR_MAX_SET_NS, &settings->jitter_ns);
    case DISTRIBUTION:
        return distribution_parse(text, &settings->distribution);
    case LOSS:
        return relay_fraction_parse(text, &settings->loss);
    case DUPLICATE:
        return relay_fraction_parse(text, &settings->duplicate);
    case REORDER:
        return relay_fraction_parse(text, &settings->reorder);
    case RATE:
        return relay_rate_parse(text, &settings->rate_bits);
    }
    return -1;
}

static const char *impairment_expected(enum impairment impairment)
{
    switch (impairment) {
    case DELAY:
    case JITTER:
        return "a duration of up to one hour, such as 20ms";
    case DISTRIBUTION:
        return "uniform, normal or pareto";
    case LOSS:
    case DUPLICATE:
    case REORDER:
        return "a fraction from 0 to 1, such as 0.01";
    case RATE:
        return "a number of bits a second up to 1000G, such as 2.5M";
    }
    return "";
}

/* Says what was expected of an option; returns -1. */
static int refuse(char *message, size_t capacity, const struct options *options,
                  const char *expected)
{
    return options_refuse(options->spec->name, options->value, expected, message, capacity);
}

/* Each value is tried on settings that nobody uses, so that the error names the option it came by.
 */
static int take_impairment(struct given *given, const struct options *options, char *message,
                           size_t capacity)
{
    const struct impairment_option *option = options->spec->user;
    struct impair_settings unused = {0};
    if (impairment_apply(&unused, option->impairment, options->value) != 0)
        return refuse(message, capacity, options, impairment_expected(option->impairment));
    given->impairments[option->impairment][option->scope] = options->value;
    return 0;
}

static int take_seed(struct relay_arguments *arguments, const struct options *options,
                     char *message, size_t capacity)
{
    if (number_parse(options->value, 0, INT64_MAX, &arguments->options.seed) != 0)
        return refuse(message, capacity, options, "a number from 0 to 9223372036854775807");
    arguments->seed_given = true;
    return 0;
}

static int take_option(struct relay_arguments *arguments, struct given *given,
                       const struct options *options, char *message, size_t capacity)
{
    const char *name = options->spec->name, *value = options->value;
    if (options->spec->user != NULL)
        return take_impairment(given, options, message, capacity);
    if (strcmp(name, "help") == 0)
        arguments->help = true;
    if (strcmp(name, "listen") == 0)
        given->listen = value;
    if (strcmp(name, "to") == 0)
        given->to = value;
    if (strcmp(name, "seed") == 0)
        return take_seed(arguments, options, message, capacity);
    if (strcmp(name, "idle") == 0 &&
        duration_in_range(value, 1, DAY_NS, &arguments->options.idle_ns) != 0)
        return refuse(message, capacity, options,
                      "a duration above 0 and up to one day, such as 60s");
    if (strcmp(name, "report") == 0) {
        arguments->json = strcmp(value, "json") == 0;
        if (!arguments->json && strcmp(value, "human") != 0)
            return refuse(message, capacity, options, "human or json");
    }
    return 0;
}

/* Returns 0, or -1 with a message that names the option. */
static int address_error(const char *option, const char *text, const char *error, char *message,
                         size_t capacity)
{
    char shown[SHOWN_BYTES];
    text_escape(text, shown, sizeof shown);
    snprintf(message, capacity, "option '--%s': '%s': %s", option, shown, error);
    return -1;
}

/* What is wrong with an address, or NULL: it was resolved. */
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

/* Without a port 0 at its end, which target_parse() takes for a mistake. */
static void copy_without_port_0(const char *text, char *copy, size_t capacity)
{
    size_t length = strlen(text);
    const char *colon = strchr(text, ':');
    bool has_port = text[0] == '[' || (colon != NULL && strchr(colon + 1, ':') == NULL);
    snprintf(copy, capacity, "%s", text);
    if (has_port && length > 2 && length < capacity && strcmp(text + length - 2, ":0") == 0)
        copy[length - 2] = '\0';
}

static const char *listen_flaw(struct relay_options *options, const char *text)
{
    char copy[TARGET_HOST_BYTES + 8];
    struct target target;
    struct sockaddr_storage address;
    socklen_t bytes;
    copy_without_port_0(text, copy, sizeof copy);
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

static int addresses_apply(struct relay_options *options, const struct given *given, char *message,
                           size_t capacity)
{
    if (given->listen == NULL || given->to == NULL) {
        snprintf(message, capacity, "option '--%s' is missing",
                 given->listen == NULL ? "listen" : "to");
        return -1;
    }
    const char *flaw = listen_flaw(options, given->listen);
    if (flaw != NULL)
        return address_error("listen", given->listen, flaw, message, capacity);
    flaw = to_flaw(options, given->to);
    return flaw != NULL ? address_error("to", given->to, flaw, message, capacity) : 0;
}

/* What is given for one direction overrides what is given for both. */
static void impairments_apply(struct relay_options *options, const struct given *given)
{
    static const enum scope scopes[] = {[RELAY_UP] = SCOPE_UP, [RELAY_DOWN] = SCOPE_DOWN};
    for (unsigned direction = 0; direction < RELAY_DIRECTIONS; direction++) {
        for (unsigned i = 0; i < IMPAIRMENTS; i++) {
            const char *text = given->impairments[i][scopes[direction]];
            if (text == NULL)
                text = given->impairments[i][SCOPE_BOTH];
            if (text != NULL)
                impairment_apply(&options->settings[direction], (enum impairment)i, text);
        }
    }
}

int relay_arguments_parse(struct relay_arguments *arguments, int argc, char *const *argv,
                          char *message, size_t capacity)
{
    struct given given = {.listen = NULL};
    struct options options;
    enum options_event event;
    *arguments = (struct relay_arguments){
        .options = {.idle_ns = DEFAULT_IDLE_NS, .max_clients = RELAY_MAX_CLIENTS}};
    options_init(&options, relay_option_specs, OPTIONS_MIX_WORDS, argc, argv);
    while ((event = options_next(&options)) == OPTIONS_OPTION) {
        if (take_option(arguments, &given, &options, message, capacity) != 0)
            return -1;
    }
    if (event != OPTIONS_END) {
        char shown[SHOWN_BYTES];
        text_escape(event == OPTIONS_WORD ? options.value : "", shown, sizeof shown);
        if (event == OPTIONS_WORD)
            snprintf(message, capacity, "'%s' is not an option", shown);
        else
            snprintf(message, capacity, "%s", options.error);
        return -1;
    }
    if (arguments->help)
        return 0;
    impairments_apply(&arguments->options, &given);
    return addresses_apply(&arguments->options, &given, message, capacity);
}
