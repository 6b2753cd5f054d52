/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A naive model of the table of sessions, which is asked after every operation. The system beneath
 * it has few port numbers, and gives the one that was closed last, as the worst one would.
 */
#ifndef PADDOCK_SUPPORT_SESSIONS_MODEL_H
#define PADDOCK_SUPPORT_SESSIONS_MODEL_H

#include <errno.h>
#include <string.h>

#include "proxy/sessions.h"
#include "support/check.h"
#include "support/input.h"

#define MODEL_PLAYERS 24
#define MODEL_SERVERS 6
#define MODEL_NUMBERS 48
#define MODEL_SECOND INT64_C(1000000000)

struct upstream {
    uint16_t number; /* 0: closed */
};

struct model {
    struct sessions *table;
    struct sessions_options options;
    int64_t now_ns, changed_ns; /* when the time-out changed last */
    struct model_session {
        bool is_live;
        uint16_t number;
        int64_t last_ns, answered_ns;
    } live[MODEL_PLAYERS][MODEL_SERVERS];
    int64_t rests_ns[MODEL_SERVERS][MODEL_NUMBERS + 1]; /* until then; 0: does not */
    bool is_claimed[MODEL_NUMBERS + 1];
    struct upstream upstreams[MODEL_NUMBERS + 1];
    uint16_t closed[4096]; /* numbers that are free, the one to be given next last */
    unsigned closed_count;
    bool cannot_open, has_failed, has_churn;
    unsigned expected[SESSION_ENDS], ended[SESSION_ENDS];
    struct model_session evicted; /* the last one */
    unsigned evicted_server;
};

static struct endpoint model_player(unsigned i)
{
    struct endpoint player = {.port = (uint16_t)(1000 + i)};
    player.address.s6_addr[15] = (uint8_t)(1 + i % 4); /* four addresses of six players each */
    return player;
}

static struct endpoint model_server(unsigned i)
{
    struct endpoint server = {.port = (uint16_t)(7000 + i)};
    server.address.s6_addr[0] = 0xfd;
    return server;
}

static unsigned model_count(const struct model *model)
{
    unsigned count = 0;
    for (unsigned i = 0; i < MODEL_PLAYERS; i++)
        for (unsigned j = 0; j < MODEL_SERVERS; j++)
            count += model->live[i][j].is_live;
    return count;
}

static int model_open(void *user, struct upstream **upstream, uint16_t *number)
{
    struct model *model = user;
    if (model->cannot_open || model->closed_count == 0) {
        model->has_failed = true;
        return model->cannot_open ? -EMFILE : -EADDRINUSE;
    }
    if (*number != 0) { /* it becomes the one that was closed last */
        unsigned i = 0;
        while (i < model->closed_count && model->closed[i] != *number)
            i++;
        if (i == model->closed_count)
            return -EADDRINUSE;
        model->closed[i] = model->closed[model->closed_count - 1];
        model->closed[model->closed_count - 1] = *number;
    }
    *number = model->closed[--model->closed_count];
    CHECK(model->upstreams[*number].number == 0);
    model->upstreams[*number].number = *number;
    model->is_claimed[*number] = true;
    *upstream = &model->upstreams[*number];
    return 0;
}

static void model_close(void *user, struct upstream *upstream)
{
    struct model *model = user;
    CHECK(upstream->number != 0);
    model->closed[model->closed_count++] = upstream->number;
    upstream->number = 0;
}

static void model_freed(void *user, uint16_t number)
{
    struct model *model = user;
    CHECK(model->is_claimed[number] && model->upstreams[number].number == 0);
    model->is_claimed[number] = false;
    for (unsigned j = 0; j < MODEL_SERVERS; j++)
        CHECK(model->rests_ns[j][number] <= model->now_ns);
}

