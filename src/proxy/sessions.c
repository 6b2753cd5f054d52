/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/sessions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/session_queues.h"
#include "proxy/socket_pool.h"

/* Answered sessions of which one is evicted, where all of them are in use. */
#define OLDEST_TRIES 64

/* Unanswered sessions among which one of a server is looked for. */
#define SILENT_TRIES 16

struct session_server {
    struct endpoint at;
    struct session_server *next; /* in its bucket */
    struct session_queue sessions;
    uint32_t live;      /* sessions */
    uint32_t pairs;     /* sessions and resting ones */
    uint32_t strangers; /* live sessions of players who have not come again */
    struct server_numbers numbers;
};

/* Sessions of one address of players. */
struct address_count {
    struct in6_addr address;
    uint32_t count;
};

struct sessions {
    struct sessions_options options;
    struct session_slab slab;
    uint32_t live, resting;
    uint32_t mask; /* of the buckets of both tables */
    uint32_t *by_player, *by_pair;
    struct session_server **servers;
    struct address_count *addresses; /* open addressing; only with max_per_address */
    struct session_queue ages[2];    /* never answered, answered; longest idle first */
    struct session_wheel wheel;
    struct socket_pool *sockets;
};

const char *session_end_name(enum session_end end)
{
    static const char *const names[SESSION_ENDS] = {[SESSION_IDLE] = "idle",
                                                    [SESSION_EVICTED] = "evicted",
                                                    [SESSION_REMOVED] = "endpoint_removed",
                                                    [SESSION_MOVED] = "moved",
                                                    [SESSION_STOPPED] = "stopped"};
    return names[end];
}

static struct session *at(const struct sessions *sessions, uint32_t index)
{
    return session_at(&sessions->slab, index);
}

static uint32_t hash(const struct sessions *sessions, const void *data, size_t bytes)
{
    return (uint32_t)siphash(&sessions->options.key, data, bytes) & sessions->mask;
}

static uint32_t *player_bucket(const struct sessions *sessions, const struct endpoint *player)
{
    return &sessions->by_player[hash(sessions, player, sizeof *player)];
}

static uint32_t *pair_bucket(const struct sessions *sessions, const struct endpoint *server,
                             uint16_t number)
{
    struct endpoint pair = *server;
    pair.zero = number;
    return &sessions->by_pair[hash(sessions, &pair, sizeof pair)];
}

/* The place of an address in the counts, or of the free entry for it. */
static struct address_count *find_address(struct sessions *sessions, const struct in6_addr *address)
{
    uint32_t mask = 2 * (sessions->mask + 1) - 1;
    uint32_t i = (uint32_t)siphash(&sessions->options.key, address->s6_addr, 16) & mask;
    while (sessions->addresses[i].count > 0 &&
           memcmp(&sessions->addresses[i].address, address, sizeof *address) != 0)
        i = (i + 1) & mask;
    return &sessions->addresses[i];
}

/* Takes one off, and closes the gap that an entry leaves behind. */
static void uncount_address(struct sessions *sessions, const struct in6_addr *address)
{
    uint32_t mask = 2 * (sessions->mask + 1) - 1;
    struct address_count *entry = find_address(sessions, address);
    if (--entry->count > 0)
        return;

    uint32_t hole = (uint32_t)(entry - sessions->addresses);
    for (uint32_t i = (hole + 1) & mask; sessions->addresses[i].count > 0; i = (i + 1) & mask) {
        uint32_t home =
            (uint32_t)siphash(&sessions->options.key, sessions->addresses[i].address.s6_addr, 16) &
            mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        sessions->addresses[hole] = sessions->addresses[i];
        sessions->addresses[i].count = 0;
        hole = i;
    }
}

static void unlink_from(uint32_t *bucket, const struct sessions *sessions, uint32_t index,
                        bool by_player)
{
    while (*bucket != index) {
        struct session *other = at(sessions, *bucket);
        bucket = by_player ? &other->next_of_player : &other->next_of_pair;
    }
    struct session *session = at(sessions, index);
    *bucket = by_player ? session->next_of_player : session->next_of_pair;
}

static bool has_room(struct sessions *sessions, const struct endpoint *player)
{
    return sessions->options.max_per_address == 0 ||
           find_address(sessions, &player->address)->count < sessions->options.max_per_address;
}

