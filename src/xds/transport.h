/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Bytes over a TCP socket, in the clear or over TLS with ALPN `h2`. Nothing blocks: what the socket
 * does not take is kept, and goes before what is written later.
 */
#ifndef PADDOCK_XDS_TRANSPORT_H
#define PADDOCK_XDS_TRANSPORT_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** One end, in its owner's memory. The owner changes no member. */
struct transport {
    int fd;
    SSL *tls;                 /**< NULL: in the clear */
    const char *failure;      /**< why no more bytes pass; static. NULL: nothing has failed. */
    bool is_open;             /**< bytes can pass: connected, and hands are shaken */
    struct sockaddr_in6 peer; /**< v4-mapped for IPv4; zeros while it is not connected */
    bool is_connecting;
    uint8_t *unsent; /* what the socket has not taken */
    size_t unsent_bytes, unsent_done;
};

/** Begins on a socket, which is then watched for reading, of a client for writing.
 * @param fd non-blocking; of a client it may still be connecting. Taken over, also on failure.
 * @param tls NULL: in the clear.
 * @param host of a client: whom the certificate must name.
 * @return 0 or a negative errno value; transport_close() ends it in both cases. */
int transport_open(struct transport *transport, int fd, bool is_server, SSL_CTX *tls,
                   const char *host);

/** Closes the socket, and forgets what was not sent. */
void transport_close(struct transport *transport);

/** Goes on with connecting and shaking hands.
 * @return the event (EPOLLIN, EPOLLOUT) to wait for before the next call; 0: it is open or has
 * failed. */
uint32_t transport_advance(struct transport *transport);

/** Reads from an open transport. @return how much; 0: nothing is there, or it has failed. */
size_t transport_read(struct transport *transport, uint8_t *data, size_t bytes);

/** Sends what is kept. @return whether nothing is left, and transport_write() may be called. */
bool transport_flush(struct transport *transport);

/** Sends bytes, as far as the socket takes them, and keeps a copy of the rest. */
void transport_write(struct transport *transport, const uint8_t *data, size_t bytes);

/** What is kept, in bytes. */
size_t transport_unsent(const struct transport *transport);

#endif
