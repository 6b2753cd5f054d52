/** @file
 * A fast path in front of an engine's sockets: an XDP program on one network interface, which
 * answers QCMP pings in the driver. What it does not answer, the sockets get as if it were not
 * there, so they stay bound, and it may end at any time without loss.
 *
 * It is used by one thread, save what says otherwise. Without BPF in the build, xdp_open() says so.
 */
#ifndef PADDOCK_FASTPATH_XDP_H
#define PADDOCK_FASTPATH_XDP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fastpath/attach.h"
#include "fastpath/rules.h"
#include "metrics/counters.h"
#include "net/address.h"

struct xdp;

/** How to open it. */
struct xdp_options {
    const char *interface; /**< name; empty: that of the default route */
    enum xdp_mode mode;
    bool automatic; /**< only on a hardware interface, and only as long as that does not lose
                       answers */
    const struct in6_addr *listen; /**< where the sockets listen, as in struct engine_options;
                                      copied */
    size_t listen_count;           /**< at most NET_MAX_ADDRESSES */
};

/** What xdp_tick() has noticed. */
enum xdp_event {
    XDP_NOTHING,
    XDP_LOSING, /**< the interface loses answers; it goes on, and says it once */
    XDP_GONE,   /**< the interface, or somebody took the program off */
    XDP_LOSSES, /**< the interface lost answers; when automatic, instead of #XDP_LOSING */
    XDP_FAILED, /**< the addresses of the host could not be followed */
    XDP_UNRULED /**< xdp_replace_rules() has failed */
};

/**
 * Loads the program and attaches it. It answers nothing before xdp_port_add(). Needs CAP_BPF,
 * CAP_PERFMON (for the kernel lets no other program compute with pointers to a frame as freely) and
 * CAP_NET_ADMIN, which all other calls do without.
 *
 * @param[out] xdp   allocated; untouched on failure. Closed with xdp_close().
 * @param[out] error set on failure: as in fastpath/attach.h.
 * @param capacity   bytes at @p error, at least 1.
 * @return 0 or a negative errno value; -EOPNOTSUPP alone says that another mode may be had.
 */
int xdp_open(struct xdp **xdp, const struct xdp_options *options, char *error, size_t capacity);

/** The name of the interface; lives as long as @p xdp. From any thread. */
const char *xdp_interface(const struct xdp *xdp);

/** The memory of the guard's table by which the program decides, for the sockets to share; all of
 * it resident, and zeroed at first. It lives as long as @p xdp; the words of it may be used by any
 * thread. */
struct guard_set *xdp_guard_table(const struct xdp *xdp);

/** Makes rules ready: as xdp_rules_prepare(). The limits are for xdp_guard_table(). Everybody is
 * answered before the first ones. */
int xdp_prepare_rules(struct xdp *xdp, const struct xdp_rules_options *options);

/** Decides by what xdp_prepare_rules() has made ready last: as xdp_rules_apply(). Where that fails,
 * the program is taken off, so that nothing is answered by the rules before; xdp_tick() tells.
 * @return 0 or a negative errno value. */
int xdp_replace_rules(struct xdp *xdp);

/** Answers on a UDP port from now on. */
void xdp_port_add(struct xdp *xdp, uint16_t port);

/** Leaves a UDP port to the sockets from now on. */
void xdp_port_remove(struct xdp *xdp, uint16_t port);

/** A descriptor that is readable when xdp_tick() should be called before its time. */
int xdp_poll_fd(const struct xdp *xdp);

/**
 * Follows clock, addresses and interface; to be called about once a second, and when
 * xdp_poll_fd() says so. Does not block.
 * @return #XDP_NOTHING, also after it has left; #XDP_LOSING; or what has made it leave everything
 * to the sockets, for good, once.
 */
enum xdp_event xdp_tick(struct xdp *xdp);

/** Whether the program is on the interface. From any thread. */
bool xdp_is_attached(const struct xdp *xdp);

/** Adds what the program has counted to a sum, and its answers to @p answered. From any thread. */
void xdp_count(const struct xdp *xdp, struct counters_sum *sum, uint64_t *answered);

/** Answers that the interface lost since xdp_open(), as far as its driver counts them, as of the
 * last xdp_tick(). From any thread. */
uint64_t xdp_transmit_errors(const struct xdp *xdp);

/** Takes the program off; once it returns, nothing is answered, and the counts are final. The
 * sockets go on. */
void xdp_detach(struct xdp *xdp);

/** Detaches and frees. NULL is fine. */
void xdp_close(struct xdp *xdp);

#endif
