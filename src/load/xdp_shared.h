/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the BPF programs of the load generator and the program that loads them have in common.
 */
#ifndef PADDOCK_LOAD_XDP_SHARED_H
#define PADDOCK_LOAD_XDP_SHARED_H

#include <stdint.h>

#include "base/hdr_histogram.h"

/** Pings of an open loop that are scheduled ahead at most; a power of two. */
#define LOAD_XDP_AHEAD 65536

/** Ports, and so flows, at most: the same as over sockets. */
#define LOAD_XDP_FLOWS 16384

/** Ethernet, IP, UDP and a ping, in whole words; IPv4 is padded to the least size of Ethernet. */
#define LOAD_XDP_FRAME_BYTES 80
#define LOAD_XDP_IPV4_BYTES 60
#define LOAD_XDP_IPV6_BYTES 79

/** Bits of load_xdp_slot::word above every timestamp until the year 2116. */
#define LOAD_XDP_ANSWERED (UINT64_C(1) << 63)
#define LOAD_XDP_LOST (UINT64_C(1) << 62)

/** A ping. The word alone says which one it is and what became of it, so that one atomic operation
 * credits it, whatever happens to its slot meanwhile. */
struct load_xdp_slot {
    uint64_t word; /**< client timestamp, with one of the bits above; 0: never used */
    int64_t due_ns;
    int64_t sent_ns;
    uint32_t port; /**< its source, host order */
    uint32_t unused;
};

/** What is counted. The receiver may be on several CPUs at once. */
struct load_xdp_counts {
    uint64_t sent;     /**< by the sender alone, as the next two */
    uint64_t overrun;  /**< in flight, and lost their slot to a newer ping */
    uint64_t idle_ns;  /**< nothing was to be sent, time after time */
    uint64_t answered; /**< in time */
    uint64_t late;     /**< first answers after the time-out */
    uint64_t
        late_first; /**< those among them that came while the ping still counted as in flight */
    uint64_t duplicates;
    uint64_t foreign;
};

/** What the program tells the sender, and the sender the program. One writer each. */
struct load_xdp_control {
    uint32_t is_sending; /**< by the program: frames may leave */
    uint32_t is_alive;   /**< by the sender: it has been called */
    uint64_t due_count;  /**< by the program: written to the ring so far */
    uint64_t expired;    /**< by the program: pings whose time was over */
};

/** What is measured. */
enum load_xdp_times {
    LOAD_XDP_ROUND_TRIP,
    LOAD_XDP_LATENCY, /**< open loop */
    LOAD_XDP_LAG,     /**< open loop */
    LOAD_XDP_TIMES
};

/** What the buckets of a histogram do not say exactly. */
struct load_xdp_extremes {
    uint64_t min_plus_1; /**< 0: nothing was measured */
    uint64_t max;
    uint64_t sum;
};

/** What does not change in a run. */
struct load_xdp_settings {
    uint32_t is_ipv6;
    uint32_t is_open_loop;
    uint8_t target[16]; /**< network order; IPv4 in the first four */
    uint8_t own[16];
    uint32_t target_port; /**< host order */
    uint32_t flows;
    uint32_t burst;      /**< closed loop: at most in_flight */
    uint32_t in_flight;  /**< closed loop */
    uint32_t slots;      /**< a power of two, at least 256 */
    uint32_t stamp_bits; /**< log2(slots) - 8: of a timestamp, the lowest of the slot's number */
    int64_t timeout_ns;
    int64_t epoch_ns; /**< what the wall clock is ahead of this process's monotonic one */
    int64_t monotonic_offset_ns; /**< what that is ahead of the kernel's */
};

#endif
