#include <stdio.h>

#include "cli/commands.h"
#include "config/config.h"

int cmd_schema(int argc, char *const *argv)
{
    (void)argv;
    if (argc > 1) {
        fputs("paddock generate-config-schema: takes no arguments\n", stderr);
        return EXIT_USAGE;
    }
    json_t *schema = config_schema();
    bool is_written =
        schema != NULL && json_dumpf(schema, stdout, JSON_INDENT(2)) == 0 && puts("") >= 0;
    json_decref(schema);
    if (is_written && fflush(stdout) == 0)
        return 0;
    fputs("paddock: cannot write the schema\n", stderr);
    return EXIT_FAILED;
}
