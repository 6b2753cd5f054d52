/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The parts that services have in the fast path: each is an XDP program of its own, and a slot that
 * the program on the interface jumps to. A new part is a line here.
 */
#ifndef PADDOCK_FASTPATH_PARTS_H
#define PADDOCK_FASTPATH_PARTS_H

/** Who claims a UDP port. */
enum fastpath_part {
    FASTPATH_NOBODY, /**< the sockets alone */
    FASTPATH_QCMP,
    FASTPATH_PROXY,
    FASTPATH_PARTS
};

#endif
