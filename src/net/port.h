/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A UDP socket of one worker: datagrams come in batches with the kernel's time, and any number of
 * datagrams leave to any peer. A port knows nothing of what it carries.
 *
 * All ports of a worker share one struct port_batch, the buffers of the batch in hand. A port, its
 * batch and its counters belong to one thread; only counters, and what says so, may be read by
 * others.
 */
#ifndef PADDOCK_NET_PORT_H
#define PADDOCK_NET_PORT_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics/counter.h"
#include "metrics/histogram.h"
#include "net/neighbours.h"
#include "net/packet.h"

struct port;
struct port_batch;

/** The most outcomes that a port's owner can tell apart. */
#define PORT_MAX_OUTCOMES 64

/** Why a datagram could not be sent. */
enum port_error {
    PORT_ERROR_IO,          /**< any other reason */
    PORT_ERROR_NO_BUFFERS,  /**< the socket or the device has no room: EAGAIN, ENOBUFS, ENOMEM */
    PORT_ERROR_REFUSED,     /**< by the peer or on the way: ECONNREFUSED, EPERM, EACCES, ... */
    PORT_ERROR_UNREACHABLE, /**< no route, no address: ENETUNREACH, EHOSTUNREACH, ... */
    PORT_ERROR_TOO_LARGE,   /**< EMSGSIZE */
    PORT_ERRORS
};

/** The counters of one worker's ports of one owner, which may be several, one after the other or
 * side by side in the same thread. */
struct port_counters {
    alignas(64) struct counter sent; /**< datagrams that the kernel took */
    struct counter sent_bytes;
    struct counter send_errors[PORT_ERRORS];
    struct counter receive_errors;   /**< failures to receive, which are no datagrams */
    struct histogram batch_packets;  /**< datagrams that one receive call gave */
    struct histogram hold_ns;        /**< for each stamped datagram that was sent: from the receive
                                        stamp of what it answers to its own */
    struct histogram queue_delay_ns; /**< from the kernel's receive stamp to user space */
    struct {
        struct counter packets, bytes;
    } outcomes[PORT_MAX_OUTCOMES]; /**< received datagrams, with their full size */
};

/** Counters of several workers, summed at one moment. */
struct port_sum {
    uint64_t received; /**< all of packets */
    uint64_t packets[PORT_MAX_OUTCOMES];
    uint64_t bytes[PORT_MAX_OUTCOMES];
    uint64_t sent, sent_bytes;
    uint64_t send_errors; /**< all of errors */
    uint64_t errors[PORT_ERRORS];
    uint64_t receive_errors;
    struct histogram_sum batch_packets, hold_ns, queue_delay_ns;
};

/** Counters, one for each of @p workers, zeroed.
 * @return an array for free(), or NULL without memory. */
struct port_counters *port_counters_new(unsigned workers);

/** Adds the counters of @p workers workers to a sum, which begins as zeros. From any thread. */
void port_counters_add(struct port_sum *sum, const struct port_counters *counters,
                       unsigned workers);

/**
 * Handles a batch, oldest first. For each packet any number of port_send(), by this or another port
 * of the same batch memory, then exactly one port_count(). What it has asked to be sent is sent
 * when it returns. It must not block, lock, log or format.
 */
typedef void port_receive_fn(struct port *port, struct packet *packets, unsigned count, void *user);

/** Hears that a datagram to a peer was refused or could not reach it: the peer, a router or this
 * host said so, or a packet that looks like theirs. Called while datagrams are received and sent;
 * it must do neither. */
typedef void port_refused_fn(const struct endpoint *to, void *user);

/** How to open a port. */
struct port_options {
    int fd;             /**< a bound, non-blocking socket as of net/bind.h; the port's from then on,
                           also on failure */
    bool is_unstamped;  /**< nobody asks when datagrams were received: no clock is read */
    uint32_t max_bytes; /**< longer datagrams are cut; at most #PACKET_MAX_BYTES */
    struct port_batch *batch;       /**< the worker's; must outlive the port */
    struct port_counters *counters; /**< must outlive the port */
    port_receive_fn *receive;
    port_refused_fn *refused; /**< NULL: nobody asks. Otherwise the port hears of errors, of any
                                 peer, which cost no other datagram anything. */
    void *user;
    bool is_gathering; /**< the kernel may gather what came from one peer in a row, which makes
                          bursts cheap: the handler is called for each such burst */
    bool is_connected; /**< the socket is that of bind_connected(): an error that the network
                          reports of an earlier datagram takes the place of a send, which is then
                          tried again; and each datagram leaves by itself */
};

