/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/netlink.h"

#define ATTEMPTS 3

const char *xdp_mode_name(enum xdp_mode mode)
{
    return mode == XDP_MODE_NATIVE ? "native" : "generic";
}

/* The id of the program that holds an interface, and its mode; 0 without one. */
static uint32_t find_holder(unsigned interface, enum xdp_mode *mode)
{
    struct bpf_xdp_query_opts query = {.sz = sizeof query};
    if (bpf_xdp_query((int)interface, 0, &query) != 0)
        return 0;
    *mode = query.skb_prog_id != 0 ? XDP_MODE_GENERIC : XDP_MODE_NATIVE;
    if (query.skb_prog_id != 0)
        return query.skb_prog_id;
    return query.drv_prog_id != 0 ? query.drv_prog_id : query.hw_prog_id;
}

/* Why a driver does not do the native mode, up to what to use instead; NULL if it is not that. */
static const char *driver_reason(int code)
{
    switch (code) {
    case EOPNOTSUPP:
        return "its driver has no XDP: use ";
    case EINVAL:
    case ERANGE:
    case E2BIG:
        return "its driver refuses: often an MTU above a page, or LRO (ethtool -K DEVICE lro off), "
               "or too few queues (dmesg may tell); or use ";
    default:
        return NULL;
    }
}

static const char *reason(int code)
{
    switch (code) {
    case EPERM:
    case EACCES:
        return "not permitted: it needs CAP_NET_ADMIN and CAP_BPF";
    case EOPNOTSUPP:
        return "the kernel has no XDP for it";
    case EINVAL:
    case ERANGE:
    case E2BIG:
        return "the kernel refuses";
    case EBUSY:
    case EEXIST:
        return "it, or a bond or bridge above it, already has an XDP program";
    case ENOMEM:
    case ENOSPC:
        return "the driver lacks memory or queues for it";
    default:
        return strerror(code);
    }
}

/* The program that holds the interface is named, if one is the reason. */
static int fail(const struct xdp_attachment *wanted, int code, const char *name,
                struct error *error)
{
    enum xdp_mode mode = XDP_MODE_NATIVE;
    bool is_held = code == -EBUSY || code == -EEXIST;
    uint32_t holder = is_held ? find_holder(wanted->interface, &mode) : 0;

    if (holder != 0) {
        struct bpf_prog_info info = {0}; /* empty if the kernel does not tell */
        uint32_t bytes = sizeof info;
        int fd = bpf_prog_get_fd_by_id(holder);
        if (fd >= 0) {
            (void)bpf_obj_get_info_by_fd(fd, &info, &bytes);
            close(fd);
        }
        return error_set(error, code,
                         "%s already has XDP program %u '%.*s' (%s mode), which is left alone: end "
                         "the process that holds it, or detach it (ip link set dev %s xdp%s off), "
                         "or use another interface",
                         name, holder, (int)sizeof info.name, info.name, xdp_mode_name(mode), name,
                         mode == XDP_MODE_GENERIC ? "generic" : "");
    }
    const char *driver = wanted->mode == XDP_MODE_NATIVE ? driver_reason(-code) : NULL;
    return error_set(error, code, "cannot attach to %s in %s mode: %s%s", name,
                     xdp_mode_name(wanted->mode), driver != NULL ? driver : reason(-code),
                     driver != NULL ? wanted->instead : "");
}

int xdp_attach(const struct xdp_attachment *wanted, struct error *error)
{
    char name[IF_NAMESIZE];

    if (if_indextoname(wanted->interface, name) == NULL)
        return error_set(error, -ENODEV, "there is no network interface %u", wanted->interface);
    uint32_t flags = wanted->mode == XDP_MODE_NATIVE ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
    struct bpf_link_create_opts options = {.sz = sizeof options, .flags = flags};
    int fd = bpf_link_create(wanted->program_fd, (int)wanted->interface, BPF_XDP, &options);
    return fd >= 0 ? fd : fail(wanted, fd, name, error);
}

struct best_route {
    unsigned interface;
    uint32_t metric;
};

struct route {
    unsigned interface;
    uint32_t metric;
    uint32_t table;
};

static void take_route_attribute(unsigned type, const void *value, size_t bytes, void *user)
{
    struct route *route = user;
    struct rtnexthop hop;
    if (type == RTA_OIF)
        netlink_value(value, bytes, &route->interface, sizeof route->interface);
    else if (type == RTA_PRIORITY)
        netlink_value(value, bytes, &route->metric, sizeof route->metric);
    else if (type == RTA_TABLE)
        netlink_value(value, bytes, &route->table, sizeof route->table);
    else if (type == RTA_MULTIPATH && netlink_value(value, bytes, &hop, sizeof hop))
        route->interface = (unsigned)hop.rtnh_ifindex;
}

static void take_route(const struct nlmsghdr *message, void *user)
{
    struct best_route *best = user;
    struct rtmsg head;
    struct route route = {0};
    if (message->nlmsg_type != RTM_NEWROUTE || !netlink_header(message, &head, sizeof head))
        return;
    route.table = head.rtm_table;
    if (head.rtm_dst_len != 0 || head.rtm_type != RTN_UNICAST)
        return;
    netlink_message_attributes(message, sizeof head, take_route_attribute, &route);
    if (route.table != RT_TABLE_MAIN || route.interface == 0)
        return;
    if (best->interface == 0 || route.metric < best->metric)
        *best = (struct best_route){route.interface, route.metric};
}

static unsigned default_interface(unsigned char family)
{
    struct rtmsg head = {.rtm_family = family};
    struct netlink_question question = {.protocol = NETLINK_ROUTE,
                                        .type = RTM_GETROUTE,
                                        .header = &head,
                                        .header_bytes = sizeof head};
    struct best_route best = {0};
    int error = -EINTR;
    for (int i = 0; i < ATTEMPTS && error == -EINTR; i++) {
        best = (struct best_route){0};
        error = netlink_list(&question, take_route, &best);
    }
    return error == 0 || error == -EINTR ? best.interface : 0;
}

unsigned xdp_default_interface(void)
{
    unsigned interface = default_interface(AF_INET);
    return interface != 0 ? interface : default_interface(AF_INET6);
}
