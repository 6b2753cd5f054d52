/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath/routes.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/siphash.h"
#include "fastpath/shared.h"
#include "net/netlink.h"

/* Neighbours that are remembered, with the others of their hash. */
#define BUCKETS 1024
#define PLACES 8

#define VALID (NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY)

/* Who a neighbour is. */
struct name {
    uint32_t interface;
    uint8_t address[16]; /* IPv4: the first four bytes */
    uint32_t family;
};

struct neighbour {
    struct name name;
    uint64_t mac; /* the last one that it had; 0: the place is free */
};

struct fastpath_routes {
    int fd;
    bool has_forgotten; /* some had no place: one that is not there may be one of them */
    struct siphash_key key;
    struct neighbour neighbours[BUCKETS][PLACES];
};

/* A reading under way. */
struct reading {
    struct fastpath_routes *routes;
    struct fastpath_reroute *reroute;
};

static void take_attribute(unsigned type, const void *value, size_t bytes, void *user)
{
    struct neighbour *neighbour = user;
    uint32_t first;
    uint16_t last;
    if (type == NDA_DST && bytes <= sizeof neighbour->name.address)
        memcpy(neighbour->name.address, value, bytes);
    if (type != NDA_LLADDR || bytes != sizeof first + sizeof last)
        return;
    memcpy(&first, value, sizeof first);
    memcpy(&last, (const char *)value + sizeof first, sizeof last);
    neighbour->mac = fastpath_mac(first, last);
}

static bool is_known(const struct neighbour *place, const struct name *name)
{
    return place->mac != 0 && memcmp(&place->name, name, sizeof *name) == 0;
}

static void reroute_mac(struct fastpath_reroute *reroute, uint64_t mac)
{
    for (unsigned i = 0; i < reroute->count; i++) {
        if (reroute->macs[i] == mac)
            return;
    }
    if (reroute->count == FASTPATH_REROUTED_NEIGHBOURS)
        reroute->is_all = true;
    else
        reroute->macs[reroute->count++] = mac;
}

/* The place of a neighbour; else a free one, or that of another one, by chance. */
static struct neighbour *find_place(struct fastpath_routes *routes, const struct name *name)
{
    uint64_t hash = siphash(&routes->key, (const uint8_t *)name, sizeof *name);
    struct neighbour *bucket = routes->neighbours[hash % BUCKETS];
    struct neighbour *place = &bucket[hash / BUCKETS % PLACES];

    for (unsigned i = 0; i < PLACES; i++) {
        if (is_known(&bucket[i], name))
            return &bucket[i];
        if (bucket[i].mac == 0)
            place = &bucket[i];
    }
    return place;
}

static void take_neighbour(struct fastpath_routes *routes, const struct neighbour *found,
                           struct fastpath_reroute *reroute)
{
    struct neighbour *place = find_place(routes, &found->name);
    bool was_known = is_known(place, &found->name);

    if (was_known && found->mac != place->mac)
        reroute_mac(reroute, place->mac);
    reroute->is_all |= !was_known && routes->has_forgotten;
    if (found->mac != 0)
        routes->has_forgotten |= !was_known && place->mac != 0;
    if (found->mac != 0 || was_known)
        *place = *found;
}

/* A bridge tells of the port to which a MAC address has moved. */
static void read_neighbour(const struct nlmsghdr *message, const struct reading *reading)
{
    struct ndmsg head;
    if (!netlink_header(message, &head, sizeof head))
        return;
    struct neighbour found = {
        .name = {.interface = (uint32_t)head.ndm_ifindex, .family = head.ndm_family}};
    netlink_message_attributes(message, sizeof head, take_attribute, &found);
    if (head.ndm_family == AF_BRIDGE) {
        reroute_mac(reading->reroute, found.mac);
        return;
    }
    if (message->nlmsg_type == RTM_DELNEIGH || (head.ndm_state & VALID) == 0)
        found.mac = 0;
    take_neighbour(reading->routes, &found, reading->reroute);
}

static void take_message(const struct nlmsghdr *message, void *user)
{
    const struct reading *reading = user;
    if (message->nlmsg_type == RTM_NEWNEIGH || message->nlmsg_type == RTM_DELNEIGH)
        read_neighbour(message, reading);
    else
        reading->reroute->is_all = true;
}

static int join(int fd)
{
    static const int groups[] = {RTNLGRP_LINK,       RTNLGRP_NEIGH,       RTNLGRP_IPV4_ROUTE,
                                 RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE,
                                 RTNLGRP_NEXTHOP,    RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR};
    const struct sockaddr_nl address = {.nl_family = AF_NETLINK};

    /* One without an address would get nothing. */
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        return -errno;
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof groups[i]) != 0)
            return -errno;
    }
    return 0;
}

/* Remembers the neighbours that there are. Those that a list misses which changed meanwhile count
 * as forgotten. */
static int list_neighbours(struct fastpath_routes *routes)
{
    struct ndmsg head = {.ndm_family = AF_UNSPEC};
    const struct netlink_question of_neighbours = {.protocol = NETLINK_ROUTE,
                                                   .type = RTM_GETNEIGH,
                                                   .header = &head,
                                                   .header_bytes = sizeof head};
    struct fastpath_reroute nothing = {.is_all = false};
    struct reading reading = {.routes = routes, .reroute = &nothing};

    memset(routes->neighbours, 0, sizeof routes->neighbours);
    routes->has_forgotten = false;
    int code = netlink_list(&of_neighbours, take_message, &reading);
    routes->has_forgotten |= code != 0;
    return code == -EINTR ? 0 : code;
}

int fastpath_routes_open(struct fastpath_routes **routes)
{
    struct fastpath_routes *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return -ENOMEM;
    opened->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
    int code = opened->fd >= 0 ? siphash_key_init(&opened->key) : -errno;
    if (code == 0)
        code = join(opened->fd);
    if (code == 0)
        code = list_neighbours(opened);
    if (code == 0)
        *routes = opened;
    else
        fastpath_routes_close(opened);
    return code;
}

void fastpath_routes_close(struct fastpath_routes *routes)
{
    if (routes == NULL)
        return;
    if (routes->fd >= 0)
        close(routes->fd);
    free(routes);
}

int fastpath_routes_fd(const struct fastpath_routes *routes)
{
    return routes->fd;
}

void fastpath_routes_read(struct fastpath_routes *routes, struct fastpath_reroute *reroute)
{
    alignas(struct nlmsghdr) char buffer[16384];
    struct reading reading = {.routes = routes, .reroute = reroute};
    bool are_lost = false;
    ssize_t bytes;

    while ((bytes = recv(routes->fd, buffer, sizeof buffer, 0)) >= 0 || errno == EINTR ||
           errno == ENOBUFS) {
        if (bytes < 0)
            are_lost |= errno == ENOBUFS;
        else
            are_lost |= netlink_messages(buffer, (size_t)bytes, take_message, &reading) < 0;
    }
    if (!are_lost)
        return;
    reroute->is_all = true;
    (void)list_neighbours(routes);
}
