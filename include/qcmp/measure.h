/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Arithmetic on the four timestamps of a ping and its pong. Pure functions, freestanding; every
 * 64-bit value is allowed, hostile ones included: a result that does not fit is an error and leaves
 * the outputs untouched. Source: docs/protocol.md, section 3.
 */
#ifndef QCMP_MEASURE_H
#define QCMP_MEASURE_H

#include <stdint.h>

#include <qcmp/error.h>
#include <qcmp/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The four timestamps, nanoseconds: t0 and t3 on the client's clock, t1 and t2 on the server's. */
struct qcmp_times {
    int64_t client_transmit_ns; /**< t0: the ping left the client */
    int64_t server_receive_ns;  /**< t1: the ping reached the server (server start) */
    int64_t server_transmit_ns; /**< t2: the pong left the server */
    int64_t client_receive_ns;  /**< t3: the pong reached the client */
};

/** Round trip delay (t3 - t0) - (t2 - t1), ns; the clocks' offset cancels. May be negative with
 * hostile timestamps.
 * @return 0 or QCMP_ERROR_OVERFLOW. */
QCMP_EXPORT int qcmp_times_delay(const struct qcmp_times *times, int64_t *delay_ns);

/** Incoming distance t1 - t0, ns: client to server, plus the offset of the server's clock.
 * @return 0 or QCMP_ERROR_OVERFLOW. */
QCMP_EXPORT int qcmp_times_incoming(const struct qcmp_times *times, int64_t *incoming_ns);

/** Outgoing distance t3 - t2, ns: server to client, minus the offset of the server's clock.
 * @return 0 or QCMP_ERROR_OVERFLOW. */
QCMP_EXPORT int qcmp_times_outgoing(const struct qcmp_times *times, int64_t *outgoing_ns);

/** Hold time t2 - t1, ns: how long the server says it kept the ping.
 * @return 0 or QCMP_ERROR_OVERFLOW. */
QCMP_EXPORT int qcmp_times_hold(const struct qcmp_times *times, int64_t *hold_ns);

/** Offset of the server's clock from the client's, ((t1 - t0) + (t2 - t3)) / 2 as in NTP (RFC 5905,
 * section 8), ns, rounded towards zero; and its error bound, half the round trip delay, rounded up.
 * Of many samples, the one with the least bound is the best estimate.
 * @return 0; QCMP_ERROR_IMPLAUSIBLE when the delay is negative and so bounds nothing, whether it
 * fits or not; or QCMP_ERROR_OVERFLOW. */
QCMP_EXPORT int qcmp_times_offset(const struct qcmp_times *times, int64_t *offset_ns,
                                  int64_t *error_bound_ns);

/** Members of qcmp_sample::known. */
enum qcmp_sample_known {
    QCMP_SAMPLE_HOLD = 1,
    QCMP_SAMPLE_INCOMING = 2,
    QCMP_SAMPLE_OUTGOING = 4
};

/** Members of qcmp_sample::suspect. */
enum qcmp_suspect {
    QCMP_SUSPECT_NOTHING = 0,
    QCMP_SUSPECT_HOLD = 1 /**< the hold time is negative or longer than the raw round trip */
};

/** What one ping and its pong say, nanoseconds. */
struct qcmp_sample {
    int64_t rtt_ns; /**< raw_rtt_ns - hold_ns where the hold time is believed, otherwise raw_rtt_ns;
                       never negative */
    int64_t raw_rtt_ns;  /**< t3 - t0, never negative */
    int64_t hold_ns;     /**< t2 - t1, if known */
    int64_t incoming_ns; /**< t1 - t0, if known */
    int64_t outgoing_ns; /**< t3 - t2, if known */
    unsigned known; /**< set of @ref qcmp_sample_known; what does not fit into 64 bits is not known,
                       and 0 */
    enum qcmp_suspect suspect;
};

/** Puts a sample together. The server's hold time is believed only if 0 <= hold <= raw round trip,
 * so that a server cannot fake a low ping unnoticed (docs/protocol.md, section 5).
 * @return 0; QCMP_ERROR_IMPLAUSIBLE when t3 < t0, whether t3 - t0 fits or not; QCMP_ERROR_OVERFLOW
 * when it does not fit. */
QCMP_EXPORT int qcmp_sample_compute(const struct qcmp_times *times, struct qcmp_sample *sample);

#ifdef __cplusplus
}
#endif
#endif
