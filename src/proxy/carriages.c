/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "proxy/worker_parts.h"

#define MS_NS INT64_C(1000000)

/* So long a worker waits until it offers a session again. */
#define PATIENCE_MS 1000U

/* In units of 2^24 ns: so long the driver waits for a pause of a session, and what was so long ago
 * says nothing. A session with fewer datagrams than these meanwhile has pauses. */
#define UNIT_SHIFT 24
#define PATIENCE_UNITS 60
#define FORGET_UNITS (16 * PATIENCE_UNITS)
#define PATIENCE_DATAGRAMS 64

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
void carriages_refresh(void *user, struct session *session)
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

static void note_offer(const struct proxy_worker *worker, struct carriage *carriage)
{
    carriage->offered_ms = now_ms(worker);
    carriage->passed = 0;
}

/* Counts a datagram that the driver has left to the sockets. Returns whether it waits in vain: the
 * session makes no pauses, or its worker has more than it can do. */
static bool is_in_vain(const struct proxy_worker *worker, struct carriage *carriage)
{
    uint16_t now = (uint16_t)(worker->now_ns >> UNIT_SHIFT);
    uint16_t units = (uint16_t)(now - carriage->since);
    if (carriage->passed == 0 || units > FORGET_UNITS) {
        carriage->since = now;
        carriage->passed = 0;
        units = 0;
    }
    if (carriage->passed < UINT16_MAX)
        carriage->passed++;
    if (units < PATIENCE_UNITS)
        return false;
    bool has_no_pause = carriage->passed > PATIENCE_DATAGRAMS || !worker->is_caught_up;
    carriage->passed = 0;
    return has_no_pause;
}

/* A datagram of a session in the driver has come to the sockets: where it is the last one there,
 * the driver is to know, so that it carries what comes after a pause. */
static void note_passage(struct proxy_worker *worker, const struct session *session, uint32_t end)
{
    struct carriage *carriage = carriage_of(worker, session);
    if (carriage->carried == 0 || proxy_lane_is_open(worker->lane, carriage->carried, end))
        return;
    if (proxy_lane_waits(worker->lane, carriage->carried, end) && is_in_vain(worker, carriage)) {
        proxy_lane_open(worker->lane, carriage->carried, end);
        counter_add(&worker->options.counters->overtakings, 1);
    } else if (worker->is_caught_up && worker->settled_count < SETTLED_MOST) {
        worker->settled[worker->settled_count++] = (struct settled){carriage->carried, end};
        loop_timer_set(worker->options.worker->loop, &worker->flush, 0);
    }
}

void carriages_settle(struct proxy_worker *worker)
{
    int64_t until_ns = loop_began_ns(worker->options.worker->loop);
    for (unsigned i = 0; i < worker->settled_count; i++)
        proxy_lane_settle(worker->lane, worker->settled[i].carried, worker->settled[i].end,
                          until_ns);
    worker->settled_count = 0;
}

static struct filter_allowance *allowance_of(const struct proxy_worker *worker, uint16_t listener,
                                             const struct endpoint *player)
{
    const struct destinations *world = worker->world;
    const struct destinations *view = listener == 0 ? world : world->listeners[listener - 1];
    return chain_allowance(view->chain->workers[worker->options.worker->index], player);
}

/* Has what the player may send taken by the sockets alone, from where it is now. The chain may be
 * another one than that under which the session was offered, and know nothing of it. */
static void take_back(const struct proxy_worker *worker, const struct carriage *carriage)
{
    struct rate_window *window = proxy_lane_window(worker->lane, carriage->carried);
    if (window == NULL)
        return;
    const struct endpoint player = proxy_lane_player(worker->lane, carriage->carried);
    struct filter_allowance *allowance = allowance_of(worker, carriage->listener, &player);
    if (allowance == NULL || allowance->shared != window)
        return;
    rate_window_move(&allowance->own, window);
    allowance->shared = NULL;
}

