/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/sessions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS INT64_C(1000000000)
#define WHEEL_SLOTS 256
#define CHUNK_SHIFT 10
#define CHUNK_SESSIONS (1U << CHUNK_SHIFT)

/* Sockets that are tried for one session, when the system keeps giving numbers that rest. */
#define OPEN_TRIES 8

/* Looking for a number in vain costs as much as many sessions: none is asked for so long after. */
#define FULL_NS INT64_C(10000000)

/* Answered sessions of which one is evicted, where all of them are in use. */
#define OLDEST_TRIES 64

/* Unanswered sessions among which one of a server is looked for. */
#define SILENT_TRIES 16

enum link {
    BY_SERVER,
    BY_AGE,
    BY_WHEEL
};

struct list {
    uint32_t first, last;
};

/* An open upstream socket. Those that are open stand in the order in which they were opened. */
struct socket {
    struct upstream *upstream;
    uint64_t serial;
    uint16_t number;
    uint32_t sessions;
};

/* Numbers to be tried again, the last one first. Some may be stale, or there twice. */
struct number_list {
    uint16_t *items;
    uint32_t count, capacity;
};

struct session_server {
    struct endpoint at;
    struct session_server *next; /* in its bucket */
    struct list sessions;
    uint32_t live;        /* sessions */
    uint32_t pairs;       /* sessions and resting ones */
    uint32_t strangers;   /* of them */
    uint64_t next_serial; /* sockets before this one were tried for it */
    struct number_list rested,
        closed;            /* whose rest is over: of sockets that were open, of others */
    int64_t full_until_ns; /* there was no number: none is looked for until then */
};

/* Sessions of one address of players. */
struct address_count {
    struct in6_addr address;
    uint32_t count;
};

struct sessions {
    struct sessions_options options;
    struct session **chunks; /* sessions do not move */
    uint32_t chunks_count, made;
    uint32_t free; /* a list by next_of_player */
    uint32_t live, resting;
    uint32_t mask; /* of the buckets of both tables */
    uint32_t *by_player, *by_pair;
    struct session_server **servers;
    struct address_count *addresses; /* open addressing; only with max_per_address */
    struct list ages[2];             /* never answered, answered; longest idle first */
    struct list wheel[WHEEL_SLOTS];
    int64_t wheel_second; /* up to which the wheel was turned */
    struct socket *sockets;
    uint32_t sockets_count, sockets_capacity, sockets_open;
    uint64_t next_serial;
    struct number {
        uint32_t socket; /* 1 + the index of the open one; 0: none */
        uint32_t pairs;  /* sessions and resting ones */
    } * numbers;
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
    return &sessions->chunks[index >> CHUNK_SHIFT][index & (CHUNK_SESSIONS - 1)];
}

static void list_add(struct sessions *sessions, struct list *list, enum link link,
                     struct session *session)
{
    session->links[link] = (struct session_links){list->last, SESSION_NONE};
    if (list->last != SESSION_NONE)
        at(sessions, list->last)->links[link].next = session->index;
    else
        list->first = session->index;
    list->last = session->index;
}

static void list_remove(struct sessions *sessions, struct list *list, enum link link,
                        struct session *session)
{
    struct session_links links = session->links[link];
    if (links.before != SESSION_NONE)
        at(sessions, links.before)->links[link].next = links.next;
    else
        list->first = links.next;
    if (links.next != SESSION_NONE)
        at(sessions, links.next)->links[link].before = links.before;
    else
        list->last = links.before;
}

static uint32_t hash(const struct sessions *sessions, const void *data, size_t bytes)
{
    return (uint32_t)siphash(&sessions->options.key, data, bytes) & sessions->mask;
}

static uint32_t pair_bucket(const struct sessions *sessions, const struct endpoint *server,
                            uint16_t number)
{
    struct endpoint pair = *server;
    pair.zero = number;
    return hash(sessions, &pair, sizeof pair);
}

