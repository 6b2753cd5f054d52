/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What becomes of a datagram that the proxy received. Each has exactly one outcome, which is the
 * number of its counters.
 */
#ifndef PADDOCK_PROXY_OUTCOME_H
#define PADDOCK_PROXY_OUTCOME_H

/** One line an outcome: X(NAME, reason). The first one is sent on; of a player's datagram a copy to
 * each destination, which is counted by itself. */
#define PROXY_OUTCOMES(X)                                                                          \
    X(FORWARDED, "")                                                                               \
    X(NO_ENDPOINTS, "no upstream endpoints")                                                       \
    X(SOURCE, "disallowed source ip")                                                              \
    X(LOOP, "loop")                                                                                \
    X(TOO_LARGE, "too_large")                                                                      \
    X(UNKNOWN_SESSION, "unknown session")                                                          \
    X(OVER_LIMIT, "session limit")

enum proxy_outcome {
#define PROXY_OUTCOME_ENUM(name, reason) PROXY_##name,
    PROXY_OUTCOMES(PROXY_OUTCOME_ENUM)
#undef PROXY_OUTCOME_ENUM
    PROXY_FILTERED /**< the first of the filters' reasons; those of chain_reason() follow */
};

/** Why a copy was not sent for want of a session: X(NAME, reason). */
#define PROXY_REFUSALS(X)                                                                          \
    X(DRAINING, "draining")                                                                        \
    X(STRANGER, "stranger")                                                                        \
    X(UNHEALTHY, "unhealthy endpoint")                                                             \
    X(OVER_LIMIT, "session limit")                                                                 \
    X(HANDOVER, "handover")                                                                        \
    X(NO_MEMORY, "no_memory")                                                                      \
    X(NO_SOCKET, "no_descriptors")                                                                 \
    X(NO_PORT, "no_ports")                                                                         \
    X(TOO_MANY_OF_ONE, "too_many_sessions_of_one_address")                                         \
    X(TOO_MANY_REST, "too_many_resting_pairs")

enum proxy_refusal {
#define PROXY_REFUSAL_ENUM(name, reason) PROXY_REFUSED_##name,
    PROXY_REFUSALS(PROXY_REFUSAL_ENUM)
#undef PROXY_REFUSAL_ENUM
    PROXY_REFUSED
};

#endif
