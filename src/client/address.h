/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Endpoints as socket addresses, and the texts of the system.
 */
#ifndef PADDOCK_CLIENT_ADDRESS_H
#define PADDOCK_CLIENT_ADDRESS_H

#include "client/system.h"

#include <stdbool.h>

#include <qcmp/probe.h>

/** Whether the endpoint's address is IPv4. */
bool qcmp_endpoint_is_ipv4(const struct qcmp_endpoint *endpoint);

/** The socket address of an endpoint: AF_INET6 (IPv4 as v4-mapped) when @p ipv6, otherwise AF_INET,
 * which only an IPv4 endpoint has. @return its size. */
socklen_t qcmp_endpoint_fill(const struct qcmp_endpoint *endpoint, bool ipv6,
                             struct sockaddr_storage *address);

/** The index of a network interface with this name, or 0. */
uint32_t qcmp_interface_index(const char *name);

/** The system's words for an error of its own. */
void qcmp_os_error_text(int os_error, char *text, size_t capacity);

#endif