int sessions_new(struct sessions **sessions, const struct sessions_options *options)
{
    uint32_t buckets = 16;
    struct sessions *made = calloc(1, sizeof *made);
    if (made == NULL)
        return -ENOMEM;

    while (buckets < options->max && buckets < 1U << 24)
        buckets *= 2;
    made->options = *options;
    made->mask = buckets - 1;
    made->free = SESSION_NONE;
    made->wheel_second = -1;
    made->by_player = malloc(buckets * sizeof *made->by_player);
    made->by_pair = malloc(buckets * sizeof *made->by_pair);
    made->servers = calloc(buckets, sizeof *made->servers);
    made->numbers = calloc(UINT16_MAX + 1, sizeof *made->numbers);
    made->addresses = calloc(2 * (size_t)buckets, sizeof *made->addresses);
    if (made->by_player == NULL || made->by_pair == NULL || made->servers == NULL ||
        made->numbers == NULL || made->addresses == NULL) {
        sessions_free(made);
        return -ENOMEM;
    }
    memset(made->by_player, 0xff, buckets * sizeof *made->by_player);
    memset(made->by_pair, 0xff, buckets * sizeof *made->by_pair);
    memset(made->ages, 0xff, sizeof made->ages);
    memset(made->wheel, 0xff, sizeof made->wheel);
    *sessions = made;
    return 0;
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

static uint32_t *player_bucket(struct sessions *sessions, const struct endpoint *player)
{
    return &sessions->by_player[hash(sessions, player, sizeof *player)];
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
    free(server->rested.items);
    free(server->closed.items);
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
    for (uint32_t i = sessions->by_player[hash(sessions, player, sizeof *player)];
         i != SESSION_NONE; i = at(sessions, i)->next_of_player) {
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
    uint32_t i = after != NULL ? after->next_of_player
                               : sessions->by_player[hash(sessions, player, sizeof *player)];
    while (i != SESSION_NONE && !endpoint_equals(&at(sessions, i)->player, player))
        i = at(sessions, i)->next_of_player;
    return i != SESSION_NONE ? at(sessions, i) : NULL;
}

uint32_t sessions_of_server(const struct sessions *sessions, const struct endpoint *where)
{
    const struct session_server *server = *find_server(sessions, where);
    return server != NULL ? server->live : 0;
}

static struct session *find_pair(struct sessions *sessions, const struct endpoint *server,
                                 uint16_t number)
{
    for (uint32_t i = sessions->by_pair[pair_bucket(sessions, server, number)]; i != SESSION_NONE;
         i = at(sessions, i)->next_of_pair) {
        struct session *session = at(sessions, i);
        if (session->number == number && endpoint_equals(&session->server->at, server))
            return session;
    }
    return NULL;
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

/* The index of the first open socket that is no older than a serial; sockets_count if none is. */
static uint32_t find_serial(const struct sessions *sessions, uint64_t serial)
{
    uint32_t low = 0, high = sessions->sockets_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (sessions->sockets[middle].serial < serial)
            low = middle + 1;
        else
            high = middle;
    }
    while (low < sessions->sockets_count && sessions->sockets[low].upstream == NULL)
        low++;
    return low;
}

/* Removes what closed sockets have left, once they are the most. */
static void compact(struct sessions *sessions)
{
    uint32_t kept = 0;
    if (sessions->sockets_count < 2 * sessions->sockets_open + 64)
        return;
    for (uint32_t i = 0; i < sessions->sockets_count; i++) {
        if (sessions->sockets[i].upstream == NULL)
            continue;
        sessions->sockets[kept++] = sessions->sockets[i];
        sessions->numbers[sessions->sockets[i].number].socket = kept;
    }
    sessions->sockets_count = kept;
}

static int open_socket(struct sessions *sessions, uint16_t number)
{
    if (sessions->sockets_count == sessions->sockets_capacity) {
        uint32_t capacity = sessions->sockets_capacity > 0 ? 2 * sessions->sockets_capacity : 64;
        struct socket *sockets = realloc(sessions->sockets, capacity * sizeof *sockets);
        if (sockets == NULL)
            return -ENOMEM;
        sessions->sockets = sockets;
        sessions->sockets_capacity = capacity;
    }

    struct socket *socket = &sessions->sockets[sessions->sockets_count];
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): where it is NULL the capacity is 0 */
    *socket = (struct socket){.serial = sessions->next_serial, .number = number};
    int error = sessions->options.open(sessions->options.user, &socket->upstream, &socket->number);
    if (error != 0)
        return error;
    sessions->next_serial++;
    sessions->numbers[socket->number].socket = ++sessions->sockets_count;
    sessions->sockets_open++;
    return 0;
}

static void free_number(struct sessions *sessions, uint16_t number)
{
    if (sessions->numbers[number].socket == 0 && sessions->numbers[number].pairs == 0)
        sessions->options.freed(sessions->options.user, number);
}

static void close_if_unused(struct sessions *sessions, uint16_t number)
{
    uint32_t index = sessions->numbers[number].socket;
    struct socket *socket = index > 0 ? &sessions->sockets[index - 1] : NULL;
    if (socket == NULL || socket->sessions > 0)
        return;
    sessions->options.close(sessions->options.user, socket->upstream);
    socket->upstream = NULL;
    sessions->numbers[number].socket = 0;
    sessions->sockets_open--;
    free_number(sessions, number);
}

/* Returns whether it was added: there is memory, and not more than there are numbers. */
static bool list_number(struct number_list *list, uint16_t number)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity > 0 ? 2 * list->capacity : 16;
        uint16_t *items =
            capacity <= UINT16_MAX + 1 ? realloc(list->items, capacity * sizeof *items) : NULL;
        if (items == NULL)
            return false;
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = number;
    return true;
}

