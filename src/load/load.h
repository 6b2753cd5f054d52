/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The load generator: sends pings to one responder, closed loop or open loop, and counts and
 * measures what comes back. Knows any QCMP responder; uses no thread of its own.
 */
#ifndef PADDOCK_LOAD_LOAD_H
#define PADDOCK_LOAD_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/hdr_histogram.h"
#include "load/schedule.h"

/** Processes whose CPU time is taken, at most. */
#define LOAD_MAX_PIDS 16

/** Flows at most. */
#define LOAD_MAX_FLOWS 16384

/** What one flow can have in flight in a closed loop, and pings of a burst, at most. */
#define LOAD_MAX_IN_FLIGHT 1048576
#define LOAD_MAX_BURST 64

/** Processes. */
struct load_pids {
    pid_t items[LOAD_MAX_PIDS];
    size_t count;
};

/** What is asked for. */
struct load_options {
    struct sockaddr_storage target;
    socklen_t target_bytes;
    uint32_t flows; /**< source ports, 1 to #LOAD_MAX_FLOWS */
    uint64_t
        rate; /**< open loop: pings a second in all, up to #SCHEDULE_MAX_RATE; 0: closed loop */
    uint32_t in_flight; /**< closed loop: pings in flight in all, shared evenly among the flows;
                           from the number of flows to #LOAD_MAX_IN_FLIGHT */
    uint32_t burst; /**< pings of a flow that leave together, 1 to #LOAD_MAX_BURST; as one GSO send
                       where the kernel can */
    enum schedule_arrivals arrivals; /**< open loop */
    uint64_t seed;                   /**< chooses the arrivals */
    int64_t duration_ns;             /**< how long to send, above 0 */
    int64_t timeout_ns;              /**< when a ping is lost, above 0 */
    struct load_pids pids;           /**< whose CPU time is taken */
    unsigned
        interface; /**< XDP: the index of the one to send from; 0: that of the source address */
    bool has_target_mac;   /**< XDP: otherwise a ping over a socket finds out */
    uint8_t target_mac[6]; /**< XDP: the Ethernet address of the target, or of the router to it */
    int stop_fd; /**< a non-blocking signalfd. The first signal ends the sending, the second the
                    waiting for answers. */
};

/** Pings and datagrams, each counted once. sent = answered + lost + unfinished; what was received =
 * answered + late + duplicates + foreign. */
struct load_counts {
    uint64_t scheduled;      /**< open loop: due before the end; closed loop: sent + send_errors */
    uint64_t sent;           /**< given to the kernel */
    uint64_t unsent;         /**< open loop: due, and not sent before it was too late */
    uint64_t send_errors;    /**< that the kernel refused */
    uint64_t answered;       /**< in time */
    uint64_t lost;           /**< not answered in time */
    uint64_t unfinished;     /**< in flight when a second signal ended the run */
    uint64_t late;           /**< answers to what was lost already */
    uint64_t duplicates;     /**< further answers */
    uint64_t foreign;        /**< from the target, and no answer to anything */
    uint64_t network_errors; /**< that the network reported (ICMP), such as a closed port */
    uint64_t receive_drops;  /**< answers, or what else came, that the generator was too slow for:
                                its  buffers were full */
    uint64_t send_stalls;    /**< times that a socket's buffer, or the bookkeeping, had no room */
};

/** What came out. About 180 kB: not for the stack. */
struct load_result {
    struct load_counts counts;
    struct hdr_histogram latency_ns;    /**< from when an answered ping was due to its answer */
    struct hdr_histogram round_trip_ns; /**< from the sending of an answered ping to its answer */
    struct hdr_histogram lag_ns;        /**< from when a sent ping was due to its sending */
    int64_t sending_ns;                 /**< from the start to the end of the sending */
    int64_t window_ns;    /**< from the start until nothing was in flight; CPU times are of it */
    int64_t idle_ns;      /**< the generator waited for something to do */
    int64_t cpus_idle_ns; /**< during the sending: the CPUs that the generator may use had nothing
                             to do, added up; -1: unknown */
    int64_t own_cpu_ns;
    int64_t pid_cpu_ns[LOAD_MAX_PIDS]; /**< -1: the process ended meanwhile */
    int last_send_error;               /**< errno; 0: none */
    bool interrupted;                  /**< by a signal */
    bool spins; /**< the generator keeps a CPU busy also when there is nothing to do */
    bool gso;   /**< bursts left as GSO sends */
};

/**
 * Makes a run over sockets: sends until the time is over, then waits for what is in flight.
 *
 * @param[out] result zeroed by the caller.
 * @return 0, or a negative errno when the run could not start, or waiting failed.
 */
int load_run_sockets(const struct load_options *options, struct load_result *result);

/**
 * Makes a run with XDP: the kernel makes frames of pings and sends them out of an interface, and a
 * program on that interface takes the answers. The sockets of the flows only hold their ports.
 * Needs CAP_NET_ADMIN and CAP_BPF, an interface whose driver has native XDP, and a kernel
 * from 5.18.
 *
 * Answers that the program cannot read (in fragments, or with IP options) count as lost.
 *
 * @param[out] result zeroed by the caller.
 * @param[out] error on failure what is in the way.
 * @return 0, or a negative errno.
 */
int load_run_xdp(const struct load_options *options, struct load_result *result,
                 struct error *error);

#endif
