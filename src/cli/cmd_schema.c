/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "daemon/sections.h"
#include "filters/chain.h"

#define SHOWN_BYTES 200

struct arguments {
    char folder[CONFIG_PATH_BYTES];
    bool help;
};

static int parse_folder(const char *text, void *value)
{
    if (*text == '\0' || strlen(text) >= CONFIG_PATH_BYTES)
        return -1;
    memcpy(value, text, strlen(text) + 1);
    return 0;
}

static const struct field_type folder_type = {.parse = parse_folder,
                                              .expected = "a path of 1 to 4095 bytes"};

static const struct field fields[] = {
    {.flag = "output-directory",
     .letter = 'o',
     .help = "where a file for each filter goes",
     .placeholder = "DIR",
     .default_help = ".",
     .kind = FIELD_CUSTOM,
     .type = &folder_type,
     FIELD_AT(struct arguments, folder)},
    OPTION_MARK(struct arguments, help, "help", 'h', "print this help"),
    {0},
};

static const struct command command = {
    .name = "generate-config-schema",
    .help_name = "generate-config-schema",
    .about = "Usage: paddock generate-config-schema [-o DIR] [ID...]\n"
             "\n"
             "Writes the JSON Schema (draft 2020-12) of the configuration file to the standard\n"
             "output. With ids of filters, or a directory, it writes the schema of the\n"
             "configuration of each filter, or of all, to DIR/ID.json.\n",
    .fields = fields};

static int write_config_schema(void)
{
    const struct section_list sections = daemon_sections();
    json_t *schema = config_schema(sections.items);
    bool is_written =
        schema != NULL && json_dumpf(schema, stdout, JSON_INDENT(2)) == 0 && puts("") >= 0;
    json_decref(schema);
    if (is_written && fflush(stdout) == 0)
        return 0;
    fputs("paddock: cannot write the schema\n", stderr);
    return EXIT_FAILED;
}

static int write_filter_schema(const char *folder, const char *id)
{
    char path[CONFIG_PATH_BYTES + 128], shown[CONFIG_PATH_BYTES], error[CONFIG_PATH_BYTES + 64];
    json_t *schema = chain_filter_schema(id);
    snprintf(path, sizeof path, "%s/%s.json", *folder != '\0' ? folder : ".", id);
    if (schema != NULL && json_object_get(schema, "$schema") == NULL)
        json_object_set_new(schema, "$schema",
                            json_string("https://json-schema.org/draft/2020-12/schema"));
    bool is_written = schema != NULL && json_dump_file(schema, path, JSON_INDENT(2)) == 0;
    json_decref(schema);
    if (is_written)
        return 0;
    text_escape(path, shown, sizeof shown);
    snprintf(error, sizeof error, "cannot write %s", shown);
    return command_fail(&command, error);
}

/* "all" is a word of the reference. */
static int write_filter_schemas(const char *folder, const struct flags_words *ids)
{
    bool all = ids->count == 0 || (ids->count == 1 && strcmp(ids->items[0], "all") == 0);
    int status = 0;
    for (size_t i = 0; !all && i < ids->count; i++) {
        json_t *schema = chain_filter_schema(ids->items[i]);
        if (schema == NULL) {
            char shown[SHOWN_BYTES], error[SHOWN_BYTES + 32];
            text_escape(ids->items[i], shown, sizeof shown);
            snprintf(error, sizeof error, "'%s' is not the id of a filter", shown);
            return command_usage(&command, error);
        }
        json_decref(schema);
    }
    for (size_t i = 0; status == 0 && (all ? chain_filter_id(i) != NULL : i < ids->count); i++)
        status = write_filter_schema(folder, all ? chain_filter_id(i) : ids->items[i]);
    return status;
}

int cmd_schema(int argc, char *const *argv)
{
    struct arguments arguments = {.help = false};
    const struct field_table table = {fields, &arguments};
    struct flags_words words = {.items = calloc((size_t)argc, sizeof *words.items)};
    struct error error;
    int status;

    if (words.items == NULL)
        return command_fail(&command, "out of memory");
    if (flags_parse(&table, argc, argv, &words, &error) != 0)
        status = command_usage(&command, error.text);
    else if (arguments.help)
        status = command_help(&command);
    else if (words.count == 0 && arguments.folder[0] == '\0')
        status = write_config_schema();
    else
        status = write_filter_schemas(arguments.folder, &words);
    free(words.items);
    return status;
}