static void model_ended(void *user, const struct session *session, enum session_end end)
{
    struct model *model = user;
    unsigned player = session->player.port - 1000U;
    unsigned server = session_server_at(session->server)->port - 7000U;
    struct model_session *own = &model->live[player][server];

    CHECK(own->is_live && own->number == session->number);
    CHECK(own->last_ns == session->last_ns && own->answered_ns == session->answered_ns);
    if (end == SESSION_IDLE)
        CHECK(own->last_ns + model->options.timeout_ns <= model->now_ns);
    if (end == SESSION_EVICTED) {
        model->evicted = *own;
        model->evicted_server = server;
    }
    own->is_live = false;
    model->ended[end]++;
    model->has_churn = true;
    model->rests_ns[server][own->number] = own->answered_ns != 0
                                               ? own->answered_ns + model->options.timeout_ns
                                               : model->now_ns + SESSIONS_SHORT_REST_NS;
}

/* The oldest datagram of a session that an eviction must prefer. */
static int64_t model_oldest(const struct model *model, bool is_answered)
{
    int64_t oldest = INT64_MAX;
    for (unsigned i = 0; i < MODEL_PLAYERS; i++) {
        for (unsigned j = 0; j < MODEL_SERVERS; j++) {
            const struct model_session *own = &model->live[i][j];
            if (own->is_live && (own->answered_ns != 0) == is_answered && own->last_ns < oldest)
                oldest = own->last_ns;
        }
    }
    return oldest;
}

/* Whether the address of a player has as many sessions as it may have. */
static bool model_has_too_many(const struct model *model, unsigned player)
{
    unsigned count = 0;
    for (unsigned i = player % 4; i < MODEL_PLAYERS; i += 4)
        for (unsigned j = 0; j < MODEL_SERVERS; j++)
            count += model->live[i][j].is_live;
    return model->options.max_per_address > 0 && count >= model->options.max_per_address;
}

static void model_check_make(struct model *model, unsigned player, unsigned server)
{
    struct endpoint from = model_player(player), to = model_server(server);
    struct session *session = NULL;
    unsigned before = model_count(model);
    int64_t oldest[2] = {model_oldest(model, false), model_oldest(model, true)};

    bool is_too_many = model_has_too_many(model, player);
    model->has_failed = false;
    unsigned evicted = model->ended[SESSION_EVICTED];
    enum session_refusal refusal = sessions_make(model->table, &from, &to, model->now_ns, &session);
    evicted = model->ended[SESSION_EVICTED] - evicted;

    CHECK((refusal == SESSION_TOO_MANY_OF_ONE) == is_too_many);
    /* One for which there is no number may push out one of its server. */
    unsigned due = !is_too_many && before == model->options.max;
    CHECK(refusal == SESSION_NO_PORT ? evicted <= due + 1 : evicted == due);
    if (evicted == due + 1) {
        CHECK(model->evicted_server == server && model->evicted.answered_ns == 0);
    } else if (evicted > 0 && refusal != SESSION_NO_PORT) {
        CHECK((model->evicted.answered_ns != 0) == (oldest[0] == INT64_MAX));
        CHECK(model->evicted.last_ns <= oldest[model->evicted.answered_ns != 0] + SESSIONS_AGE_NS);
    }
    if (refusal != SESSION_MADE) {
        CHECK(session == NULL);
        CHECK(is_too_many || model->has_failed || refusal == SESSION_NO_PORT);
        CHECK(refusal != SESSION_NO_MEMORY);
        return;
    }
    uint16_t number = session->number;
    CHECK(session->upstream == &model->upstreams[number] && session->upstream->number == number);
    CHECK(model->rests_ns[server][number] <= model->now_ns);
    for (unsigned i = 0; i < MODEL_PLAYERS; i++)
        CHECK(!model->live[i][server].is_live || model->live[i][server].number != number);
    model->live[player][server] =
        (struct model_session){.is_live = true, .number = number, .last_ns = model->now_ns};
}

static void model_datagram(struct model *model, unsigned player, unsigned server)
{
    struct endpoint from = model_player(player), to = model_server(server);
    struct model_session *own = &model->live[player][server];
    struct session *session = sessions_find(model->table, &from, &to);

    CHECK((session != NULL) == own->is_live);
    if (session == NULL) {
        model_check_make(model, player, server);
    } else {
        CHECK(session->number == own->number);
        sessions_touch(model->table, session, false, model->now_ns);
        own->last_ns = model->now_ns;
    }
}

