/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>

#include "base/text.h"
#include "cli/admin_client.h"
#include "cli/command.h"
#include "cli/commands.h"

struct arguments {
    struct target admin;
    bool is_json, help;
};

static const struct field fields[] = {
    OPTION_ADMIN(struct arguments, admin),
    OPTION_FORMAT(struct arguments, is_json, "format", "human, or json for programs"),
    OPTION_MARK(struct arguments, help, "help", 'h', "print this help"),
    {0},
};

static const struct command command = {
    .name = "control",
    .help_name = "control",
    .about = "Usage: paddock control [OPTION...]\n"
             "\n"
             "Lists the peers of a service on this host in the control plane: servers, relays,\n"
             "agents and subscribers, with the versions that they have, and what was acknowledged\n"
             "and refused, and why. Two peers with the same version have the same resources.\n",
    .exit_status = "0 if the service has answered, 2 for a usage error, 255 otherwise.",
    .fields = fields};

static json_int_t number(const json_t *json, const char *key)
{
    return json_integer_value(json_object_get(json, key));
}

/* Whatever answers may be no service of ours, and has no say over the terminal. */
static void print_text(const char *text, int width)
{
    char shown[512];

    text_escape(text != NULL ? text : "-", shown, sizeof shown);
    printf("%-*s", width, shown);
}

static void print_member(const json_t *json, const char *key, int width)
{
    print_text(json_string_value(json_object_get(json, key)), width);
}

static void print_ago(const json_t *seconds)
{
    if (json_is_number(seconds))
        printf(" (%.0f s ago)", json_number_value(seconds));
}

static void print_type(const char *name, const json_t *type)
{
    printf("    ");
    print_text(name, 12);
    printf(" version ");
    print_member(type, "version", 0);
    printf(", %" JSON_INTEGER_FORMAT " resources, %" JSON_INTEGER_FORMAT
           " responses, %" JSON_INTEGER_FORMAT " acknowledged",
           number(type, "resources"), number(type, "responses"), number(type, "acks"));
    print_ago(json_object_get(type, "last_ack_s"));
    if (number(type, "nacks") > 0) {
        printf(", %" JSON_INTEGER_FORMAT " refused", number(type, "nacks"));
        print_ago(json_object_get(type, "last_nack_s"));
        printf(": ");
        print_member(type, "last_error", 0);
    }
    puts("");
}

static void print_peer(json_t *peer)
{
    json_t *type;
    const char *name;

    print_member(peer, "role", 11);
    printf(" ");
    print_member(peer, "address", 28);
    printf(" ");
    print_member(peer, "id", 0);
    puts("");
    if (number(peer, "failures") > 0) {
        printf("    lost or not reached %" JSON_INTEGER_FORMAT " times, the last time: ",
               number(peer, "failures"));
        print_member(peer, "failure", 0);
        puts("");
    }
    json_object_foreach(json_object_get(peer, "types"), name, type)
    {
        print_type(name, type);
    }
}

int cmd_control(int argc, char *const *argv)
{
    struct arguments arguments = {.help = false};
    const struct field_table table = {fields, &arguments};
    struct flags_words words = {.items = NULL};
    char failure[ADMIN_FAILURE_BYTES];
    struct error error;
    json_t *peer;
    size_t i;

    field_defaults(fields, &arguments);
    if (flags_parse(&table, argc, argv, &words, &error) != 0)
        return command_usage(&command, error.text);
    if (arguments.help)
        return command_help(&command);

    json_t *state = admin_ask(&arguments.admin, "/control", failure);
    if (state == NULL)
        return command_fail(&command, failure);
    json_t *peers = json_object_get(state, "peers");
    if (!json_is_array(peers)) {
        json_decref(state);
        return command_fail(&command, "what answers is no list of peers");
    }
    if (arguments.is_json && json_dumpf(state, stdout, JSON_INDENT(2)) == 0)
        puts("");
    json_array_foreach(peers, i, peer)
    {
        if (!arguments.is_json)
            print_peer(peer);
    }
    if (!arguments.is_json)
        printf("%zu peers\n", json_array_size(peers));
    json_decref(state);
    return output_finish();
}
