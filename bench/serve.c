/* SPDX-License-Identifier: Apache-2.0 */
#include "serve.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/sections.h"
#include "qcmp/service.h"

#define MAX_FLAGS 32

struct served {
    struct log log;
    int log_fd; /* what the service says at its end stands there */
    struct config *config;
    struct workers *workers;
    void *service;
};

static void need(bool is_true, const char *what)
{
    if (is_true)
        return;
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static const char *no_variable(const char *name, void *user)
{
    (void)name;
    (void)user;
    return NULL;
}

struct served *serve_open(unsigned workers, const char *const *flags)
{
    char *argv[MAX_FLAGS] = {"bench", "--service.qcmp"};
    int argc = 2;
    for (; *flags != NULL && argc < MAX_FLAGS; flags++)
        argv[argc++] = strdup(*flags);

    struct served *served = calloc(1, sizeof *served);
    const struct config_environment environment = {.get = no_variable, .host_name = "bench"};
    const struct section_list sections = daemon_sections();
    const struct config_source source = {
        .sections = sections.items, .argc = argc, .argv = argv, .environment = &environment};
    const struct workers_options options = {.count = workers, .pin = true};
    struct config_report report;
    struct error error = {0};
    need(served != NULL, "out of memory");
    need(config_load(&served->config, &source, &report) == CONFIG_SERVE, report.error.text);
    served->log_fd = memfd_create("log", MFD_CLOEXEC);
    log_init(&served->log, &(struct log_options){.fd = served->log_fd,
                                                 .format = LOG_FORMAT_JSON,
                                                 .level = LOG_LEVEL_INFO});
    need(workers_new(&served->workers, &options) == 0, "cannot make workers");
    const struct service_env env = {.log = &served->log, .workers = served->workers};
    need(qcmp_service.open(&served->service, &env, served->config, &error) == 0, error.text);
    need(qcmp_service.start(served->service, &error) == 0, error.text);
    return served;
}

uint16_t serve_port(const struct served *served)
{
    json_t *shown = json_object();
    qcmp_service.show(served->service, shown);
    uint16_t port = (uint16_t)json_integer_value(json_object_get(shown, "qcmp_port"));
    json_decref(shown);
    return port;
}

void serve_start(struct served *served)
{
    struct error error = {0};
    need(workers_start(served->workers, &error) == 0, error.text);
}

static uint64_t find_number(const char *text, const char *name)
{
    const char *found = strstr(text, name);
    need(found != NULL, "the service said nothing at its end");
    return strtoull(found + strlen(name), NULL, 10);
}

uint64_t serve_stop(struct served *served, uint64_t *drops)
{
    char text[8192] = "";
    qcmp_service.stop(served->service);
    workers_free(served->workers);
    need(pread(served->log_fd, text, sizeof text - 1, 0) > 0, "no log");
    uint64_t answered = find_number(text, "\"answered\":");
    *drops = find_number(text, "\"kernel_drops\":");
    close(served->log_fd);
    config_free(served->config);
    free(served);
    return answered;
}
