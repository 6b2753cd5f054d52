/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base64.h"
#include "base/clock.h"
#include "catalog/clusters.h"
#include "cli/admin_client.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/pcap.h"

#define SECOND_NS INT64_C(1000000000)

/* How often datagrams are fetched, so that a worker's room of 1 MiB is enough for many. */
#define FETCH_NS (SECOND_NS / 5)

#define PATH_BYTES 320
#define PEER_BYTES 64

enum subject {
    DROPS,
    TOP,
    CAPTURE
};

struct arguments {
    struct target admin;
    int64_t interval_ns, duration_ns;
    unsigned sort;
    uint32_t limit;
    uint64_t max_bytes;
    char player[PEER_BYTES], server[PEER_BYTES], file[4096];
    bool is_json, help;
    enum subject subject;
};

static const char *const subjects[] = {"drops", "top", "capture", NULL};
static const char *const orders[] = {"packets", "bytes", NULL};

static const struct field fields[] = {
    OPTION_ADMIN(struct arguments, admin),
    {.flag = "duration",
     .letter = 'd',
     .help = "end after so long; 0: at SIGINT",
     .placeholder = "DURATION",
     .default_text = "10s",
     .kind = FIELD_DURATION,
     .max = 86400 * SECOND_NS,
     FIELD_AT(struct arguments, duration_ns)},
    {.flag = "interval",
     .letter = 'i',
     .help = "of drops and top: print as often",
     .placeholder = "DURATION",
     .default_text = "1s",
     .kind = FIELD_DURATION,
     .min = SECOND_NS / 10,
     .max = 9 * SECOND_NS,
     FIELD_AT(struct arguments, interval_ns)},
    {.flag = "sort",
     .help = "of top: by packets or bytes",
     .placeholder = "KEY",
     .default_text = "packets",
     .kind = FIELD_WORD,
     .words = orders,
     FIELD_AT(struct arguments, sort)},
    {.flag = "limit",
     .letter = 'n',
     .help = "of top: the most rows",
     .placeholder = "N",
     .default_text = "20",
     .kind = FIELD_NUMBER,
     .min = 1,
     .max = 10000,
     FIELD_AT(struct arguments, limit)},
    {.flag = "player",
     .help = "of capture: the player, an address with or without a port; any without it",
     .placeholder = "ADDRESS",
     .kind = FIELD_TEXT,
     FIELD_AT(struct arguments, player)},
    {.flag = "server",
     .help = "of capture: the game server, likewise",
     .placeholder = "ADDRESS",
     .kind = FIELD_TEXT,
     FIELD_AT(struct arguments, server)},
    {.flag = "write",
     .letter = 'w',
     .help = "of capture: the file, as tcpdump and Wireshark read it",
     .placeholder = "FILE",
     .kind = FIELD_TEXT,
     FIELD_AT(struct arguments, file)},
    {.flag = "max-bytes",
     .help = "of capture: end when the file has as many",
     .placeholder = "N",
     .default_text = "10000000",
     .kind = FIELD_NUMBER,
     .min = 1,
     .max = INT64_MAX,
     FIELD_AT(struct arguments, max_bytes)},
    OPTION_FORMAT(struct arguments, is_json, "format", "human, or json: a line for each interval"),
    OPTION_MARK(struct arguments, help, "help", 'h', "print this help"),
    {0},
};

static const struct command command = {
    .name = "trace",
    .help_name = "trace",
    .about =
        "Usage: paddock trace drops|top|capture [OPTION...]\n"
        "\n"
        "Shows what a proxy (paddock --service.udp) on this host does at the moment: which\n"
        "datagrams it drops and why (drops), which players send the most (top); or writes a\n"
        "session's datagrams to a file (capture), as they leave the proxy, with the addresses\n"
        "of player and server.\n",
    .exit_status = "0 if the proxy has answered, 2 for a usage error, 255 otherwise.",
    .fields = fields};

static bool is_peer(const char *text)
{
    struct endpoint peer;
    return text[0] == '\0' || server_numeric_parse(text, &peer) == 0;
}

