/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Whether an address is this host's own.
 */
#ifndef PADDOCK_LOAD_OWN_ADDRESS_H
#define PADDOCK_LOAD_OWN_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/** Whether packets to this address stay on this host: it is a loopback address, or one that an
 * interface of the network namespace has. A link-local address has to name that interface. False
 * when the interfaces cannot be listed. */
bool own_address_is(const struct sockaddr *address);

#endif
