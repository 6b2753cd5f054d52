/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "catalog/settings.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "daemon/sections.h"
#include "filters/chain.h"
#include "net/address.h"
#include "proxy/world.h"

#define SHOWN_BYTES 512

/* A player's datagram, with room for what filters add. */
struct datagram {
    bool is_there;
    uint32_t bytes;
    uint8_t room[FILTER_MAX_BYTES + 2 * PACKET_ROOM];
};

struct arguments {
    char path[CONFIG_PATH_BYTES], provider[CONFIG_PATH_BYTES];
    struct datagram datagram;
    struct server_address from;
    bool help;
};

static int parse_path(const char *text, void *value)
{
    if (*text == '\0' || strlen(text) >= CONFIG_PATH_BYTES)
        return -1;
    memcpy(value, text, strlen(text) + 1);
    return 0;
}

static int parse_datagram(const char *text, void *value)
{
    struct datagram *datagram = value;
    size_t length = strlen(text);
    if (length % 2 != 0 || length > (size_t)2 * FILTER_MAX_BYTES ||
        strspn(text, "0123456789abcdefABCDEF") != length)
        return -1;
    for (size_t i = 0; i < length; i += 2) {
        const char digits[3] = {text[i], text[i + 1], '\0'};
        datagram->room[PACKET_ROOM + i / 2] = (uint8_t)strtoul(digits, NULL, 16);
    }
    datagram->bytes = (uint32_t)(length / 2);
    datagram->is_there = true;
    return 0;
}

static int parse_from(const char *text, void *value)
{
    struct server_address address;
    if (server_address_parse(text, &address) != 0 || address.name[0] != '\0')
        return -1;
    memcpy(value, &address, sizeof address);
    return 0;
}

static const struct field_type datagram_type = {
    .parse = parse_datagram, .expected = "hexadecimal digits, two for each of at most 65507 bytes"};
static const struct field_type from_type = {.parse = parse_from,
                                            .expected = "a numeric address and a port"};
static const struct field_type path_type = {.parse = parse_path,
                                            .expected = "a path of 1 to 4095 bytes"};

static const struct field fields[] = {
    {.flag = "config",
     .letter = 'c',
     .variable = "QUILKIN_CONFIG",
     .help = "the file to check",
     .placeholder = "PATH",
     .default_help = "quilkin.yaml, then /etc/quilkin/quilkin.yaml",
     .kind = FIELD_CUSTOM,
     .type = &path_type,
     FIELD_AT(struct arguments, path)},
    {.flag = "provider.fs.path",
     .help = "a provider's file to check as well",
     .placeholder = "PATH",
     .kind = FIELD_CUSTOM,
     .type = &path_type,
     FIELD_AT(struct arguments, provider)},
    {.flag = "datagram",
     .help = "say which filters a player's datagram passes, and where it goes",
     .placeholder = "HEX",
     .kind = FIELD_CUSTOM,
     .type = &datagram_type,
     FIELD_AT(struct arguments, datagram)},
    {.flag = "from",
     .help = "the player of that datagram",
     .placeholder = "ADDRESS",
     .default_text = "192.0.2.1:50000",
     .kind = FIELD_CUSTOM,
     .type = &from_type,
     FIELD_AT(struct arguments, from)},
    OPTION_MARK(struct arguments, help, "help", 'h', "print this help"),
    {0},
};

static const struct command command = {
    .name = "check",
    .help_name = "check",
    .about = "Usage: paddock check [-c FILE] [--provider.fs.path FILE] [--datagram HEX]\n"
             "\n"
             "Reads the configuration as a service would, and says what is wrong with it.\n",
    .exit_status = "0 if a service would take it, 2 if not, 255 if the output fails.",
    .fields = fields};

/* The endpoints and filters of a configuration, as a proxy would have them. */
static int make_world(struct destinations **world, const struct config *config,
                      struct catalog **catalog, struct log *log)
{
    static const enum catalog_source sources[] = {CATALOG_CONFIG, CATALOG_FS, CATALOG_STATIC};
    const struct catalog_settings *settings = config_settings(config, &catalog_section);
    struct error error;
    int code = catalog_new(catalog, NULL, log);
    for (size_t i = 0; i < sizeof sources / sizeof sources[0] && code == 0; i++) {
        struct catalog_change change;
        code = catalog_settings_change(settings, sources[i], "", &change);
        if (code == 0)
            code = catalog_update(*catalog, sources[i], &change);
    }
    if (code != 0)
        return code;
    return world_new(world, catalog_read(*catalog), NULL, &(struct world_options){.workers = 1},
                     &error);
}

static void print_way(const struct destinations *world, const struct filter_call *call,
                      enum filter_result result, unsigned reason)
{
    const struct chain_worker *chain = world->chain->workers[0];
    char address[ADDRESS_TEXT_BYTES];
    uint32_t count = call->is_chosen ? call->chosen_count : world->open.count;

