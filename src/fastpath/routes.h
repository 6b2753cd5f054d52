/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Whether what this host sends may go another way than before: news of the kernel's about routes,
 * rules, next hops and neighbours, and about the ports of bridges.
 */
#ifndef PADDOCK_FASTPATH_ROUTES_H
#define PADDOCK_FASTPATH_ROUTES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct fastpath_routes;

/** @param[out] routes for fastpath_routes_close(); untouched on failure.
 * @return 0 or a negative errno value. */
int fastpath_routes_open(struct fastpath_routes **routes);

/** NULL is fine. */
void fastpath_routes_close(struct fastpath_routes *routes);

/** A descriptor that is readable when there are news. */
int fastpath_routes_fd(const struct fastpath_routes *routes);

/** Neighbours, or peers, that have changed, at most so many: more is everything. */
#define FASTPATH_REROUTED_NEIGHBOURS 16

/** What may go another way than before. Zeroed it is nothing. */
struct fastpath_reroute {
    bool is_all;
    /** Else the frames to these MAC addresses, as fastpath_mac(), which neighbours had. */
    uint64_t macs[FASTPATH_REROUTED_NEIGHBOURS];
    unsigned count;
    /** The paths to these peers take shorter packets only than before; where their number is
     * greater than that of the places, the paths to all. */
    struct in6_addr narrower[FASTPATH_REROUTED_NEIGHBOURS];
    unsigned narrower_count;
};

/** Takes the news. A neighbour of which nothing but its freshness has changed is none, and neither
 * is one that is new, as nothing went there; but where there are so many neighbours that some were
 * forgotten, news of one that is not known are everything. So are news that were lost.
 * @param[in,out] reroute what they say is added. */
void fastpath_routes_read(struct fastpath_routes *routes, struct fastpath_reroute *reroute);

#endif
