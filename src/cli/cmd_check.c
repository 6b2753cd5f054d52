/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "daemon/sections.h"

#define SHOWN_BYTES 512

struct arguments {
    char path[CONFIG_PATH_BYTES];
    bool help;
};

static int parse_path(const char *text, void *value)
{
    if (*text == '\0' || strlen(text) >= CONFIG_PATH_BYTES)
        return -1;
    memcpy(value, text, strlen(text) + 1);
    return 0;
}

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
    OPTION_MARK(struct arguments, help, "help", 'h', "print this help"),
    {0},
};

static const struct command command = {
    .name = "check",
    .help_name = "check",
    .about = "Usage: paddock check [-c FILE]\n"
             "\n"
             "Reads the configuration as a service would, and says what is wrong with it.\n",
    .exit_status = "0 if a service would take it, 2 if not, 255 if the output fails.",
    .fields = fields};

int cmd_check(int argc, char *const *argv, const struct config_file *file,
              const struct config_environment *environment)
{
    static char program[] = "paddock", service[] = "--service.qcmp", flag[] = "-c";
    struct arguments arguments = {.help = false};
    const struct field_table table = {fields, &arguments};
    struct flags_words words = {.items = NULL};
    struct config_report report;
    struct config *config;
    struct error error;
    char shown[SHOWN_BYTES];

    memcpy(arguments.path, file->path, sizeof arguments.path);
    if (flags_parse(&table, argc, argv, &words, &error) != 0)
        return command_usage(&command, error.text);
    if (arguments.help)
        return command_help(&command);

    /* A service with the environment as it is and no flags but this one. */
    char *line[] = {program, service, flag, arguments.path, NULL};
    const struct section_list sections = daemon_sections();
    const struct config_source source = {.sections = sections.items,
                                         .argc = arguments.path[0] != '\0' ? 4 : 2,
                                         .argv = line,
                                         .environment = environment};
    if (config_load(&config, &source, &report) != CONFIG_SERVE) {
        puts(report.error.text);
        output_finish();
        return EXIT_USAGE;
    }
    file = config_file(config);
    text_escape(file->is_loaded ? file->path : "no file, the defaults", shown, sizeof shown);
    printf("%s: ok\n", shown);
    config_free(config);
    return output_finish();
}
