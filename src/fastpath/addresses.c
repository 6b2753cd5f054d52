/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath/addresses.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/address.h"
#include "net/netlink.h"

#define FIRST_CAPACITY 16
#define IPV4_POINT_TO_POINT_BITS 31 /* from these on a network has no broadcast address */

/* One interface that is up, with what matters of it. */
struct link {
    unsigned index;
    unsigned below;  /* which a VLAN device is on */
    uint32_t number; /* its tag's, 0 if it is no VLAN device */
    uint32_t rp_filter;
    bool is_loopback;
};

struct links {
    struct link *items;
    size_t count;
    size_t capacity;
    int error;
    uint32_t rp_filter; /* for every link: the greater of this and the link's own is in force */
};

struct collection {
    const struct fastpath_address_filter *filter;
    const struct links *links;
    struct fastpath_addresses *found;
    int error;
};

/* Makes room for one more of @p item_bytes. Returns the items, moved or not; NULL without memory.
 */
static void *reserve(void *items, size_t count, size_t *capacity, size_t item_bytes)
{
    if (count < *capacity)
        return items;
    size_t wanted = *capacity > 0 ? 2 * *capacity : FIRST_CAPACITY;
    void *moved = realloc(items, wanted * item_bytes);
    if (moved != NULL)
        *capacity = wanted;
    return moved;
}

static void take_vlan_data(unsigned type, const void *value, size_t bytes, void *user)
{
    struct link *link = user;
    uint16_t half;
    if (!netlink_value(value, bytes, &half, sizeof half))
        return;
    if (type == IFLA_VLAN_ID)
        link->number |= half & 0x0fffU;
    else if (type == IFLA_VLAN_PROTOCOL && ntohs(half) == ETH_P_8021AD)
        link->number |= FASTPATH_TAG_IS_8021AD;
}

struct kind {
    bool is_vlan;
    struct link *link;
};

/* The kind comes before its data. */
static void take_link_info(unsigned type, const void *value, size_t bytes, void *user)
{
    static const char vlan[] = "vlan";
    struct kind *kind = user;
    if (type == IFLA_INFO_KIND)
        kind->is_vlan = bytes >= sizeof vlan && memcmp(value, vlan, sizeof vlan) == 0;
    else if (type == IFLA_INFO_DATA && kind->is_vlan)
        netlink_attributes(value, bytes, take_vlan_data, kind->link);
}

static void take_link_attribute(unsigned type, const void *value, size_t bytes, void *user)
{
    struct link *link = user;
    struct kind kind = {.link = link};
    if (type == IFLA_LINK)
        netlink_value(value, bytes, &link->below, sizeof link->below);
    else if (type == IFLA_LINKINFO)
        netlink_attributes(value, bytes, take_link_info, &kind);
}

static void take_link(const struct nlmsghdr *message, void *user)
{
    struct links *links = user;
    struct ifinfomsg head;
    if (message->nlmsg_type != RTM_NEWLINK || !netlink_header(message, &head, sizeof head))
        return;
    if ((head.ifi_flags & IFF_UP) == 0)
        return;
    struct link *items =
        reserve(links->items, links->count, &links->capacity, sizeof *links->items);
    if (items == NULL) {
        links->error = -ENOMEM;
        return;
    }
    links->items = items;
    struct link *link = &items[links->count++];
    *link = (struct link){.index = (unsigned)head.ifi_index,
                          .is_loopback = (head.ifi_flags & IFF_LOOPBACK) != 0};
    netlink_message_attributes(message, sizeof head, take_link_attribute, link);
}

static struct link *find_link(const struct links *links, unsigned index)
{
    for (size_t i = 0; i < links->count; i++) {
        if (links->items[i].index == index)
            return &links->items[i];
    }
    return NULL;
}

/* What the kernel checks of sources. */
struct check {
    int32_t interface;
    uint32_t rp_filter;
};

