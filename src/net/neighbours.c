/* SPDX-License-Identifier: Apache-2.0 */
#include "net/neighbours.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "base/siphash.h"
#include "net/address.h"
#include "net/netlink.h"

#define WORDS (NEIGHBOURS_BITS / 64)

/* Relaxed, all of it: a bit that is seen a moment late makes no difference. */
struct neighbours {
    struct siphash_key key;
    atomic_int count;
    _Atomic uint64_t words[WORDS];
};

/* A look that is under way. */
struct look {
    const struct neighbours *neighbours;
    int count;
    sa_family_t family; /* of the entry in hand */
    uint64_t words[WORDS];
};

struct neighbours *neighbours_new(void)
{
    struct neighbours *neighbours = calloc(1, sizeof *neighbours);
    if (neighbours != NULL && siphash_key_init(&neighbours->key) == 0)
        return neighbours;
    free(neighbours);
    return NULL;
}

void neighbours_free(struct neighbours *neighbours)
{
    free(neighbours);
}

static uint32_t bit_of(const struct neighbours *neighbours, const struct in6_addr *address)
{
    return (uint32_t)siphash(&neighbours->key, address->s6_addr, sizeof address->s6_addr) %
           NEIGHBOURS_BITS;
}

static void take_address(unsigned type, const void *value, size_t bytes, void *user)
{
    struct look *look = user;
    struct in6_addr address;
    struct in_addr ipv4;

    if (type != NDA_DST)
        return;
    if (look->family == AF_INET && netlink_value(value, bytes, &ipv4, sizeof ipv4))
        address = address_from_ipv4(ipv4);
    else if (look->family != AF_INET6 || !netlink_value(value, bytes, &address, sizeof address))
        return;
    uint32_t bit = bit_of(look->neighbours, &address);
    look->words[bit / 64] |= UINT64_C(1) << bit % 64;
    look->count++;
}

static void take_entry(const struct nlmsghdr *message, void *user)
{
    struct look *look = user;
    struct ndmsg entry;

    if (!netlink_header(message, &entry, sizeof entry) ||
        (entry.ndm_state & (NUD_INCOMPLETE | NUD_FAILED)) == 0)
        return;
    look->family = entry.ndm_family;
    netlink_message_attributes(message, sizeof entry, take_address, look);
}

int neighbours_look(struct neighbours *neighbours)
{
    const struct ndmsg all = {.ndm_family = AF_UNSPEC};
    const struct netlink_question question = {.protocol = NETLINK_ROUTE,
                                              .type = RTM_GETNEIGH,
                                              .header = &all,
                                              .header_bytes = sizeof all};
    struct look look = {.neighbours = neighbours};
    int error = netlink_list(&question, take_entry, &look);
    if (error != 0 && error != -EINTR) /* a list that changed meanwhile is good enough */
        return error;

    for (unsigned i = 0; i < WORDS; i++)
        atomic_store_explicit(&neighbours->words[i], look.words[i], memory_order_relaxed);
    atomic_store_explicit(&neighbours->count, look.count, memory_order_relaxed);
    return look.count;
}

bool neighbours_is_missing(const struct neighbours *neighbours, const struct in6_addr *address)
{
    if (atomic_load_explicit(&neighbours->count, memory_order_relaxed) == 0)
        return false;
    uint32_t bit = bit_of(neighbours, address);
    uint64_t word = atomic_load_explicit(&neighbours->words[bit / 64], memory_order_relaxed);
    return (word >> bit % 64 & 1) != 0;
}
