/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/ports.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/bind.h"

/* A receive error may last: a worker waits for a moment, so that it is no busy loop. */
#define REST_MS 1

/* One socket of one worker. */
struct listener {
    unsigned worker;
    struct port *port;
    struct loop_watch watch;
    uint32_t drops; /* as the kernel counted them last */
};

struct ports {
    struct workers *workers;
    uint16_t number;
    const char *key; /* of the addresses, for the log */
    struct in6_addr first_address;
    struct in6_addr missing[NET_MAX_ADDRESSES];
    unsigned missing_count;
    size_t buffer_bytes; /* asked for */
    uint64_t drops;
    unsigned count;
    struct listener listeners[]; /* for each worker and address at most */
};

static void receive(uint32_t events, void *user)
{
    (void)events;
    if (port_turn(user) < 0)
        poll(NULL, 0, REST_MS);
}

static int fail(const struct ports_options *options, size_t index, int code, struct error *error)
{
    char address[ADDRESS_TEXT_BYTES];
    if (index >= options->addresses_count || address_is_any(&options->addresses[index]))
        return error_system(error, code, "cannot serve %s on UDP port %u (%s)", options->name,
                            (unsigned)options->port, options->port_key);
    address_format(&options->addresses[index], options->port, address);
    return error_system(error, code, "cannot serve %s on %s (%s[%zu], %s)", options->name, address,
                        options->key, index, options->port_key);
}

/* Gives a bound socket to a worker. */
static int add_listener(struct ports *ports, const struct ports_options *options, unsigned worker,
                        int fd)
{
    struct listener *listener = &ports->listeners[ports->count];
    const struct port_options port = {.fd = fd,
                                      .is_unstamped = options->is_unstamped,
                                      .is_gathering = options->is_gathering,
                                      .max_bytes = options->max_bytes,
                                      .batch = workers_get(ports->workers, worker)->batch,
                                      .counters = &options->counters[worker],
                                      .receive = options->receive,
                                      .user = options->users[worker]};
    int code = port_open(&listener->port, &port);
    if (code != 0)
        return code;
    if (worker > 0)
        port_join(listener->port, ports->listeners[ports->count - 1].port);
    listener->worker = worker;
    listener->watch = (struct loop_watch){.fd = fd, .ready = receive, .user = listener->port};
    ports->count++;
    return 0;
}

int ports_open(struct ports **ports, struct workers *workers, const struct ports_options *options,
               struct error *error)
{
    unsigned count = workers_count(workers);
    size_t most = options->addresses_count * count, at = 0;
    bool has_ipv4 = false;
    struct ports *opened = calloc(1, sizeof *opened + most * sizeof opened->listeners[0]);
    int code = opened != NULL ? 0 : -ENOMEM;
    assert(options->addresses_count >= 1 && options->addresses_count <= NET_MAX_ADDRESSES);

    if (code == 0) {
        opened->workers = workers;
        opened->key = options->key;
        opened->number = options->port;
        opened->buffer_bytes = bind_buffer_bytes(options->receive_buffer_ns);
    }
    for (size_t i = 0; i < options->addresses_count; i++)
        has_ipv4 = has_ipv4 || IN6_IS_ADDR_V4MAPPED(&options->addresses[i]);
    for (; at < options->addresses_count && code == 0; at++) {
        struct binding binding = {.address = options->addresses[at],
                                  .ipv6_only = has_ipv4,
                                  .tells_hops = options->tells_hops,
                                  .tells_traffic = options->tells_traffic,
                                  .is_unstamped = options->is_unstamped,
                                  .buffer_bytes = opened->buffer_bytes};
        for (unsigned i = 0; i < count && code == 0; i++) {
            int fd = bind_open(&binding, opened->number, i > 0);
            if (fd == -EAFNOSUPPORT && has_ipv4 && IN6_IS_ADDR_UNSPECIFIED(&binding.address))
                break; /* where the host has no IPv6, `::` for IPv6 alone is nothing */
            if (i == 0 && fd >= 0) {
                opened->number = address_bound_port(fd);
                if (opened->count == 0)
                    opened->first_address = binding.address;
                if (binding.is_missing)
                    opened->missing[opened->missing_count++] = binding.address;
                code = count > 1 ? bind_join(fd) : 0;
            }
            if (fd >= 0 && code != 0)
                close(fd);
            code = fd < 0 ? fd : code != 0 ? code : add_listener(opened, options, i, fd);
            if (code == 0 && options->by_source && count > 1 && i == count - 1)
                code = bind_choose_by_source(fd, count);
        }
    }
    if (code == 0 && opened->count == 0)
        code = -EAFNOSUPPORT;
    if (code != 0) {
        ports_close(opened);
        return fail(options, at > 0 ? at - 1 : options->addresses_count, code, error);
    }
    *ports = opened;
    return 0;
}

uint16_t ports_number(const struct ports *ports)
{
    return ports->number;
}

struct in6_addr ports_first_address(const struct ports *ports)
{
    return ports->first_address;
}

void ports_warn(const struct ports *ports, struct log *log)
{
    size_t granted = bind_receive_buffer(port_fd(ports->listeners[0].port));
    for (unsigned i = 0; i < ports->missing_count; i++) {
        char address[ADDRESS_TEXT_BYTES];
        address_format(&ports->missing[i], ports->number, address);
        LOG_EVENT(log, LOG_LEVEL_WARN,
                  log_text("message", "this host does not have an address to listen on: it is "
                                      "served once it has"),
                  log_text("key", ports->key), log_text("address", address));
    }
    if (granted < ports->buffer_bytes)
        LOG_EVENT(log, LOG_LEVEL_WARN,
                  log_text("message",
                           "the receive buffer is smaller than asked for: raise net.core.rmem_max"),
                  log_uint("asked_bytes", ports->buffer_bytes), log_uint("granted_bytes", granted));
}

