/* SPDX-License-Identifier: Apache-2.0 */
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
#include "cli/relay_options.h"
#include "loop/signals.h"
#include "net/address.h"
#include "relay/relay.h"

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

static void print_counts(const char *title, const struct relay_counts *counts)
{
    puts(title);
#define COUNT_PRINT(name) printf("  %-14s  %" PRIu64 "\n", #name, counts->name);
    COUNTS(COUNT_PRINT)
#undef COUNT_PRINT
}

static int report(const struct relay *relay, const struct relayed *relayed, bool json)
{
    struct relay_counts up = relay_counts(relay, RELAY_UP);
    struct relay_counts down = relay_counts(relay, RELAY_DOWN);

    if (json) {
        json_t *object = json_pack("{s:s, s:s, s:I, s:I, s:o, s:o}", "listen", relayed->listen,
                                   "to", relayed->to, "seed", (json_int_t)relayed->seed, "clients",
                                   (json_int_t)relay_clients_seen(relay), "up", counts_json(&up),
                                   "down", counts_json(&down));
        bool is_written =
            object != NULL && json_dumpf(object, stdout, JSON_COMPACT) == 0 && puts("") >= 0;
        json_decref(object);
        if (!is_written)
            return command_fail(&relay_command, "cannot write the report");
    } else {
        printf("%s to %s, seed %" PRIu64 ", %" PRIu64 " clients\n", relayed->listen, relayed->to,
               relayed->seed, relay_clients_seen(relay));
        print_counts("up, from clients to the server", &up);
        print_counts("down, from the server to clients", &down);
    }
    return output_finish();
}

/* The signals are as before once it ends: a second one ends a report that nobody reads. */
static int run_until_signal(struct relay *relay, const struct relay_options *options,
                            struct relayed *relayed)
{
    sigset_t end, before;
    struct sockaddr_storage address;
    socklen_t bytes;

    signals_end_set(&end);
    int end_fd = signals_open(&end, &before);
    if (end_fd < 0)
        return end_fd;
    relay_address(relay, &address, &bytes);
    endpoint_format(&address, bytes, relayed->listen);
    endpoint_format(&options->to, options->to_bytes, relayed->to);
    relayed->seed = options->seed;
    /* On stderr, so that stdout has the report and nothing else. */
    fprintf(stderr, "paddock relay: listening on %s, to %s, seed %" PRIu64 "\n", relayed->listen,
            relayed->to, relayed->seed);
    int error = relay_run(relay, end_fd);
    signals_take(end_fd);
    signals_close(end_fd, &before);
    return error;
}

int cmd_relay(int argc, char *const *argv)
{
    struct relay_arguments arguments;
    struct relayed relayed;
    struct relay *relay = NULL;
    struct error error;
    char listen[ADDRESS_TEXT_BYTES];
    struct rlimit limit;
    const rlim_t wanted = RELAY_MAX_CLIENTS + OTHER_DESCRIPTORS;
    uint32_t seed = 0; /* 32 bits are easier to type again */

    if (relay_arguments_parse(&arguments, argc, argv, &error) != 0)
        return command_usage(&relay_command, error.text);
    if (arguments.help)
        return command_help(&relay_command);

    /* As many descriptors as clients may need, or as many as are granted. */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    int code = siphash_key_init(&arguments.options.key);
    if (code == 0 && !arguments.seed_given) {
        if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
            code = -errno;
        arguments.options.seed = seed;
    }
    if (code == 0)
        code = relay_open(&relay, &arguments.options);
    if (code != 0) {
        address_format(&arguments.options.listen, arguments.options.listen_port, listen);
        error_set(&error, code, "cannot relay from %s: %s", listen,
                  code == -ELOOP ? "it would be its own server" : strerror(-code));
        return command_fail(&relay_command, error.text);
    }
    code = run_until_signal(relay, &arguments.options, &relayed);
    if (code != 0)
        error_system(&error, code, "cannot relay");
    int status = code != 0 ? command_fail(&relay_command, error.text)
                           : report(relay, &relayed, arguments.json);
    relay_close(relay);
    return status;
}
