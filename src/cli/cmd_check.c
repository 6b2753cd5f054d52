#include <stdio.h>
#include <string.h>

#include "base/options.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/output.h"

#define SHOWN_BYTES 512

static const struct option_spec SPECS[] = {
    {.name = "config",
     .letter = 'c',
     .kind = OPTION_VALUE,
     .placeholder = "PATH",
     .help = "the file to check",
     .environment = "QUILKIN_CONFIG",
     .default_text = "quilkin.yaml, then /etc/quilkin/quilkin.yaml"},
    {.name = "help", .letter = 'h', .help = "print this help"},
    {.name = NULL},
};

static int print_help(void)
{
    puts("Usage: paddock check [-c FILE]\n"
         "\n"
         "Reads the configuration as a service would, and says what is wrong with it.\n"
         "\n"
         "Options:");
    options_print_help(stdout, SPECS);
    puts("\nExit status: 0 if a service would take it, 2 if not, 255 if the output fails.");
    return output_finish();
}

static int usage_error(const char *error)
{
    fprintf(stderr, "paddock check: %s\nTry 'paddock check --help'.\n", error);
    return EXIT_USAGE;
}

/* A service with the environment as it is and no flags but this one. */
static int check(char *path, const struct config_environment *environment)
{
    static char program[] = "paddock", service[] = "--service.qcmp", flag[] = "-c";
    char *argv[] = {program, service, flag, path, NULL};
    int argc = path != NULL ? 4 : 2;
    struct config_report report;
    struct config config;
    char shown[SHOWN_BYTES];

    if (config_load(&config, argc, argv, environment, &report) != CONFIG_SERVE) {
        puts(report.error);
        output_finish();
        return EXIT_USAGE;
    }
    text_escape(config.file_loaded ? config.file : "no file, the defaults", shown, sizeof shown);
    printf("%s: ok\n", shown);
    config_fini(&config);
    return output_finish();
}

int cmd_check(int argc, char *const *argv, const struct config *config,
              const struct config_environment *environment)
{
    struct options options;
    enum options_event event;
    char path[CONFIG_PATH_BYTES] = "";

    snprintf(path, sizeof path, "%s", config->file);
    options_init(&options, SPECS, OPTIONS_STOP_AT_WORD, argc, argv);
    while ((event = options_next(&options)) == OPTIONS_OPTION) {
        if (options.spec->letter == 'h')
            return print_help();
        if (options.value[0] == '\0' || strlen(options.value) >= sizeof path)
            return usage_error("--config: expected a path of 1 to 4095 bytes");
        snprintf(path, sizeof path, "%s", options.value);
    }
    if (event == OPTIONS_ERROR)
        return usage_error(options.error);
    if (options.index < argc)
        return usage_error("the file is named with -c");
    return check(path[0] != '\0' ? path : NULL, environment);
}
