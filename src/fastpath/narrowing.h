/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What routers say of packets that are too long for the rest of their path: "fragmentation needed"
 * of ICMP, "packet too big" of ICMPv6. The kernel goes by it for what sockets send.
 */
#ifndef PADDOCK_FASTPATH_NARROWING_H
#define PADDOCK_FASTPATH_NARROWING_H

#include <netinet/in.h>
#include <stdbool.h>

/** Opens a socket for what is said to this host. Needs CAP_NET_RAW.
 * @param family     AF_INET or AF_INET6.
 * @param program_fd a socket filter, which is shown all messages before the kernel goes by them,
 * those of ICMP behind their IP header; it is to keep no others. Borrowed during the call.
 * @return a descriptor, which is readable when there is something; or a negative errno value. */
int fastpath_narrowing_open(int family, int program_fd);

/** Takes what was said of one packet.
 * @param[out] peer to whom it was sent; IPv4 as v4-mapped. Untouched when there is nothing.
 * @return whether there was something. */
bool fastpath_narrowing_read(int fd, struct in6_addr *peer);

#endif