/* A session goes from one player to another, who has none with its server. */
static void model_migrate(struct model *model, unsigned player, unsigned other, unsigned server)
{
    struct endpoint from = model_player(player), to = model_player(other);
    struct endpoint with = model_server(server);
    struct session *session = sessions_find(model->table, &from, &with);
    if (session == NULL || sessions_find(model->table, &to, &with) != NULL)
        return;

    bool is_expected = player % 4 == other % 4 || !model_has_too_many(model, other);
    uint32_t before = session->migrations;
    CHECK(sessions_at(model->table, session->index) == session);
    CHECK(sessions_migrate(model->table, session, &to) == is_expected);
    CHECK(session->migrations == before + is_expected);
    if (!is_expected)
        return;
    CHECK(sessions_find(model->table, &from, &with) == NULL);
    CHECK(sessions_find(model->table, &to, &with) == session);
    model->live[other][server] = model->live[player][server];
    model->live[player][server].is_live = false;
}

static void model_answer(struct model *model, unsigned server, uint16_t number)
{
    struct endpoint from = model_server(server);
    struct session *session = sessions_answered(model->table, &from, number, model->now_ns);
    struct model_session *own = NULL;
    unsigned player = 0;

    for (unsigned i = 0; i < MODEL_PLAYERS; i++) {
        if (model->live[i][server].is_live && model->live[i][server].number == number) {
            own = &model->live[i][server];
            player = i;
        }
    }
    CHECK((session != NULL) == (own != NULL));
    if (session != NULL) {
        struct endpoint to = model_player(player);
        CHECK(endpoint_equals(&session->player, &to));
        sessions_touch(model->table, session, true, model->now_ns);
        own->last_ns = own->answered_ns = model->now_ns;
    } else if (model->rests_ns[server][number] > model->now_ns) {
        model->rests_ns[server][number] = model->now_ns + model->options.timeout_ns;
    }
}

static void model_tick(struct model *model)
{
    sessions_tick(model->table, model->now_ns);
    for (unsigned i = 0; i < MODEL_PLAYERS; i++) {
        for (unsigned j = 0; j < MODEL_SERVERS; j++) {
            const struct model_session *own = &model->live[i][j];
            CHECK(!own->is_live || model->now_ns < model->changed_ns + MODEL_SECOND ||
                  own->last_ns + model->options.timeout_ns + MODEL_SECOND > model->now_ns);
        }
    }
}

static bool model_keeps_even(const struct endpoint *server, void *user)
{
    (void)user;
    return server->port % 2 == 0;
}

static void model_end_some(struct model *model, unsigned what, bool is_player)
{
    unsigned expected = 0;
    enum session_end end = is_player ? SESSION_MOVED : SESSION_REMOVED;
    unsigned before = model->ended[end];

    for (unsigned i = 0; i < MODEL_PLAYERS; i++)
        for (unsigned j = 0; j < MODEL_SERVERS; j++)
            expected += model->live[i][j].is_live &&
                        (is_player ? i == what && (7000 + j) % 2 != 0 : j == what);
    if (is_player) {
        struct endpoint player = model_player(what);
        sessions_end_player(model->table, &player, model_keeps_even, NULL, end, model->now_ns);
    } else {
        struct endpoint server = model_server(what);
        sessions_end_server(model->table, &server, end, model->now_ns);
    }
    CHECK(model->ended[end] - before == expected);
}

static void model_set_timeout(struct model *model, int64_t timeout_ns)
{
    int64_t more_ns = timeout_ns - model->options.timeout_ns;
    model->options.timeout_ns = timeout_ns;
    model->changed_ns = model->now_ns;
    sessions_set_timeout(model->table, timeout_ns);
    /* A longer one may find a pair that rested long enough already; a pair that was answered is
     * known by its length. */
    for (unsigned j = 0; j < MODEL_SERVERS; j++)
        for (unsigned i = 1; i <= MODEL_NUMBERS; i++)
            if (model->rests_ns[j][i] > model->now_ns && more_ns < 0)
                model->rests_ns[j][i] = 0; /* a kind that the model does not know is not asserted */
}

static void model_count_one(const struct session *session, void *user)
{
    CHECK(session->upstream != NULL);
    ++*(unsigned *)user;
}

