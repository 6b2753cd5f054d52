#include "cli/load_options.h"

#include <ctype.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/number.h"
#include "base/options.h"
#include "base/text.h"
#include "cli/ping_options.h"
#include "load/cpu.h"

#define SECOND_NS INT64_C(1000000000)
#define WORD_BYTES 32

/* What is bounded unless the user says that the target is theirs. In a closed loop the answers
 * bound the rate. */
#define BOUND_RATE 100000
#define BOUND_IN_FLIGHT 4096
#define BOUND_FLOWS 1024
#define BOUND_DURATION_NS (60 * SECOND_NS)

#define MAX_DURATION_NS (86400 * SECOND_NS)
#define MAX_TIMEOUT_NS (60 * SECOND_NS)

#define DEFAULT_RATE 1000

static const struct option_spec SPECS[] = {
    {.name = "rate",
     .letter = 'r',
     .kind = OPTION_VALUE,
     .placeholder = "R",
     .help = "open loop: R pings a second, whatever becomes of them",
     .default_text = "1000"},
    {.name = "arrivals",
     .kind = OPTION_VALUE,
     .placeholder = "constant|poisson",
     .help = "open loop: how they are spread over time",
     .default_text = "constant"},
    {.name = "in-flight",
     .letter = 'n',
     .kind = OPTION_VALUE,
     .placeholder = "N",
     .help = "closed loop instead: N pings in flight in all, the next as one is answered"},
    {.name = "flows",
     .letter = 'f',
     .kind = OPTION_VALUE,
     .placeholder = "F",
     .help = "source ports",
     .default_text = "1"},
    {.name = "burst",
     .letter = 'b',
     .kind = OPTION_VALUE,
     .placeholder = "B",
     .help = "pings of a flow that leave together, in one GSO send",
     .default_text = "1"},
    {.name = "duration",
     .letter = 'd',
     .kind = OPTION_VALUE,
     .placeholder = "DURATION",
     .help = "how long to send",
     .default_text = "10s"},
    {.name = "timeout",
     .letter = 't',
     .kind = OPTION_VALUE,
     .placeholder = "DURATION",
     .help = "when a ping counts as lost",
     .default_text = "1s"},
    {.name = "pid",
     .letter = 'p',
     .kind = OPTION_VALUE,
     .placeholder = "PID[,PID...]",
     .help = "processes whose CPU time is reported for each answered ping"},
    {.name = "via",
     .kind = OPTION_VALUE,
     .placeholder = "sockets|xdp",
     .help = "how to send; xdp is for rates that sockets cannot make",
     .default_text = "sockets"},
    {.name = "interface",
     .kind = OPTION_VALUE,
     .placeholder = "IF",
     .help = "xdp: the interface to send from, instead of that of the source address"},
    {.name = "target-mac",
     .kind = OPTION_VALUE,
     .placeholder = "MAC",
     .help = "xdp: the Ethernet address to send to, instead of the one that answers"},
    PING_OPTION_IPV4,
    PING_OPTION_IPV6,
    PING_OPTION_FORMAT,
    {.name = "yes-i-own-this-target",
     .kind = OPTION_FLAG,
     .help = "allow a target that is not this host, and more than moderate load"},
    PING_OPTION_HELP,
    {.name = NULL},
};

/* Where the message goes. */
struct complaint {
    char *text;
    size_t capacity;
};

#define EXPECTED_BYTES 96

#define COMPLAIN(complaint, ...)                                                                   \
    (snprintf((complaint)->text, (complaint)->capacity, __VA_ARGS__), -1)

static int refuse(const struct options *found, const char *expected,
                  const struct complaint *complaint)
{
    return options_refuse(found->spec->name, found->value, expected, complaint->text,
                          complaint->capacity);
}

void load_options_print_help(FILE *stream)
{
    options_print_help(stream, SPECS);
}

static int set_number(uint32_t *number, uint64_t max, const struct options *found,
                      const struct complaint *complaint)
{
    char expected[EXPECTED_BYTES];
    uint64_t value;
    snprintf(expected, sizeof expected, "a number from 1 to %" PRIu64, max);
    if (number_parse(found->value, 1, max, &value) != 0)
        return refuse(found, expected, complaint);
    *number = (uint32_t)value;
    return 0;
}

static int set_rate(struct load_options *options, const struct options *found,
                    const struct complaint *complaint)
{
    uint32_t rate;
    if (set_number(&rate, SCHEDULE_MAX_RATE, found, complaint) != 0)
        return -1;
    options->rate = rate;
    return 0;
}

