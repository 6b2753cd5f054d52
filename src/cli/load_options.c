/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/load_options.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/text.h"
#include "load/cpu.h"

#define SECOND_NS INT64_C(1000000000)
#define SHOWN_BYTES 128

/* What is bounded unless the user says that the target is theirs. In a closed loop the answers
 * bound the rate. */
#define BOUND_RATE 100000
#define BOUND_IN_FLIGHT 4096
#define BOUND_FLOWS 1024
#define BOUND_DURATION_NS (60 * SECOND_NS)

#define DEFAULT_RATE 1000

/* Adds to a list; one process too many is kept as a count that is too high. */
static int parse_pids(const char *text, void *value)
{
    struct load_pids *pids = value;

    for (char *rest;; text = rest + 1) {
        long pid = isdigit((unsigned char)*text) ? strtol(text, &rest, 10) : 0;
        if (pid < 1 || pid > INT32_MAX || (*rest != ',' && *rest != '\0'))
            return -1;
        if (pids->count < LOAD_MAX_PIDS)
            pids->items[pids->count] = (pid_t)pid;
        pids->count += pids->count <= LOAD_MAX_PIDS;
        if (*rest == '\0')
            return 0;
    }
}

static int parse_interface(const char *text, void *value)
{
    unsigned index = if_nametoindex(text);

    memcpy(value, &index, sizeof index);
    return index != 0 ? 0 : -1;
}

static int parse_mac(const char *text, void *value)
{
    uint8_t mac[6];

    for (size_t i = 0; i < sizeof mac; i++, text += 3) {
        const char *separator = i + 1 < sizeof mac ? ":" : "";
        if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
            strncmp(text + 2, separator, 1) != 0)
            return -1;
        mac[i] = (uint8_t)strtoul(text, NULL, 16);
    }
    memcpy(value, mac, sizeof mac);
    return 0;
}

static const struct field_type pids_type = {.parse = parse_pids, .expected = "a process ID"};
static const struct field_type interface_type = {.parse = parse_interface,
                                                 .expected = "an interface of this host"};
static const struct field_type mac_type = {
    .parse = parse_mac, .expected = "an Ethernet address such as 02:00:5e:10:00:01"};

static const char *const arrivals[] = {
    [SCHEDULE_CONSTANT] = "constant", [SCHEDULE_POISSON] = "poisson", NULL};
static const char *const vias[] = {"sockets", "xdp", NULL};

#define AT(member) FIELD_AT(struct load_arguments, member)

static const struct field fields[] = {
    {.flag = "rate",
     .letter = 'r',
     .placeholder = "R",
     .help = "open loop: R pings a second, whatever becomes of them",
     .default_help = "1000",
     .kind = FIELD_NUMBER,
     .min = 1,
     .max = SCHEDULE_MAX_RATE,
     AT(options.rate)},
    {.flag = "arrivals",
     .placeholder = "constant|poisson",
     .help = "open loop: how they are spread over time",
     .default_text = "constant",
     .kind = FIELD_WORD,
     .words = arrivals,
     AT(options.arrivals)},
    {.flag = "in-flight",
     .letter = 'n',
     .placeholder = "N",
     .help = "closed loop instead: N pings in flight in all, the next as one is answered",
     .kind = FIELD_NUMBER,
     .min = 1,
     .max = LOAD_MAX_IN_FLIGHT,
     AT(options.in_flight)},
    {.flag = "flows",
     .letter = 'f',
     .placeholder = "F",
     .help = "source ports",
     .default_text = "1",
     .kind = FIELD_NUMBER,
     .min = 1,
     .max = LOAD_MAX_FLOWS,
     AT(options.flows)},
    {.flag = "burst",
     .letter = 'b',
     .placeholder = "B",
     .help = "pings of a flow that leave together, in one GSO send",
     .default_text = "1",
     .kind = FIELD_NUMBER,
     .min = 1,
     .max = LOAD_MAX_BURST,
     AT(options.burst)},
    {.flag = "duration",
     .letter = 'd',
     .placeholder = "DURATION",
     .help = "how long to send",
     .default_text = "10s",
     .kind = FIELD_DURATION,
     .min = 1,
     .max = 86400 * SECOND_NS,
     AT(options.duration_ns)},
    OPTION_TIMEOUT(struct load_arguments, options.timeout_ns, "when a ping counts as lost",
                   60 * SECOND_NS),
    {.flag = "pid",
     .letter = 'p',
     .placeholder = "PID[,PID...]",
     .help = "processes whose CPU time is reported for each answered ping",
     .kind = FIELD_CUSTOM,
     .type = &pids_type,
     AT(options.pids)},
    {.flag = "via",
     .placeholder = "sockets|xdp",
     .help = "how to send; xdp is for rates that sockets cannot make",
     .default_text = "sockets",
     .kind = FIELD_WORD,
     .words = vias,
     AT(xdp)},
    {.flag = "interface",
     .placeholder = "IF",
     .help = "xdp: the interface to send from, instead of that of the source address",
     .kind = FIELD_CUSTOM,
     .type = &interface_type,
     AT(options.interface)},
    {.flag = "target-mac",
     .placeholder = "MAC",
     .help = "xdp: the Ethernet address to send to, instead of the one that answers",
     .kind = FIELD_CUSTOM,
     .type = &mac_type,
     AT(options.target_mac),
     FIELD_GIVEN(struct load_arguments, options.has_target_mac)},
    OPTION_FAMILIES(struct load_arguments, family),
    OPTION_FORMAT(struct load_arguments, json, "format", "how to print the results"),
    OPTION_MARK(struct load_arguments, owned, "yes-i-own-this-target", 0,
                "allow a target that is not this host, and more than moderate load"),
    OPTION_MARK(struct load_arguments, help, "help", 'h', "print this help"),
    {0},
};

