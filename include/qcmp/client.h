/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The client with a socket: the probe of qcmp/probe.h over UDP, with the kernel's timestamps where
 * it gives them.
 *
 * One client keeps one socket, dual-stack where the host has IPv6, and many pings in flight to many
 * destinations. It is usable from anyone's event loop: wait until qcmp_client_fd() is readable or
 * qcmp_client_deadline() has come, then call qcmp_client_process() until it returns fewer events
 * than there is room for. Between two calls answers wait in the socket's receive buffer, which is
 * asked to have room for one answer a slot; Linux grants no more than net.core.rmem_max, which by
 * default holds some 500 answers (of 33 bytes, on loopback). What exceeds it is lost. No threads,
 * no callbacks but those in the options, nothing blocks unless its text says so. Not thread-safe:
 * one client belongs to one thread at a time. Source: docs/protocol.md, section 5.
 */
#ifndef QCMP_CLIENT_H
#define QCMP_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include <qcmp/error.h>
#include <qcmp/export.h>
#include <qcmp/measure.h>
#include <qcmp/probe.h>
#include <qcmp/survey.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sockaddr;
struct qcmp_client;

#define QCMP_DEFAULT_TIMEOUT_NS INT64_C(5000000000)
#define QCMP_NO_DEADLINE INT64_MAX

/** A socket, as the system counts them: a SOCKET on Windows, a file descriptor elsewhere. */
#ifdef _WIN32
typedef uintptr_t qcmp_fd;
#else
typedef int qcmp_fd;
#endif
#define QCMP_NO_FD ((qcmp_fd)-1)

/** Which addresses a client can ping. */
enum qcmp_family {
    QCMP_FAMILY_ANY = 0, /**< both; IPv4 alone where the host has no IPv6 */
    QCMP_FAMILY_IPV4,
    QCMP_FAMILY_IPV6
};

/** Where a timestamp of this host was taken. */
enum qcmp_stamp_source {
    QCMP_STAMP_USER = 0, /**< in user space, around the system call */
    QCMP_STAMP_KERNEL /**< by the kernel: handing the ping to the device, taking the pong from it */
};

enum qcmp_client_event_kind {
    QCMP_CLIENT_ANSWERED = 1, /**< the ping has its answer: see sample */
    QCMP_CLIENT_TIMED_OUT,
    QCMP_CLIENT_FAILED, /**< the network said no (an ICMP error that quotes this very ping): see
                           error */
    QCMP_CLIENT_CANCELLED,
    QCMP_CLIENT_LATE,      /**< an answer to a ping that has ended already */
    QCMP_CLIENT_DUPLICATE, /**< one more answer to a ping that has one */
    QCMP_CLIENT_REJECTED /**< something that came and was no answer to anything asked: see reason */
};

/** What happened. The first four kinds end a ping; each ping has exactly one of them, unless
 * qcmp_client_cancel() or qcmp_client_close() ended it. Members may be added at the end. */
struct qcmp_client_event {
    enum qcmp_client_event_kind kind;
    enum qcmp_probe_reason reason; /**< of a rejection */
    int error;                     /**< of a failure or a time-out, otherwise 0 */
    int clock_stepped; /**< of an answer, 1: the wall clock was set meanwhile; the round trip comes
                          from a monotonic clock in user space, and times.client_receive_ns is
                          times.client_transmit_ns plus that round trip */
    uint64_t id;       /**< the ping; 0 for a rejection */
    void *user;        /**< what was given with the ping; NULL for a late answer, a duplicate and a
                            rejection: the ping may have ended, and what it points to be gone */
    struct qcmp_endpoint peer; /**< the destination, or the source of what was rejected */
    uint8_t nonce;             /**< of the ping */

    /* Of an answer, otherwise zero: */
    struct qcmp_times times;   /**< the four timestamps behind the sample */
    struct qcmp_sample sample; /**< round trip, hold, distances */
    enum qcmp_stamp_source
        transmit_source; /**< of times.client_transmit_ns, as far as the round trip uses it */
    enum qcmp_stamp_source receive_source; /**< of times.client_receive_ns, likewise */
};

