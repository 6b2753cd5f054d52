/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"

#include <stdio.h>

const char *const command_formats[] = {"human", "json", NULL};

int command_help(const struct command *command)
{
    const struct field_table table = {.fields = command->fields};

    printf("%s\nOptions:\n", command->about);
    flags_print_help(stdout, &table, 1);
    if (command->exit_status != NULL)
        printf("\nExit status: %s\n", command->exit_status);
    return output_finish();
}

int command_usage(const struct command *command, const char *what)
{
    fprintf(stderr, "paddock %s: %s (see 'paddock %s --help')\n", command->name, what,
            command->help_name);
    return EXIT_USAGE;
}

int command_fail(const struct command *command, const char *what)
{
    fprintf(stderr, "paddock %s: %s\n", command->name, what);
    return EXIT_FAILED;
}

enum qcmp_family command_family(const struct family_options *options)
{
    if (options->ipv4)
        return QCMP_FAMILY_IPV4;
    return options->ipv6 ? QCMP_FAMILY_IPV6 : QCMP_FAMILY_ANY;
}

int output_finish(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    fputs("paddock: cannot write to the standard output\n", stderr);
    return EXIT_FAILED;
}