/* An open socket that has no pair with a server: one whose rest is over, or one that was not tried
 * for it. */
static struct socket *choose_open(struct sessions *sessions, struct session_server *server)
{
    while (server->rested.count > 0) {
        uint16_t number = server->rested.items[--server->rested.count];
        uint32_t index = sessions->numbers[number].socket;
        if (index > 0 && find_pair(sessions, &server->at, number) == NULL)
            return &sessions->sockets[index - 1];
    }
    for (uint32_t i = find_serial(sessions, server->next_serial); i < sessions->sockets_count;
         i = find_serial(sessions, server->next_serial)) {
        server->next_serial = sessions->sockets[i].serial + 1;
        if (find_pair(sessions, &server->at, sessions->sockets[i].number) == NULL)
            return &sessions->sockets[i];
    }
    return NULL;
}

/* A new socket for a server: on a number whose rest is over, then on any. Those that were opened in
 * vain stay open until the end, so that the system does not give their numbers again. */
static int open_for(struct sessions *sessions, struct session_server *server, int64_t now_ns)
{
    uint16_t in_vain[OPEN_TRIES];
    unsigned tries = 0;
    int error = -EADDRINUSE;

    while (server->closed.count > 0 && error == -EADDRINUSE) {
        uint16_t number = server->closed.items[--server->closed.count];
        if (sessions->numbers[number].socket == 0 &&
            find_pair(sessions, &server->at, number) == NULL)
            error = open_socket(sessions, number);
    }
    while (error == -EADDRINUSE && tries < OPEN_TRIES && now_ns >= server->full_until_ns) {
        error = open_socket(sessions, 0);
        if (error != 0)
            break;
        uint16_t number = sessions->sockets[sessions->sockets_count - 1].number;
        if (find_pair(sessions, &server->at, number) != NULL) {
            in_vain[tries++] = number;
            error = -EADDRINUSE;
        }
    }
    if (error == -EADDRINUSE && now_ns >= server->full_until_ns)
        server->full_until_ns = now_ns + FULL_NS;
    while (tries > 0)
        close_if_unused(sessions, in_vain[--tries]);
    return error;
}