/** Sends a datagram of a client that has no socket of its own. Must not block.
 * @return 0, or a negative error, which the ping then returns. */
typedef int qcmp_send_fn(const struct qcmp_endpoint *to, const void *data, size_t bytes,
                         void *user);

/** Takes a datagram that came for a client without a socket of its own. Must not block.
 * @param[out] from     its source.
 * @param[out] data     its first bytes.
 * @param[in,out] bytes the room in @p data, at least QCMP_MAX_BYTES + 1; then the datagram's size,
 * which may be more.
 * @return 1, 0 when there is none, or a negative error. */
typedef int qcmp_receive_fn(struct qcmp_endpoint *from, void *data, size_t *bytes, void *user);

/** How to open a client. A zeroed struct gives the defaults. Members may be added at its end. */
struct qcmp_client_options {
    size_t slots;            /**< pings in flight at once; 0 = 1024; at most QCMP_PROBE_MAX_SLOTS */
    enum qcmp_family family; /**< default QCMP_FAMILY_ANY, which is IPv4 on OpenBSD */
    int user_stamps_only;    /**< 1: take no kernel timestamps */
    struct qcmp_endpoint source; /**< the local address and port, each any when 0; an address that
                                    is given decides the family */
    uint32_t interface_index;    /**< the only interface to use, 0: as routes say. Linux, Android,
                                    macOS and Windows; EOPNOTSUPP elsewhere */
    int dscp; /**< 0 to 63, the class of service in each ping (RFC 2474). Windows has no such
                 option: WSAEOPNOTSUPP */
    /* Instead of a socket; both or neither. The four members before are then without effect. */
    qcmp_send_fn *send;
    qcmp_receive_fn *receive;
    void *io_user; /**< for the two */
};

/* The functions behind the inline ones below; see qcmp/version.h. */
QCMP_EXPORT size_t qcmp_client_bytes_sized(const struct qcmp_client_options *options,
                                           size_t options_bytes);
QCMP_EXPORT int qcmp_client_open_sized(struct qcmp_client **client, void *memory, size_t bytes,
                                       const struct qcmp_client_options *options,
                                       size_t options_bytes);
QCMP_EXPORT int qcmp_client_new_sized(struct qcmp_client **client,
                                      const struct qcmp_client_options *options,
                                      size_t options_bytes);
QCMP_EXPORT int qcmp_client_process_sized(struct qcmp_client *client,
                                          struct qcmp_client_event *events, size_t event_bytes,
                                          int capacity);
QCMP_EXPORT int qcmp_client_cancel_all_sized(struct qcmp_client *client,
                                             struct qcmp_client_event *events, size_t event_bytes,
                                             int capacity);

/** Bytes of memory that qcmp_client_open() needs with these options (NULL: the defaults); 0 when
 * they are not valid. */
static inline size_t qcmp_client_bytes(const struct qcmp_client_options *options)
{
    return qcmp_client_bytes_sized(options, sizeof *options);
}

/**
 * Opens a client in the caller's memory, without allocating.
 *
 * @param[out] client inside @p memory; untouched on failure. Closed with qcmp_client_close().
 * @param memory      aligned as malloc aligns; stays the caller's and must outlive the client.
 * @param bytes       at least qcmp_client_bytes(@p options).
 * @param options     NULL for the defaults.
 * @return 0, QCMP_ERROR_INVALID_ARGUMENT, QCMP_ERROR_BUFFER_TOO_SMALL, or an error of the operating
 * system.
 */
static inline int qcmp_client_open(struct qcmp_client **client, void *memory, size_t bytes,
                                   const struct qcmp_client_options *options)
{
    return qcmp_client_open_sized(client, memory, bytes, options, sizeof *options);
}

/** Ends all pings in flight, without events, and closes the socket. NULL is fine. */
QCMP_EXPORT void qcmp_client_close(struct qcmp_client *client);

/** qcmp_client_open() in memory from malloc. Freed with qcmp_client_free().
 * @return as qcmp_client_open(), and ENOMEM as an error of the operating system. */
