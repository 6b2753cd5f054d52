/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/worker.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "geo/geo.h"
#include "proxy/knocks.h"
#include "proxy/worker_parts.h"

#define SECOND_NS INT64_C(1000000000)

/* Pairs that rest at most: four for each session that there may be, and some; and what memory they
 * take at all, when strangers push each other out. */
#define RESTING_A_SESSION 4
#define SOME_RESTING 10000
#define MOST_RESTING 400000U

const struct histogram_bounds proxy_duration_bounds = {
    .count = 9, .in_seconds = true, .upper = {1, 5, 10, 25, 60, 300, 900, 1800, 3600}};
const struct histogram_bounds proxy_processing_bounds = {
    .count = 13,
    .in_seconds = true,
    .upper = {0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512,
              1.024}};

void worker_show_size(struct proxy_worker *worker)
{
    struct sessions_size size = sessions_size(worker->sessions);
    gauge(&worker->options.counters->sessions, size.sessions);
    gauge(&worker->options.counters->sockets, size.sockets);
    gauge(&worker->options.counters->resting, size.resting);
    worker->has_changed = false;
}

/* Answers of all upstream sockets that were ready in one turn of the loop leave at its end. */
static void end_turn(void *user)
{
    struct proxy_worker *worker = user;
    port_batch_flush(worker->options.worker->batch);
    carriages_settle(worker);
}

static void note_end(void *user, const struct session *session, enum session_end end)
{
    struct proxy_worker *worker = user;
    struct proxy_counters *counters = worker->options.counters;
    /* The table's own member, of which it hears before it takes it off. */
    carriages_forget(worker, (struct session *)(uintptr_t)session);
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

/* Takes the version in force, and the time, for one batch. */
void worker_begin_batch(struct proxy_worker *worker)
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
    worker_begin_batch(worker);
    sessions_tick(worker->sessions, now_ns);
    if (worker->trace != NULL && now_ns - trace_began_ns(worker->trace) > TRACE_KEPT_NS)
        trace_free(proxy_worker_trace(worker, NULL));
    upstreams_look(worker);
    worker_show_size(worker);
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
                                        .open = upstreams_open,
                                        .close = upstreams_close,
                                        .freed = upstreams_freed,
                                        .ended = note_end,
                                        .refresh = options->fast != NULL ? carriages_refresh : NULL,
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
    worker->sweep = (struct loop_timer){.fire = upstreams_sweep, .user = worker};
    worker->flush = (struct loop_timer){.fire = end_turn, .user = worker};
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
    carriages_refresh(user, (struct session *)(uintptr_t)session); /* as its owner */
}

const struct sessions *proxy_worker_sessions(struct proxy_worker *worker)
{
    sessions_each(worker->sessions, refresh_shown, worker);
    return worker->sessions;
}

struct geo_place proxy_worker_place(const struct proxy_worker *worker,
                                    const struct in6_addr *player)
{
    return geo_find(shared(worker)->geo, player);
}

int proxy_worker_start(struct proxy_worker *worker)
{
    tick(worker);
    if (shared(worker)->handovers != NULL) {
        int fd = handovers_fd(shared(worker)->handovers, worker->options.worker->index);
        worker->handovers =
            (struct loop_watch){.fd = fd, .ready = datagrams_receive_handovers, .user = worker};
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
    if (worker->world != NULL) /* the version that it knew may be gone */
        worker_begin_batch(worker);
    datagrams_take_over(worker);
    sessions_each_server(worker->sessions, end_stopped, worker);
    loop_timer_stop(worker->options.worker->loop, &worker->sweep);
    loop_timer_stop(worker->options.worker->loop, &worker->flush);
    end_turn(worker);
    upstreams_sweep(worker); /* what is left in the sockets is looked up among the sessions */
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
    datagrams_take_over(worker); /* then none that waits came in by a port that leaves */
    sessions_each(worker->sessions, move_session, &move);
}