/* Leaves a session to the sockets. */
void carriages_withdraw(struct proxy_worker *worker, struct session *session)
{
    if (!is_carried(worker, session))
        return;
    struct carriage *carriage = carriage_of(worker, session);
    take_back(worker, carriage);
    proxy_lane_withdraw(worker->lane, carriage->carried, worker->now_ns);
    carriages_refresh(worker, session);
    carriage->carried = 0;
}

void carriages_forget(struct proxy_worker *worker, struct session *session)
{
    if (worker->lane == NULL)
        return;
    carriages_withdraw(worker, session);
    *carriage_of(worker, session) = (struct carriage){.carried = 0};
}

/* An answer has passed, and come to this own address. */
void carriages_note_answer(struct proxy_worker *worker, struct session *session,
                           const struct in6_addr *away)
{
    struct carriage *carriage = carriage_of(worker, session);
    if (memcmp(&carriage->away, away, sizeof *away) != 0) {
        carriages_withdraw(worker, session);
        carriage->away = *away;
    }
    carriage->seen = (uint32_t)worker->fast_version;
    carriage->seen_by = session->listener;
    note_passage(worker, session, 1);
}

/* Lets the driver carry a session on whose way this datagram went to one server, once an answer has
 * come back by the same version; or goes on with it. */
void carriages_offer(struct proxy_worker *worker, const struct packet *original,
                     const struct destination *to, struct session *session)
{
    const struct world_chain *chain = worker->view->chain;
    const struct filter_repeat *repeat = &chain->repeat;
    struct carriage *carriage = carriage_of(worker, session);

    if (worker->fast_version == 0 || carriage->seen != (uint32_t)worker->fast_version)
        return;
    if (carriage->seen_by != session->listener) { /* whose chain may let no answers pass */
        carriages_withdraw(worker, session);
        return;
    }
    struct filter_allowance *allowance =
        repeat->is_limited ? allowance_of(worker, session->listener, &session->player) : NULL;
    struct proxy_passage passage = {
        .player = session->player,
        .local = session->local,
        .away = {.address = carriage->away, .port = htons(session->number)},
        .server = to->at,
        .repeat = repeat,
        .sent = allowance != NULL ? &allowance->own : NULL};
    bool is_steady = chain->unsteady == NULL && to->header == POLICY_NO_HEADER &&
                     !session->has_header && (allowance != NULL || !repeat->is_limited) &&
                     proxy_passage_is_possible(&passage);
    if (!is_steady) {
        carriages_withdraw(worker, session);
        return;
    }
    if (repeat->has_value)
        passage.token = original->data + (repeat->is_suffix ? original->bytes - repeat->size : 0);
    if (carriage->carried != 0) {
        bool is_new = proxy_lane_version(worker->lane, carriage->carried) != worker->fast_version;
        const struct rate_window *window = proxy_lane_window(worker->lane, carriage->carried);
        bool is_same = window == (allowance != NULL ? allowance->shared : NULL);
        if (is_same &&
            proxy_lane_renew(worker->lane, carriage->carried, &passage, worker->fast_version)) {
            if (is_new)
                note_offer(worker, carriage);
            note_passage(worker, session, 0);
            return;
        }
        carriages_withdraw(worker, session);
    }
    /* A place is free again after a second: a session that keeps changing takes no others. */
    if (now_ms(worker) - carriage->offered_ms < PATIENCE_MS)
        return;
    /* What the player had with another server before the version came has its place. */
    const struct session *other = NULL;
    while ((other = sessions_next_of_player(worker->sessions, &session->player, other)) != NULL) {
        uint32_t carried = carriage_of(worker, other)->carried;
        if (carried != 0 && proxy_lane_version(worker->lane, carried) != worker->fast_version)
            carriages_withdraw(worker, (struct session *)(uintptr_t)other); /* as its owner */
    }
    note_offer(worker, carriage);
    if (allowance != NULL && allowance->shared != NULL) /* one session of a player is enough */
        return;
    carriage->listener = session->listener;
    carriage->carried =
        proxy_lane_offer(worker->lane, &passage, worker->fast_version, worker->now_ns);
    if (allowance != NULL && carriage->carried != 0)
        allowance->shared = proxy_lane_window(worker->lane, carriage->carried);
}
