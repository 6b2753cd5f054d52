/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/worker.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "geo/geo.h"
#include "net/address.h"
#include "net/bind.h"
#include "proxy/knocks.h"
#include "proxy/proxy_protocol.h"

#define SECOND_NS INT64_C(1000000000)
#define MS_NS INT64_C(1000000)

/* So long the driver waits for a pause of a session, and a worker until it offers one again. */
#define PATIENCE_MS 1000U

/* A receive error may last: the worker waits for a moment, so that it is no busy loop. */
#define REST_MS 1

/* The most that is read of a socket which is closed. */
#define DRAIN_DATAGRAMS 4096

/* What the kernel dropped is read of one open socket in so many each second. */
#define LOOK_SHARE 8

/* The TTL and hop limit of the system, as it usually is. */
#define FRESH_HOPS 64

/* One batch in so many is timed, and stands for those until the next. */
#define TIMED_SHARE 8

/* Pairs that rest at most: four for each session that there may be, and some; and what memory they
 * take at all, when strangers push each other out. */
#define RESTING_A_SESSION 4
#define SOME_RESTING 10000
#define MOST_RESTING 400000U

/* Sockets that are tried for one whose number no other worker's sessions rest on. */
#define NUMBER_TRIES 16

const struct histogram_bounds proxy_duration_bounds = {
    .count = 9, .in_seconds = true, .upper = {1, 5, 10, 25, 60, 300, 900, 1800, 3600}};
const struct histogram_bounds proxy_processing_bounds = {
    .count = 13,
    .in_seconds = true,
    .upper = {0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512,
              1.024}};

/* An upstream socket. */
struct upstream {
    struct proxy_worker *owner;
    struct port *port;
    struct loop_watch watch;
    uint16_t number;
    uint32_t drops;                 /* as the kernel counted them last */
    struct upstream *before, *next; /* of the ring of those that are open; next alone: of those that
                                       are closed when the batch in hand is over */
};

/* A session in the driver, or on its way there. */
struct carriage {
    struct in6_addr away; /* the own address to which the last answer came */
    uint32_t carried;     /* as proxy_lane_offer(); 0: by sockets alone */
    uint32_t offered_ms;  /* when it was offered last, modulo 2^32 */
    uint32_t seen;        /* the version under which an answer passed last, as well */
};

struct proxy_worker {
    struct proxy_worker_options options;
    struct sessions *sessions;
    struct knocks *knocks;
    struct proxy_lane *lane;    /* NULL: sockets alone */
    struct carriage *carriages; /* by the sessions' indexes, where there is a lane */
    struct loop_timer tick, sweep, flush;
    struct loop_watch handovers;      /* of what other workers hand over, where they may */
    struct upstream *open, *closed;   /* the next one to be looked at; the first one */
    const struct destinations *world; /* of the batch in hand */
    const struct destinations *view;  /* the part of it that is the listener's; NULL: none yet */
    struct trace *trace;              /* NULL: nobody looks */
    bool has_changed;                 /* sessions began or ended in the batch in hand */
    uint64_t world_number;
    enum proxy_removed removed;
    int64_t now_ns;        /* monotonic: of the batch in hand */
    bool is_caught_up;     /* as well: it was all that there was */
    uint64_t fast_version; /* as well; 0: the driver carries nothing */
    struct timing {
        int64_t began_ns, before_ns; /* of the batch in hand, if it is timed; of the one before */
        uint64_t duration_ns;        /* of a datagram */
        uint32_t batches, datagrams; /* since then */
    } timings[2];                    /* read, written */
    struct filter_call call;
    struct filter_sessions shown; /* what filters see of the sessions */
    /* Pages are used as filters need them. */
    uint8_t scratch[FILTER_SCRATCH_BYTES], spare[PACKET_HEAD + FILTER_SPARE_BYTES];
};

static struct proxy_shared *shared(const struct proxy_worker *worker)
{
    return worker->options.shared;
}

static void gauge(struct counter *counter, uint64_t value)
{
    atomic_store_explicit(&counter->value, value, memory_order_relaxed);
}

static void show_size(struct proxy_worker *worker)
{
    struct sessions_size size = sessions_size(worker->sessions);
    gauge(&worker->options.counters->sessions, size.sessions);
    gauge(&worker->options.counters->sockets, size.sockets);
    gauge(&worker->options.counters->resting, size.resting);
    worker->has_changed = false;
}

static void write_back(struct port *port, struct packet *packets, unsigned count, void *user);

static void receive_upstream(uint32_t events, void *user)
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

static void free_number(void *user, uint16_t number)
{
    struct proxy_worker *worker = user;
    atomic_store_explicit(&shared(worker)->owners[number], 0, memory_order_relaxed);
}

static struct carriage *carriage_of(const struct proxy_worker *worker,
                                    const struct session *session)
{
    return &worker->carriages[session->index];
}

static bool is_carried(const struct proxy_worker *worker, const struct session *session)
{
    return worker->lane != NULL && carriage_of(worker, session)->carried != 0;
}