static void count_player(struct sessions *sessions, struct session *session)
{
    uint32_t *bucket = player_bucket(sessions, &session->player);
    struct address_count *address = find_address(sessions, &session->player.address);
    session->next_of_player = *bucket;
    *bucket = session->index;
    address->address = session->player.address;
    address->count++;
}

static void uncount_player(struct sessions *sessions, const struct session *session)
{
    unlink_from(player_bucket(sessions, &session->player), sessions, session->index, true);
    uncount_address(sessions, &session->player.address);
}

static struct session_server **find_server(const struct sessions *sessions,
                                           const struct endpoint *where)
{
    struct session_server **found = &sessions->servers[hash(sessions, where, sizeof *where)];
    while (*found != NULL && !endpoint_equals(&(*found)->at, where))
        found = &(*found)->next;
    return found;
}

static void server_free(struct session_server *server)
{
    server_numbers_fini(&server->numbers);
    free(server);
}

static void forget_server(struct sessions *sessions, struct session_server *server)
{
    if (server->pairs > 0)
        return;
    struct session_server **found = find_server(sessions, &server->at);
    *found = server->next;
    server_free(server);
}

struct session *sessions_find(struct sessions *sessions, const struct endpoint *player,
                              const struct endpoint *server)
{
    for (uint32_t i = *player_bucket(sessions, player); i != SESSION_NONE;
         i = at(sessions, i)->next_of_player) {
        struct session *session = at(sessions, i);
        if (endpoint_equals(&session->player, player) &&
            endpoint_equals(&session->server->at, server))
            return session;
    }
    return NULL;
}

const struct session *sessions_next_of_player(const struct sessions *sessions,
                                              const struct endpoint *player,
                                              const struct session *after)
{
    uint32_t i = after != NULL ? after->next_of_player : *player_bucket(sessions, player);
    while (i != SESSION_NONE && !endpoint_equals(&at(sessions, i)->player, player))
        i = at(sessions, i)->next_of_player;
    return i != SESSION_NONE ? at(sessions, i) : NULL;
}

uint32_t sessions_of_server(const struct sessions *sessions, const struct endpoint *where)
{
    const struct session_server *server = *find_server(sessions, where);
    return server != NULL ? server->live : 0;
}

static struct session *find_pair(const struct sessions *sessions, const struct endpoint *server,
                                 uint16_t number)
{
    for (uint32_t i = *pair_bucket(sessions, server, number); i != SESSION_NONE;
         i = at(sessions, i)->next_of_pair) {
        struct session *session = at(sessions, i);
        if (session->number == number && endpoint_equals(&session->server->at, server))
            return session;
    }
    return NULL;
}

static bool is_pair(const void *pairs, const struct endpoint *server, uint16_t number)
{
    return find_pair(pairs, server, number) != NULL;
}

int sessions_new(struct sessions **sessions, const struct sessions_options *options)
{
    uint32_t buckets = 16;
    struct sessions *made = calloc(1, sizeof *made);
    if (made == NULL)
        return -ENOMEM;

    while (buckets < options->max && buckets < 1U << 24)
        buckets *= 2;
    const struct socket_pool_options pool = {.open = options->open,
                                             .close = options->close,
                                             .freed = options->freed,
                                             .user = options->user,
                                             .is_pair = is_pair,
                                             .pairs = made};
    made->options = *options;
    made->mask = buckets - 1;
    memset(made->ages, 0xff, sizeof made->ages);
    session_wheel_init(&made->wheel);
    made->by_player = malloc(buckets * sizeof *made->by_player);
    made->by_pair = malloc(buckets * sizeof *made->by_pair);
    made->servers = calloc(buckets, sizeof *made->servers);
    made->addresses = calloc(2 * (size_t)buckets, sizeof *made->addresses);
    if (made->by_player == NULL || made->by_pair == NULL || made->servers == NULL ||
        made->addresses == NULL || socket_pool_new(&made->sockets, &pool) != 0) {
        sessions_free(made);
        return -ENOMEM;
    }
    memset(made->by_player, 0xff, buckets * sizeof *made->by_player);
    memset(made->by_pair, 0xff, buckets * sizeof *made->by_pair);
    *sessions = made;
    return 0;
}

