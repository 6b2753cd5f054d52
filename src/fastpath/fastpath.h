/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A fast path in front of the sockets: an XDP program on one network interface or several. It
 * parses frames and hands UDP datagrams to the part of the service that claims their port, which
 * answers them in the driver. The sockets get all other frames as if there were no program, so they
 * stay bound, and the fast path may end at any time without loss.
 *
 * One thread uses a fast path, but for the functions that say otherwise. Without BPF in the build,
 * fastpath_open() says so and fails, and no other function does anything.
 */
#ifndef PADDOCK_FASTPATH_FASTPATH_H
#define PADDOCK_FASTPATH_FASTPATH_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "fastpath/attach.h"
#include "fastpath/parts.h"
#include "fastpath/routes.h"
#include "fastpath/shared.h"
#include "net/address.h"

struct fastpath;

/** How to open a fast path. */
struct fastpath_options {
    /** Names, with commas between them; empty: the interface of the default route. */
    const char *interfaces;
    enum xdp_mode mode;
    bool automatic; /**< only on a hardware interface, and only as long as that loses no frames */
    const struct in6_addr *listen; /**< the addresses that the sockets are bound to; copied */
    size_t listen_count;           /**< at most NET_MAX_ADDRESSES */
};

/** What fastpath_tick() has noticed. */
enum fastpath_event {
    FASTPATH_NOTHING,
    FASTPATH_LOSING, /**< an interface loses frames that were sent; said once, and it goes on */
    FASTPATH_GONE,   /**< an interface is gone, or somebody took the program off */
    FASTPATH_LOSSES, /**< an interface lost frames; when automatic, in place of #FASTPATH_LOSING */
    FASTPATH_FAILED  /**< the addresses of the host could not be followed */
};

/**
 * Loads the program and attaches it. All frames go to the sockets until a part is set and claims a
 * port. Needs CAP_BPF, CAP_PERFMON (without it the kernel restricts how a program computes with
 * pointers to a frame) and CAP_NET_ADMIN; of the other functions of this header only
 * fastpath_watch_departures() needs a privilege.
 *
 * @param[out] fastpath allocated; untouched on failure. Closed with fastpath_close().
 * @param[out] error    set on failure.
 * @return 0 or a negative errno value; -EOPNOTSUPP alone says that the other mode may work.
 */
int fastpath_open(struct fastpath **fastpath, const struct fastpath_options *options,
                  struct error *error);

/** Whether nobody insists on it: what it cannot do then the sockets do alone. */
bool fastpath_is_automatic(const struct fastpath *fastpath);

/** The names of the interfaces, with commas between them; lives as long as @p fastpath. From any
 * thread. */
const char *fastpath_interfaces(const struct fastpath *fastpath);

/** The interfaces, as they were when they were looked at last. @return how many there are; each
 * has its number in @p doors for ever. */
unsigned fastpath_doors(const struct fastpath *fastpath,
                        struct fastpath_door doors[FASTPATH_MAX_INTERFACES]);

/** What is told when frames may leave by another way than before, or have become too long for
 * theirs, and about once an hour. */
struct fastpath_departures {
    int program_fd;   /**< a socket filter; borrowed during the call, as the next one */
    int narrowing_fd; /**< another one; see fastpath/narrowing.h */
    void (*rerouted)(const struct fastpath_reroute *reroute, void *user); /**< by fastpath_tick() */
    void *user;
};

/**
 * Shows a program the frames that the interfaces send for sockets of this host, and so where the
 * kernel sends them; see fastpath/tap.h; and another one what routers say of them. Needs
 * CAP_NET_RAW besides. Ends with the fast path; to be called once. After a failure nothing is told.
 * @return 0 or a negative errno value, also in @p error.
 */
int fastpath_watch_departures(struct fastpath *fastpath,
                              const struct fastpath_departures *departures, struct error *error);

/** The descriptor of the map by which the program hands datagrams to its parts: a part that is
 * loaded reuses it as its map `cpus` (see part.bpf.h). Lives as long as @p fastpath. */
int fastpath_cpus_fd(const struct fastpath *fastpath);

/** This process's monotonic clock minus the kernel's, which programs read. From any thread. */
int64_t fastpath_monotonic_offset_ns(const struct fastpath *fastpath);

/**
 * Sets the program of a part, in place of an earlier one.
 * @param program_fd an XDP program, which the kernel keeps; -1 takes the part off, which cannot
 * fail: the ports that the part claims go to the sockets. With the last part the fast path is
 * detached.
 * @return 0 or a negative errno value.
 */
int fastpath_part_set(struct fastpath *fastpath, enum fastpath_part part, int program_fd);

/** Lets a part claim a UDP port from now on. From any thread. */
void fastpath_port_add(struct fastpath *fastpath, uint16_t port, enum fastpath_part part);

/** Leaves a UDP port to the sockets from now on. From any thread. */
void fastpath_port_remove(struct fastpath *fastpath, uint16_t port);

/** A descriptor that is readable when fastpath_tick() should be called before its time. */
int fastpath_poll_fd(const struct fastpath *fastpath);

/**
 * Follows clock, addresses and interface; to be called about once a second, and when
 * fastpath_poll_fd() says so. Does not block.
 * @return #FASTPATH_NOTHING, also once it is detached; #FASTPATH_LOSING; or, once, the reason for
 * which the program was taken off for good.
 */
enum fastpath_event fastpath_tick(struct fastpath *fastpath);

/** Whether the program is on the interfaces. From any thread. */
bool fastpath_is_attached(const struct fastpath *fastpath);

/** Frames that the interfaces lost since fastpath_open() after a part had sent them, as far as
 * their drivers count them, or did not take from each other, at the time of the last
 * fastpath_tick(). From any thread. */
uint64_t fastpath_transmit_errors(const struct fastpath *fastpath);

/** Takes the program off; once it returns, no part runs, and the counts of all parts are final. The
 * sockets go on. */
void fastpath_detach(struct fastpath *fastpath);

/** Detaches and frees. The services close their parts before. NULL is fine. */
void fastpath_close(struct fastpath *fastpath);

#endif
