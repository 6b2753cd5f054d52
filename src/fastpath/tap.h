/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What leaves this host by an interface, shown to a program.
 */
#ifndef PADDOCK_FASTPATH_TAP_H
#define PADDOCK_FASTPATH_TAP_H

/** Has a socket filter run over each frame that an interface sends for this host's sockets, or
 * receives: with the tag in it or beside it, and before the interface cuts what it shall cut. It
 * keeps none of them, but what the filter says. Needs CAP_NET_RAW.
 * @return a descriptor with which it ends, or a negative errno value. */
int fastpath_tap_open(unsigned interface, int program_fd);

#endif