static int set_duration(int64_t *ns, int64_t max_ns, const struct options *found,
                        const struct complaint *complaint)
{
    char most[DURATION_TEXT_BYTES], expected[EXPECTED_BYTES];
    int64_t value_ns;
    duration_format(max_ns, most, sizeof most);
    snprintf(expected, sizeof expected, "a duration above 0 up to %s, such as 500ms", most);
    if (duration_parse(found->value, &value_ns) != 0 || value_ns <= 0 || value_ns > max_ns)
        return refuse(found, expected, complaint);
    *ns = value_ns;
    return 0;
}

static int set_arrivals(struct load_options *options, const struct options *found,
                        const struct complaint *complaint)
{
    bool is_poisson = strcmp(found->value, "poisson") == 0;
    if (!is_poisson && strcmp(found->value, "constant") != 0)
        return refuse(found, "constant or poisson", complaint);
    options->arrivals = is_poisson ? SCHEDULE_POISSON : SCHEDULE_CONSTANT;
    return 0;
}

static int add_pid(struct load_options *options, const char *word, size_t length,
                   const struct complaint *complaint)
{
    char text[WORD_BYTES] = "";
    uint64_t pid;
    if (length < sizeof text)
        memcpy(text, word, length);
    if (number_parse(text, 1, INT32_MAX, &pid) != 0)
        return options_refuse("pid", length < sizeof text ? text : word, "a process ID",
                              complaint->text, complaint->capacity);
    if (options->pids_count == LOAD_MAX_PIDS)
        return COMPLAIN(complaint, "option '--pid': more than %d processes", LOAD_MAX_PIDS);
    if (cpu_process_ns((pid_t)pid) < 0)
        return COMPLAIN(complaint, "option '--pid': there is no process %s", text);
    options->pids[options->pids_count++] = (pid_t)pid;
    return 0;
}

static int add_pids(struct load_options *options, const char *list,
                    const struct complaint *complaint)
{
    for (const char *word = list;; word++) {
        size_t length = strcspn(word, ",");
        if (add_pid(options, word, length, complaint) != 0)
            return -1;
        word += length;
        if (*word == '\0')
            return 0;
    }
}

static int set_via(struct load_arguments *arguments, const struct options *found,
                   const struct complaint *complaint)
{
    arguments->xdp = strcmp(found->value, "xdp") == 0;
    if (!arguments->xdp && strcmp(found->value, "sockets") != 0)
        return refuse(found, "sockets or xdp", complaint);
    return 0;
}

static int set_interface(struct load_options *options, const struct options *found,
                         const struct complaint *complaint)
{
    options->interface = if_nametoindex(found->value);
    if (options->interface == 0)
        return refuse(found, "an interface of this host", complaint);
    return 0;
}

static int set_target_mac(struct load_options *options, const struct options *found,
                          const struct complaint *complaint)
{
    const char *text = found->value;
    for (size_t i = 0; i < sizeof options->target_mac; i++, text += 3) {
        const char *separator = i + 1 < sizeof options->target_mac ? ":" : "";
        if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
            strncmp(text + 2, separator, 1) != 0)
            return refuse(found, "an Ethernet address such as 02:00:5e:10:00:01", complaint);
        options->target_mac[i] = (uint8_t)strtoul(text, NULL, 16);
    }
    options->has_target_mac = true;
    return 0;
}

/* The options that say what to send. */
static int apply_load(struct load_options *options, const struct options *found,
                      const struct complaint *complaint)
{
    const char *name = found->spec->name;
    if (strcmp(name, "rate") == 0)
        return set_rate(options, found, complaint);
    if (strcmp(name, "arrivals") == 0)
        return set_arrivals(options, found, complaint);
    if (strcmp(name, "in-flight") == 0)
        return set_number(&options->in_flight, LOAD_MAX_IN_FLIGHT, found, complaint);
    if (strcmp(name, "flows") == 0)
        return set_number(&options->flows, LOAD_MAX_FLOWS, found, complaint);
    if (strcmp(name, "burst") == 0)
        return set_number(&options->burst, LOAD_MAX_BURST, found, complaint);
    if (strcmp(name, "duration") == 0)
        return set_duration(&options->duration_ns, MAX_DURATION_NS, found, complaint);
    if (strcmp(name, "timeout") == 0)
        return set_duration(&options->timeout_ns, MAX_TIMEOUT_NS, found, complaint);
    if (strcmp(name, "interface") == 0)
        return set_interface(options, found, complaint);
    if (strcmp(name, "target-mac") == 0)
        return set_target_mac(options, found, complaint);
    return add_pids(options, found->value, complaint);
}

