/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The XDP program with QCMP's part, run by the kernel over frames made here, without any interface.
 */
#ifndef PADDOCK_TESTS_XDP_PROGRAM_H
#define PADDOCK_TESTS_XDP_PROGRAM_H

#include <netinet/in.h>
#include <stdint.h>

#include "fastpath/shared.h"
#include "qcmp/shared.h"
#include "xdp/frame.h"

#include "fastpath.skel.h"
#include "qcmp.skel.h"

/** The two programs. */
struct programs {
    struct fastpath_bpf *fastpath;
    struct qcmp_bpf *qcmp;
};

/** What QCMP's part has counted, and the frames that were sent. */
struct program_counts {
    struct qcmp_fast_counters qcmp;
    uint64_t answered;
};

/** Initializers: MAC addresses of the host and of who asks it, */
#define PROGRAM_MAC                                                                                \
    {                                                                                              \
        0x02, 0x11, 0x22, 0x33, 0x44, 0x55                                                         \
    }
#define PROGRAM_PEER_MAC                                                                           \
    {                                                                                              \
        0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee                                                         \
    }
/** a v4-mapped address, */
#define PROGRAM_IPV4(a, b, c, d)                                                                   \
    {                                                                                              \
        .s6_addr = { [10] = 0xff, 0xff, (a), (b), (c), (d) }                                       \
    }
/** and one of fd00::/64. */
#define PROGRAM_IPV6(last)                                                                         \
    {                                                                                              \
        .s6_addr = { 0xfd, [15] = (last) }                                                         \
    }

/** Loads the programs, with the MAC address and clock of the host; ends the test as skipped where
 * that is not permitted. They
 * answer nothing yet. For program_unload(). */
struct programs *program_load(void);

/** Unloads and frees. */
void program_unload(struct programs *programs);

/** Has it answer at an address under tags, as struct fastpath_address has them. */
void program_add_address(const struct programs *programs, const struct in6_addr *address,
                         uint32_t tags);

/** Has it answer nothing of a source. */
void program_add_source(const struct programs *programs, const struct in6_addr *source);

/** Has it answer on a port. */
void program_add_port(const struct programs *programs, uint16_t port);

/** A ping without tags to the host. */
struct fields program_ping(const struct in6_addr *source, const struct in6_addr *destination,
                           uint16_t port);

/** Runs it over a frame, which becomes what the program made of it. @return the verdict. */
uint32_t program_run(const struct programs *programs, struct frame *frame);

/** The sum of all CPUs' counters. */
struct program_counts program_counters(const struct programs *programs);

#endif
