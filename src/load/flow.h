/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Flows: UDP sockets that are connected to the target, each from a port of its own, and batches of
 * pings and answers through them. Nothing here blocks; nothing allocates but opening.
 */
#ifndef PADDOCK_LOAD_FLOW_H
#define PADDOCK_LOAD_FLOW_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <qcmp/wire.h>

/** Datagrams of one call at most; also what one GSO send takes. */
#define FLOW_BATCH 64

/** What of one piece is kept: #FLOW_BATCH pongs, and no multiple of what caches like alike. */
#define FLOW_KEPT_BYTES 2176

#define FLOW_CONTROL_BYTES 64

/** What came in one piece: a datagram, or several of a size that were sent as one. */
struct flow_piece {
    uint8_t data[FLOW_KEPT_BYTES];
    size_t bytes;          /**< its true size */
    size_t datagram_bytes; /**< the size of each datagram but the last, which may be shorter; above
                              0 */
    int64_t received_ns;   /**< when the kernel took it in, on the monotonic clock */
};

/** Buffers of the two calls below; one of them serves all flows in turn. */
struct flow_io {
    uint8_t pings[FLOW_BATCH][QCMP_PING_BYTES]; /**< the caller's, to be sent */
    struct flow_piece pieces[FLOW_BATCH];       /**< the caller's to read, after a receive */
    bool gso; /**< send several datagrams as one where they go together; cleared when the kernel
                 cannot */

    struct iovec send_parts[FLOW_BATCH];
    struct mmsghdr sends[FLOW_BATCH];
    struct iovec receive_parts[FLOW_BATCH];
    struct mmsghdr receives[FLOW_BATCH];
    _Alignas(struct cmsghdr) uint8_t control[FLOW_BATCH][FLOW_CONTROL_BYTES];
};

/** Prepares the buffers. */
void flow_io_init(struct flow_io *io, bool gso);

/** Raises the limit of open descriptors as far as this process may. */
void flow_raise_limit(void);

/** Opens a flow to a target; its port is the kernel's choice.
 * @param gro take datagrams that were sent as one (GSO) in one piece, where the kernel can: nobody
 * has to cut them up.
 * @return the descriptor, the caller's to close; or a negative errno. */
int flow_open(const struct sockaddr_storage *target, socklen_t target_bytes, bool gro);

/**
 * Sends the first @p count pings of flow_io::pings.
 *
 * @param count 1 to #FLOW_BATCH.
 * @return how many left, from the first on: fewer than @p count if one could not; or a negative
 * errno when the first could not: -EAGAIN when the socket's buffer is full; others are errors of
 * this ping, or of an earlier one, which the network reported meanwhile (flow_error_is_reported()).
 */
int flow_send(struct flow_io *io, int fd, unsigned count);

/** Whether an error is one that the network may have reported of an earlier datagram (ICMP), so
 * that sending again may do. */
bool flow_error_is_reported(int error);

/**
 * Takes what a flow has received, oldest first, into flow_io::pieces.
 *
 * @return how many pieces, at most #FLOW_BATCH; 0 when there is nothing; or a negative errno.
 */
int flow_receive(struct flow_io *io, int fd);

/** How many datagrams a piece is; at least one. */
size_t flow_piece_count(const struct flow_piece *piece);

/**
 * One of them.
 *
 * @param index below flow_piece_count().
 * @param[out] bytes its size; 0 where it is beyond what was kept.
 * @return its bytes, borrowed from @p piece; the first min(@p bytes, QCMP_MAX_BYTES) are readable.
 */
const void *flow_piece_datagram(const struct flow_piece *piece, size_t index, size_t *bytes);

/** Datagrams that came to a flow and found its buffer full. @return 0 where the kernel does not
 * say.
 */
uint32_t flow_drops(int fd);

#endif
