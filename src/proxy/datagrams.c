/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "net/address.h"
#include "proxy/knocks.h"
#include "proxy/proxy_protocol.h"
#include "proxy/worker_parts.h"

#define SECOND_NS INT64_C(1000000000)

/* The TTL and hop limit of the system, as it usually is. */
#define FRESH_HOPS 64

/* One batch in so many is timed, and stands for those until the next. */
#define TIMED_SHARE 8

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

static void begin(struct proxy_worker *worker, const struct port *port, bool is_write)
{
    struct timing *timing = &worker->timings[is_write];
    worker_begin_batch(worker);
    worker->is_caught_up = worker->lane != NULL && port_is_drained(port);
    timing->began_ns = timing->batches++ % TIMED_SHARE == 0 ? clock_monotonic_ns() : 0;
}

static const struct destinations *listener_view(const struct proxy_worker *worker,
                                                uint16_t listener)
{
    return listener == 0 ? worker->world : worker->world->listeners[listener - 1];
}

static struct chain_worker *own_chain(const struct proxy_worker *worker)
{
    return worker->view->chain->workers[worker->options.worker->index];
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
        worker_show_size(worker);
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
    carriages_withdraw(worker, session);
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

/* A datagram that has grown out of its own memory makes room for the next one. */
static void flush_spare(const struct proxy_worker *worker, struct port *port,
                        const struct packet *packet)
{
    if (packet->data >= worker->spare && packet->data < worker->spare + sizeof worker->spare)
        port_flush(port);
}

static bool is_kept(const struct endpoint *server, void *user)
{
    return world_find(((struct proxy_worker *)user)->world, server) != FILTER_NOWHERE;
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
        if (worker->lane == NULL || session == NULL)
            continue;
        if (count == 1)
            carriages_offer(worker, arrival->original, to, session);
        else
            carriages_withdraw(worker, session);
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
    begin(worker, port, false);
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

void datagrams_take_over(struct proxy_worker *worker)
{
    if (shared(worker)->handovers == NULL)
        return;
    worker_begin_batch(worker);
    handovers_take(shared(worker)->handovers, worker->options.worker->index, take_one, worker);
    if (worker->has_changed)
        worker_show_size(worker);
}

void datagrams_receive_handovers(uint32_t events, void *user)
{
    (void)events;
    datagrams_take_over(user);
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
        carriages_note_answer(worker, session, &packet->local.address);
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

void datagrams_of_server(struct port *port, struct packet *packets, unsigned count, void *user)
{
    const struct upstream *upstream = user;
    struct proxy_worker *worker = upstream->owner;
    begin(worker, port, true);
    for (struct packet *packet = packets; packet < packets + count; packet++) {
        struct packet original = *packet;
        unsigned outcome = carry_back(worker, upstream, packet);
        port_count(port, outcome, &original);
        if (worker->trace != NULL)
            trace_datagram(worker->trace, true, outcome, &original);
    }
    end_batch(worker, true, count);
}
