/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the proxy's part of the fast path shares with this process: a cache of established sessions.
 * Workers write it and have the truth; the program looks sessions up, and counts.
 *
 * A slot is a session, with an end towards the player and one towards the server. A frame that
 * comes in at one end leaves by the other. The directory leads from what a frame says to slots.
 */
#ifndef PADDOCK_PROXY_SHARED_H
#define PADDOCK_PROXY_SHARED_H

#include <stdint.h>

#include "fastpath/shared.h"
#include "filters/rate_window.h"

/** The most bytes of a token that the program compares. */
#define PROXY_FAST_TOKEN_BYTES 16

/** Entries of a bucket of the directory, which is a cache line. */
#define PROXY_FAST_ENTRIES 8

/** Of so many datagrams a trace sees one. */
#define PROXY_FAST_SAMPLE 16

/** A direction is carried from the first datagram on that comes so long after the one before, if
 * that is sent on by then: earlier ones may wait in a socket, or on their way there, and would be
 * overtaken. */
#define PROXY_FAST_GAP_NS 2000000

/** proxy_fast_count.gate: it is carried. */
#define PROXY_FAST_OPEN UINT64_MAX

/** proxy_fast_count.gate, the lowest bits of a time: the datagram is sent on; it could not have
 * been carried in any case. */
#define PROXY_FAST_SETTLED UINT64_C(1)
#define PROXY_FAST_UNFIT UINT64_C(2)

/** proxy_fast_end.told counts in 2^30 ns, about seconds, of the kernel's coarse clock. */
#define PROXY_FAST_TOLD_SHIFT 30

/** What the kernel has told is asked again after so many of them, and used for so many more
 * without an answer. */
#define PROXY_FAST_TOLD_KEPT 32
#define PROXY_FAST_TOLD_GRACE 2

/** Linux believes of no path that it takes shorter IPv4 packets only; there is none of IPv6. */
#define PROXY_FAST_IPV4_MTU 552
#define PROXY_FAST_IPV6_MTU 1280

/** It was asked, which is noted as if it had been told so many ago. */
#define PROXY_FAST_TOLD_ASKED 0x8000

#define PROXY_FAST_MAC_BITS 48
#define PROXY_FAST_MAC_MASK ((UINT64_C(1) << PROXY_FAST_MAC_BITS) - 1)

/** Above the MAC address and the number of the VLAN tag in proxy_fast_end.link: which of the doors,
 * from 1. */
#define PROXY_FAST_DOOR_SHIFT (PROXY_FAST_MAC_BITS + FASTPATH_TAG_BITS)
#define PROXY_FAST_DOORS (FASTPATH_MAX_INTERFACES + 1)

/** Written by the process, read by the program. */
struct proxy_fast_settings {
    uint64_t version;       /**< in force: no slot of another one is used; 0: none is */
    uint64_t key[2];        /**< of proxy_fast_hash(), as players choose what is hashed */
    uint64_t mask;          /**< of the buckets' indexes */
    uint64_t is_sampled;    /**< 1: one datagram in #PROXY_FAST_SAMPLE goes to the sockets */
    uint64_t keeps_traffic; /**< 1: DSCP and ECN are carried through; else 0 */
    uint64_t doors_id;      /**< the kernel's id of the map of the doors */
    struct fastpath_door doors[PROXY_FAST_DOORS]; /**< the first is none */
};

/** Network order; IPv4 as v4-mapped. */
struct proxy_fast_end {
    uint32_t peer[4], own[4];
    uint16_t peer_port, own_port;
    uint16_t sum;  /**< the Internet checksum's sum of the words above and the protocol's number */
    uint16_t told; /**< when the program saw the kernel send to the peer last */
    /** Where the kernel sends frames for the peer: fastpath_mac(), the number of the VLAN tag,
     * which of the doors. The program's; 0: not known yet. */
    uint64_t link;
};

/** Of one direction, with frames that were sent alone. The program adds, workers take. */
struct proxy_fast_count {
    uint64_t packets, bytes; /**< UDP payload as it was sent */
    /** #PROXY_FAST_OPEN; else when a datagram was passed on last, kernel's clock, with
     * #PROXY_FAST_SETTLED and #PROXY_FAST_UNFIT or not; 0: none was yet. */
    uint64_t gate;
    int64_t last_ns; /**< the coarse monotonic clock of the kernel */
};

/** A session. Nothing but versions and what is the program's changes while one is in it, nor within
 * a second after, so that no program reads half of one and half of another. */
struct proxy_fast_slot {
    uint64_t version;                  /**< under which workers saw both directions pass; 0: none */
    struct proxy_fast_end ends[2];     /**< the player's, the server's */
    struct proxy_fast_count counts[2]; /**< read, write */
    /** The longest IP packets that the kernel sent whole to the ends' peers since it was asked
     * last; longer ones are the sockets', but for those that every path takes. */
    uint16_t longest[2];
    uint16_t token_sum;     /**< as the ends' sum, of the token at an even place */
    uint8_t token_bytes;    /**< that all datagrams of the player have; 0: none */
    uint8_t is_suffix : 1;  /**< where it stands; */
    uint8_t is_removed : 1; /**< whether the server gets it */
    uint8_t is_limited : 1; /**< the player's datagrams are, by #proxy_fast_limit */
    uint8_t token[PROXY_FAST_TOKEN_BYTES];
} __attribute__((aligned(64)));

/** What the player of a slot may send, while it is limited: taken from by programs and the worker.
 */
struct proxy_fast_limit {
    struct rate_law law;
    struct rate_window window;
};

/** Entries: the high half of the hash, then 1 + 2 * the slot + the end; 0: none. */
struct proxy_fast_bucket {
    uint64_t entries[PROXY_FAST_ENTRIES];
} __attribute__((aligned(64)));

/** What a CPU has sent, read and write; on cache lines of its own. */
struct proxy_fast_counters {
    uint64_t packets[2], bytes[2];
    uint64_t over_limit; /**< datagrams of players that were dropped */
    uint64_t left;       /**< to the sockets, among others of a direction that is carried */
} __attribute__((aligned(64)));

/** The hash of a frame's source and ports: the low bits are those of the bucket. */
static inline uint64_t proxy_fast_hash(const struct proxy_fast_settings *settings,
                                       const uint32_t peer[4], uint16_t peer_port,
                                       uint16_t own_port)
{
    uint64_t hash = settings->key[0] ^ ((uint64_t)peer[0] << 32 | peer[1]);
    hash *= UINT64_C(0xff51afd7ed558ccd);
    hash ^= hash >> 32 ^ ((uint64_t)peer[2] << 32 | peer[3]);
    hash *= UINT64_C(0xc4ceb9fe1a85ec53);
    hash ^= hash >> 32 ^ settings->key[1] ^ ((uint64_t)peer_port << 16 | own_port);
    hash *= UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

/** The entry of an end of a slot. */
static inline uint64_t proxy_fast_entry(uint64_t hash, uint32_t slot, uint32_t end)
{
    return (hash >> 32 << 32) | (1 + 2 * slot + end);
}

#endif