static void take_check_attribute(unsigned type, const void *value, size_t bytes, void *user)
{
    struct check *check = user;
    if (type == NETCONFA_IFINDEX)
        netlink_value(value, bytes, &check->interface, sizeof check->interface);
    else if (type == NETCONFA_RP_FILTER)
        netlink_value(value, bytes, &check->rp_filter, sizeof check->rp_filter);
}

static void take_check(const struct nlmsghdr *message, void *user)
{
    struct links *links = user;
    struct check check = {.interface = 0};
    netlink_message_attributes(message, sizeof(struct netconfmsg), take_check_attribute, &check);
    struct link *link = find_link(links, (unsigned)check.interface);
    if (link != NULL)
        link->rp_filter = check.rp_filter;
    else if (check.interface == NETCONFA_IFINDEX_ALL)
        links->rp_filter = check.rp_filter;
}

/* Whether frames that come in at an interface, or in a VLAN on it, are checked strictly. */
static bool is_strict(const struct links *links, unsigned interface)
{
    bool is_one = false;
    for (size_t i = 0; i < links->count; i++) {
        const struct link *link = &links->items[i];
        bool is_its = link->index == interface || (link->number != 0 && link->below == interface);
        uint32_t greater = link->rp_filter > links->rp_filter ? link->rp_filter : links->rp_filter;
        is_one |= is_its && greater == 1;
    }
    return is_one;
}

/* The tags of frames for an interface that come in at the one with the program. Returns whether it
 * is that one or a VLAN on it. */
static bool find_tags(const struct links *links, const struct link *link, unsigned base,
                      uint32_t *tags)
{
    uint32_t found = 0;
    for (int i = 0; i < FASTPATH_MAX_TAGS && link->index != base && link->number != 0; i++) {
        found = found << FASTPATH_TAG_BITS | link->number;
        link = find_link(links, link->below);
        if (link == NULL)
            return false;
    }
    if (link->index != base)
        return false;
    *tags = found;
    return true;
}

static bool is_listened(const struct fastpath_address_filter *filter,
                        const struct in6_addr *address)
{
    static const struct in_addr any;
    struct in6_addr any_ipv4 = address_from_ipv4(any);
    bool ipv4 = IN6_IS_ADDR_V4MAPPED(address), ipv4_listed = false, any_listed = false;
    for (size_t i = 0; i < filter->listen_count; i++) {
        const struct in6_addr *listen = &filter->listen[i];
        if (memcmp(listen, address, sizeof *address) == 0 ||
            (ipv4 && memcmp(listen, &any_ipv4, sizeof any_ipv4) == 0))
            return true;
        ipv4_listed = ipv4_listed || IN6_IS_ADDR_V4MAPPED(listen);
        any_listed = any_listed || IN6_IS_ADDR_UNSPECIFIED(listen);
    }
    return any_listed && !(ipv4 && ipv4_listed);
}

static void add(struct collection *collection, const struct in6_addr *address, uint32_t tags)
{
    struct fastpath_addresses *found = collection->found;
    struct fastpath_address *items =
        reserve(found->items, found->count, &found->capacity, sizeof *found->items);
    if (items == NULL) {
        collection->error = -ENOMEM;
        return;
    }
    found->items = items;
    struct fastpath_address *item = &items[found->count++];
    memcpy(item->address, address, sizeof item->address);
    item->tags = tags | (IN6_IS_ADDR_V4MAPPED(address) ? 0 : FASTPATH_TAGS_IPV6);
}

/* One address as the kernel lists it; unspecified is what it does not say. */
struct assigned {
    struct in6_addr local;
    struct in6_addr network; /* what the prefix is of: that of the peer where there is one */
    struct in6_addr broadcast;
    uint32_t flags;
};

static void read_address(struct in6_addr *address, const void *value, size_t bytes)
{
    struct in_addr ipv4;
    if (bytes == sizeof ipv4) {
        memcpy(&ipv4, value, sizeof ipv4);
        *address = address_from_ipv4(ipv4);
    } else if (bytes == sizeof *address) {
        memcpy(address, value, sizeof *address);
    }
}

