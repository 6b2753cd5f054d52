/** @file
 * Endpoints as socket addresses.
 */
#ifndef PADDOCK_CLIENT_ADDRESS_H
#define PADDOCK_CLIENT_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include <qcmp/probe.h>

/** Whether the endpoint's address is IPv4. */
bool qcmp_endpoint_is_ipv4(const struct qcmp_endpoint *endpoint);

/** The socket address of an endpoint: AF_INET6 (IPv4 as v4-mapped) when @p ipv6, otherwise AF_INET,
 * which only an IPv4 endpoint has. @return its size. */
socklen_t qcmp_endpoint_to_sockaddr(const struct qcmp_endpoint *endpoint, bool ipv6,
                                    struct sockaddr_storage *address);

#endif
