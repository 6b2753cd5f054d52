/** @file
 * The addresses of this host that an interface's XDP program may answer for, from netlink.
 */
#ifndef PADDOCK_ENGINE_XDP_ADDRESSES_H
#define PADDOCK_ENGINE_XDP_ADDRESSES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/xdp/shared.h"

/** Which of the host's addresses are wanted. */
struct xdp_address_filter {
    unsigned interface;            /**< that has the program */
    const struct in6_addr *listen; /**< as in struct engine_options */
    size_t listen_count;
};

/** A list of addresses, sorted, no two alike. Zeroed it is empty. */
struct xdp_addresses {
    struct xdp_address *items; /**< from malloc() */
    size_t count;
    size_t capacity;
};

/** Frees the items; the list is empty then. */
void xdp_addresses_fini(struct xdp_addresses *addresses);

/**
 * Lists the addresses at which the service listens, and which the kernel would take from a frame
 * that comes in at the interface: those of its own and of the VLANs on it, and, for frames without
 * a tag, those of other interfaces, but for link-local and loopback ones. At most
 * #XDP_MAX_ADDRESSES, whichever.
 *
 * @param[out] addresses empty before; untouched on failure.
 * @return 0 or a negative errno value; -EINTR: they changed meanwhile; ask again.
 */
int xdp_addresses_list(struct xdp_addresses *addresses, const struct xdp_address_filter *filter);

/** Makes a map of addresses hold exactly @p next, which was made to hold exactly @p before.
 * @return 0 or a negative errno value; what the map holds is between the two then. */
int xdp_addresses_store(int map_fd, const struct xdp_addresses *before,
                        const struct xdp_addresses *next);

/** @return a descriptor that becomes readable when interfaces or addresses of the host change; or a
 * negative errno value. */
int xdp_addresses_watch(void);

/** Takes what a descriptor of xdp_addresses_watch() has to tell. @return whether anything changed.
 */
bool xdp_addresses_changed(int fd);

#endif