/* Returns NULL with the reason. */
static struct socket *choose_socket(struct sessions *sessions, struct session_server *server,
                                    int64_t now_ns, enum session_refusal *refusal)
{
    struct socket *chosen = choose_open(sessions, server);
    int error = chosen == NULL ? open_for(sessions, server, now_ns) : 0;
    if (chosen == NULL && error == 0)
        chosen = choose_open(sessions, server);
    if (error != 0)
        *refusal = error == -EADDRINUSE || error == -EAGAIN ? SESSION_NO_PORT
                   : error == -ENOMEM                       ? SESSION_NO_MEMORY
                                                            : SESSION_NO_SOCKET;
    return chosen;
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

static struct session *session_new(struct sessions *sessions)
{
    if (sessions->free != SESSION_NONE) {
        struct session *session = at(sessions, sessions->free);
        sessions->free = session->next_of_player;
        return session;
    }
    if (sessions->made == sessions->chunks_count * CHUNK_SESSIONS) {
        struct session **chunks =
            realloc(sessions->chunks, (sessions->chunks_count + 1) * sizeof *chunks);
        if (chunks == NULL)
            return NULL;
        sessions->chunks = chunks;
        chunks[sessions->chunks_count] = calloc(CHUNK_SESSIONS, sizeof **chunks);
        if (chunks[sessions->chunks_count] == NULL)
            return NULL;
        sessions->chunks_count++;
    }
    struct session *session = at(sessions, sessions->made);
    session->index = sessions->made++;
    return session;
}

static void session_free(struct sessions *sessions, struct session *session)
{
    session->next_of_player = sessions->free;
    sessions->free = session->index;
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
    struct list *ages = sessions->ages;
    if (ages[0].first != SESSION_NONE)
        return at(sessions, ages[0].first);
    for (unsigned tries = 0; tries < OLDEST_TRIES; tries++) {
        struct session *session = at(sessions, ages[1].first);
        int64_t before_ns = session->last_ns;
        refresh(sessions, session);
        if (session->last_ns == before_ns)
            break;
        session->placed_ns = session->last_ns;
        list_remove(sessions, &ages[1], BY_AGE, session);
        list_add(sessions, &ages[1], BY_AGE, session);
    }
    return at(sessions, ages[1].first);
}

/* The list of the second in which a time falls; of one beyond the wheel its last second, where it
 * is looked at again. */
static struct list *wheel_slot(struct sessions *sessions, int64_t when_ns)
{
    int64_t second = when_ns / SECOND_NS + 1;
    if (second <= sessions->wheel_second)
        second = sessions->wheel_second + 1;
    if (second >= sessions->wheel_second + WHEEL_SLOTS)
        second = sessions->wheel_second + WHEEL_SLOTS - 1;
    return &sessions->wheel[second % WHEEL_SLOTS];
}

static int64_t ends_ns(const struct sessions *sessions, const struct session *session)
{
    if (session->upstream != NULL)
        return session->last_ns + sessions->options.timeout_ns;
    return session->answered_ns != 0 ? session->answered_ns + sessions->options.timeout_ns
                                     : session->last_ns + SESSIONS_SHORT_REST_NS;
}

enum session_refusal sessions_make(struct sessions *sessions, const struct endpoint *player,
                                   const struct endpoint *where, int64_t now_ns,
                                   struct session **made)
{
    enum session_refusal refusal = SESSION_NO_MEMORY;
    struct session_server **found = find_server(sessions, where);
    struct session_server *server = *found;

    if (!has_room(sessions, player))
        return SESSION_TOO_MANY_OF_ONE;
    if (sessions->resting >= sessions->options.max_resting)
        return SESSION_TOO_MANY_REST;
    if (sessions->wheel_second < 0)
        sessions->wheel_second = now_ns / SECOND_NS;
    if (server == NULL) {
        server = calloc(1, sizeof *server);
        if (server == NULL)
            return SESSION_NO_MEMORY;
        *server = (struct session_server){.at = *where, .sessions = {SESSION_NONE, SESSION_NONE}};
        *found = server;
    }
    if (now_ns < server->full_until_ns && server->rested.count == 0 && server->closed.count == 0) {
        end_silent(sessions, server, now_ns);
        return SESSION_NO_PORT;
    }
    if (sessions->live == sessions->options.max) {
        server->pairs++; /* it must outlive what is evicted */
        sessions_end(sessions, choose_oldest(sessions), SESSION_EVICTED, now_ns);
        server->pairs--;
    }
    compact(sessions);
    struct socket *socket = choose_socket(sessions, server, now_ns, &refusal);
    struct session *session = socket != NULL ? session_new(sessions) : NULL;
    if (session == NULL) {
        if (socket != NULL)
            close_if_unused(sessions, socket->number);
        if (refusal == SESSION_NO_PORT)
            end_silent(sessions, server, now_ns);
        forget_server(sessions, server);
        return refusal;
    }

    uint32_t *bucket = &sessions->by_pair[pair_bucket(sessions, where, socket->number)];
    *session = (struct session){.player = *player,
                                .server = server,
                                .upstream = socket->upstream,
                                .number = socket->number,
                                .began_ns = now_ns,
                                .last_ns = now_ns,
                                .placed_ns = now_ns,
                                .index = session->index,
                                .next_of_pair = *bucket};
    *bucket = session->index;
    count_player(sessions, session);
    socket->sessions++;
    sessions->numbers[socket->number].pairs++;
    server->pairs++;
    server->live++;
    sessions->live++;
    server->strangers++;
    list_add(sessions, &server->sessions, BY_SERVER, session);
    list_add(sessions, &sessions->ages[0], BY_AGE, session);
    list_add(sessions, wheel_slot(sessions, ends_ns(sessions, session)), BY_WHEEL, session);
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
    list_remove(sessions, &sessions->ages[was_answered], BY_AGE, session);
    list_add(sessions, &sessions->ages[session->answered_ns != 0], BY_AGE, session);
}

struct session *sessions_at(struct sessions *sessions, uint32_t index)
{
    struct session *session = index < sessions->made ? at(sessions, index) : NULL;
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

/* The wheel's list is not known from the session: its neighbours are, and the few heads. */
static void leave_wheel(struct sessions *sessions, struct session *session)
{
    struct list *slot = NULL;
    const struct session_links *links = &session->links[BY_WHEEL];
    for (unsigned i = 0;
         (links->before == SESSION_NONE || links->next == SESSION_NONE) && slot == NULL; i++) {
        struct list *candidate = &sessions->wheel[i];
        if (candidate->first == session->index || candidate->last == session->index)
            slot = candidate;
    }
    list_remove(sessions, slot, BY_WHEEL, session);
}

void sessions_end(struct sessions *sessions, struct session *session, enum session_end end,
                  int64_t now_ns)
{
    struct session_server *server = session->server;
    sessions->options.ended(sessions->options.user, session, end);
    uncount_player(sessions, session);
    list_remove(sessions, &server->sessions, BY_SERVER, session);
    list_remove(sessions, &sessions->ages[session->answered_ns != 0], BY_AGE, session);
    leave_wheel(sessions, session);
    server->live--;
    sessions->live--;
    sessions->sockets[sessions->numbers[session->number].socket - 1].sessions--;
    close_if_unused(sessions, session->number);

    session->upstream = NULL;
    session->last_ns = now_ns;
    sessions->resting++;
    list_add(sessions, wheel_slot(sessions, ends_ns(sessions, session)), BY_WHEEL, session);
}

/* A pair may be used again: by the socket that has the number now, if there is one. */
static void end_rest(struct sessions *sessions, struct session *session)
{
    struct session_server *server = session->server;
    uint16_t number = session->number;

    unlink_from(&sessions->by_pair[pair_bucket(sessions, &server->at, number)], sessions,
                session->index, false);
    sessions->resting--;
    server->strangers -= !session->has_come_again;
    sessions->numbers[number].pairs--;
    free_number(sessions, number);
    server->pairs--;
    session_free(sessions, session);
    bool is_listed = list_number(
        sessions->numbers[number].socket > 0 ? &server->rested : &server->closed, number);
    if (!is_listed) { /* what is open is tried again from the first one on, which is slower */
        server->next_serial = 0;
        server->rested.count = 0;
    }
    forget_server(sessions, server);
}

void sessions_tick(struct sessions *sessions, int64_t now_ns)
{
    int64_t now_second = now_ns / SECOND_NS;
    if (sessions->wheel_second < 0)
        return;
    if (now_second > sessions->wheel_second + WHEEL_SLOTS)
        sessions->wheel_second = now_second - WHEEL_SLOTS;
    while (sessions->wheel_second < now_second) {
        struct list *slot = &sessions->wheel[++sessions->wheel_second % WHEEL_SLOTS];
        struct list due = *slot;
        *slot = (struct list){SESSION_NONE, SESSION_NONE};
        for (uint32_t i = due.first; i != SESSION_NONE;) {
            struct session *session = at(sessions, i);
            i = session->links[BY_WHEEL].next;
            if (session->upstream != NULL)
                refresh(sessions, session);
            bool is_over = ends_ns(sessions, session) <= now_ns;
            if (is_over && session->upstream == NULL) {
                end_rest(sessions, session);
                continue;
            }
            list_add(sessions, wheel_slot(sessions, ends_ns(sessions, session)), BY_WHEEL, session);
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
    for (uint32_t i = sessions->by_player[hash(sessions, player, sizeof *player)];
         i != SESSION_NONE; i = next) {
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
    for (unsigned slot = 0; slot < WHEEL_SLOTS && is_shorter; slot++) {
        uint32_t next;
        uint32_t i = sessions->wheel[slot].first;
        sessions->wheel[slot] = (struct list){SESSION_NONE, SESSION_NONE};
        for (; i != SESSION_NONE; i = next) {
            struct session *session = at(sessions, i);
            next = session->links[BY_WHEEL].next;
            list_add(sessions, wheel_slot(sessions, ends_ns(sessions, session)), BY_WHEEL, session);
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
                                  .sockets = sessions->sockets_open,
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
    if (sessions->by_player != NULL && sessions->by_pair != NULL && sessions->addresses != NULL &&
        sessions->numbers != NULL && sessions->servers != NULL)
        sessions_each(sessions, end_stopped, sessions);
    for (uint32_t i = 0; sessions->servers != NULL && i <= sessions->mask; i++) {
        while (sessions->servers[i] != NULL) {
            struct session_server *server = sessions->servers[i];
            sessions->servers[i] = server->next;
            server_free(server);
        }
    }
    for (uint32_t i = 0; i < sessions->chunks_count; i++)
        free(sessions->chunks[i]);
    free(sessions->chunks);
    free(sessions->sockets);
    free(sessions->by_player);
    free(sessions->by_pair);
    free(sessions->servers);
    free(sessions->addresses);
    free(sessions->numbers);
    free(sessions);
}