static void model_check_size(const struct model *model)
{
    struct sessions_size size = sessions_size(model->table);
    unsigned live = model_count(model), shown = 0, sockets = 0, fullest = 0, resting = 0;

    for (unsigned i = 1; i <= MODEL_NUMBERS; i++) {
        bool is_used = false;
        for (unsigned p = 0; p < MODEL_PLAYERS; p++)
            for (unsigned j = 0; j < MODEL_SERVERS; j++)
                is_used = is_used || (model->live[p][j].is_live && model->live[p][j].number == i);
        CHECK(is_used == (model->upstreams[i].number != 0)); /* closed with the last session */
        CHECK(!is_used || model->is_claimed[i]);
        sockets += is_used;
        for (unsigned j = 0; j < MODEL_SERVERS; j++) {
            resting += model->rests_ns[j][i] > model->now_ns;
            CHECK(model->rests_ns[j][i] <= model->now_ns || model->is_claimed[i]);
        }
    }
    for (unsigned j = 0; j < MODEL_SERVERS; j++) {
        unsigned players = 0;
        for (unsigned p = 0; p < MODEL_PLAYERS; p++)
            players += model->live[p][j].is_live;
        fullest = players > fullest ? players : fullest;
    }
    sessions_each(model->table, model_count_one, &shown);
    CHECK(size.sessions == live && shown == live && live <= model->options.max);
    CHECK(size.sockets == sockets && size.resting >= resting);
    CHECK(model->has_churn || sockets == fullest);
}

static void model_init(struct model *model, uint32_t max, uint32_t max_per_address,
                       int64_t start_ns)
{
    memset(model, 0, sizeof *model);
    model->now_ns = start_ns;
    for (uint16_t i = 1; i <= MODEL_NUMBERS; i++)
        model->closed[model->closed_count++] = i;
    model->options = (struct sessions_options){.max = max,
                                               .max_per_address = max_per_address,
                                               .max_resting = UINT32_MAX,
                                               .timeout_ns = 10 * MODEL_SECOND,
                                               .key = {{3, 5}},
                                               .open = model_open,
                                               .close = model_close,
                                               .freed = model_freed,
                                               .ended = model_ended,
                                               .user = model};
    CHECK(sessions_new(&model->table, &model->options) == 0);
}

/** One operation, of the bytes that are next. */
static void model_step(struct model *model, struct input *input)
{
    unsigned operation = input_take(input);
    unsigned first = input_take(input), second = input_take(input);

    switch (operation % 11) {
    case 0:
    case 1:
    case 2:
        model_datagram(model, first % MODEL_PLAYERS, second % MODEL_SERVERS);
        break;
    case 3:
    case 4: {
        const struct model_session *own =
            &model->live[first % MODEL_PLAYERS][second % MODEL_SERVERS];
        model_answer(model, second % MODEL_SERVERS,
                     own->is_live ? own->number : (uint16_t)(1 + first % MODEL_NUMBERS));
        break;
    }
    case 5:
        model->now_ns += (int64_t)first * second * 1000000 / 64;
        break;
    case 6:
    case 7:
        model->now_ns += (int64_t)(first % 16) * MODEL_SECOND / 4;
        model_tick(model);
        break;
    case 8:
        if (first % 8 == 0)
            model_end_some(model, second % (first % 16 == 0 ? MODEL_PLAYERS : MODEL_SERVERS),
                           first % 16 == 0);
        break;
    case 9:
        model->cannot_open = first % 4 == 0;
        if (first % 16 == 1)
            model_set_timeout(model, (1 + second % 20) * MODEL_SECOND);
        if (first == 2) { /* a process that was stopped for longer than the wheel is */
            model->now_ns += 1000 * MODEL_SECOND;
            model_tick(model);
        }
        break;
    case 10:
        model_migrate(model, first % MODEL_PLAYERS, second / MODEL_SERVERS % MODEL_PLAYERS,
                      second % MODEL_SERVERS);
        break;
    }
    model_check_size(model);
}

static void model_fini(struct model *model)
{
    unsigned live = model_count(model);
    sessions_free(model->table);
    CHECK(model->ended[SESSION_STOPPED] == live);
    for (unsigned i = 1; i <= MODEL_NUMBERS; i++)
        CHECK(model->upstreams[i].number == 0);
}

#endif