const struct command load_command = {
    .name = "load",
    .help_name = "load",
    .about = "Usage: paddock load [OPTION...] TARGET\n"
             "\n"
             "Loads a QCMP responder with pings, and reports how it did: counts, percentiles, CPU "
             "time.\n"
             "TARGET is as for 'paddock ping'. It has to be this host, or yours. Of a name with\n"
             "several addresses the first that answers a ping is loaded.\n",
    .exit_status = "0 if there were answers, 1 if there was none, 2 for wrong usage, a target "
                   "that is\n"
                   "refused or a name that does not resolve, 255 if the system or the output "
                   "fails.",
    .fields = fields};

/* What goes with what. */
static int check_combination(const struct load_arguments *arguments, struct error *error)
{
    const struct load_options *options = &arguments->options;

    if (options->in_flight != 0 && options->rate != 0)
        return error_set(error, -EINVAL,
                         "--rate (open loop) and --in-flight (closed loop) exclude each other");
    if (options->in_flight != 0 && options->arrivals != SCHEDULE_CONSTANT)
        return error_set(error, -EINVAL,
                         "--arrivals is for the open loop (--rate), not with --in-flight");
    if (options->in_flight != 0 && options->in_flight < options->flows)
        return error_set(error, -EINVAL,
                         "--in-flight %" PRIu32 " leaves some of %" PRIu32 " flows without a ping",
                         options->in_flight, options->flows);
    if (!arguments->xdp && (options->interface != 0 || options->has_target_mac))
        return error_set(error, -EINVAL, "--interface and --target-mac are for --via xdp");
    if (arguments->family.ipv4 && arguments->family.ipv6)
        return error_set(error, -EINVAL, "-4 and -6 exclude each other");
    if (options->pids.count > LOAD_MAX_PIDS)
        return error_set(error, -EINVAL, "option '--pid': more than %d processes", LOAD_MAX_PIDS);
    for (size_t i = 0; i < options->pids.count; i++) {
        if (cpu_process_ns(options->pids.items[i]) < 0)
            return error_set(error, -EINVAL, "option '--pid': there is no process %d",
                             (int)options->pids.items[i]);
    }
    return 0;
}

static int check_bounds(const struct load_options *options, struct error *error)
{
    const struct {
        const char *name;
        uint64_t value, bound;
    } bounds[] = {{"rate", options->rate, BOUND_RATE},
                  {"in-flight", options->in_flight, BOUND_IN_FLIGHT},
                  {"flows", options->flows, BOUND_FLOWS}};

    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        if (bounds[i].value > bounds[i].bound)
            return error_set(error, -EINVAL,
                             "--%s above %" PRIu64
                             " needs --yes-i-own-this-target, also on this host",
                             bounds[i].name, bounds[i].bound);
    }
    if (options->duration_ns > BOUND_DURATION_NS)
        return error_set(error, -EINVAL,
                         "--duration above 60s needs --yes-i-own-this-target, also on this host");
    return 0;
}

int load_options_parse(struct load_arguments *arguments, int argc, char *const *argv,
                       struct error *error)
{
    const struct field_table table = {fields, arguments};
    struct flags_words words = {.items = calloc((size_t)argc, sizeof(char *))};
    char shown[SHOWN_BYTES];

    if (words.items == NULL)
        return error_system(error, -ENOMEM, "cannot read the options");
    *arguments = (struct load_arguments){.target = NULL};
    field_defaults(fields, arguments);
    int result = flags_parse(&table, argc, argv, &words, error);
    if (result == 0 && words.count > 1) {
        text_escape(words.items[1], shown, sizeof shown);
        result = error_set(error, -EINVAL, "one target only: '%s' is too many", shown);
    }
    if (words.count > 0)
        arguments->target = words.items[0];
    free(words.items);
    if (result != 0 || arguments->help)
        return result;

    if (arguments->target == NULL)
        return error_set(error, -EINVAL, "no target given");
    result = check_combination(arguments, error);
    if (result != 0)
        return result;
    if (arguments->options.in_flight == 0 && arguments->options.rate == 0)
        arguments->options.rate = DEFAULT_RATE;
    return arguments->owned ? 0 : check_bounds(&arguments->options, error);
}
