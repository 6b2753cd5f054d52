/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/bind.h"
#include "proxy/worker_parts.h"

#define SECOND_NS INT64_C(1000000000)

/* A receive error may last: the worker waits for a moment, so that it is no busy loop. */
#define REST_MS 1

/* The most that is read of a socket which is closed. */
#define DRAIN_DATAGRAMS 4096

/* What the kernel dropped is read of one open socket in so many each second. */
#define LOOK_SHARE 8

/* Sockets that are tried for one whose number no other worker's sessions rest on. */
#define NUMBER_TRIES 16

static void receive(uint32_t events, void *user)
{
    struct upstream *upstream = user;
    struct proxy_worker *worker = upstream->owner;
    if ((events & EPOLLERR) != 0)
        port_hear(upstream->port);
    int received = port_gather(upstream->port);
    if (received < 0)
        poll(NULL, 0, REST_MS);
    else
        loop_timer_set(worker->options.worker->loop, &worker->flush, 0);
}

static void set_own(struct proxy_worker *worker, uint16_t number, bool is_own)
{
    _Atomic uint64_t *word = &shared(worker)->own_numbers[number / 64];
    uint64_t bit = UINT64_C(1) << number % 64;
    if (is_own)
        atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(word, ~bit, memory_order_relaxed);
}

/* Opens a socket on a number that is this worker's, or no worker's. */
static int open_wanted(struct proxy_worker *worker, uint16_t *number)
{
    _Atomic uint16_t *place = &shared(worker)->owners[*number];
    uint16_t own = (uint16_t)(worker->options.worker->index + 1), owner = 0;
    bool is_taken = atomic_compare_exchange_strong_explicit(
        place, &owner, own, memory_order_relaxed, memory_order_relaxed);
    if (!is_taken && owner != own)
        return -EADDRINUSE;
    int fd = bind_free_port(number, worker->options.tells_traffic, worker->lane != NULL);
    if (fd < 0 && is_taken)
        atomic_store_explicit(place, 0, memory_order_relaxed);
    return fd;
}

/* Opens a socket on any such number. Those on which sessions of other workers rest are kept until
 * there is one, so that the system gives each of them once. */
static int open_any(struct proxy_worker *worker, uint16_t *number)
{
    uint16_t own = (uint16_t)(worker->options.worker->index + 1);
    int in_vain[NUMBER_TRIES], fd = -EADDRINUSE;
    unsigned tries = 0;

    while (tries < NUMBER_TRIES) {
        uint16_t owner = 0;
        *number = 0;
        fd = bind_free_port(number, worker->options.tells_traffic, worker->lane != NULL);
        if (fd < 0 ||
            atomic_compare_exchange_strong_explicit(&shared(worker)->owners[*number], &owner, own,
                                                    memory_order_relaxed, memory_order_relaxed) ||
            owner == own)
            break;
        in_vain[tries++] = fd;
        fd = -EADDRINUSE;
    }
    while (tries > 0)
        close(in_vain[--tries]);
    return fd;
}

void upstreams_freed(void *user, uint16_t number)
{
    struct proxy_worker *worker = user;
    atomic_store_explicit(&shared(worker)->owners[number], 0, memory_order_relaxed);
}

/* Any host can make a packet that speaks for the network: it is believed of a server that a session
 * of this socket is with, and that has not answered it for a second. */
static void note_refusal(const struct endpoint *server, void *user)
{
    const struct upstream *upstream = user;
    const struct proxy_worker *worker = upstream->owner;
    struct session *session = sessions_of_pair(worker->sessions, server, upstream->number);
    if (session != NULL)
        carriages_refresh(upstream->owner, session);
    if (session != NULL && clock_coarse_ns() - session->answered_ns >= SECOND_NS)
        world_refuse(quiescent_read(&shared(worker)->world), server);
}

int upstreams_open(void *user, struct upstream **opened, uint16_t *number)
{
    struct proxy_worker *worker = user;
    struct upstream *upstream = calloc(1, sizeof *upstream);
    if (upstream == NULL)
        return -ENOMEM;

    int fd = *number != 0 ? open_wanted(worker, number) : open_any(worker, number);
    struct port_options options = {.fd = fd,
                                   .is_unstamped = true,
                                   .is_gathering = worker->options.is_gathering,
                                   .max_bytes = PACKET_MAX_BYTES,
                                   .batch = worker->options.worker->batch,
                                   .counters = worker->options.upstream,
                                   .receive = datagrams_of_server,
                                   .refused = note_refusal,
                                   .user = upstream};
    int error = fd >= 0 ? port_open(&upstream->port, &options) : fd;
    if (error == 0) {
        upstream->owner = worker;
        upstream->number = *number;
        upstream->watch = (struct loop_watch){.fd = fd, .ready = receive, .user = upstream};
        error = loop_add(worker->options.worker->loop, &upstream->watch, EPOLLIN);
    }
    if (error != 0) { /* the number stays this worker's, which can have it again */
        port_close(upstream->port);
        free(upstream);
        return error;
    }
    set_own(worker, *number, true);
    if (worker->lane != NULL)
        proxy_fast_claim(worker->options.fast, *number, true);
    upstream->next = worker->open != NULL ? worker->open : upstream;
    upstream->before = worker->open != NULL ? worker->open->before : upstream;
    upstream->next->before = upstream->before->next = upstream;
    worker->open = upstream->next;
    *opened = upstream;
    return 0;
}

/* The batch in hand may have a datagram for it, and the handler may be its own: it is closed later
 * in the same turn of the loop. */
void upstreams_close(void *user, struct upstream *upstream)
{
    struct proxy_worker *worker = user;
    loop_remove(worker->options.worker->loop, &upstream->watch);
    upstream->before->next = upstream->next;
    upstream->next->before = upstream->before;
    if (worker->open == upstream)
        worker->open = upstream->next != upstream ? upstream->next : NULL;
    upstream->next = worker->closed;
    worker->closed = upstream;
    loop_timer_set(worker->options.worker->loop, &worker->sweep, 0);
}

static void look_at_drops(struct upstream *upstream)
{
    uint32_t before = upstream->drops;
    if (bind_drops(port_fd(upstream->port), &upstream->drops) == 0)
        counter_add(&upstream->owner->options.counters->kernel_drops, upstream->drops - before);
}

void upstreams_look(struct proxy_worker *worker)
{
    for (uint32_t i = sessions_size(worker->sessions).sockets / LOOK_SHARE;
         worker->open != NULL && i != UINT32_MAX; i--) {
        look_at_drops(worker->open);
        port_hear_again(worker->open->port);
        worker->open = worker->open->next;
    }
}

void upstreams_sweep(void *user)
{
    struct proxy_worker *worker = user;
    while (worker->closed != NULL) {
        struct upstream *upstream = worker->closed;
        worker->closed = upstream->next;
        set_own(worker, upstream->number, false);
        if (worker->lane != NULL)
            proxy_fast_claim(worker->options.fast, upstream->number, false);
        bind_stop_receiving(port_fd(upstream->port));
        port_drain(upstream->port, DRAIN_DATAGRAMS); /* nobody's any more, and counted as that */
        look_at_drops(upstream);
        port_close(upstream->port);
        free(upstream);
    }
}