static const char *check(struct arguments *arguments, const struct flags_words *words)
{
    unsigned subject = 0;
    while (words->count == 1 && subjects[subject] != NULL &&
           strcmp(words->items[0], subjects[subject]) != 0)
        subject++;
    if (words->count != 1 || subjects[subject] == NULL)
        return "expected one of drops, top and capture";
    arguments->subject = (enum subject)subject;
    if (!is_peer(arguments->player) || !is_peer(arguments->server))
        return "--player, --server: expected " SERVER_NUMERIC_EXPECTED;
    if ((arguments->subject == CAPTURE) != (arguments->file[0] != '\0'))
        return "capture needs --write, which is for capture alone";
    return NULL;
}

static void print_drops(const json_t *answer)
{
    json_t *row, *example;
    size_t i, j;

    json_array_foreach(json_object_get(answer, "drops"), i, row)
    {
        const char *event = "", *reason = "", *source = "";
        json_int_t packets = 0, bytes = 0;
        (void)json_unpack(row, "{s:s, s:s, s:I}", "event", &event, "reason", &reason, "packets",
                          &packets);
        printf("%-6s %-40s %12" JSON_INTEGER_FORMAT " ", event, reason, packets);
        json_array_foreach(json_object_get(row, "examples"), j, example)
        {
            (void)json_unpack(example, "{s:s, s:I}", "source", &source, "bytes", &bytes);
            printf(" %s (%" JSON_INTEGER_FORMAT " bytes)", source, bytes);
        }
        puts("");
    }
}

static void print_top(const json_t *answer)
{
    json_t *row;
    size_t i;

    json_array_foreach(json_object_get(answer, "talkers"), i, row)
    {
        const char *player = "";
        json_int_t packets = 0, bytes = 0, error = 0;
        (void)json_unpack(row, "{s:s, s:I, s:I, s:I}", "player", &player, "packets", &packets,
                          "bytes", &bytes, "error", &error);
        printf("%-46s %12" JSON_INTEGER_FORMAT " %14" JSON_INTEGER_FORMAT
               "  +-%" JSON_INTEGER_FORMAT "\n",
               player, packets, bytes, error);
    }
}

static void print_answer(const struct arguments *arguments, const json_t *answer)
{
    if (arguments->is_json) {
        if (json_dumpf(answer, stdout, JSON_COMPACT) == 0)
            puts("");
    } else if (arguments->subject == DROPS) {
        printf("%-6s %-40s %12s  EXAMPLES\n", "EVENT", "REASON", "PACKETS");
        print_drops(answer);
    } else {
        printf("%-46s %12s %14s  ERROR\n", "PLAYER", "PACKETS", "BYTES");
        print_top(answer);
    }
    fflush(stdout);
}

/* What has been written. */
struct written {
    FILE *file;
    uint64_t bytes, packets, lost;
};

static int write_packet(struct written *written, const json_t *packet)
{
    const char *from, *to, *text;
    json_int_t at_ns;
    struct server_address ends[2];
    size_t bytes;

    if (json_unpack((json_t *)(uintptr_t)packet, "{s:s, s:s, s:s, s:I}", "from", &from, "to", &to,
                    "data", &text, "at_ns", &at_ns) != 0 ||
        server_address_parse(from, &ends[0]) != 0 || server_address_parse(to, &ends[1]) != 0)
        return -1;
    uint8_t *data = malloc(strlen(text) + 1);
    int error = data != NULL ? base64_decode(text, data, &bytes) : -1;
    if (error == 0) {
        error = pcap_add(written->file, &(struct pcap_datagram){.at_ns = at_ns,
                                                                .from = ends[0].at,
                                                                .to = ends[1].at,
                                                                .data = data,
                                                                .bytes = (uint32_t)bytes});
        written->packets++;
    }
    free(data);
    return error;
}

