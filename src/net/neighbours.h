/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The neighbours that the kernel asks for and that do not answer: hosts of a subnet of this host
 * that are not there. Datagrams to them wait in the kernel for seconds, and are charged to the send
 * buffer of their socket meanwhile.
 */
#ifndef PADDOCK_NET_NEIGHBOURS_H
#define PADDOCK_NET_NEIGHBOURS_H

#include <netinet/in.h>
#include <stdbool.h>

/** What was known at the last look. One thread looks, any number of others read at the same time.
 */
struct neighbours;

/** @return none missing yet; NULL without memory or random numbers. */
struct neighbours *neighbours_new(void);

/** NULL is fine. */
void neighbours_free(struct neighbours *neighbours);

/** Asks the kernel, which blocks for about a microsecond for each neighbour that there is.
 * @return the number that is missing, or a negative errno value: then, what was known stays. */
int neighbours_look(struct neighbours *neighbours);

/** Whether a host was missing at the last look. From any thread. It may be mistaken about another
 * host once in #NEIGHBOURS_BITS divided by the number that is missing; strangers cannot choose
 * about which. */
bool neighbours_is_missing(const struct neighbours *neighbours, const struct in6_addr *address);

#define NEIGHBOURS_BITS 65536

#endif
