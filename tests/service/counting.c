/* SPDX-License-Identifier: Apache-2.0 */
#include "service/counting.h"

#include <errno.h>
#include <stdlib.h>

#include "loop/ports.h"

#define LONGEST_BYTES 2048

struct settings {
    bool enabled;
    uint16_t port;
};

static const struct field fields[] = {
    {.flag = "service.count",
     .variable = "PADDOCK_SERVICE_COUNT",
     .help = "count datagrams",
     .flags = FIELD_SERVICE | FIELD_FIXED,
     FIELD_AT(struct settings, enabled)},
    {.key = "paddock.count.port",
     .flag = "service.count.port",
     .variable = "PADDOCK_SERVICE_COUNT_PORT",
     .help = "the port on which they are counted",
     .placeholder = "N",
     .default_text = "7601",
     .kind = FIELD_NUMBER,
     .max = UINT16_MAX,
     FIELD_AT(struct settings, port)},
    {0},
};

static const struct config_section section = {
    .name = "count", .fields = fields, .bytes = sizeof(struct settings)};

struct counting {
    struct service_env env;
    struct port_counters *counters;
    struct ports *ports, *next;
    uint16_t wanted, next_wanted;
};

static void receive(struct port *port, struct packet *packets, unsigned count, void *user)
{
    (void)user;
    for (unsigned i = 0; i < count; i++)
        port_count(port, 0, &packets[i]);
}

static const struct settings *of(const struct config *config)
{
    return config_settings(config, &section);
}

static bool is_wanted(const struct config *config)
{
    return of(config)->enabled;
}

static int bind_ports(struct counting *counting, const struct settings *settings,
                      struct ports **ports, struct error *error)
{
    static const struct in6_addr any = IN6ADDR_ANY_INIT;
    static void *const users[WORKERS_MAX];
    const struct ports_options options = {.name = "count",
                                          .port_key = "count_port",
                                          .key = "paddock.count.listen",
                                          .port = settings->port,
                                          .addresses = &any,
                                          .addresses_count = 1,
                                          .receive_buffer_ns = 20000000,
                                          .max_bytes = LONGEST_BYTES,
                                          .counters = counting->counters,
                                          .receive = receive,
                                          .users = users};
    return ports_open(ports, counting->env.workers, &options, error);
}

static void stop(void *self)
{
    struct counting *counting = self;
    if (counting->ports != NULL)
        ports_stop(counting->ports);
    ports_close(counting->ports);
    free(counting->counters);
    free(counting);
}

static int open_counting(void **self, const struct service_env *env, const struct config *config,
                         struct error *error)
{
    struct counting *counting = calloc(1, sizeof *counting);
    if (counting == NULL)
        return error_system(error, -ENOMEM, "cannot count");

    counting->env = *env;
    counting->wanted = of(config)->port;
    counting->counters = port_counters_new(workers_count(env->workers));
    int code = counting->counters != NULL
                   ? bind_ports(counting, of(config), &counting->ports, error)
                   : error_system(error, -ENOMEM, "cannot count");
    if (code != 0) {
        stop(counting);
        return code;
    }
    *self = counting;
    return 0;
}

static int start(void *self, struct error *error)
{
    struct counting *counting = self;
    int code = ports_start(counting->ports);
    if (code != 0)
        return error_system(error, code, "cannot wait for datagrams");
    LOG_EVENT(counting->env.log, LOG_LEVEL_INFO, log_text("message", "count ready"),
              log_uint("port", ports_number(counting->ports)));
    return 0;
}

static void abandon(void *self)
{
    struct counting *counting = self;
    if (counting->next != NULL)
        ports_stop(counting->next);
    ports_close(counting->next);
    counting->next = NULL;
}

static int prepare(void *self, const struct config *next, struct error *error)
{
    struct counting *counting = self;
    counting->next_wanted = of(next)->port;
    if (counting->next_wanted == counting->wanted)
        return 0;
    int code = bind_ports(counting, of(next), &counting->next, error);
    if (code == 0 && (code = ports_start(counting->next)) != 0) {
        abandon(counting);
        error_system(error, code, "cannot wait for datagrams");
    }
    return code;
}

static void commit(void *self)
{
    struct counting *counting = self;
    if (counting->next == NULL)
        return;
    ports_stop(counting->ports);
    ports_close(counting->ports);
    counting->ports = counting->next;
    counting->next = NULL;
    counting->wanted = counting->next_wanted;
}

static void metrics(void *self, bool is_alive, struct metrics *out)
{
    struct counting *counting = self;
    struct port_sum sum = {0};
    (void)is_alive;
    port_counters_add(&sum, counting->counters, workers_count(counting->env.workers));
    metrics_family(out, "paddock_count_datagrams", METRICS_COUNTER, NULL, "Datagrams.");
    metrics_sample(out, sum.received, NULL);
}

const struct service_ops counting_service = {.name = "count",
                                             .section = &section,
                                             .is_wanted = is_wanted,
                                             .open = open_counting,
                                             .start = start,
                                             .prepare = prepare,
                                             .commit = commit,
                                             .abandon = abandon,
                                             .metrics = metrics,
                                             .stop = stop};
