/** @file
 * What the program in the kernel shares with this process: layouts of its maps.
 */
#ifndef PADDOCK_FASTPATH_SHARED_H
#define PADDOCK_FASTPATH_SHARED_H

#include <stdint.h>

#include "guard/guard_core.h"
#include "metrics/outcome.h"

/** Entries of the map of addresses at most. What is sent to addresses that have no room goes to the
 * sockets; sources come first. */
#define XDP_MAX_ADDRESSES 32768

/** VLAN tags that are looked into at most. */
#define XDP_MAX_TAGS 2

/** The tags that a frame bears, as one number: none is 0; 13 bits for each, the outer one lowest.
 */
#define XDP_TAG_BITS 13
#define XDP_TAG_IS_8021AD UINT32_C(0x1000)     /**< else 802.1Q; below it the id, 1 to 4095 */
#define XDP_TAGS_IPV6 (UINT32_C(1) << 31)      /**< with a native IPv6 address */
#define XDP_TAGS_NO_SOURCE (UINT32_C(1) << 30) /**< in place of tags: a source, not answered */

/** An address of this host, and the tags with which frames for it come: those of the VLAN device
 * that has it. So nothing is answered that another VLAN sent; nor, at an address of a VLAN device,
 * what hardware took the tag off before the program could see it. At other addresses that cannot be
 * told from what had none.
 *
 * With XDP_TAGS_NO_SOURCE, whatever tags a frame bears: an address that no other host may send
 * from, because it is one of this host's or a broadcast address of one of its networks. The kernel
 * drops such frames, or the answer would come to this host itself. */
struct xdp_address {
    uint32_t address[4]; /**< network order; IPv4 as v4-mapped IPv6 */
    uint32_t tags;
};

/** The bit of xdp_settings.sources that stands for an address, as in struct xdp_address. */
static inline uint64_t xdp_source_bit(const uint32_t address[4])
{
    uint32_t mixed = address[0] ^ address[1] ^ address[2] ^ address[3];
    return UINT64_C(1) << (mixed * UINT32_C(0x9e3779b1) >> 26);
}

/** Written by this process, read by the program at any time; each member is looked at for itself.
 * The linkage of C zeroes it: nothing is answered then. */
struct xdp_settings {
    int64_t clock_offset_ns; /**< UTC minus the monotonic clock */
    uint64_t mac;            /**< of the interface, as xdp_mac() */
    uint64_t sources; /**< the bits of all addresses with XDP_TAGS_NO_SOURCE at least: the map is
                         asked about no others */
    uint32_t addresses_version; /**< another one after each change of the addresses; 0 meanwhile */
    uint32_t has_rules; /**< 0: the rules in use are everybody; they need not be looked at */
    uint64_t ports[65536 / 64]; /**< a bit for each UDP port that is served */
};

/** Prefixes that one version of the rules can list: two lists of 131072, and what is left to none.
 */
#define XDP_MAX_PREFIXES (2 * 131072 + 2)

/** A prefix, as the kernel's tries have their keys. Network order; IPv4 as v4-mapped IPv6. */
struct xdp_prefix {
    uint32_t bits;
    uint32_t address[4];
};

/** IPv4 networks of 24 bits, each with two bits about it. */
#define XDP_NETWORKS_PER_WORD 32
#define XDP_NETWORKS_WORDS ((1 << 24) / XDP_NETWORKS_PER_WORD)

enum xdp_network {
    XDP_NETWORK_DENIED,
    XDP_NETWORK_ALLOWED,
    XDP_NETWORK_MIXED /**< longer prefixes decide: the trie knows */
};

/** Whom to answer: one version, which is replaced whole. Zeroed it is everybody. */
struct xdp_rules {
    struct guard_parameters limits; /**< looked at if is_limited */
    uint32_t is_limited;
    uint32_t is_listed; /**< whether there are prefixes */
    uint32_t prefixes;  /**< which of the two tries, and of the two halves of the networks, has
                           them: whether a source may ask, by the longest prefix that it is in */
    uint32_t unused;
};

/** What one CPU has to itself, on cache lines of its own: its counters, and what it found out last.
 */
struct xdp_counters {
    uint64_t packets[OUTCOME_COUNT]; /**< that were not passed on */
    uint64_t bytes[OUTCOME_COUNT];   /**< their UDP payload */
    uint64_t answered;
    struct xdp_address destination; /**< an address of this host, */
    uint32_t version;               /**< by xdp_settings.addresses_version */
} __attribute__((aligned(64)));

/** A MAC address as one number, from its bytes two by two as they are in memory. */
static inline uint64_t xdp_mac(const uint16_t mac[3])
{
    return (uint64_t)mac[0] | (uint64_t)mac[1] << 16 | (uint64_t)mac[2] << 32;
}

#endif