/** A datagram to be sent. Everything is borrowed until the handler of the batch has returned. */
struct port_message {
    uint8_t *data; /**< changed only where it is stamped */
    uint32_t bytes;
    const struct endpoint *to;
    const struct endpoint *from; /**< address, and scope of a link-local one, that it leaves from;
                                    NULL: the system chooses. The port's number is the socket's. */
    uint8_t hops;                /**< its TTL or hop limit; 0: the system's */
    uint8_t traffic;             /**< its DSCP and ECN; 0: the system's */
    int stamp_at; /**< where in it the wall clock at its sending goes, in eight bytes, big-endian;
                     negative: nowhere */
    int64_t received_ns; /**< when what it answers was received, if it is stamped */
    /** The receiver may not exist, and what is sent there may wait in the kernel for seconds: the
     * datagram is sent only into the first half of the send buffer. Datagrams to neighbours that
     * are missing are so in any case. */
    bool is_doubtful;
};

/** Allocates the memory that all ports of one worker share. @return NULL without memory. */
struct port_batch *port_batch_new(void);

/** Lets the ports of a batch know which neighbours are missing.
 * @param neighbours must outlive the batch. */
void port_batch_watch(struct port_batch *batch, const struct neighbours *neighbours);

/** Frees it; no port may use it any more. NULL is fine. */
void port_batch_free(struct port_batch *batch);

/**
 * Makes a port of a socket. It allocates.
 * @param[out] port untouched on failure; closed with port_close().
 * @return 0 or -ENOMEM.
 */
int port_open(struct port **port, const struct port_options *options);

/** Closes the socket and frees; not from within a handler. NULL is fine. */
void port_close(struct port *port);

/** Puts a new port beside another one, on the same address and number, of another worker. They are
 * closed together. Before either is used. */
void port_join(struct port *port, struct port *other);

/** The port beside a port, or itself, that has this batch memory, or NULL. From any thread. */
struct port *port_beside(struct port *port, const struct port_batch *batch);

/** The socket, for a loop to wait for. */
int port_fd(const struct port *port);

/**
 * Receives one batch, hands it to the handler, and sends what that has asked for. Does not block.
 * @return the datagrams received, 0 if there were none, or a negative errno value after an error,
 * which is counted.
 */
int port_turn(struct port *port);

/** Whether the last batch was all that there was when it was received, or is by now. */
bool port_is_drained(const struct port *port);

/** As port_turn(), but what is to be sent may wait until the next port_turn() or port_flush() of
 * the batch memory, so that one call of the system sends what many ports have received. Datagrams
 * to one peer stay in order. */
int port_gather(struct port *port);

/** Hears what the network says of earlier datagrams; to be called on EPOLLERR of a port with
 * `refused`. A flood of it makes the port deaf, until port_hear_again().
 * @return how many errors it has heard of, about any datagrams. */
unsigned port_hear(struct port *port);

/** Ends its deafness; to be called every some seconds. */
void port_hear_again(struct port *port);

/** Handles what has arrived, until there is nothing left, but no more than @p most datagrams. A
 * failure to receive is tried again for a short while, during which it blocks. */
void port_drain(struct port *port, size_t most);

/** Sends a datagram when the handler has returned, or earlier; in order among those to one peer.
 * From within a handler of the same batch memory, or with port_flush() behind it. Success and
 * failure are counted. */
void port_send(struct port *port, const struct port_message *message);

/** Sends what port_send() was asked for outside of a handler: by this port or another one of the
 * batch memory. */
void port_flush(struct port *port);

/** As port_flush(), after port_gather(). */
void port_batch_flush(struct port_batch *batch);

/** Counts one received datagram; once for each of a batch.
 * @param outcome below #PORT_MAX_OUTCOMES, the owner's. */
void port_count(struct port *port, unsigned outcome, const struct packet *packet);

/** Wall clock: when the batch in hand was read. */
int64_t port_read_ns(const struct port *port);

#endif
