/** @file
 * What can become of a datagram that a service received. Each has exactly one outcome, which is the
 * index of its counters.
 */
#ifndef PADDOCK_QCMP_OUTCOME_H
#define PADDOCK_QCMP_OUTCOME_H

/** How outcomes are summed up. The first three are the values of the label `kind`. */
enum outcome_kind {
    OUTCOME_KIND_VALID,
    OUTCOME_KIND_INVALID,
    OUTCOME_KIND_UNSUPPORTED,
    OUTCOME_KIND_DROPPED, /**< refused, whatever it is */
    OUTCOME_KINDS
};

/** One line an outcome: X(NAME, KIND, reason). The reason is that of the error or the drop, ""
 * where there is none. LEAKED is a ping over its source's limit that is answered all the same. */
#define OUTCOMES(X)                                                                                \
    X(VALID, VALID, "")                                                                            \
    X(UNSUPPORTED, UNSUPPORTED, "")                                                                \
    X(FOREIGN, INVALID, "")                                                                        \
    X(UNKNOWN_VERSION, INVALID, "unknown_version")                                                 \
    X(INVALID_COMMAND, INVALID, "invalid_command")                                                 \
    X(LENGTH_MISMATCH, INVALID, "length_mismatch")                                                 \
    X(SOURCE_PORT_ZERO, DROPPED, "source_port_zero")                                               \
    X(SOURCE_NOT_UNICAST, DROPPED, "source_not_unicast")                                           \
    X(DESTINATION_NOT_UNICAST, DROPPED, "destination_not_unicast")                                 \
    X(TOO_OLD, DROPPED, "too_old")                                                                 \
    X(ACCESS_DENIED, DROPPED, "access_denied")                                                     \
    X(RATE_LIMITED, DROPPED, "rate_limited")                                                       \
    X(PROCESS_CAP, DROPPED, "process_cap")                                                         \
    X(LEAKED, VALID, "")

enum outcome {
#define OUTCOME_ENUM(name, kind, reason) OUTCOME_##name,
    OUTCOMES(OUTCOME_ENUM)
#undef OUTCOME_ENUM
    OUTCOME_COUNT
};

/** How an outcome is summed up. */
enum outcome_kind outcome_kind(enum outcome outcome);

/** The reason of an error or a drop, "" where there is none; static storage. */
const char *outcome_reason(enum outcome outcome);

#endif
