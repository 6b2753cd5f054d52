/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The addresses of this host that an interface's XDP program may answer for, from netlink.
 */
#ifndef PADDOCK_FASTPATH_ADDRESSES_H
#define PADDOCK_FASTPATH_ADDRESSES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fastpath/shared.h"

/** Which of the host's addresses are wanted. */
struct fastpath_address_filter {
    unsigned interface;            /**< that has the program */
    const struct in6_addr *listen; /**< the addresses that the sockets are bound to */
    size_t listen_count;
};

/** A list of addresses, sorted, no two alike; those with FASTPATH_TAGS_NO_SOURCE first. Zeroed it
 * is empty. */
struct fastpath_addresses {
    struct fastpath_address *items; /**< from malloc() */
    size_t count;
    size_t capacity;
    bool is_strict; /**< #FASTPATH_IS_STRICT of the interface */
};

/** Frees the items; the list is empty then. */
void fastpath_addresses_fini(struct fastpath_addresses *addresses);

/**
 * Lists the addresses at which the service listens, and which the kernel would take from a frame
 * that comes in at the interface: those of its own and of the VLANs on it, and, for frames without
 * a tag, those of other interfaces, but for link-local and loopback ones.
 *
 * With FASTPATH_TAGS_NO_SOURCE it lists all addresses of this host, wherever it listens and whether
 * or not they are up and ready, and all broadcast addresses of its networks; but for those that the
 * program takes from nobody by itself: loopback and what is not unicast. Of more than
 * #FASTPATH_MAX_ADDRESSES some of the others are left out.
 *
 * @param[out] addresses empty before; untouched on failure.
 * @return 0 or a negative errno value; -EINTR: they changed meanwhile; ask again.
 */
int fastpath_addresses_list(struct fastpath_addresses *addresses,
                            const struct fastpath_address_filter *filter);

/** Where the program looks for addresses, at any time. */
struct fastpath_addresses_place {
    int map_fd;
    struct fastpath_settings *settings; /**< `sources` and `addresses_version` go with the map */
};

/** Makes a place hold exactly @p next, which was made to hold exactly @p before. The program misses
 * nothing meanwhile that is in both, and no source once it answers at an address that is new.
 * @return 0 or a negative errno value: the map is between the two then, and the program asks it
 * about every source. */
int fastpath_addresses_store(const struct fastpath_addresses_place *place,
                             const struct fastpath_addresses *before,
                             const struct fastpath_addresses *next);

/** Makes every CPU ask the map again about the address that it found last.
 * @param version that was in force; the next one is then. */
void fastpath_addresses_forget_last(struct fastpath_settings *settings, uint32_t version);

/** @return a descriptor that becomes readable when interfaces or addresses of the host change, or
 * what is checked of sources; or a negative errno value. */
int fastpath_addresses_watch(void);

/** Takes what a descriptor of fastpath_addresses_watch() has to tell. @return whether anything
 * changed.
 */
bool fastpath_addresses_changed(int fd);

#endif
