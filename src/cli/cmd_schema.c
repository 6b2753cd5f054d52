/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/command.h"
#include "cli/commands.h"
#include "daemon/sections.h"

struct arguments {
    bool help;
};

static const struct field fields[] = {
    OPTION_MARK(struct arguments, help, "help", 'h', "print this help"),
    {0},
};

static const struct command command = {
    .name = "generate-config-schema",
    .help_name = "generate-config-schema",
    .about = "Usage: paddock generate-config-schema\n"
             "\n"
             "Writes the JSON Schema (draft 2020-12) of the configuration file.\n",
    .fields = fields};

int cmd_schema(int argc, char *const *argv)
{
    struct arguments arguments = {.help = false};
    const struct field_table table = {fields, &arguments};
    struct flags_words words = {.items = NULL};
    const struct section_list sections = daemon_sections();
    struct error error;

    if (flags_parse(&table, argc, argv, &words, &error) != 0)
        return command_usage(&command, error.text);
    if (arguments.help)
        return command_help(&command);
    json_t *schema = config_schema(sections.items);
    bool is_written =
        schema != NULL && json_dumpf(schema, stdout, JSON_INDENT(2)) == 0 && puts("") >= 0;
    json_decref(schema);
    if (is_written && fflush(stdout) == 0)
        return 0;
    fputs("paddock: cannot write the schema\n", stderr);
    return EXIT_FAILED;
}
