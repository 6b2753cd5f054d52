/* Of a build without BPF: opening fails, so nothing else is ever called with something. */
#include "fastpath/xdp.h"

#include <errno.h>
#include <stdio.h>

#include "fastpath/packet_filter.h"

int xdp_open(struct xdp **xdp, const struct xdp_options *options, char *error, size_t capacity)
{
    (void)xdp;
    (void)options;
    snprintf(error, capacity, "this build of paddock has no XDP");
    return -ENOSYS;
}

const char *xdp_mode_name(enum xdp_mode mode)
{
    return mode == XDP_MODE_NATIVE ? "native" : "generic";
}

bool xdp_packet_filter_exists(void)
{
    return false;
}

const char *xdp_interface(const struct xdp *xdp)
{
    (void)xdp;
    return "";
}

struct guard_set *xdp_guard_table(const struct xdp *xdp)
{
    (void)xdp;
    return NULL;
}

int xdp_prepare_rules(struct xdp *xdp, const struct xdp_rules_options *options)
{
    (void)xdp;
    (void)options;
    return -EOPNOTSUPP;
}

int xdp_replace_rules(struct xdp *xdp)
{
    (void)xdp;
    return -EOPNOTSUPP;
}

void xdp_port_add(struct xdp *xdp, uint16_t port)
{
    (void)xdp;
    (void)port;
}

void xdp_port_remove(struct xdp *xdp, uint16_t port)
{
    (void)xdp;
    (void)port;
}

int xdp_poll_fd(const struct xdp *xdp)
{
    (void)xdp;
    return -1;
}

enum xdp_event xdp_tick(struct xdp *xdp)
{
    (void)xdp;
    return XDP_NOTHING;
}

bool xdp_is_attached(const struct xdp *xdp)
{
    (void)xdp;
    return false;
}

void xdp_count(const struct xdp *xdp, struct counters_sum *sum, uint64_t *answered)
{
    (void)xdp;
    (void)sum;
    (void)answered;
}

uint64_t xdp_transmit_errors(const struct xdp *xdp)
{
    (void)xdp;
    return 0;
}

void xdp_detach(struct xdp *xdp)
{
    (void)xdp;
}

void xdp_close(struct xdp *xdp)
{
    (void)xdp;
}