/* Brings a session up to date with what the driver has carried. */
static void refresh(void *user, struct session *session)
{
    struct proxy_worker *worker = user;
    uint64_t packets[2], bytes[2];
    int64_t last_ns[2];
    if (!is_carried(worker, session))
        return;
    proxy_lane_take(worker->lane, carriage_of(worker, session)->carried, packets, bytes, last_ns);
    session->read.packets += packets[0];
    session->read.bytes += bytes[0];
    session->written.packets += packets[1];
    session->written.bytes += bytes[1];
    if (last_ns[1] > session->answered_ns)
        session->answered_ns = last_ns[1];
    for (unsigned i = 0; i < 2; i++)
        session->last_ns = last_ns[i] > session->last_ns ? last_ns[i] : session->last_ns;
}

static uint32_t now_ms(const struct proxy_worker *worker)
{
    return (uint32_t)(worker->now_ns / MS_NS);
}

/* Lets the driver carry a session without waiting for a pause any longer, when no more than what
 * came during this batch can be overtaken. */
static void hurry(struct proxy_worker *worker, const struct session *session)
{
    const struct carriage *carriage = carriage_of(worker, session);
    if (carriage->carried != 0 && worker->is_caught_up &&
        now_ms(worker) - carriage->offered_ms >= PATIENCE_MS &&
        proxy_lane_open(worker->lane, carriage->carried))
        counter_add(&worker->options.counters->overtakings, 1);
}

/* Leaves a session to the sockets. */
static void withdraw(struct proxy_worker *worker, struct session *session)
{
    if (!is_carried(worker, session))
        return;
    struct carriage *carriage = carriage_of(worker, session);
    proxy_lane_withdraw(worker->lane, carriage->carried, worker->now_ns);
    refresh(worker, session);
    carriage->carried = 0;
}

/* An answer has passed, and come to this own address. */
static void note_answer(struct proxy_worker *worker, struct session *session,
                        const struct in6_addr *away)
{
    struct carriage *carriage = carriage_of(worker, session);
    if (memcmp(&carriage->away, away, sizeof *away) != 0) {
        withdraw(worker, session);
        carriage->away = *away;
    }
    carriage->seen = (uint32_t)worker->fast_version;
    hurry(worker, session);
}

/* Any host can make a packet that speaks for the network: it is believed of a server that a session
 * of this socket is with, and that has not answered it for a second. */
static void note_refusal(const struct endpoint *server, void *user)
{
    const struct upstream *upstream = user;
    const struct proxy_worker *worker = upstream->owner;
    struct session *session = sessions_of_pair(worker->sessions, server, upstream->number);
    if (session != NULL)
        refresh(upstream->owner, session);
    if (session != NULL && clock_coarse_ns() - session->answered_ns >= SECOND_NS)
        world_refuse(quiescent_read(&shared(worker)->world), server);
}

