/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/entrances.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "loop/ports.h"

struct entrances {
    struct entrances_options options;
    unsigned count;
    struct entrance {
        struct ports_slot ports;
        struct proxy_entry entries[WORKERS_MAX];
    } items[]; /* the service's own first */
};

int entrances_new(struct entrances **made, const struct entrances_options *options)
{
    unsigned count = 1 + options->listeners;
    struct entrances *entrances = calloc(1, sizeof *entrances + count * sizeof entrances->items[0]);
    if (entrances == NULL)
        return -ENOMEM;
    entrances->options = *options;
    entrances->count = count;
    for (unsigned i = 0; i < count; i++) {
        ports_slot_init(&entrances->items[i].ports);
        for (unsigned j = 0; j < workers_count(options->workers); j++)
            entrances->items[i].entries[j] = (struct proxy_entry){options->own[j], (uint16_t)i};
    }
    *made = entrances;
    return 0;
}

void entrances_free(struct entrances *entrances)
{
    if (entrances == NULL)
        return;
    for (unsigned i = 0; i < entrances->count; i++)
        ports_slot_fini(&entrances->items[i].ports);
    free(entrances);
}

struct move {
    struct proxy_worker *const *own;
    const struct ports_slot *ports;
};

static void move_sessions(struct worker *worker, void *user)
{
    const struct move *move = user;
    proxy_worker_move(move->own[worker->index], move->ports->leaving, move->ports->current);
}

/* Closes ports that leave; no session keeps one of them. */
static void leave(const struct entrances *entrances, struct ports_slot *ports)
{
    struct move move = {entrances->options.own, ports};
    ports_slot_empty(ports); /* then no session takes one of the ports that leave */
    workers_call(entrances->options.workers, move_sessions, &move);
    ports_slot_leave(ports);
}

static int prepare(struct entrances *entrances, unsigned index,
                   const struct proxy_settings *settings, struct error *error)
{
    struct entrance *entrance = &entrances->items[index];
    char port_key[48] = "paddock.udp.port, --service.udp.port";
    void *users[WORKERS_MAX];
    if (index > 0)
        snprintf(port_key, sizeof port_key, "paddock.udp.listeners[%u].port", index - 1);
    for (unsigned i = 0; i < workers_count(entrances->options.workers); i++)
        users[i] = &entrance->entries[i];

    uint16_t port = index == 0 ? settings->port : settings->listeners.items[index - 1].port;
    const struct ports_options options = {.name = "players",
                                          .key = "paddock.udp.listen",
                                          .port_key = port_key,
                                          .port = port,
                                          .addresses = settings->listen,
                                          .addresses_count = settings->listen_count,
                                          .receive_buffer_ns = settings->receive_buffer_ns,
                                          .by_source = true,
                                          .tells_hops = true,
                                          .tells_traffic = settings->dscp,
                                          .is_unstamped = true,
                                          .is_gathering = settings->gro,
                                          .max_bytes = PACKET_MAX_BYTES,
                                          .counters = entrances->options.counters,
                                          .receive = proxy_receive,
                                          .users = users};
    return ports_slot_prepare(&entrance->ports, entrances->options.workers, &options, error);
}

int entrances_prepare(struct entrances *entrances, const struct proxy_settings *settings,
                      struct error *error)
{
    int code = 0;
    for (unsigned i = 0; i < entrances->count && code == 0; i++)
        code = prepare(entrances, i, settings, error);
    if (code != 0)
        entrances_abandon(entrances);
    return code;
}

void entrances_abandon(struct entrances *entrances)
{
    for (unsigned i = 0; i < entrances->count; i++) {
        struct ports_slot *ports = &entrances->items[i].ports;
        if (ports_slot_revoke(ports)) /* players may have found it already */
            leave(entrances, ports);
        else
            ports_slot_abandon(ports);
    }
}

/* Lets players' datagrams come to the driver's part first, or no more. */
static void claim(const struct entrances *entrances, const struct ports *ports, bool is_claimed)
{
    if (entrances->options.fast != NULL)
        proxy_fast_claim(entrances->options.fast, ports_number(ports), is_claimed);
}

static void log_port(const struct entrances *entrances, unsigned index, const char *message)
{
    const struct ports *ports = entrances->items[index].ports.current;
    struct log *log = entrances->options.log;
    char address[ADDRESS_TEXT_BYTES];
    struct in6_addr first = ports_first_address(ports);
    uint16_t port = ports_number(ports);
    ports_warn(ports, log);
    address_format(&first, port, address);
    LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", message), log_uint("port", port),
              log_text("address", address));
}

void entrances_commit(struct entrances *entrances)
{
    for (unsigned i = 0; i < entrances->count; i++) {
        struct ports_slot *ports = &entrances->items[i].ports;
        if (!ports_slot_commit(ports) || ports->leaving == NULL)
            continue;
        log_port(entrances, i, i == 0 ? "udp port changed" : "udp listener changed");
        claim(entrances, ports->leaving, false);
        claim(entrances, ports->current, true);
        leave(entrances, ports);
    }
}

int entrances_start(struct entrances *entrances)
{
    int code = 0;
    for (unsigned i = 0; i < entrances->count && code == 0; i++)
        code = ports_start(entrances->items[i].ports.current);
    for (unsigned i = 0; i < entrances->count && code == 0; i++)
        claim(entrances, entrances->items[i].ports.current, true);
    return code;
}

void entrances_log(const struct entrances *entrances)
{
    for (unsigned i = 1; i < entrances->count; i++)
        log_port(entrances, i, "udp listener ready");
    log_port(entrances, 0, "udp ready");
}

void entrances_stop(struct entrances *entrances)
{
    for (unsigned i = 0; i < entrances->count; i++)
        claim(entrances, entrances->items[i].ports.current, false);
    for (unsigned i = 0; i < entrances->count; i++)
        ports_slot_stop(&entrances->items[i].ports);
}

uint16_t entrances_number(const struct entrances *entrances)
{
    return ports_number(entrances->items[0].ports.current);
}

uint64_t entrances_drops(struct entrances *entrances)
{
    uint64_t drops = 0;
    for (unsigned i = 0; i < entrances->count; i++)
        drops += ports_slot_drops(&entrances->items[i].ports);
    return drops;
}