static inline int qcmp_client_new(struct qcmp_client **client,
                                  const struct qcmp_client_options *options)
{
    return qcmp_client_new_sized(client, options, sizeof *options);
}

/** Closes and frees a client from qcmp_client_new(). NULL is fine. */
QCMP_EXPORT void qcmp_client_free(struct qcmp_client *client);

/** The socket, to wait on for reading (errors included, as poll and epoll do by themselves). It
 * stays the client's. QCMP_NO_FD where the options brought functions instead. */
QCMP_EXPORT qcmp_fd qcmp_client_fd(const struct qcmp_client *client);

/** Nanoseconds until the next time-out: 0 when it is due, QCMP_NO_DEADLINE when nothing is in
 * flight. */
QCMP_EXPORT int64_t qcmp_client_deadline(const struct qcmp_client *client);

/**
 * Sends one ping.
 *
 * @param to          an IPv4 or IPv6 socket address; the scope of a link-local address is honoured.
 * @param to_bytes    its size.
 * @param timeout_ns  > 0; see QCMP_DEFAULT_TIMEOUT_NS.
 * @param user        comes back with the event that ends this ping, never after.
 * @param[out] id     names the ping until it ends; may be NULL. Untouched on failure.
 * @return 0; QCMP_ERROR_NO_NONCE or QCMP_ERROR_NO_SLOT: try again when a ping has ended;
 * QCMP_ERROR_INVALID_ARGUMENT; or an error of the operating system (EAFNOSUPPORT for an address of
 * a family that this client's socket cannot reach): nothing was sent, nothing is in flight.
 */
QCMP_EXPORT int qcmp_client_ping(struct qcmp_client *client, const struct sockaddr *to,
                                 size_t to_bytes, int64_t timeout_ns, void *user, uint64_t *id);

/** qcmp_client_ping() to an endpoint. */
QCMP_EXPORT int qcmp_client_ping_endpoint(struct qcmp_client *client,
                                          const struct qcmp_endpoint *to, int64_t timeout_ns,
                                          void *user, uint64_t *id);

/** Reads what has come, ends what is past its deadline, and reports it, oldest first. Never blocks.
 * @param[out] events room for @p capacity events, at least 1.
 * Transmit stamps and ICMP errors are read at most 256 and @p capacity a call; when there may be
 * more, qcmp_client_deadline() is 0.
 * @return how many were written; @p capacity means: call again. Errors of the socket itself are
 * reported as negative numbers, once each; the client stays usable. */
static inline int qcmp_client_process(struct qcmp_client *client, struct qcmp_client_event *events,
                                      int capacity)
{
    return qcmp_client_process_sized(client, events, sizeof *events, capacity);
}

/** Blocks until there is something to process, or @p timeout_ns has passed.
 * @return 0, or an error of the operating system: EINTR among them, EOPNOTSUPP without a socket. */
QCMP_EXPORT int qcmp_client_wait(const struct qcmp_client *client, int64_t timeout_ns);

/** Ends one ping in flight, without an event; its lease is given back.
 * @return 0 or QCMP_ERROR_NOT_IN_FLIGHT. */
QCMP_EXPORT int qcmp_client_cancel(struct qcmp_client *client, uint64_t id);

/** Ends pings in flight and reports each as QCMP_CLIENT_CANCELLED, for callers that keep something
 * in `user`.
 * @return how many events were written; fewer than @p capacity: nothing is in flight any more. */
static inline int qcmp_client_cancel_all(struct qcmp_client *client,
                                         struct qcmp_client_event *events, int capacity)
{
    return qcmp_client_cancel_all_sized(client, events, sizeof *events, capacity);
}

/** Pings in flight. */
QCMP_EXPORT size_t qcmp_client_in_flight(const struct qcmp_client *client);

/**
 * The simple case: measures the distance to one address with one ping, and blocks until it is
 * answered or not. Opens a socket of its own, does not allocate.
 *
 * @param timeout_ns 0 for QCMP_DEFAULT_TIMEOUT_NS.
 * @param[out] sample untouched on failure.
 * @return 0; QCMP_ERROR_TIMED_OUT; QCMP_ERROR_INVALID_ARGUMENT; or an error of the operating
 * system, such as a refused connection.
 */