static int open_upstream(void *user, struct upstream **opened, uint16_t *number)
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
                                   .receive = write_back,
                                   .refused = note_refusal,
                                   .user = upstream};
    int error = fd >= 0 ? port_open(&upstream->port, &options) : fd;
    if (error == 0) {
        upstream->owner = worker;
        upstream->number = *number;
        upstream->watch =
            (struct loop_watch){.fd = fd, .ready = receive_upstream, .user = upstream};
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
static void close_upstream(void *user, struct upstream *upstream)
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

/* Of all upstream sockets that were ready in one turn of the loop. */
static void send_answers(void *user)
{
    port_batch_flush(((struct proxy_worker *)user)->options.worker->batch);
}

static void look_at_drops(struct upstream *upstream)
{
    uint32_t before = upstream->drops;
    if (bind_drops(port_fd(upstream->port), &upstream->drops) == 0)
        counter_add(&upstream->owner->options.counters->kernel_drops, upstream->drops - before);
}

static void sweep(void *user)
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

static struct home home_of(const struct proxy_worker *worker, const struct session *session)
{
    return (struct home){.worker = worker->options.worker->index, .session = session->index};
}

static uint64_t key_of(const struct proxy_worker *worker, const struct session *session)
{
    return homes_key(shared(worker)->homes, session->token, session_server_at(session->server));
}

static void note_end(void *user, const struct session *session, enum session_end end)
{
    struct proxy_worker *worker = user;
    struct proxy_counters *counters = worker->options.counters;
    /* The table's own member, of which it hears before it takes it off. */
    withdraw(worker, (struct session *)(uintptr_t)session);
    if (worker->lane != NULL)
        *carriage_of(worker, session) = (struct carriage){.carried = 0};
    places_remove(&counters->places, session->country, session->network);
    int64_t length_ns = session->last_ns - session->began_ns;
    worker->has_changed = true;
    if (session->token != 0)
        homes_remove(shared(worker)->homes, key_of(worker, session), home_of(worker, session));
    if (atomic_load_explicit(&shared(worker)->logs_sessions, memory_order_relaxed))
        session_log_note(worker->options.lines, worker->options.worker->index, session,
                         proxy_worker_place(worker, &session->player.address), end);
    counter_add(&counters->ended[end], 1);
    histogram_record(&counters->duration_ns, length_ns > 0 ? (uint64_t)length_ns : 0);
}

static void end_if_gone(const struct endpoint *server, void *user)
{
    struct proxy_worker *worker = user;
    if (world_find(worker->world, server) == FILTER_NOWHERE)
        sessions_end_server(worker->sessions, server, SESSION_REMOVED, worker->now_ns);
}

static void end_stopped(const struct endpoint *server, void *user)
{
    struct proxy_worker *worker = user;
    sessions_end_server(worker->sessions, server, SESSION_STOPPED, worker->now_ns);
}

static struct chain_worker *own_chain(const struct proxy_worker *worker)
{
    return worker->view->chain->workers[worker->options.worker->index];
}

/* Takes the version in force, and the time, for one batch. */
static void begin_batch(struct proxy_worker *worker)
{
    enum proxy_removed removed =
        atomic_load_explicit(&shared(worker)->removed, memory_order_relaxed);
    if (worker->lane != NULL)
        worker->fast_version = proxy_fast_version(worker->options.fast);
    worker->world = quiescent_read(&shared(worker)->world);
    worker->view = NULL;
    worker->now_ns = worker->call.now_ns = clock_coarse_ns();
    if (worker->world->number != worker->world_number || worker->removed != removed) {
        worker->world_number = worker->world->number;
        worker->removed = removed;
        if (removed == PROXY_DROP)
            sessions_each_server(worker->sessions, end_if_gone, worker);
    }
}

struct trace *proxy_worker_trace(struct proxy_worker *worker, struct trace *trace)
{
    struct trace *before = worker->trace;
    worker->trace = trace;
    return before;
}

static void tick(void *user)
{
    struct proxy_worker *worker = user;
    int64_t now_ns = clock_monotonic_ns();
    sessions_set_timeout(worker->sessions,
                         atomic_load_explicit(&shared(worker)->timeout_ns, memory_order_relaxed));
    begin_batch(worker);
    sessions_tick(worker->sessions, now_ns);
    if (worker->trace != NULL && now_ns - trace_began_ns(worker->trace) > TRACE_KEPT_NS)
        trace_free(proxy_worker_trace(worker, NULL));
    for (uint32_t i = sessions_size(worker->sessions).sockets / LOOK_SHARE;
         worker->open != NULL && i != UINT32_MAX; i--) {
        look_at_drops(worker->open);
        port_hear_again(worker->open->port);
        worker->open = worker->open->next;
    }
    show_size(worker);
    /* On full seconds, as the table's wheel has it: what is due within a second ends at its end. */
    loop_timer_set(worker->options.worker->loop, &worker->tick,
                   (now_ns / SECOND_NS + 1) * SECOND_NS);
}

static const struct proxy_worker *worker_of(const struct filter_sessions *open)
{
    return (const struct proxy_worker *)((const char *)open - offsetof(struct proxy_worker, shown));
}

/* A session with an endpoint that is gone does not count. */
static uint32_t find_place(const struct filter_sessions *open, const struct endpoint *player,
                           unsigned n)
{
    const struct proxy_worker *worker = worker_of(open);
    const struct session *session = NULL;
    while ((session = sessions_next_of_player(worker->sessions, player, session)) != NULL) {
        uint32_t place = world_find(worker->view, session_server_at(session->server));
        if (place != FILTER_NOWHERE && n-- == 0)
            return place;
    }
    return FILTER_NOWHERE;
}

static uint32_t count_sessions(const struct filter_sessions *open, uint32_t place)
{
    const struct proxy_worker *worker = worker_of(open);
    return sessions_of_server(worker->sessions, &worker->view->items[place].at);
}

static bool is_open(const struct filter_sessions *open, const struct endpoint *player,
                    uint32_t place)
{
    const struct proxy_worker *worker = worker_of(open);
    const struct destination *item = &worker->view->items[place];
    return server_health_is_up(item->health) ||
           sessions_find(worker->sessions, player, &item->at) != NULL;
}

static uint32_t most_resting(uint32_t sessions)
{
    return sessions < (MOST_RESTING - SOME_RESTING) / RESTING_A_SESSION
               ? RESTING_A_SESSION * sessions + SOME_RESTING
               : MOST_RESTING;
}

int proxy_worker_new(struct proxy_worker **made, const struct proxy_worker_options *options)
{
    struct proxy_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        return -ENOMEM;

    struct sessions_options sessions = {.max = options->max_sessions,
                                        .max_per_address = options->max_per_address,
                                        .max_resting = most_resting(options->max_sessions),
                                        .timeout_ns = options->timeout_ns,
                                        .open = open_upstream,
                                        .close = close_upstream,
                                        .freed = free_number,
                                        .ended = note_end,
                                        .refresh = options->fast != NULL ? refresh : NULL,
                                        .user = worker};
    int error = siphash_key_init(&sessions.key);
    if (error == 0)
        error = sessions_new(&worker->sessions, &sessions);
    if (error == 0 && (worker->knocks = knocks_new(&sessions.key)) == NULL)
        error = -ENOMEM;
    if (error == 0 && options->fast != NULL) {
        size_t most = (size_t)sessions.max + sessions.max_resting;
        worker->lane = proxy_fast_lane(options->fast, options->worker->index);
        worker->carriages = calloc(most, sizeof *worker->carriages);
        error = worker->carriages != NULL ? 0 : -ENOMEM;
    }
    if (error != 0) {
        knocks_free(worker->knocks);
        sessions_free(worker->sessions);
        free(worker);
        return error;
    }
    worker->options = *options;
    worker->tick = (struct loop_timer){.fire = tick, .user = worker};
    worker->sweep = (struct loop_timer){.fire = sweep, .user = worker};
    worker->flush = (struct loop_timer){.fire = send_answers, .user = worker};
    worker->shown =
        (struct filter_sessions){.find = find_place, .count = count_sessions, .is_open = is_open};
    worker->call.sessions = &worker->shown;
    worker->call.scratch = worker->scratch;
    worker->call.spare = worker->spare + PACKET_HEAD;
    histogram_init(&options->counters->duration_ns, &proxy_duration_bounds);
    for (unsigned i = 0; i < 2; i++)
        histogram_init(&options->counters->processing_ns[i], &proxy_processing_bounds);
    *made = worker;
    return 0;
}

static void refresh_shown(const struct session *session, void *user)
{
    refresh(user, (struct session *)(uintptr_t)session); /* as its owner */
}

const struct sessions *proxy_worker_sessions(struct proxy_worker *worker)
{
    sessions_each(worker->sessions, refresh_shown, worker);
    return worker->sessions;
}

static bool is_kept(const struct endpoint *server, void *user)
{
    return world_find(((struct proxy_worker *)user)->world, server) != FILTER_NOWHERE;
}

static void begin_timing(struct proxy_worker *worker, bool is_write)
{
    struct timing *timing = &worker->timings[is_write];
    timing->began_ns = timing->batches++ % TIMED_SHARE == 0 ? clock_monotonic_ns() : 0;
}

static const struct destinations *listener_view(const struct proxy_worker *worker,
                                                uint16_t listener)
{
    return listener == 0 ? worker->world : worker->world->listeners[listener - 1];
}

/* Goes on with what is of a listener; answers for several may come in one batch. */
static void enter(struct proxy_worker *worker, uint16_t listener, bool is_write)
{
    const struct destinations *view = listener_view(worker, listener);
    assert(view != NULL);
    if (view == worker->view)
        return;
    if (worker->view != NULL)
        chain_end(own_chain(worker));
    worker->view = view;
    if (worker->timings[is_write].began_ns != 0)
        chain_begin(own_chain(worker));
}

static void end_batch(struct proxy_worker *worker, bool is_write, unsigned count)
{
    struct timing *timing = &worker->timings[is_write];
    struct histogram *histogram = &worker->options.counters->processing_ns[is_write];
    if (worker->view != NULL)
        chain_end(own_chain(worker));
    timing->datagrams += count;
    if (timing->began_ns != 0) {
        timing->duration_ns = (uint64_t)(clock_monotonic_ns() - timing->began_ns) / count;
        if (timing->before_ns != 0)
            gauge(&worker->options.counters->gap_ns[is_write],
                  (uint64_t)(timing->began_ns - timing->before_ns) / timing->datagrams);
        timing->before_ns = timing->began_ns;
        timing->datagrams = 0;
    }
    counter_add(&histogram->buckets[histogram_bucket(histogram, timing->duration_ns)], count);
    counter_add(&histogram->sum, timing->duration_ns * count);
    if (worker->has_changed)
        show_size(worker);
}

/* Whether a datagram came from an upstream socket of this process: by its port, and as it was sent
 * from the address that it was sent to, or over the loopback interface. */
static bool is_own(const struct proxy_worker *worker, const struct packet *packet)
{
    uint16_t number = ntohs(packet->peer.port);
    uint64_t word =
        atomic_load_explicit(&shared(worker)->own_numbers[number / 64], memory_order_relaxed);
    return (word >> number % 64 & 1) != 0 &&
           (address_is_loopback(&packet->peer.address) ||
            memcmp(&packet->peer.address, &packet->local.address, sizeof(struct in6_addr)) == 0);
}

static void refuse(struct proxy_worker *worker, enum proxy_refusal refusal,
                   const struct packet *packet)
{
    if (worker->trace != NULL)
        trace_refusal(worker->trace, refusal, packet);
    counter_add(&worker->options.counters->refused[refusal], 1);
}

/* A datagram has no more hops left behind the proxy than before it, and one less where that is less
 * than a fresh one has: what goes in a ring of proxies comes to its end. It costs 0.1 us of the 7
 * that a round trip takes. */
static uint8_t hops_left(const struct packet *packet)
{
    return packet->hops <= FRESH_HOPS ? (uint8_t)(packet->hops - (packet->hops > 0)) : 0;
}

/* Whether so many players of a server came once and not again that numbers of ports get scarce. */
static bool is_crowded(const struct proxy_worker *worker, const struct endpoint *server)
{
    return sessions_strangers(worker->sessions, server) >= worker->options.max_strangers;
}

static bool has_used_up(int64_t until_ns, uint32_t rate, int64_t now_ns)
{
    return rate > 0 && until_ns - now_ns >= SECOND_NS;
}

static void use(int64_t *until_ns, uint32_t rate, uint32_t amount, int64_t now_ns)
{
    if (rate > 0)
        *until_ns = (*until_ns > now_ns ? *until_ns : now_ns) + amount * SECOND_NS / rate;
}

/* Whether a datagram is within its session's limits: after a pause a second's worth at once, then
 * as many as a second has. One that is longer than what is left passes, and is paid off. */
static bool is_within_limits(struct proxy_worker *worker, struct session *session, bool is_write,
                             uint32_t bytes)
{
    struct session_limits *limits = &session->limits[is_write];
    uint32_t packet_rate = atomic_load_explicit(&shared(worker)->packet_rate, memory_order_relaxed);
    uint32_t byte_rate = atomic_load_explicit(&shared(worker)->byte_rate, memory_order_relaxed);

    if (has_used_up(limits->packets_ns, packet_rate, worker->now_ns) ||
        has_used_up(limits->bytes_ns, byte_rate, worker->now_ns))
        return false;
    use(&limits->packets_ns, packet_rate, 1, worker->now_ns);
    use(&limits->bytes_ns, byte_rate, bytes, worker->now_ns);
    return true;
}

/* A player's datagram, as filters leave it and as it came, and where it came in. */
struct arrival {
    struct packet *packet;
    const struct packet *original;
    struct port *port;
    uint16_t listener;
    bool is_handed; /* by another worker */
    uint64_t token; /* as homes_token(); 0: none, or no session migrates */
};

_Static_assert(PROXY_PROTOCOL_BYTES <= PACKET_HEAD, "a header goes before any datagram");

/* Says before a player's datagram whose it is, where the server is to know. Copies for several
 * servers share the bytes. Returns how many there are. */
static uint32_t put_header(const struct destination *to, struct session *session,
                           const struct packet *packet)
{
    uint8_t header[PROXY_PROTOCOL_BYTES];
    bool is_first = session->read.packets == 0;
    session->has_header = to->header != POLICY_NO_HEADER;
    if (to->header != POLICY_EVERY_HEADER && !(to->header == POLICY_FIRST_HEADER && is_first))
        return 0;
    uint32_t bytes = proxy_protocol_encode(&packet->peer, &packet->local, header);
    memcpy(packet->data - bytes, header, bytes);
    return bytes;
}

/* Lets another worker, which has the session, send a copy. Later ones of this player come here as
 * well, and go the same way, so that they stay in order. */
static void hand_over(struct proxy_worker *worker, const struct arrival *arrival,
                      const struct endpoint *server, unsigned to)
{
    const struct handover handover = {.server = *server,
                                      .token = arrival->token,
                                      .port = arrival->port,
                                      .listener = arrival->listener,
                                      .packet = *arrival->packet};
    bool is_handed =
        handovers_put(shared(worker)->handovers, worker->options.worker->index, to, &handover);
    if (is_handed)
        counter_add(&worker->options.counters->handovers, 1);
    else
        refuse(worker, PROXY_REFUSED_HANDOVER, arrival->packet);
}

/* The session of this worker that a home names, if it is that of a token with a server. */
static struct session *session_at_home(struct proxy_worker *worker, struct home home,
                                       uint64_t token, const struct endpoint *server)
{
    struct session *session = sessions_at(worker->sessions, home.session);
    return session != NULL && session->token == token &&
                   endpoint_equals(session_server_at(session->server), server)
               ? session
               : NULL;
}

struct geo_place proxy_worker_place(const struct proxy_worker *worker,
                                    const struct in6_addr *player)
{
    return geo_find(shared(worker)->geo, player);
}

/* Counts a session where its player is, if that is known. */
static void place(struct proxy_worker *worker, struct session *session)
{
    struct geo_place place = proxy_worker_place(worker, &session->player.address);
    memcpy(session->country, place.country, sizeof session->country);
    session->network = places_add(&worker->options.counters->places, place);
}

/* Makes a session for a player. Returns NULL where it is refused, and counted as that. */
static struct session *begin_session(struct proxy_worker *worker, const struct arrival *arrival,
                                     const struct destination *to)
{
    static const enum proxy_refusal refusals[] = {
        [SESSION_NO_MEMORY] = PROXY_REFUSED_NO_MEMORY,
        [SESSION_NO_SOCKET] = PROXY_REFUSED_NO_SOCKET,
        [SESSION_NO_PORT] = PROXY_REFUSED_NO_PORT,
        [SESSION_TOO_MANY_OF_ONE] = PROXY_REFUSED_TOO_MANY_OF_ONE,
        [SESSION_TOO_MANY_REST] = PROXY_REFUSED_TOO_MANY_REST};
    const struct packet *packet = arrival->packet;
    struct session *session = NULL;
    enum proxy_refusal refusal = PROXY_REFUSED;

    if (!server_health_is_up(to->health))
        refusal = PROXY_REFUSED_UNHEALTHY;
    else if (atomic_load_explicit(&shared(worker)->is_draining, memory_order_relaxed))
        refusal = PROXY_REFUSED_DRAINING;
    else if (is_crowded(worker, &to->at) &&
             !knocks_again(worker->knocks, &packet->peer, worker->now_ns))
        refusal = PROXY_REFUSED_STRANGER;
    if (refusal == PROXY_REFUSED)
        refusal = refusals[sessions_make(worker->sessions, &packet->peer, &to->at, worker->now_ns,
                                         &session)];
    if (session == NULL) {
        refuse(worker, refusal, packet);
        return NULL;
    }
    counter_add(&worker->options.counters->began, 1);
    worker->has_changed = true;
    session->token = arrival->token;
    place(worker, session);
    if (session->token != 0)
        homes_put(shared(worker)->homes, key_of(worker, session), home_of(worker, session));
    return session;
}

/* Whether a player has an address now that another one had. */
static bool is_of_another(const struct session *session, const struct arrival *arrival)
{
    return arrival->token != 0 && session->token != 0 && session->token != arrival->token;
}

/* The session of a copy whose player has none here from this address: that of its token, or else a
 * new one. Returns NULL where there is none: another worker has it, or it is refused. */
static struct session *find_or_begin(struct proxy_worker *worker, const struct arrival *arrival,
                                     const struct destination *to)
{
    struct home home;
    const struct packet *packet = arrival->packet;
    if (arrival->token == 0)
        return begin_session(worker, arrival, to);

    uint64_t key = homes_key(shared(worker)->homes, arrival->token, &to->at);
    bool is_found = homes_find(shared(worker)->homes, key, &home);
    bool is_elsewhere = is_found && home.worker != worker->options.worker->index;
    if (is_elsewhere && !arrival->is_handed) {
        hand_over(worker, arrival, &to->at, home.worker);
        return NULL;
    }
    struct session *session =
        is_found && !is_elsewhere ? session_at_home(worker, home, arrival->token, &to->at) : NULL;
    if (session == NULL)
        return begin_session(worker, arrival, to);
    if (endpoint_equals(&session->player, &packet->peer))
        return session;
    if (!sessions_migrate(worker->sessions, session, &packet->peer)) {
        refuse(worker, PROXY_REFUSED_TOO_MANY_OF_ONE, packet);
        return NULL;
    }
    withdraw(worker, session);
    counter_add(&worker->options.counters->migrations, 1);
    places_remove(&worker->options.counters->places, session->country, session->network);
    place(worker, session);
    return session;
}

/* Sends one copy of a player's datagram by the session with a server. Returns that, or NULL where
 * the datagram was refused, or handed over. */
static struct session *send_copy(struct proxy_worker *worker, const struct arrival *arrival,
                                 const struct destination *to)
{
    const struct packet *packet = arrival->packet;
    struct session *session = sessions_find(worker->sessions, &packet->peer, &to->at);
    if (session == NULL || is_of_another(session, arrival))
        session = find_or_begin(worker, arrival, to);
    if (session == NULL)
        return NULL;

    sessions_touch(worker->sessions, session, false, worker->now_ns);
    if (!is_within_limits(worker, session, false, packet->bytes)) {
        refuse(worker, PROXY_REFUSED_OVER_LIMIT, packet);
        return NULL;
    }
    session->local = packet->local;
    session->port = arrival->port;
    session->listener = arrival->listener;
    uint32_t head = put_header(to, session, packet);
    session->read.packets++;
    session->read.bytes += head + packet->bytes;
    const struct port_message message = {.data = packet->data - head,
                                         .bytes = head + packet->bytes,
                                         .to = &to->at,
                                         .hops = hops_left(packet),
                                         .traffic = packet->traffic,
                                         .stamp_at = -1};
    port_send(session->upstream->port, &message);
    if (worker->trace != NULL)
        trace_message(worker->trace, false, session, &message);
    return session;
}

/* Lets the driver carry a session on whose way this datagram went to one server, once an answer has
 * come back by the same version; or goes on with it. */
static void offer(struct proxy_worker *worker, const struct arrival *arrival,
                  const struct destination *to, struct session *session)
{
    const struct world_chain *chain = worker->view->chain;
    const struct packet *original = arrival->original;
    const struct filter_repeat *repeat = chain->repeat.has_value ? &chain->repeat : NULL;
    struct carriage *carriage = carriage_of(worker, session);
    struct proxy_passage passage = {
        .player = session->player,
        .local = session->local,
        .away = {.address = carriage->away, .port = htons(session->number)},
        .server = to->at,
        .repeat = repeat};

    if (worker->fast_version == 0 || carriage->seen != (uint32_t)worker->fast_version)
        return;
    bool is_steady = chain->unsteady == NULL && to->header == POLICY_NO_HEADER &&
                     !session->has_header && proxy_passage_is_possible(&passage);
    if (!is_steady) {
        withdraw(worker, session);
        return;
    }
    if (repeat != NULL)
        passage.token = original->data + (repeat->is_suffix ? original->bytes - repeat->size : 0);
    if (carriage->carried != 0) {
        bool is_new = proxy_lane_version(worker->lane, carriage->carried) != worker->fast_version;
        if (proxy_lane_renew(worker->lane, carriage->carried, &passage, worker->fast_version)) {
            carriage->offered_ms = is_new ? now_ms(worker) : carriage->offered_ms;
            hurry(worker, session);
            return;
        }
        withdraw(worker, session);
    }
    /* A place is free again after a second: a session that keeps changing takes no others. */
    if (now_ms(worker) - carriage->offered_ms < PATIENCE_MS)
        return;
    /* What the player had with another server before the version came has its place. */
    const struct session *other = NULL;
    while ((other = sessions_next_of_player(worker->sessions, &session->player, other)) != NULL) {
        uint32_t carried = carriage_of(worker, other)->carried;
        if (carried != 0 && proxy_lane_version(worker->lane, carried) != worker->fast_version)
            withdraw(worker, (struct session *)(uintptr_t)other); /* as its owner */
    }
    carriage->offered_ms = now_ms(worker);
    carriage->carried =
        proxy_lane_offer(worker->lane, &passage, worker->fast_version, worker->now_ns);
}

/* A datagram that has grown out of its own memory makes room for the next one. */
static void flush_spare(const struct proxy_worker *worker, struct port *port,
                        const struct packet *packet)
{
    if (packet->data >= worker->spare && packet->data < worker->spare + sizeof worker->spare)
        port_flush(port);
}

/* Carries one datagram of a player to where the chain wants it. Returns its outcome. */
static unsigned carry(struct proxy_worker *worker, struct arrival *arrival)
{
    struct packet *packet = arrival->packet;
    struct filter_call *call = &worker->call;
    const struct destinations *world = worker->view;
    unsigned reason;

    if (world->open.count == 0)
        return PROXY_NO_ENDPOINTS;
    if (packet->is_cut)
        return PROXY_TOO_LARGE;
    if (packet->peer.port == 0 || !address_is_unicast(&packet->peer.address))
        return PROXY_SOURCE;
    if (is_own(worker, packet) || packet->hops == 1)
        return PROXY_LOOP;
    if (address_is_loopback(&packet->peer.address) &&
        !atomic_load_explicit(&shared(worker)->allows_loopback, memory_order_relaxed))
        return PROXY_SOURCE;

    call->packet = packet;
    call->source = &packet->peer;
    call->server = call->player = NULL;
    call->world = &world->open;
    enum filter_result result = chain_read(own_chain(worker), call, &reason);
    if (result != FILTER_NEXT)
        return result == FILTER_DROP ? PROXY_FILTERED + reason : PROXY_TOO_LARGE;

    if (shared(worker)->homes != NULL && call->token != NULL)
        arrival->token = homes_token(shared(worker)->homes, call->token->data, call->token->bytes);
    uint32_t count = call->is_chosen ? call->chosen_count : world->open.count;
    if (count == 0)
        return PROXY_NO_ENDPOINTS;
    for (uint32_t i = 0; i < count; i++) {
        const struct destination *to = &world->items[call->is_chosen ? call->chosen[i] : i];
        struct session *session = send_copy(worker, arrival, to);
        if (worker->lane != NULL && session != NULL && count == 1)
            offer(worker, arrival, to, session);
        else if (session != NULL)
            withdraw(worker, session);
    }
    flush_spare(worker, arrival->port, packet);
    counter_add(&worker->options.counters->copies, count - 1);
    if (worker->removed == PROXY_MOVE)
        sessions_end_player(worker->sessions, &packet->peer, is_kept, worker, SESSION_MOVED,
                            worker->now_ns);
    return PROXY_FORWARDED;
}

void proxy_receive(struct port *port, struct packet *packets, unsigned count, void *user)
{
    const struct proxy_entry *entry = user;
    struct proxy_worker *worker = entry->worker;
    begin_batch(worker);
    worker->is_caught_up = count < PACKET_BATCH;
    begin_timing(worker, false);
    enter(worker, entry->listener, false);
    for (struct packet *packet = packets; packet < packets + count; packet++) {
        /* Filters change the size, and a datagram is counted as it came. */
        struct packet original = *packet;
        struct arrival arrival = {
            .packet = packet, .original = &original, .port = port, .listener = entry->listener};
        unsigned outcome = carry(worker, &arrival);
        port_count(port, outcome, &original);
        if (worker->trace != NULL)
            trace_datagram(worker->trace, false, outcome, &original);
    }
    if (shared(worker)->handovers != NULL)
        handovers_wake(shared(worker)->handovers, worker->options.worker->index);
    end_batch(worker, false, count);
}

/* Sends a copy that another worker has handed over: by the session of its token, or by a new one
 * where that has ended meanwhile. Its server may be none any more. */
static void take_one(const struct handover *handover, void *user)
{
    struct proxy_worker *worker = user;
    struct packet packet = handover->packet;
    const struct destinations *view = listener_view(worker, handover->listener);
    uint32_t place = world_find(view, &handover->server);
    const struct arrival arrival = {.packet = &packet,
                                    .port =
                                        port_beside(handover->port, worker->options.worker->batch),
                                    .listener = handover->listener,
                                    .is_handed = true,
                                    .token = handover->token};

    if (place == FILTER_NOWHERE) {
        refuse(worker, PROXY_REFUSED_HANDOVER, &packet);
        return;
    }
    send_copy(worker, &arrival, &view->items[place]);
    port_batch_flush(worker->options.worker->batch);
}

static void take_over(struct proxy_worker *worker)
{
    if (shared(worker)->handovers == NULL)
        return;
    begin_batch(worker);
    handovers_take(shared(worker)->handovers, worker->options.worker->index, take_one, worker);
    if (worker->has_changed)
        show_size(worker);
}

static void receive_handovers(uint32_t events, void *user)
{
    (void)events;
    take_over(user);
}

/* Carries one datagram of a server back to its player. Returns its outcome. */
static unsigned carry_back(struct proxy_worker *worker, const struct upstream *upstream,
                           struct packet *packet)
{
    struct filter_call *call = &worker->call;
    struct session *session =
        sessions_answered(worker->sessions, &packet->peer, upstream->number, worker->now_ns);
    unsigned reason;

    if (is_own(worker, packet))
        return PROXY_LOOP;
    if (session == NULL)
        return PROXY_UNKNOWN_SESSION;
    if (packet->is_cut)
        return PROXY_TOO_LARGE;
    if (session->has_header) { /* a server that echoes has it in front */
        uint32_t head = proxy_protocol_length(packet->data, packet->bytes);
        packet->data += head;
        packet->bytes -= head;
    }
    enter(worker, session->listener, true);
    call->packet = packet;
    call->source = &packet->peer;
    call->server = &packet->peer;
    call->player = &session->player;
    call->world = &worker->view->open;
    enum filter_result result = chain_write(own_chain(worker), call, &reason);
    if (result != FILTER_NEXT)
        return result == FILTER_DROP ? PROXY_FILTERED + reason : PROXY_TOO_LARGE;

    sessions_touch(worker->sessions, session, true, worker->now_ns);
    if (!is_within_limits(worker, session, true, packet->bytes))
        return PROXY_OVER_LIMIT;
    if (worker->lane != NULL)
        note_answer(worker, session, &packet->local.address);
    session->written.packets++;
    session->written.bytes += packet->bytes;
    const struct port_message message = {.data = packet->data,
                                         .bytes = packet->bytes,
                                         .to = &session->player,
                                         .from = &session->local,
                                         .traffic = packet->traffic,
                                         .stamp_at = -1,
                                         .is_doubtful =
                                             worker->now_ns - session->began_ns < SECOND_NS};
    port_send(session->port, &message);
    if (worker->trace != NULL)
        trace_message(worker->trace, true, session, &message);
    flush_spare(worker, session->port, packet);
    return PROXY_FORWARDED;
}

static void write_back(struct port *port, struct packet *packets, unsigned count, void *user)
{
    const struct upstream *upstream = user;
    struct proxy_worker *worker = upstream->owner;
    begin_batch(worker);
    worker->is_caught_up = count < PACKET_BATCH;
    begin_timing(worker, true);
    for (struct packet *packet = packets; packet < packets + count; packet++) {
        struct packet original = *packet;
        unsigned outcome = carry_back(worker, upstream, packet);
        port_count(port, outcome, &original);
        if (worker->trace != NULL)
            trace_datagram(worker->trace, true, outcome, &original);
    }
    end_batch(worker, true, count);
}

int proxy_worker_start(struct proxy_worker *worker)
{
    tick(worker);
    if (shared(worker)->handovers != NULL) {
        int fd = handovers_fd(shared(worker)->handovers, worker->options.worker->index);
        worker->handovers =
            (struct loop_watch){.fd = fd, .ready = receive_handovers, .user = worker};
        return loop_add(worker->options.worker->loop, &worker->handovers, EPOLLIN);
    }
    return 0;
}

void proxy_worker_free(struct proxy_worker *worker)
{
    if (worker == NULL)
        return;
    loop_timer_stop(worker->options.worker->loop, &worker->tick);
    if (worker->handovers.ready != NULL)
        loop_remove(worker->options.worker->loop, &worker->handovers);
    take_over(worker);
    sessions_each_server(worker->sessions, end_stopped, worker);
    loop_timer_stop(worker->options.worker->loop, &worker->sweep);
    loop_timer_stop(worker->options.worker->loop, &worker->flush);
    send_answers(worker);
    sweep(worker); /* what is left in the sockets is looked up among the sessions */
    sessions_free(worker->sessions);
    free(worker->carriages);
    knocks_free(worker->knocks);
    trace_free(worker->trace);
    free(worker);
}

struct move {
    const struct ports *from, *to;
};

static void move_session(const struct session *session, void *user)
{
    const struct move *move = user;
    struct port *port = ports_successor(move->from, session->port, move->to);
    if (port != NULL)
        ((struct session *)(uintptr_t)session)->port = port;
}

void proxy_worker_move(struct proxy_worker *worker, const struct ports *from, struct ports *to)
{
    struct move move = {from, to};
    take_over(worker); /* then none that waits came in by a port that leaves */
    sessions_each(worker->sessions, move_session, &move);
}
