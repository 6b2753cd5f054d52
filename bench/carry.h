/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What carry.c and its BPF programs have in common.
 */
#ifndef PADDOCK_BENCH_CARRY_H
#define PADDOCK_BENCH_CARRY_H

#include <stdint.h>

#define CARRY_PORT 7777          /**< that of the proxy */
#define CARRY_SERVER_PORT 7000   /**< that of the one server */
#define CARRY_FIRST_PORT 2000    /**< that of the first player; the others follow */
#define CARRY_FIRST_NUMBER 30000 /**< the bare forwarder's ports towards the server */
#define CARRY_MAX_PLAYERS 28000
#define CARRY_IN_FLIGHT 128    /**< round trips at a time */
#define CARRY_PATIENCE 1000000 /**< looks after which those in flight count as lost */

#define CARRY_FRAME_BYTES 64

struct carry_settings {
    uint32_t players;
    uint32_t offered; /**< datagrams of players a second, whatever comes back; 0: as many as do */
    uint64_t frame[CARRY_FRAME_BYTES / 8]; /**< what the first player sends */
};

/** A way through the bare forwarder; network order, and words added as Internet checksums do. */
struct carry_key {
    uint32_t source;
    uint16_t source_port, port;
};
struct carry_way {
    uint32_t source, destination;
    uint16_t source_port, port;
    uint32_t addresses, all; /**< by how much checksums change: of IP, of UDP */
};

#endif