QCMP_EXPORT int qcmp_distance_measure(const struct sockaddr *to, size_t to_bytes,
                                      int64_t timeout_ns, struct qcmp_sample *sample);

/** qcmp_distance_measure() to an endpoint. */
QCMP_EXPORT int qcmp_distance_measure_endpoint(const struct qcmp_endpoint *to, int64_t timeout_ns,
                                               struct qcmp_sample *sample);

/**
 * Does what is due in a survey (qcmp/survey.h), without blocking: reads answers, sends at most one
 * ping. For a client that this survey has to itself; other events are dropped. Call it each frame,
 * or when the client's socket is readable or qcmp_survey_wait_ns() has passed.
 *
 * @return 1 while it goes on, 0 when it is done, or a negative error of the socket.
 */
QCMP_EXPORT int qcmp_survey_step(struct qcmp_survey *survey, struct qcmp_client *client);

/** Nanoseconds until qcmp_survey_step() has something to do even if nothing arrives; 0 when it is
 * due, QCMP_NO_DEADLINE when the survey is done and nothing is in flight. */
QCMP_EXPORT int64_t qcmp_survey_wait_ns(const struct qcmp_survey *survey,
                                        const struct qcmp_client *client);

/** Sends the survey's next ping if it is due: the first half of qcmp_survey_step(), for a client
 * that has pings besides. A ping that cannot be sent counts as lost.
 * @return 1 when one was due, otherwise 0. */
QCMP_EXPORT int qcmp_survey_send(struct qcmp_survey *survey, struct qcmp_client *client);

/** Takes in an event if it ends a ping of the survey: the second half of qcmp_survey_step().
 * @return 1 when it did, otherwise 0. */
QCMP_EXPORT int qcmp_survey_take(struct qcmp_survey *survey, const struct qcmp_client_event *event);

/** Converts an AF_INET or AF_INET6 socket address. The scope is kept for link-local addresses
 * alone.
 * @return 0 or QCMP_ERROR_INVALID_ARGUMENT. */
QCMP_EXPORT int qcmp_endpoint_from_sockaddr(struct qcmp_endpoint *endpoint,
                                            const struct sockaddr *address, size_t address_bytes);

/** Converts an endpoint into a sockaddr_in if its address is IPv4, otherwise into a sockaddr_in6.
 * @param[out] address has room for @p capacity bytes; a struct sockaddr_storage fits all. Untouched
 * on failure.
 * @return the bytes written, QCMP_ERROR_BUFFER_TOO_SMALL or QCMP_ERROR_INVALID_ARGUMENT. */
QCMP_EXPORT int qcmp_endpoint_to_sockaddr(const struct qcmp_endpoint *endpoint, void *address,
                                          size_t capacity);

/** Reads an endpoint as people write it: "192.0.2.1", "192.0.2.1:7600", "2001:db8::1",
 * "[2001:db8::1]:7600"; a link-local address with its interface, "[fe80::1%2]:7600" (by name too,
 * except on Windows). Addresses alone, no names of hosts.
 * @param[out] endpoint untouched on failure; gets @p default_port where the text has none.
 * @return 0 or QCMP_ERROR_INVALID_ARGUMENT. */
QCMP_EXPORT int qcmp_endpoint_parse(struct qcmp_endpoint *endpoint, const char *text,
                                    uint16_t default_port);

/** Formats an endpoint as "192.0.2.1:7600" or "[2001:db8::1%2]:7600".
 * @return the length of the whole text without its terminator, as snprintf does. */
QCMP_EXPORT size_t qcmp_endpoint_format(const struct qcmp_endpoint *endpoint, char *text,
                                        size_t capacity);

/** Formats an error as one line, with the operating system's words for its own.
 * @return the length of the whole text without its terminator, as snprintf does. */
QCMP_EXPORT size_t qcmp_error_format(int error, char *text, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
