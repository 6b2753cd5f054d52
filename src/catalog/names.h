/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The addresses of endpoints and data centres that are given by name, from /etc/hosts and the DNS,
 * by the control thread and without waiting. A name has one address at a time, which stays as long
 * as the answers have it, and also where they fail; but an endpoint whose address is refused goes
 * on to the next one, in the order of getaddrinfo(3), and from the last one to the first.
 */
#ifndef PADDOCK_CATALOG_NAMES_H
#define PADDOCK_CATALOG_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "catalog/clusters.h"
#include "catalog/datacenters.h"
#include "loop/loop.h"

/** How long an address is kept at least and at most, whatever its record says; and when a name that
 * could not be resolved is tried again. */
#define NAMES_LEAST_NS INT64_C(5000000000)
#define NAMES_MOST_NS INT64_C(3600000000000)
#define NAMES_RETRY_NS INT64_C(5000000000)

/** Addresses of one name that are known, and ports of it that have gone on from its first address.
 * Where one more does, all do. */
#define NAMES_MOST_ADDRESSES 8
#define NAMES_MOST_MOVED 64

struct names;

/** How names are resolved. */
struct names_options {
    struct loop *loop; /**< of the control thread */
    struct log *log;
    const char *servers;         /**< `address:port,...` in place of those of the system; or NULL */
    void (*changed)(void *user); /**< another address is known; not called by names_follow...() */
    void *user;
};

/** Makes a resolver without names.
 * @param[out] names untouched on failure; freed with names_free().
 * @return 0 or a negative errno value. */
int names_new(struct names **names, const struct names_options *options);

/** Ends what is under way, and frees. NULL is fine. */
void names_free(struct names *names);

/** Resolves the names of these clusters from now on, and no others. @return 0 or -ENOMEM. */
int names_follow(struct names *names, const struct clusters *clusters, int64_t now_ns);

/** The same for data centres; NULL is an empty list. @return 0 or -ENOMEM. */
int names_follow_nodes(struct names *names, const struct datacenters *datacenters, int64_t now_ns);

/** Goes on with what is due; to be called every second. */
void names_tick(struct names *names, int64_t now_ns);

/** Lets an endpoint go on to the next address of its name, if it has another one; the change is
 * told by names_tick(). @param at as names_find() has set it. */
void names_refuse(struct names *names, const char *text, const struct endpoint *at);

/** The address of a name, for a port.
 * @param[in,out] at its address and scope are set, for its port; untouched where there is none yet.
 * @return whether there is one. */
bool names_find(const struct names *names, const char *text, struct endpoint *at);

#endif