struct session *sessions_of_pair(struct sessions *sessions, const struct endpoint *server,
                                 uint16_t number)
{
    struct session *session = find_pair(sessions, server, number);
    return session != NULL && session->upstream != NULL ? session : NULL;
}

struct session *sessions_answered(struct sessions *sessions, const struct endpoint *server,
                                  uint16_t number, int64_t now_ns)
{
    struct session *session = find_pair(sessions, server, number);
    if (session == NULL || session->upstream != NULL)
        return session;
    session->answered_ns = now_ns;
    return NULL;
}

/* Ends a session with a server that was never answered, if there is one among the oldest. */
static void end_silent(struct sessions *sessions, const struct session_server *server,
                       int64_t now_ns)
{
    uint32_t i = sessions->ages[0].first;
    for (unsigned tries = 0; i != SESSION_NONE && tries < SILENT_TRIES; tries++) {
        struct session *session = at(sessions, i);
        i = session->links[BY_AGE].next;
        if (session->server == server && now_ns - session->began_ns >= SESSIONS_PATIENCE_NS) {
            sessions_end(sessions, session, SESSION_EVICTED, now_ns);
            return;
        }
    }
}

static void refresh(struct sessions *sessions, struct session *session)
{
    if (sessions->options.refresh != NULL && session->answered_ns != 0)
        sessions->options.refresh(sessions->options.user, session);
}

/* The session that ends for another one. Those that are in use without that the table was told go
 * to the end of the order, as far as they are looked at. */
static struct session *choose_oldest(struct sessions *sessions)
{
    struct session_queue *ages = sessions->ages;
    if (ages[0].first != SESSION_NONE)
        return at(sessions, ages[0].first);
    for (unsigned tries = 0; tries < OLDEST_TRIES; tries++) {
        struct session *session = at(sessions, ages[1].first);
        int64_t before_ns = session->last_ns;
        refresh(sessions, session);
        if (session->last_ns == before_ns)
            break;
        session->placed_ns = session->last_ns;
        session_queue_remove(&ages[1], &sessions->slab, BY_AGE, session);
        session_queue_add(&ages[1], &sessions->slab, BY_AGE, session);
    }
    return at(sessions, ages[1].first);
}

static int64_t ends_ns(const struct sessions *sessions, const struct session *session)
{
    if (session->upstream != NULL)
        return session->last_ns + sessions->options.timeout_ns;
    return session->answered_ns != 0 ? session->answered_ns + sessions->options.timeout_ns
                                     : session->last_ns + SESSIONS_SHORT_REST_NS;
}

static void stand_in_wheel(struct sessions *sessions, struct session *session)
{
    session_wheel_add(&sessions->wheel, &sessions->slab, session, ends_ns(sessions, session));
}

static enum session_refusal refusal_of(int error)
{
    if (error == -EADDRINUSE || error == -EAGAIN)
        return SESSION_NO_PORT;
    return error == -ENOMEM ? SESSION_NO_MEMORY : SESSION_NO_SOCKET;
}

enum session_refusal sessions_make(struct sessions *sessions, const struct endpoint *player,
                                   const struct endpoint *where, int64_t now_ns,
                                   struct session **made)
{
    struct session_server **found = find_server(sessions, where);
    struct session_server *server = *found;
    struct pool_socket socket;

    if (!has_room(sessions, player))
        return SESSION_TOO_MANY_OF_ONE;
    if (sessions->resting >= sessions->options.max_resting)
        return SESSION_TOO_MANY_REST;
    session_wheel_start(&sessions->wheel, now_ns);
    if (server == NULL) {
        server = calloc(1, sizeof *server);
        if (server == NULL)
            return SESSION_NO_MEMORY;
        *server = (struct session_server){.at = *where, .sessions = {SESSION_NONE, SESSION_NONE}};
        *found = server;
    }
    if (server_numbers_are_out(&server->numbers, now_ns)) {
        end_silent(sessions, server, now_ns);
        return SESSION_NO_PORT;
    }
    if (sessions->live == sessions->options.max) {
        server->pairs++; /* it must outlive what is evicted */
        sessions_end(sessions, choose_oldest(sessions), SESSION_EVICTED, now_ns);
        server->pairs--;
    }
    int error = socket_pool_take(sessions->sockets, &server->numbers, where, now_ns, &socket);
    struct session *session = error == 0 ? session_slab_take(&sessions->slab) : NULL;
    if (error == 0 && session == NULL) {
        socket_pool_give_back(sessions->sockets, socket.number);
        socket_pool_end_pair(sessions->sockets, &server->numbers, socket.number);
        error = -ENOMEM;
    }
    if (error != 0) {
        enum session_refusal refusal = refusal_of(error);
        if (refusal == SESSION_NO_PORT)
            end_silent(sessions, server, now_ns);
        forget_server(sessions, server);
        return refusal;
    }

