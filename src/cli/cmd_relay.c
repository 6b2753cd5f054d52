#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/relay_options.h"
#include "loop/signals.h"
#include "net/address.h"
#include "relay/relay.h"

#define MESSAGE_BYTES 512

/* Descriptors that are no client's. */
#define OTHER_DESCRIPTORS 64

/* Room for an address, its brackets and its port. */
#define ENDPOINT_BYTES 128

/* The counts as they are reported, in order. */
#define COUNTS(X)                                                                                  \
    X(received)                                                                                    \
    X(forwarded)                                                                                   \
    X(lost)                                                                                        \
    X(duplicated)                                                                                  \
    X(reordered)                                                                                   \
    X(dropped_rate)                                                                                \
    X(dropped_queue)                                                                               \
    X(queue_full)                                                                                  \
    X(no_client)                                                                                   \
    X(send_errors)                                                                                 \
    X(unsent)                                                                                      \
    X(kernel_drops)                                                                                \
    X(receive_errors)

/* What was relayed from where to where, as text. */
struct relayed {
    char listen[ENDPOINT_BYTES], to[ENDPOINT_BYTES];
    uint64_t seed;
};

static int print_help(void)
{
    puts("Usage: paddock relay --listen ADDRESS --to ADDRESS [OPTION...]\n"
         "\n"
         "Relays UDP between clients and a server as badly as a network can: late, in another\n"
         "order, twice or not at all. SIGINT or SIGTERM ends it; it prints what became of all\n"
         "datagrams.\n"
         "\n"
         "Options:");
    options_print_help(stdout, relay_option_specs);
    puts("\n"
         "Exit status: 0 when it was told to stop, 2 for wrong usage, 255 if the system fails.");
    return output_finish();
}

static int usage_error(const char *message)
{
    fprintf(stderr, "paddock relay: %s (see 'paddock relay --help')\n", message);
    return EXIT_USAGE;
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "paddock relay: %s: %s\n", what,
            error == -ELOOP ? "it would be its own server" : strerror(-error));
    return EXIT_FAILED;
}

static int fail_open(const struct relay_options *options, int error)
{
    char listen[ADDRESS_TEXT_BYTES], what[ADDRESS_TEXT_BYTES + 32];
    address_format(&options->listen, options->listen_port, listen);
    snprintf(what, sizeof what, "cannot relay from %s", listen);
    return fail(what, error);
}

/* As many descriptors as clients may need, or as many as are granted. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    rlim_t wanted = RELAY_MAX_CLIENTS + OTHER_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* A seed that was not given is of 32 bits, which are easier to type again. */
static int randomise(struct relay_arguments *arguments)
{
    uint32_t seed = 0;
    struct relay_options *options = &arguments->options;
    int error = siphash_key_init(&options->key);
    if (error != 0)
        return error;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        return -errno;
    if (!arguments->seed_given)
        options->seed = seed;
    return 0;
}

static void endpoint_format(const struct sockaddr_storage *address, socklen_t bytes, char *text)
{
    char host[ENDPOINT_BYTES - 16] = "?", port[8] = "?";
    getnameinfo((const struct sockaddr *)address, bytes, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(text, ENDPOINT_BYTES, address->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
             port);
}

static json_t *counts_json(const struct relay_counts *counts)
{
    json_t *object = json_object();
#define COUNT_JSON(name) json_object_set_new(object, #name, json_integer((json_int_t)counts->name));
    COUNTS(COUNT_JSON)
#undef COUNT_JSON
    return object;
}

static int print_json(const struct relay *relay, const struct relayed *relayed)
{
    struct relay_counts up = relay_counts(relay, RELAY_UP);
    struct relay_counts down = relay_counts(relay, RELAY_DOWN);
    json_t *report = json_pack("{s:s, s:s, s:I, s:I, s:o, s:o}", "listen", relayed->listen, "to",
                               relayed->to, "seed", (json_int_t)relayed->seed, "clients",
                               (json_int_t)relay_clients_seen(relay), "up", counts_json(&up),
                               "down", counts_json(&down));
    bool is_written =
        report != NULL && json_dumpf(report, stdout, JSON_COMPACT) == 0 && puts("") >= 0;
    json_decref(report);
    return is_written ? 0 : -1;
}

static void print_counts(const char *title, const struct relay_counts *counts)
{
    puts(title);
#define COUNT_PRINT(name) printf("  %-14s  %" PRIu64 "\n", #name, counts->name);
    COUNTS(COUNT_PRINT)
#undef COUNT_PRINT
}

static void print_human(const struct relay *relay, const struct relayed *relayed)
{
    struct relay_counts up = relay_counts(relay, RELAY_UP);
    struct relay_counts down = relay_counts(relay, RELAY_DOWN);
    printf("%s to %s, seed %" PRIu64 ", %" PRIu64 " clients\n", relayed->listen, relayed->to,
           relayed->seed, relay_clients_seen(relay));
    print_counts("up, from clients to the server", &up);
    print_counts("down, from the server to clients", &down);
}

static int report(const struct relay *relay, const struct relayed *relayed, bool json)
{
    if (!json)
        print_human(relay, relayed);
    else if (print_json(relay, relayed) != 0) {
        fputs("paddock relay: cannot write the report\n", stderr);
        return EXIT_FAILED;
    }
    return output_finish();
}

/* On stderr, so that stdout has the report and nothing else. */
static void announce(const struct relay *relay, const struct relay_arguments *arguments,
                     struct relayed *relayed)
{
    struct sockaddr_storage address;
    socklen_t bytes;
    relay_address(relay, &address, &bytes);
    endpoint_format(&address, bytes, relayed->listen);
    endpoint_format(&arguments->options.to, arguments->options.to_bytes, relayed->to);
    relayed->seed = arguments->options.seed;
    fprintf(stderr, "paddock relay: listening on %s, to %s, seed %" PRIu64 "\n", relayed->listen,
            relayed->to, relayed->seed);
}

/* The signals are as before once it ends: a second one ends a report that nobody reads. */
static int run_until_signal(struct relay *relay, const struct relay_arguments *arguments,
                            struct relayed *relayed)
{
    sigset_t stop, before;
    signals_stop_set(&stop);
    int stop_fd = signals_open(&stop, &before);
    if (stop_fd < 0)
        return stop_fd;
    announce(relay, arguments, relayed);
    int error = relay_run(relay, stop_fd);
    signals_take(stop_fd);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(stop_fd);
    return error;
}

static int relay_and_report(struct relay_arguments *arguments)
{
    struct relay *relay;
    struct relayed relayed;
    raise_descriptors();
    int error = randomise(arguments);
    if (error == 0)
        error = relay_open(&relay, &arguments->options);
    if (error != 0)
        return fail_open(&arguments->options, error);
    error = run_until_signal(relay, arguments, &relayed);
    int status =
        error != 0 ? fail("cannot relay", error) : report(relay, &relayed, arguments->json);
    relay_close(relay);
    return status;
}

int cmd_relay(int argc, char *const *argv)
{
    struct relay_arguments arguments;
    char message[MESSAGE_BYTES];
    if (relay_arguments_parse(&arguments, argc, argv, message, sizeof message) != 0)
        return usage_error(message);
    return arguments.help ? print_help() : relay_and_report(&arguments);
}