/* Returns whether there is room for more. */
static bool write_packets(struct written *written, const json_t *answer, uint64_t max_bytes)
{
    json_t *packet;
    size_t i;

    written->lost += (uint64_t)json_integer_value(json_object_get(answer, "lost"));
    json_array_foreach(json_object_get(answer, "packets"), i, packet)
    {
        long at = ftell(written->file);
        if (at < 0 || (uint64_t)at >= max_bytes || write_packet(written, packet) != 0)
            return false;
    }
    return fflush(written->file) == 0;
}

static sigset_t end_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    return signals;
}

/* A signal ends the wait, and the trace. Returns whether there was none. */
static bool wait_for(int64_t duration_ns)
{
    const struct timespec wait = {duration_ns / SECOND_NS, duration_ns % SECOND_NS};
    const sigset_t signals = end_signals();
    return sigtimedwait(&signals, NULL, &wait) < 0;
}

static void block_signals(void)
{
    const sigset_t signals = end_signals();
    sigprocmask(SIG_BLOCK, &signals, NULL);
}

/* Two who ask take it from each other. Returns whether somebody else did. */
static bool is_shared(const json_t *answer, json_int_t *look)
{
    json_int_t before = *look;
    *look = json_integer_value(json_object_get(answer, "look"));
    return before != 0 && *look != before + 1;
}

/* The first question begins the trace; each later one takes what there was since. */
static int run(const struct arguments *arguments, struct written *written)
{
    int64_t end_ns = clock_monotonic_ns() + arguments->duration_ns;
    int64_t step_ns = written != NULL ? FETCH_NS : arguments->interval_ns;
    char path[PATH_BYTES], failure[ADMIN_FAILURE_BYTES];
    bool is_first = true, goes_on = true, has_told = false;
    json_int_t look = 0;

    snprintf(path, sizeof path, "/trace?what=%s&sort=%s&limit=%u&player=%s&server=%s",
             subjects[arguments->subject], orders[arguments->sort], arguments->limit,
             arguments->player, arguments->server);
    while (goes_on) {
        json_t *answer = admin_ask(&arguments->admin, path, failure);
        if (answer == NULL)
            return command_fail(&command, failure);
        if (is_shared(answer, &look) && !has_told) {
            fputs("paddock trace: somebody else traces as well: what they get is missing here\n",
                  stderr);
            has_told = true;
        }
        if (!is_first && written != NULL)
            goes_on = write_packets(written, answer, arguments->max_bytes);
        else if (!is_first)
            print_answer(arguments, answer);
        json_decref(answer);
        goes_on = goes_on &&
                  (is_first || arguments->duration_ns == 0 || clock_monotonic_ns() < end_ns) &&
                  wait_for(step_ns);
        is_first = false;
    }
    return 0;
}

static int capture(const struct arguments *arguments)
{
    struct written written = {.file = fopen(arguments->file, "wbe")};
    if (written.file == NULL || pcap_begin(written.file) != 0)
        return command_fail(&command, strerrordesc_np(errno));

    int status = run(arguments, &written);
    if (ferror(written.file) != 0 || fclose(written.file) != 0)
        return command_fail(&command, "the file cannot be written");
    printf(arguments->is_json ? "{\"packets\":%llu,\"lost\":%llu}\n"
                              : "%llu datagrams, %llu more without room\n",
           (unsigned long long)written.packets, (unsigned long long)written.lost);
    return status;
}

int cmd_trace(int argc, char *const *argv)
{
    struct arguments arguments = {.help = false};
    const struct field_table table = {fields, &arguments};
    struct flags_words words = {.items = calloc((size_t)argc, sizeof(char *))};
    struct error error;

    if (words.items == NULL)
        return command_fail(&command, "out of memory");
    field_defaults(fields, &arguments);
    int code = flags_parse(&table, argc, argv, &words, &error);
    const char *wrong = code != 0 ? error.text : !arguments.help ? check(&arguments, &words) : NULL;
    free(words.items);
    if (code == 0 && arguments.help)
        return command_help(&command);
    if (wrong != NULL)
        return command_usage(&command, wrong);

    block_signals();
    int status = arguments.subject == CAPTURE ? capture(&arguments) : run(&arguments, NULL);
    int output = output_finish();
    return status != 0 ? status : output;
}
