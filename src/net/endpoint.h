/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * An address and a port of UDP as one value without padding, which can be compared and hashed as
 * bytes.
 */
#ifndef PADDOCK_NET_ENDPOINT_H
#define PADDOCK_NET_ENDPOINT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/** A UDP endpoint. */
struct endpoint {
    struct in6_addr address; /**< IPv4 as v4-mapped */
    uint32_t scope;          /**< index of the interface; of a link-local address, else 0 */
    in_port_t port;          /**< network order */
    uint16_t zero;           /**< always 0, so that bytes can be compared */
};

_Static_assert(sizeof(struct endpoint) == 24, "an endpoint has no padding");

/** Whether two endpoints are the same one. */
static inline bool endpoint_equals(const struct endpoint *a, const struct endpoint *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/** The endpoint in a socket address of AF_INET or AF_INET6. */
struct endpoint endpoint_from_socket(const struct sockaddr *address);

/**
 * The socket address of an endpoint, for a socket of one family.
 * @param family AF_INET6, which takes IPv4 as v4-mapped; or AF_INET, for v4-mapped ones alone.
 * @param[out] address filled up to the returned length.
 * @return the bytes of @p address in use.
 */
socklen_t endpoint_to_socket(const struct endpoint *endpoint, sa_family_t family,
                             struct sockaddr_in6 *address);

#endif