    for (size_t i = 0; i < chain_last(chain); i++) {
        bool is_last = i + 1 == chain_last(chain) && result != FILTER_NEXT;
        printf("%zu. %s: %s\n", i + 1, chain_filter_name(chain_of(chain), i),
               is_last ? "dropped" : "passed");
    }
    if (result != FILTER_NEXT || count == 0) {
        printf("dropped: %s\n", result == FILTER_DROP        ? chain_reason(reason)
                                : result == FILTER_TOO_LARGE ? "too_large"
                                                             : "no upstream endpoints");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct endpoint *at = &world->items[call->is_chosen ? call->chosen[i] : i].at;
        address_format(&at->address, ntohs(at->port), address);
        printf("sent to %s, %u bytes\n", address, call->packet->bytes);
    }
}

static size_t count_names(const struct clusters *clusters)
{
    size_t count = 0;
    for (size_t i = 0; i < clusters->count; i++) {
        for (const struct cluster_endpoint *endpoint = clusters->items[i].cluster->endpoints;
             endpoint != NULL; endpoint = endpoint->next)
            count += endpoint->name != NULL;
    }
    return count;
}

/* Runs a datagram through the chain, and says what becomes of it. */
static int check_datagram(const struct config *config, struct arguments *arguments)
{
    struct log log;
    struct catalog *catalog = NULL;
    struct destinations *world = NULL;
    struct filter_call *call = calloc(1, sizeof *call);
    uint8_t *memory = malloc(FILTER_SCRATCH_BYTES + FILTER_SPARE_BYTES);
    struct packet packet = {.data = arguments->datagram.room + PACKET_ROOM,
                            .bytes = arguments->datagram.bytes,
                            .peer = arguments->from.at,
                            .received_ns = clock_wall_ns()};
    unsigned reason = 0;

    log_init(&log, &(struct log_options){.fd = -1});
    int code =
        call != NULL && memory != NULL ? make_world(&world, config, &catalog, &log) : -ENOMEM;
    if (code == 0) {
        size_t names = count_names(world->clusters);
        call->packet = &packet;
        call->source = &packet.peer;
        call->world = &world->open;
        call->now_ns = clock_monotonic_ns();
        call->scratch = memory;
        call->spare = memory + FILTER_SCRATCH_BYTES;
        enum filter_result result = chain_read(world->chain->workers[0], call, &reason);
        if (names > 0)
            printf("%zu endpoints are given by name, and not looked at\n", names);
        print_way(world, call, result, reason);
    }
    world_free((struct retired *)world);
    catalog_free(catalog);
    free(memory);
    free(call);
    return code == 0 ? output_finish() : command_fail(&command, "out of memory");
}

static void print_ok(const char *path, const char *text)
{
    char shown[SHOWN_BYTES];
    text_escape(path, shown, sizeof shown);
    printf("%s: %s\n", shown, text);
}

int cmd_check(int argc, char *const *argv, const struct config_file *file,
              const struct config_environment *environment)
{
    static char program[] = "paddock", service[] = "--service.qcmp", flag[] = "-c";
    static char provides[] = "--provider.fs", path_flag[] = "--provider.fs.path";
    struct arguments *arguments = calloc(1, sizeof *arguments);
    const struct field_table table = {fields, arguments};
    struct flags_words words = {.items = NULL};
    struct config_report report;
    struct config *config = NULL;
    struct error error;
    int status = 0;

    if (arguments == NULL)
        return command_fail(&command, "out of memory");
    memcpy(arguments->path, file->path, sizeof arguments->path);
    field_defaults(fields, arguments);
    if (flags_parse(&table, argc, argv, &words, &error) != 0 || arguments->help) {
        status = arguments->help ? command_help(&command) : command_usage(&command, error.text);
        goto out;
    }

    /* A service with the environment as it is and no flags but these. */
    char *line[8] = {program, service};
    int count = 2;
    if (arguments->path[0] != '\0') {
        line[count++] = flag;
        line[count++] = arguments->path;
    }
    if (arguments->provider[0] != '\0') {
        line[count++] = provides;
        line[count++] = path_flag;
        line[count++] = arguments->provider;
    }
    const struct section_list sections = daemon_sections();
    const struct config_source source = {
        .sections = sections.items, .argc = count, .argv = line, .environment = environment};
    if (config_load(&config, &source, &report) != CONFIG_SERVE) {
        puts(report.error.text);
        output_finish();
        status = EXIT_USAGE;
        goto out;
    }
    file = config_file(config);
    const struct config_file *provider = config_provider(config);
    print_ok(file->is_loaded ? file->path : "no file, the defaults", "ok");
    if (provider != NULL && !provider->is_loaded) {
        print_ok(provider->path,
                 provider->is_empty ? "there is nothing in the file" : "there is no such file");
        output_finish();
        status = EXIT_USAGE;
        goto out;
    }
    if (provider != NULL)
        print_ok(provider->path, "ok");
    status = arguments->datagram.is_there ? check_datagram(config, arguments) : output_finish();
out:
    config_free(config);
    free(arguments);
    return status;
}