    uint32_t *bucket = pair_bucket(sessions, where, socket.number);
    *session = (struct session){.player = *player,
                                .server = server,
                                .upstream = socket.upstream,
                                .number = socket.number,
                                .began_ns = now_ns,
                                .last_ns = now_ns,
                                .placed_ns = now_ns,
                                .index = session->index,
                                .next_of_pair = *bucket};
    *bucket = session->index;
    count_player(sessions, session);
    server->pairs++;
    server->live++;
    sessions->live++;
    server->strangers++;
    session_queue_add(&server->sessions, &sessions->slab, BY_SERVER, session);
    session_queue_add(&sessions->ages[0], &sessions->slab, BY_AGE, session);
    stand_in_wheel(sessions, session);
    *made = session;
    return SESSION_MADE;
}

void sessions_touch(struct sessions *sessions, struct session *session, bool is_answer,
                    int64_t now_ns)
{
    bool was_answered = session->answered_ns != 0;
    bool is_old = now_ns - session->placed_ns >= SESSIONS_AGE_NS;
    session->last_ns = now_ns;
    if (is_answer)
        session->answered_ns = now_ns;
    else if (!session->has_come) {
        session->has_come = true;
    } else if (!session->has_come_again) {
        session->has_come_again = true;
        session->server->strangers--;
    }
    if (!is_old && was_answered == (session->answered_ns != 0))
        return;
    session->placed_ns = now_ns;
    session_queue_remove(&sessions->ages[was_answered], &sessions->slab, BY_AGE, session);
    session_queue_add(&sessions->ages[session->answered_ns != 0], &sessions->slab, BY_AGE, session);
}

struct session *sessions_at(struct sessions *sessions, uint32_t index)
{
    struct session *session = index < sessions->slab.made ? at(sessions, index) : NULL;
    return session != NULL && session->upstream != NULL ? session : NULL;
}

bool sessions_migrate(struct sessions *sessions, struct session *session,
                      const struct endpoint *player)
{
    bool is_same = memcmp(&session->player.address, &player->address, sizeof player->address) == 0;
    if (!is_same && !has_room(sessions, player))
        return false;
    uncount_player(sessions, session);
    session->player = *player;
    count_player(sessions, session);
    if (session->migrations < UINT16_MAX)
        session->migrations++;
    return true;
}

void sessions_end(struct sessions *sessions, struct session *session, enum session_end end,
                  int64_t now_ns)
{
    struct session_server *server = session->server;
    sessions->options.ended(sessions->options.user, session, end);
    uncount_player(sessions, session);
    session_queue_remove(&server->sessions, &sessions->slab, BY_SERVER, session);
    session_queue_remove(&sessions->ages[session->answered_ns != 0], &sessions->slab, BY_AGE,
                         session);
    session_wheel_remove(&sessions->wheel, &sessions->slab, session);
    server->live--;
    sessions->live--;
    socket_pool_give_back(sessions->sockets, session->number);

    session->upstream = NULL;
    session->last_ns = now_ns;
    sessions->resting++;
    stand_in_wheel(sessions, session);
}

/* A pair may be used again: by the socket that has the number now, if there is one. */
static void end_rest(struct sessions *sessions, struct session *session)
{
    struct session_server *server = session->server;
    uint16_t number = session->number;

    unlink_from(pair_bucket(sessions, &server->at, number), sessions, session->index, false);
    sessions->resting--;
    server->strangers -= !session->has_come_again;
    server->pairs--;
    session_slab_give_back(&sessions->slab, session);
    socket_pool_end_pair(sessions->sockets, &server->numbers, number);
    forget_server(sessions, server);
}

