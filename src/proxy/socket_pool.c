/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/socket_pool.h"

#include <errno.h>
#include <stdlib.h>

/* Sockets that are tried for one session, when the system keeps giving numbers that rest. */
#define OPEN_TRIES 8

/* Looking for a number in vain costs as much as many sessions: none is asked for so long after. */
#define FULL_NS INT64_C(10000000)

struct socket_pool {
    struct socket_pool_options options;
    struct socket {
        struct upstream *upstream; /* NULL: closed */
        uint64_t serial;
        uint16_t number;
        uint32_t sessions;
    } * sockets; /* in the order in which they were opened */
    uint32_t sockets_count, sockets_capacity, sockets_open;
    uint64_t next_serial;
    struct number {
        uint32_t socket; /* 1 + the index of the open one; 0: none */
        uint32_t pairs;
    } numbers[UINT16_MAX + 1];
};

int socket_pool_new(struct socket_pool **made, const struct socket_pool_options *options)
{
    struct socket_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return -ENOMEM;
    pool->options = *options;
    *made = pool;
    return 0;
}

void socket_pool_free(struct socket_pool *pool)
{
    if (pool != NULL)
        free(pool->sockets);
    free(pool);
}

void server_numbers_fini(struct server_numbers *numbers)
{
    free(numbers->rested.items);
    free(numbers->closed.items);
}

bool server_numbers_are_out(const struct server_numbers *numbers, int64_t now_ns)
{
    return now_ns < numbers->full_until_ns && numbers->rested.count == 0 &&
           numbers->closed.count == 0;
}

static bool is_pair(const struct socket_pool *pool, const struct endpoint *server, uint16_t number)
{
    return pool->options.is_pair(pool->options.pairs, server, number);
}

/* The index of the first open socket that is no older than a serial; sockets_count if none is. */
static uint32_t find_serial(const struct socket_pool *pool, uint64_t serial)
{
    uint32_t low = 0, high = pool->sockets_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (pool->sockets[middle].serial < serial)
            low = middle + 1;
        else
            high = middle;
    }
    while (low < pool->sockets_count && pool->sockets[low].upstream == NULL)
        low++;
    return low;
}

/* Removes what closed sockets have left, once they are the most. */
static void compact(struct socket_pool *pool)
{
    uint32_t kept = 0;
    if (pool->sockets_count < 2 * pool->sockets_open + 64)
        return;
    for (uint32_t i = 0; i < pool->sockets_count; i++) {
        if (pool->sockets[i].upstream == NULL)
            continue;
        pool->sockets[kept++] = pool->sockets[i];
        pool->numbers[pool->sockets[i].number].socket = kept;
    }
    pool->sockets_count = kept;
}

static int open_socket(struct socket_pool *pool, uint16_t number)
{
    if (pool->sockets_count == pool->sockets_capacity) {
        uint32_t capacity = pool->sockets_capacity > 0 ? 2 * pool->sockets_capacity : 64;
        struct socket *sockets = realloc(pool->sockets, capacity * sizeof *sockets);
        if (sockets == NULL)
            return -ENOMEM;
        pool->sockets = sockets;
        pool->sockets_capacity = capacity;
    }

    struct socket *socket = &pool->sockets[pool->sockets_count];
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): where it is NULL the capacity is 0 */
    *socket = (struct socket){.serial = pool->next_serial, .number = number};
    int error = pool->options.open(pool->options.user, &socket->upstream, &socket->number);
    if (error != 0)
        return error;
    pool->next_serial++;
    pool->numbers[socket->number].socket = ++pool->sockets_count;
    pool->sockets_open++;
    return 0;
}

static void free_number(struct socket_pool *pool, uint16_t number)
{
    if (pool->numbers[number].socket == 0 && pool->numbers[number].pairs == 0)
        pool->options.freed(pool->options.user, number);
}

