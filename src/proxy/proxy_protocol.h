/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The header of PROXY protocol version 2 for datagrams, by which a server learns the address of a
 * player behind a proxy. Source: haproxy's doc/proxy-protocol.txt, section 2.2. Pure functions.
 */
#ifndef PADDOCK_PROXY_PROXY_PROTOCOL_H
#define PADDOCK_PROXY_PROXY_PROTOCOL_H

#include <stdint.h>

#include "net/endpoint.h"

/** The longest header that proxy_protocol_encode() writes: for IPv6. For IPv4 it has 28 bytes. */
#define PROXY_PROTOCOL_BYTES 52

/** Writes a header for a datagram from a player to an address of the proxy. IPv4 in both is of the
 * family IPv4, all else IPv6.
 * @return its length. */
uint32_t proxy_protocol_encode(const struct endpoint *player, const struct endpoint *local,
                               uint8_t header[PROXY_PROTOCOL_BYTES]);

/** Writes the header of a datagram that the proxy sends for itself, in nobody's name: the command
 * LOCAL. @return its length, 16. */
uint32_t proxy_protocol_encode_local(uint8_t header[PROXY_PROTOCOL_BYTES]);

/** The length of the header that a datagram begins with, extensions included; 0: it begins with
 * none that is whole. */
uint32_t proxy_protocol_length(const uint8_t *data, uint32_t bytes);

#endif
