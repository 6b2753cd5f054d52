/** @file
 * The way out of the socket engine: each reply of a batch leaves with its own transmit time, and
 * those to one client leave together.
 */
#ifndef PADDOCK_ENGINE_MMSG_REPLIES_H
#define PADDOCK_ENGINE_MMSG_REPLIES_H

#include <string.h>

#include "engine/mmsg_worker.h"

/** Which datagrams of a batch are of one client, and were sent to one address: their replies can
 * leave together. */
struct mmsg_chains {
    uint8_t latest[256];      /**< datagram, by the lower half of its client's port */
    uint8_t next[MMSG_BATCH]; /**< of the same client */
    uint32_t followers;       /**< a bit for each datagram that another one goes before */
};

/** No datagram. */
#define MMSG_CHAIN_END UINT8_MAX

/** Chains without datagrams. */
static inline void mmsg_chains_init(struct mmsg_chains *chains)
{
    memset(chains, MMSG_CHAIN_END, sizeof *chains);
    chains->followers = 0;
}

/** Whether replies leave to one client, from one address, over one interface if over a certain one.
 */
static inline bool mmsg_is_one_way(const struct mmsg_slot *one, const struct mmsg_slot *other)
{
    const struct msghdr *header = &one->reply_header, *other_header = &other->reply_header;
    if (memcmp(&one->from, &other->from, sizeof one->from) != 0 ||
        header->msg_controllen != other_header->msg_controllen)
        return false;
    if (header->msg_controllen == 0)
        return true;
    const uint8_t *info = CMSG_DATA((struct cmsghdr *)header->msg_control);
    const uint8_t *other_info = CMSG_DATA((struct cmsghdr *)other_header->msg_control);
    if (header->msg_controllen == UDP_INFO_IPV6_BYTES)
        return memcmp(info, other_info, sizeof(struct in6_pktinfo)) == 0;
    return memcmp(info, other_info, sizeof(struct in_pktinfo)) == 0;
}

/** Puts a datagram behind the one before it of the same client. Where clients with like ports take
 * turns a chain breaks, which costs a call more and is no error.
 * @param i of the batch, in order. */
static inline void mmsg_chain(struct mmsg_chains *chains, const struct mmsg_slot *slots, unsigned i)
{
    uint8_t *latest = &chains->latest[((const uint8_t *)&slots[i].from.sin6_port)[1]];
    unsigned before = *latest;
    *latest = (uint8_t)i;
    if (before == MMSG_CHAIN_END || !mmsg_is_one_way(&slots[before], &slots[i]))
        return;
    chains->next[before] = (uint8_t)i;
    chains->followers |= UINT32_C(1) << i;
}

/**
 * Sends what the handler decided to send, in the order of the questions but for those of one chain,
 * which come with the first of them, as long as they are of one size; counts what was sent and what
 * could not be.
 * @param source where the questions came from.
 * @param count of the batch, at least 1: the first of the worker's exchanges.
 */
void mmsg_replies_send(struct mmsg_worker *worker, struct mmsg_source *source, unsigned count,
                       const struct mmsg_chains *chains);

#endif