void sessions_tick(struct sessions *sessions, int64_t now_ns)
{
    uint32_t i;
    while (session_wheel_turn(&sessions->wheel, now_ns, &i)) {
        while (i != SESSION_NONE) {
            struct session *session = at(sessions, i);
            i = session->links[BY_WHEEL].next;
            if (session->upstream != NULL)
                refresh(sessions, session);
            bool is_over = ends_ns(sessions, session) <= now_ns;
            if (is_over && session->upstream == NULL) {
                end_rest(sessions, session);
                continue;
            }
            stand_in_wheel(sessions, session);
            if (is_over)
                sessions_end(sessions, session, SESSION_IDLE, now_ns);
        }
    }
}

void sessions_end_server(struct sessions *sessions, const struct endpoint *where,
                         enum session_end end, int64_t now_ns)
{
    struct session_server *server = *find_server(sessions, where);
    while (server != NULL && server->sessions.first != SESSION_NONE)
        sessions_end(sessions, at(sessions, server->sessions.first), end, now_ns);
}

void sessions_end_player(struct sessions *sessions, const struct endpoint *player,
                         bool (*is_kept)(const struct endpoint *server, void *user), void *user,
                         enum session_end end, int64_t now_ns)
{
    uint32_t next;
    for (uint32_t i = *player_bucket(sessions, player); i != SESSION_NONE; i = next) {
        struct session *session = at(sessions, i);
        next = session->next_of_player;
        if (endpoint_equals(&session->player, player) && !is_kept(&session->server->at, user))
            sessions_end(sessions, session, end, now_ns);
    }
}

void sessions_set_timeout(struct sessions *sessions, int64_t timeout_ns)
{
    bool is_shorter = timeout_ns < sessions->options.timeout_ns;
    sessions->options.timeout_ns = timeout_ns;
    for (unsigned second = 0; second < SESSION_WHEEL_SECONDS && is_shorter; second++) {
        uint32_t i = session_wheel_take(&sessions->wheel, second);
        while (i != SESSION_NONE) {
            struct session *session = at(sessions, i);
            i = session->links[BY_WHEEL].next;
            stand_in_wheel(sessions, session);
        }
    }
}

uint32_t sessions_strangers(struct sessions *sessions, const struct endpoint *where)
{
    const struct session_server *server = *find_server(sessions, where);
    return server != NULL ? server->strangers : 0;
}

const struct endpoint *session_server_at(const struct session_server *server)
{
    return &server->at;
}

struct sessions_size sessions_size(const struct sessions *sessions)
{
    return (struct sessions_size){.sessions = sessions->live,
                                  .sockets = socket_pool_size(sessions->sockets),
                                  .resting = sessions->resting};
}

void sessions_each(const struct sessions *sessions,
                   void (*call)(const struct session *session, void *user), void *user)
{
    for (unsigned answered = 0; answered < 2; answered++) {
        uint32_t next;
        for (uint32_t i = sessions->ages[answered].first; i != SESSION_NONE; i = next) {
            next = at(sessions, i)->links[BY_AGE].next;
            call(at(sessions, i), user);
        }
    }
}

void sessions_each_server(struct sessions *sessions,
                          void (*call)(const struct endpoint *server, void *user), void *user)
{
    for (uint32_t i = 0; i <= sessions->mask; i++) {
        struct session_server *next;
        for (struct session_server *server = sessions->servers[i]; server != NULL; server = next) {
            next = server->next;
            if (server->sessions.first != SESSION_NONE)
                call(&server->at, user);
        }
    }
}

static void end_stopped(const struct session *session, void *user)
{
    struct sessions *sessions = user;
    sessions_end(sessions, at(sessions, session->index), SESSION_STOPPED, session->last_ns);
}

void sessions_free(struct sessions *sessions)
{
    if (sessions == NULL)
        return;
    sessions_each(sessions, end_stopped, sessions);
    for (uint32_t i = 0; sessions->servers != NULL && i <= sessions->mask; i++) {
        while (sessions->servers[i] != NULL) {
            struct session_server *server = sessions->servers[i];
            sessions->servers[i] = server->next;
            server_free(server);
        }
    }
    session_slab_fini(&sessions->slab);
    socket_pool_free(sessions->sockets);
    free(sessions->by_player);
    free(sessions->by_pair);
    free(sessions->servers);
    free(sessions->addresses);
    free(sessions);
}
