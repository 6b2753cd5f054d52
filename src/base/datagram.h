/** @file
 * A datagram that came, as whoever moves packets hands it to whoever decides about them.
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
    const struct in6_addr *destination; /**< NULL where the system does not tell */
    uint16_t source_port;               /**< host order */
    bool to_broadcast;   /**< the destination is known to be a broadcast address of this host */
    int64_t received_ns; /**< wall clock, Unix nanoseconds: the kernel's stamp, or user space's
                            where there is none */
    int64_t read_ns;     /**< wall clock: when the batch that it is part of was read; the same for
                            all of a batch, so that a handler need not read a clock for each */
    unsigned worker;     /**< index of the worker that handles it */
};

#endif
