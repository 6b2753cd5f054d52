#include <stdio.h>
#include <string.h>

#include "base/options.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "config/config.h"
#include "daemon/sections.h"

static const struct option_spec SPECS[] = {
    {.name = "help", .letter = 'h', .kind = OPTION_FLAG, .help = "print this help"},
    {.name = NULL},
};

int cmd_schema(int argc, char *const *argv)
{
    bool help = argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    if (help) {
        puts("Usage: paddock generate-config-schema\n"
             "\n"
             "Writes the JSON Schema (draft 2020-12) of the configuration file.\n"
             "\n"
             "Options:");
        options_print_help(stdout, SPECS);
        return output_finish();
    }
    if (argc > 1) {
        fputs("paddock generate-config-schema: takes no arguments\n", stderr);
        return EXIT_USAGE;
    }
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
