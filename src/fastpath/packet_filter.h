/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Whether this host filters packets, which XDP programs answer before any filter sees them.
 */
#ifndef PADDOCK_FASTPATH_PACKET_FILTER_H
#define PADDOCK_FASTPATH_PACKET_FILTER_H

#include <stdbool.h>

/**
 * Whether nftables (or iptables over it) has filter chains for what comes in that hold rules or
 * drop by default, or the old iptables has a filter table. Needs CAP_NET_ADMIN; what cannot be
 * asked for counts as none.
 */
bool packet_filter_exists(void);

#endif
