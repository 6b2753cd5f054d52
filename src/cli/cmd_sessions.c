/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>

#include "base/duration.h"
#include "cli/admin_client.h"
#include "cli/command.h"
#include "cli/commands.h"

struct arguments {
    struct target admin;
    unsigned sort;
    uint32_t limit;
    bool is_json, help;
};

static const char *const orders[] = {"idle", "age", "packets", "bytes", NULL};

static const struct field fields[] = {
    OPTION_ADMIN(struct arguments, admin),
    {.flag = "sort",
     .help = "by idle (the last active first), age (the oldest first), packets or bytes",
     .placeholder = "KEY",
     .default_text = "idle",
     .kind = FIELD_WORD,
     .words = orders,
     FIELD_AT(struct arguments, sort)},
    {.flag = "limit",
     .letter = 'n',
     .help = "the most rows",
     .placeholder = "N",
     .default_text = "100",
     .kind = FIELD_NUMBER,
     .min = 1,
     .max = 10000,
     FIELD_AT(struct arguments, limit)},
    OPTION_FORMAT(struct arguments, is_json, "format", "human, or json for programs"),
    OPTION_MARK(struct arguments, help, "help", 'h', "print this help"),
    {0},
};

static const struct command command = {
    .name = "sessions",
    .help_name = "sessions",
    .about = "Usage: paddock sessions [OPTION...]\n"
             "\n"
             "Lists the sessions of a proxy (paddock --service.udp) on this host: player, game\n"
             "server, and what has passed between them.\n",
    .exit_status = "0 if the proxy has answered, 2 for a usage error, 255 otherwise.",
    .fields = fields};

static void format_ms(const json_t *row, const char *key, char text[DURATION_TEXT_BYTES])
{
    int64_t ms = json_integer_value(json_object_get(row, key));
    duration_format(ms >= 1000 ? ms / 1000 * 1000000000 : ms * 1000000, text, DURATION_TEXT_BYTES);
}

static void print_table(const json_t *list)
{
    const json_t *rows = json_object_get(list, "sessions");
    json_t *row;
    size_t i;

    printf("%-24s %-24s %9s %9s %10s %12s %10s %12s  %-8s  %s\n", "PLAYER", "SERVER", "AGE", "IDLE",
           "TO SERVER", "BYTES", "TO PLAYER", "BYTES", "STATE", "PLACE");
    json_array_foreach(rows, i, row)
    {
        const char *player = "", *server = "", *state = "", *country = "";
        json_int_t read = 0, read_bytes = 0, written = 0, written_bytes = 0, asn = 0;
        char age[DURATION_TEXT_BYTES], idle[DURATION_TEXT_BYTES], network[24] = "";
        (void)json_unpack(row, "{s:s, s:s, s:s, s:{s:I, s:I}, s:{s:I, s:I}, s:s, s:I}", "player",
                          &player, "server", &server, "state", &state, "read", "packets", &read,
                          "bytes", &read_bytes, "write", "packets", &written, "bytes",
                          &written_bytes, "country", &country, "asn", &asn);
        if (asn != 0)
            snprintf(network, sizeof network, "AS%" JSON_INTEGER_FORMAT, asn);
        format_ms(row, "age_ms", age);
        format_ms(row, "idle_ms", idle);
        printf("%-24s %-24s %9s %9s %10" JSON_INTEGER_FORMAT " %12" JSON_INTEGER_FORMAT
               " %10" JSON_INTEGER_FORMAT " %12" JSON_INTEGER_FORMAT "  %-8s  %s %s\n",
               player, server, age, idle, read, read_bytes, written, written_bytes, state, country,
               network);
    }
    printf("%zu of %" JSON_INTEGER_FORMAT " sessions\n", json_array_size(rows),
           json_integer_value(json_object_get(list, "total")));
}

int cmd_sessions(int argc, char *const *argv)
{
    struct arguments arguments = {.help = false};
    const struct field_table table = {fields, &arguments};
    struct flags_words words = {.items = NULL};
    struct error error;
    char failure[ADMIN_FAILURE_BYTES], path[64];

    field_defaults(fields, &arguments);
    if (flags_parse(&table, argc, argv, &words, &error) != 0)
        return command_usage(&command, error.text);
    if (arguments.help)
        return command_help(&command);

    snprintf(path, sizeof path, "/sessions?sort=%s&limit=%u", orders[arguments.sort],
             arguments.limit);
    json_t *list = admin_ask(&arguments.admin, path, failure);
    if (list == NULL)
        return command_fail(&command, failure);
    if (!arguments.is_json)
        print_table(list);
    else if (json_dumpf(list, stdout, JSON_INDENT(2)) == 0)
        puts("");
    json_decref(list);
    return output_finish();
}