static void take_address_attribute(unsigned type, const void *value, size_t bytes, void *user)
{
    struct assigned *assigned = user;
    if (type == IFA_FLAGS)
        netlink_value(value, bytes, &assigned->flags, sizeof assigned->flags);
    else if (type == IFA_LOCAL)
        read_address(&assigned->local, value, bytes);
    else if (type == IFA_ADDRESS)
        read_address(&assigned->network, value, bytes);
    else if (type == IFA_BROADCAST)
        read_address(&assigned->broadcast, value, bytes);
}

static void add_source(struct collection *collection, const struct in6_addr *address)
{
    if (address_is_unicast(address) && !address_is_loopback(address))
        add(collection, address, FASTPATH_TAGS_NO_SOURCE);
}

static void add_destination(struct collection *collection, const struct assigned *assigned,
                            unsigned interface)
{
    const struct fastpath_address_filter *filter = collection->filter;
    const struct link *link = find_link(collection->links, interface);
    const struct link *base = find_link(collection->links, filter->interface);
    const struct in6_addr *address = &assigned->local;
    uint32_t tags = 0;
    bool is_unready = (assigned->flags & IFA_F_DADFAILED) != 0 ||
                      (assigned->flags & (IFA_F_TENTATIVE | IFA_F_OPTIMISTIC)) == IFA_F_TENTATIVE;
    if (link == NULL || base == NULL || is_unready || !address_is_unicast(address) ||
        !is_listened(filter, address))
        return;
    if (!find_tags(collection->links, link, filter->interface, &tags) &&
        (link->number != 0 || address_is_link_local(address)))
        return;
    if (address_is_loopback(address) && !base->is_loopback)
        return;
    add(collection, address, tags);
}

static void take_address(const struct nlmsghdr *message, void *user)
{
    struct collection *collection = user;
    struct ifaddrmsg head;
    if (message->nlmsg_type != RTM_NEWADDR || !netlink_header(message, &head, sizeof head))
        return;
    struct assigned assigned = {.flags = head.ifa_flags};
    netlink_message_attributes(message, sizeof head, take_address_attribute, &assigned);
    if (IN6_IS_ADDR_UNSPECIFIED(&assigned.local))
        assigned.local = assigned.network;
    add_source(collection, &assigned.local);
    add_source(collection, &assigned.broadcast);
    /* The kernel takes the last address of a network for a broadcast one, too, whatever else it was
     * told. */
    struct in6_addr last = assigned.network;
    if (IN6_IS_ADDR_V4MAPPED(&last) && head.ifa_prefixlen < IPV4_POINT_TO_POINT_BITS) {
        last.s6_addr32[3] |= htonl(UINT32_MAX >> head.ifa_prefixlen);
        add_source(collection, &last);
    }
    add_destination(collection, &assigned, head.ifa_index);
}

static bool is_source(const struct fastpath_address *address)
{
    return (address->tags & FASTPATH_TAGS_NO_SOURCE) != 0;
}

/* Sources come first: so they are in a map before what is answered, and stay where not all fits. */
static int compare(const void *a, const void *b)
{
    const struct fastpath_address *first = a, *second = b;
    if (is_source(first) != is_source(second))
        return is_source(first) ? -1 : 1;
    return memcmp(first, second, sizeof *first);
}

/* Leaves out what is there twice, and what there is no room for. */
static void sort(struct fastpath_addresses *addresses)
{
    size_t kept = 0;
    if (addresses->count == 0)
        return;
    qsort(addresses->items, addresses->count, sizeof *addresses->items, compare);
    for (size_t i = 1; i < addresses->count; i++) {
        if (compare(&addresses->items[kept], &addresses->items[i]) != 0)
            addresses->items[++kept] = addresses->items[i];
    }
    addresses->count = kept + 1 < FASTPATH_MAX_ADDRESSES ? kept + 1 : FASTPATH_MAX_ADDRESSES;
}

void fastpath_addresses_fini(struct fastpath_addresses *addresses)
{
    free(addresses->items);
    *addresses = (struct fastpath_addresses){.items = NULL};
}