static void close_if_unused(struct socket_pool *pool, uint16_t number)
{
    uint32_t index = pool->numbers[number].socket;
    struct socket *socket = index > 0 ? &pool->sockets[index - 1] : NULL;
    if (socket == NULL || socket->sessions > 0)
        return;
    pool->options.close(pool->options.user, socket->upstream);
    socket->upstream = NULL;
    pool->numbers[number].socket = 0;
    pool->sockets_open--;
    free_number(pool, number);
}

/* An open socket that has no pair with a server: one whose rest is over, or one that was not tried
 * for it. */
static struct socket *choose_open(struct socket_pool *pool, struct server_numbers *numbers,
                                  const struct endpoint *server)
{
    while (numbers->rested.count > 0) {
        uint16_t number = numbers->rested.items[--numbers->rested.count];
        uint32_t index = pool->numbers[number].socket;
        if (index > 0 && !is_pair(pool, server, number))
            return &pool->sockets[index - 1];
    }
    for (uint32_t i = find_serial(pool, numbers->next_serial); i < pool->sockets_count;
         i = find_serial(pool, numbers->next_serial)) {
        numbers->next_serial = pool->sockets[i].serial + 1;
        if (!is_pair(pool, server, pool->sockets[i].number))
            return &pool->sockets[i];
    }
    return NULL;
}

/* A new socket for a server: on a number whose rest is over, then on any. Those that were opened in
 * vain stay open until the end, so that the system does not give their numbers again. */
static int open_for(struct socket_pool *pool, struct server_numbers *numbers,
                    const struct endpoint *server, int64_t now_ns)
{
    uint16_t in_vain[OPEN_TRIES];
    unsigned tries = 0;
    int error = -EADDRINUSE;

    while (numbers->closed.count > 0 && error == -EADDRINUSE) {
        uint16_t number = numbers->closed.items[--numbers->closed.count];
        if (pool->numbers[number].socket == 0 && !is_pair(pool, server, number))
            error = open_socket(pool, number);
    }
    while (error == -EADDRINUSE && tries < OPEN_TRIES && now_ns >= numbers->full_until_ns) {
        error = open_socket(pool, 0);
        if (error != 0)
            break;
        uint16_t number = pool->sockets[pool->sockets_count - 1].number;
        if (is_pair(pool, server, number)) {
            in_vain[tries++] = number;
            error = -EADDRINUSE;
        }
    }
    if (error == -EADDRINUSE && now_ns >= numbers->full_until_ns)
        numbers->full_until_ns = now_ns + FULL_NS;
    while (tries > 0)
        close_if_unused(pool, in_vain[--tries]);
    return error;
}

int socket_pool_take(struct socket_pool *pool, struct server_numbers *numbers,
                     const struct endpoint *server, int64_t now_ns, struct pool_socket *taken)
{
    compact(pool);
    struct socket *socket = choose_open(pool, numbers, server);
    if (socket == NULL) {
        int error = open_for(pool, numbers, server, now_ns);
        if (error != 0)
            return error;
        socket = choose_open(pool, numbers, server);
    }
    socket->sessions++;
    pool->numbers[socket->number].pairs++;
    *taken = (struct pool_socket){socket->upstream, socket->number};
    return 0;
}

void socket_pool_give_back(struct socket_pool *pool, uint16_t number)
{
    pool->sockets[pool->numbers[number].socket - 1].sessions--;
    close_if_unused(pool, number);
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

void socket_pool_end_pair(struct socket_pool *pool, struct server_numbers *numbers, uint16_t number)
{
    pool->numbers[number].pairs--;
    free_number(pool, number);
    bool is_listed =
        list_number(pool->numbers[number].socket > 0 ? &numbers->rested : &numbers->closed, number);
    if (!is_listed) { /* what is open is tried again from the first one on, which is slower */
        numbers->next_serial = 0;
        numbers->rested.count = 0;
    }
}

uint32_t socket_pool_size(const struct socket_pool *pool)
{
    return pool->sockets_open;
}