static int apply(struct load_arguments *arguments, const struct options *found,
                 const struct complaint *complaint)
{
    const char *name = found->spec->name;
    if (strcmp(name, "ipv4") == 0 || strcmp(name, "ipv6") == 0)
        return ping_option_family(&arguments->family, name, complaint->text, complaint->capacity);
    if (strcmp(name, "via") == 0)
        return set_via(arguments, found, complaint);
    if (strcmp(name, "format") == 0)
        return ping_option_format(&arguments->json, found->value, complaint->text,
                                  complaint->capacity);
    if (strcmp(name, "yes-i-own-this-target") == 0)
        arguments->owned = true;
    else if (strcmp(name, "help") == 0)
        arguments->help = true;
    else
        return apply_load(&arguments->options, found, complaint);
    return 0;
}

static int take_word(struct load_arguments *arguments, char *word,
                     const struct complaint *complaint)
{
    char shown[EXPECTED_BYTES];
    text_escape(word, shown, sizeof shown);
    if (arguments->target != NULL)
        return COMPLAIN(complaint, "one target only: '%s' is too many", shown);
    arguments->target = word;
    return 0;
}

static int parse(struct load_arguments *arguments, int argc, char *const *argv,
                 const struct complaint *complaint)
{
    struct options found;
    options_init(&found, SPECS, OPTIONS_MIX_WORDS, argc, argv);
    for (;;) {
        switch (options_next(&found)) {
        case OPTIONS_ERROR:
            return COMPLAIN(complaint, "%s", found.error);
        case OPTIONS_WORD:
            if (take_word(arguments, argv[found.index - 1], complaint) != 0)
                return -1;
            break;
        case OPTIONS_OPTION:
            if (apply(arguments, &found, complaint) != 0)
                return -1;
            break;
        case OPTIONS_END:
            return 0;
        }
    }
}

/* What goes with what. */
static int check_loop(const struct load_options *options, const struct complaint *complaint)
{
    if (options->in_flight == 0)
        return 0;
    if (options->rate != 0)
        return COMPLAIN(complaint, "--rate (open loop) and --in-flight (closed loop) exclude each "
                                   "other");
    if (options->arrivals != SCHEDULE_CONSTANT)
        return COMPLAIN(complaint,
                        "--arrivals is for the open loop (--rate), not with --in-flight");
    if (options->in_flight < options->flows)
        return COMPLAIN(complaint,
                        "--in-flight %" PRIu32 " leaves some of %" PRIu32 " flows without a ping",
                        options->in_flight, options->flows);
    return 0;
}

static int check_via(const struct load_arguments *arguments, const struct complaint *complaint)
{
    if (!arguments->xdp && (arguments->options.interface != 0 || arguments->options.has_target_mac))
        return COMPLAIN(complaint, "--interface and --target-mac are for --via xdp");
    return 0;
}

static int check_bounds(const struct load_options *options, const struct complaint *complaint)
{
    const struct {
        const char *name;
        uint64_t value, bound;
    } bounds[] = {{"rate", options->rate, BOUND_RATE},
                  {"in-flight", options->in_flight, BOUND_IN_FLIGHT},
                  {"flows", options->flows, BOUND_FLOWS}};
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++)
        if (bounds[i].value > bounds[i].bound)
            return COMPLAIN(complaint,
                            "--%s above %" PRIu64 " needs --yes-i-own-this-target, also on this "
                            "host",
                            bounds[i].name, bounds[i].bound);
    if (options->duration_ns > BOUND_DURATION_NS)
        return COMPLAIN(complaint,
                        "--duration above 60s needs --yes-i-own-this-target, also on this host");
    return 0;
}

int load_options_parse(struct load_arguments *arguments, int argc, char *const *argv, char *message,
                       size_t capacity)
{
    const struct complaint complaint = {message, capacity};
    *arguments = (struct load_arguments){
        .options = {
            .flows = 1, .burst = 1, .duration_ns = 10 * SECOND_NS, .timeout_ns = SECOND_NS}};
    struct load_options *options = &arguments->options;
    if (parse(arguments, argc, argv, &complaint) != 0)
        return -1;
    if (arguments->help)
        return 0;
    if (arguments->target == NULL)
        return COMPLAIN(&complaint, "no target given");
    if (check_loop(options, &complaint) != 0 || check_via(arguments, &complaint) != 0)
        return -1;
    if (options->in_flight == 0 && options->rate == 0)
        options->rate = DEFAULT_RATE;
    return arguments->owned ? 0 : check_bounds(options, &complaint);
}