void ports_receive_buffer(const struct ports *ports, size_t *asked, size_t *granted)
{
    *asked = ports->buffer_bytes;
    *granted = bind_receive_buffer(port_fd(ports->listeners[0].port));
}

/* After a failure the next call makes up for it. */
static void count_drops(struct ports *ports, struct listener *listener)
{
    uint32_t before = listener->drops;
    bind_drops(port_fd(listener->port), &listener->drops);
    ports->drops += (uint32_t)(listener->drops - before);
}

uint64_t ports_drops(struct ports *ports)
{
    for (unsigned i = 0; i < ports->count; i++)
        count_drops(ports, &ports->listeners[i]);
    return ports->drops;
}

static void drain(struct worker *worker, void *user)
{
    struct ports *ports = user;
    for (unsigned i = 0; i < ports->count; i++) {
        struct listener *listener = &ports->listeners[i];
        if (listener->worker != worker->index)
            continue;
        loop_remove(worker->loop, &listener->watch);
        port_drain(listener->port, ports->buffer_bytes / BIND_LEAST_COST_BYTES + PACKET_BATCH);
    }
}

void ports_stop(struct ports *ports)
{
    for (unsigned i = 0; i < ports->count; i++)
        bind_stop_receiving(port_fd(ports->listeners[i].port));
    bind_settle();
    workers_call(ports->workers, drain, ports);
}

int ports_start(struct ports *ports)
{
    for (unsigned i = 0; i < ports->count; i++) {
        struct listener *listener = &ports->listeners[i];
        int error = loop_add(workers_get(ports->workers, listener->worker)->loop, &listener->watch,
                             EPOLLIN);
        if (error != 0) {
            ports_stop(ports); /* some workers may receive already */
            return error;
        }
    }
    return 0;
}

uint64_t ports_close(struct ports *ports)
{
    if (ports == NULL)
        return 0;

    for (unsigned i = 0; i < ports->count; i++)
        bind_leave(port_fd(ports->listeners[i].port));
    bind_settle();
    for (unsigned i = 0; i < ports->count; i++) {
        count_drops(ports, &ports->listeners[i]);
        port_close(ports->listeners[i].port);
    }
    uint64_t drops = ports->drops;
    free(ports);
    return drops;
}

struct port *ports_successor(const struct ports *from, const struct port *port,
                             const struct ports *to)
{
    for (unsigned i = 0; i < from->count && i < to->count; i++) {
        if (from->listeners[i].port == port)
            return to->listeners[i].port;
    }
    return NULL;
}

void ports_slot_init(struct ports_slot *slot)
{
    *slot = (struct ports_slot){.current = NULL};
    pthread_mutex_init(&slot->lock, NULL);
}

void ports_slot_fini(struct ports_slot *slot)
{
    ports_slot_abandon(slot);
    ports_close(slot->current);
    pthread_mutex_destroy(&slot->lock);
}

int ports_slot_prepare(struct ports_slot *slot, struct workers *workers,
                       const struct ports_options *options, struct error *error)
{
    if (slot->current != NULL && options->port == slot->wanted)
        return 0;
    int code = ports_open(&slot->next, workers, options, error);
    if (code != 0)
        return code;

    slot->next_wanted = options->port;
    code = slot->current != NULL ? ports_start(slot->next) : 0;
    if (code != 0) {
        ports_slot_abandon(slot);
        error_system(error, code, "cannot wait for datagrams");
    }
    return code;
}

void ports_slot_abandon(struct ports_slot *slot)
{
    if (slot->next != NULL && slot->current != NULL)
        ports_stop(slot->next);
    pthread_mutex_lock(&slot->lock);
    slot->closed_drops += ports_close(slot->next);
    slot->next = NULL;
    pthread_mutex_unlock(&slot->lock);
}

bool ports_slot_revoke(struct ports_slot *slot)
{
    if (slot->next == NULL || slot->current == NULL)
        return false;
    pthread_mutex_lock(&slot->lock);
    slot->leaving = slot->next;
    slot->is_empty = false;
    slot->next = NULL;
    pthread_mutex_unlock(&slot->lock);
    return true;
}

bool ports_slot_commit(struct ports_slot *slot)
{
    if (slot->next == NULL)
        return false;
    pthread_mutex_lock(&slot->lock);
    slot->leaving = slot->current;
    slot->is_empty = slot->leaving == NULL;
    slot->current = slot->next;
    pthread_mutex_unlock(&slot->lock);
    slot->wanted = slot->next_wanted;
    slot->next = NULL;
    return true;
}

void ports_slot_empty(struct ports_slot *slot)
{
    if (slot->leaving != NULL && !slot->is_empty)
        ports_stop(slot->leaving);
    slot->is_empty = true;
}

void ports_slot_leave(struct ports_slot *slot)
{
    if (slot->leaving == NULL)
        return;
    ports_slot_empty(slot);
    pthread_mutex_lock(&slot->lock);
    slot->closed_drops += ports_close(slot->leaving);
    slot->leaving = NULL;
    pthread_mutex_unlock(&slot->lock);
}

void ports_slot_stop(struct ports_slot *slot)
{
    if (slot->current != NULL)
        ports_stop(slot->current);
}

uint64_t ports_slot_drops(struct ports_slot *slot)
{
    pthread_mutex_lock(&slot->lock);
    uint64_t drops = slot->closed_drops;
    drops += slot->leaving != NULL ? ports_drops(slot->leaving) : 0;
    drops += slot->current != NULL ? ports_drops(slot->current) : 0;
    pthread_mutex_unlock(&slot->lock);
    return drops;
}
