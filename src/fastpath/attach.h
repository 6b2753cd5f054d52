/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Attaching an XDP program to an interface, and the reasons why that may not work. An
 * attachment is a bpf_link, which lives as long as its descriptor: it goes with the process,
 * however that ends. A program of somebody else is never replaced.
 */
#ifndef PADDOCK_FASTPATH_ATTACH_H
#define PADDOCK_FASTPATH_ATTACH_H

#include "base/error.h"

/** Where in the kernel a program runs. */
enum xdp_mode {
    XDP_MODE_NATIVE, /**< in the driver, before there is a packet of the kernel's */
    XDP_MODE_GENERIC /**< behind the driver, with every driver; slower */
};

/** "native" or "generic"; static storage. */
const char *xdp_mode_name(enum xdp_mode mode);

/** What is wanted. */
struct xdp_attachment {
    int program_fd;     /**< an XDP program; borrowed */
    unsigned interface; /**< index of the network interface */
    enum xdp_mode mode;
    const char *instead; /**< what the user has instead of the native mode, for the error where the
                            driver does not do it; borrowed */
};

/**
 * Attaches a loaded program. Needs CAP_NET_ADMIN and CAP_BPF.
 *
 * @param wanted borrowed during the call.
 * @param[out] error set on failure: what is in the way, and what to do; a program that holds the
 * interface is named with its id.
 * @return the descriptor of the attachment, which ends when it is closed; or a negative errno
 * value.
 */
int xdp_attach(const struct xdp_attachment *wanted, struct error *error);

/**
 * Finds the interface of the default route of the main table: the IPv4 one with the lowest metric,
 * or the IPv6 one where there is none of IPv4.
 *
 * @return the index of the interface, 0 if there is no such route or it cannot be asked for.
 */
unsigned xdp_default_interface(void);

#endif
