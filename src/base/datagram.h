/** @file
 * Datagrams that came together, as whoever moves packets hands them to whoever decides about them,
 * and what becomes of each.
 */
#ifndef PADDOCK_BASE_DATAGRAM_H
#define PADDOCK_BASE_DATAGRAM_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** One datagram, valid as long as its handler runs. */
struct datagram {
    const uint8_t *data; /**< at least min(bytes, QCMP_MAX_BYTES) bytes are readable */
    size_t bytes;        /**< the true size of the payload */
    const struct in6_addr *source;
    const struct in6_addr *destination; /**< the limited broadcast address for any broadcast address
                                           of this host, the loopback address where the system does
                                           not tell */
    int64_t received_ns;   /**< wall clock, Unix nanoseconds: the kernel's stamp, or user space's
                              where there is none */
    in_port_t source_port; /**< network order, as in a socket's address */
};

/** Bytes that a reply may have. */
#define EXCHANGE_REPLY_BYTES 64

/** Bytes of the time that it may carry. */
#define EXCHANGE_STAMP_BYTES 8

/** Where the time of a reply goes that carries none: behind it. */
#define VERDICT_NO_STAMP EXCHANGE_REPLY_BYTES

/** What to do with a datagram. */
struct verdict {
    uint8_t outcome;      /**< enum outcome: the counter that it belongs to, whatever happens */
    uint8_t stamp_offset; /**< where the reply carries the wall clock at its sending, in
                             #EXCHANGE_STAMP_BYTES bytes, big-endian; or #VERDICT_NO_STAMP */
    uint16_t reply_bytes; /**< of a reply, at most #EXCHANGE_REPLY_BYTES; 0 = no reply */
};

/** A datagram, and what the handler makes of it. */
struct exchange {
    struct datagram question;
    struct verdict verdict;
    uint8_t reply[EXCHANGE_REPLY_BYTES + EXCHANGE_STAMP_BYTES];
};

/** What one worker handles at once. */
struct batch {
    struct exchange *exchanges;
    unsigned count;
    unsigned worker; /**< index of the worker */
    int64_t read_ns; /**< wall clock: when the datagrams were read */
};

#endif