int fastpath_addresses_list(struct fastpath_addresses *addresses,
                            const struct fastpath_address_filter *filter)
{
    struct ifinfomsg link_head = {.ifi_family = AF_UNSPEC};
    struct ifaddrmsg address_head = {.ifa_family = AF_UNSPEC};
    const struct netlink_question of_links = {.protocol = NETLINK_ROUTE,
                                              .type = RTM_GETLINK,
                                              .header = &link_head,
                                              .header_bytes = sizeof link_head};
    const struct netlink_question of_addresses = {.protocol = NETLINK_ROUTE,
                                                  .type = RTM_GETADDR,
                                                  .header = &address_head,
                                                  .header_bytes = sizeof address_head};
    struct netconfmsg check_head = {.ncm_family = AF_INET};
    const struct netlink_question of_checks = {.protocol = NETLINK_ROUTE,
                                               .type = RTM_GETNETCONF,
                                               .header = &check_head,
                                               .header_bytes = sizeof check_head};
    struct links links = {.items = NULL};
    struct fastpath_addresses found = {.items = NULL};
    struct collection collection = {.filter = filter, .links = &links, .found = &found};

    int error = netlink_list(&of_links, take_link, &links);
    if (error == 0)
        error = links.error;
    if (error == 0)
        error = netlink_list(&of_checks, take_check, &links);
    if (error == 0)
        error = netlink_list(&of_addresses, take_address, &collection);
    if (error == 0)
        error = collection.error;
    found.is_strict = is_strict(&links, filter->interface);
    free(links.items);
    if (error != 0) {
        fastpath_addresses_fini(&found);
        return error;
    }
    sort(&found);
    *addresses = found;
    return 0;
}

static bool has(const struct fastpath_addresses *addresses, const struct fastpath_address *address)
{
    return addresses->count > 0 &&
           bsearch(address, addresses->items, addresses->count, sizeof *address, compare) != NULL;
}

void fastpath_addresses_forget_last(struct fastpath_settings *settings, uint32_t version)
{
    const uint32_t step = FASTPATH_MAX_INTERFACES;
    version = version > UINT32_MAX - step ? step + version % step : version + step;
    __atomic_store_n(&settings->addresses_version, version, __ATOMIC_SEQ_CST);
}

int fastpath_addresses_store(const struct fastpath_addresses_place *place,
                             const struct fastpath_addresses *before,
                             const struct fastpath_addresses *next)
{
    const uint8_t present = 1;
    struct fastpath_settings *settings = place->settings;
    uint32_t version = settings->addresses_version;
    uint64_t sources = 0;
    int error = 0;

    __atomic_store_n(&settings->sources, UINT64_MAX, __ATOMIC_SEQ_CST);
    __atomic_store_n(&settings->addresses_version, 0, __ATOMIC_SEQ_CST);
    /* What goes makes room for what comes. Sources come first of all, and go last. */
    for (size_t i = before->count; i-- > 0 && error == 0;) {
        if (!has(next, &before->items[i]))
            error = bpf_map_delete_elem(place->map_fd, &before->items[i]);
        if (error == -ENOENT)
            error = 0;
    }
    for (size_t i = 0; i < next->count && error == 0; i++) {
        const struct fastpath_address *item = &next->items[i];
        sources |= is_source(item) ? fastpath_source_bit(item->address) : 0;
        if (!has(before, item))
            error = bpf_map_update_elem(place->map_fd, item, &present, BPF_ANY);
    }
    fastpath_addresses_forget_last(settings, version);
    if (error == 0)
        __atomic_store_n(&settings->sources, sources, __ATOMIC_SEQ_CST);
    return error;
}

int fastpath_addresses_watch(void)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK,
                                  .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR |
                                               RTMGRP_IPV6_IFADDR |
                                               1U << (RTNLGRP_IPV4_NETCONF - 1)};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

bool fastpath_addresses_changed(int fd)
{
    char message[256]; /* what it says does not matter: everything is listed again */
    bool changed = false;
    for (;;) {
        if (recv(fd, message, sizeof message, MSG_TRUNC) >= 0 || errno == ENOBUFS)
            changed = true;
        else if (errno != EINTR)
            return changed;
    }
}
