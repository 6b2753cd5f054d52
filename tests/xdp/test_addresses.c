/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses are answered at, in a network namespace of its own; VLAN devices from made
 * answers of the kernel, since not every kernel has them. */
#include "fastpath/addresses.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/netlink.h"
#include "support/cmocka.h"
#include "xdp/netns.h"

#define BASE 10
#define TOO_MANY 20000U /* with as many sources: more than there is room for */
#define ANSWER_BYTES (2U << 20)
#define ANY IN6ADDR_ANY_INIT

/* Answers of the kernel that are made here, while there are any. */
static struct answer {
    alignas(NLMSG_ALIGNTO) char bytes[ANSWER_BYTES];
    size_t length;
} links, made_addresses, checks;
static bool is_made;

int __real_netlink_list(const struct netlink_question *question, netlink_each_fn *each, void *user);
int __wrap_netlink_list(const struct netlink_question *question, netlink_each_fn *each, void *user);

int __wrap_netlink_list(const struct netlink_question *question, netlink_each_fn *each, void *user)
{
    if (!is_made)
        return __real_netlink_list(question, each, user);
    const bool is_of_links = question->type == RTM_GETLINK;
    const struct answer *answer = is_of_links                        ? &links
                                  : question->type == RTM_GETNETCONF ? &checks
                                                                     : &made_addresses;
    const char *at = answer->bytes, *end = at + answer->length;
    while (at < end) {
        const struct nlmsghdr *message = (const void *)at;
        each(message, user);
        at += NLMSG_ALIGN(message->nlmsg_len);
    }
    return 0;
}

static char *append(char *at, uint16_t type, const void *value, size_t bytes)
{
    struct nlattr head = {.nla_len = (uint16_t)(sizeof head + bytes), .nla_type = type};
    memcpy(at, &head, sizeof head);
    memcpy(at + sizeof head, value, bytes);
    return at + (sizeof head + bytes + 3) / 4 * 4;
}

/* Ends a message that began at @p start. */
static size_t finish(char *start, const char *end, uint16_t type)
{
    struct nlmsghdr head = {.nlmsg_len = (uint32_t)(end - start), .nlmsg_type = type};
    memcpy(start, &head, sizeof head);
    return (size_t)(end - start);
}

/* A device; a VLAN one when it has an id. */
static void make_link(unsigned index, unsigned below, uint16_t id, uint16_t protocol)
{
    char *start = links.bytes + links.length, data[64] = {0}, info[128] = {0};
    struct ifinfomsg head = {.ifi_index = (int)index, .ifi_flags = IFF_UP};
    uint16_t network_protocol = htons(protocol);
    char *at = start + sizeof(struct nlmsghdr);
    memcpy(at, &head, sizeof head);
    at += sizeof head;
    if (id != 0) {
        char *data_end = append(data, IFLA_VLAN_ID, &id, sizeof id);
        data_end = append(data_end, IFLA_VLAN_PROTOCOL, &network_protocol, sizeof network_protocol);
        char *info_end = append(info, IFLA_INFO_KIND, "vlan", sizeof "vlan");
        info_end = append(info_end, IFLA_INFO_DATA, data, (size_t)(data_end - data));
        at = append(at, IFLA_LINK, &below, sizeof below);
        at = append(at, IFLA_LINKINFO, info, (size_t)(info_end - info));
    }
    links.length += finish(start, at, RTM_NEWLINK);
}

/* What a device checks of sources. */
static void make_check(int index, uint32_t rp_filter)
{
    char *start = checks.bytes + checks.length;
    char *at = start + sizeof(struct nlmsghdr) + NLMSG_ALIGN(sizeof(struct netconfmsg));
    at = append(at, NETCONFA_IFINDEX, &index, sizeof index);
    at = append(at, NETCONFA_RP_FILTER, &rp_filter, sizeof rp_filter);
    checks.length += finish(start, at, RTM_NEWNETCONF);
}

static struct in6_addr parse(const char *text)
{
    struct in6_addr address = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
    if (inet_pton(AF_INET, text, address.s6_addr + 12) != 1)
        assert_int_equal(inet_pton(AF_INET6, text, &address), 1);
    return address;
}

static char *append_address(char *at, uint16_t type, const char *text)
{
    if (text == NULL)
        return at;
    struct in6_addr address = parse(text);
    bool ipv4 = IN6_IS_ADDR_V4MAPPED(&address);
    return append(at, type, address.s6_addr + (ipv4 ? 12 : 0), ipv4 ? 4 : 16);
}

/* What the kernel says of an address; NULL is what it does not say. */
struct made {
    const char *local, *network, *broadcast;
    uint8_t prefix_bits;
    uint8_t flags;
};

static void make_assigned(unsigned index, const struct made *made)
{
    char *start = made_addresses.bytes + made_addresses.length;
    struct ifaddrmsg head = {
        .ifa_index = index, .ifa_prefixlen = made->prefix_bits, .ifa_flags = made->flags};
    char *at = start + sizeof(struct nlmsghdr);
    memcpy(at, &head, sizeof head);
    at = append_address(at + sizeof head, IFA_ADDRESS, made->network);
    at = append_address(at, IFA_LOCAL, made->local);
    at = append_address(at, IFA_BROADCAST, made->broadcast);
    made_addresses.length += finish(start, at, RTM_NEWADDR);
    assert_true(made_addresses.length < ANSWER_BYTES - 256);
}

/* One of a network of its own. */
static void make_address(unsigned index, const char *text, uint8_t flags)
{
    bool ipv4 = strchr(text, ':') == NULL;
    struct made made = {.local = ipv4 ? text : NULL,
                        .network = text,
                        .prefix_bits = ipv4 ? 32 : 128,
                        .flags = flags};
    make_assigned(index, &made);
}

static int make_nothing(void **state)
{
    (void)state;
    links.length = made_addresses.length = checks.length = 0;
    is_made = true;
    return 0;
}

static int ask_the_kernel(void **state)
{
    (void)state;
    is_made = false;
    return 0;
}

static struct fastpath_addresses list(unsigned interface, const struct in6_addr *listen,
                                      size_t count)
{
    struct fastpath_address_filter filter = {
        .interface = interface, .listen = listen, .listen_count = count};
    struct fastpath_addresses found = {.items = NULL};
    assert_int_equal(fastpath_addresses_list(&found, &filter), 0);
    return found;
}

static struct fastpath_addresses list_all(unsigned interface)
{
    static const struct in6_addr any = ANY;
    return list(interface, &any, 1);
}

static bool has(const struct fastpath_addresses *addresses, const char *text, uint32_t tags)
{
    struct in6_addr address = parse(text);
    bool found = false;
    tags |= IN6_IS_ADDR_V4MAPPED(&address) ? 0 : FASTPATH_TAGS_IPV6;
    for (size_t i = 0; i < addresses->count; i++)
        found = found || (addresses->items[i].tags == tags &&
                          memcmp(addresses->items[i].address, &address, sizeof address) == 0);
    return found;
}

static bool is_source(const struct fastpath_addresses *addresses, const char *text)
{
    return has(addresses, text, FASTPATH_TAGS_NO_SOURCE);
}

static size_t count_sources(const struct fastpath_addresses *addresses)
{
    size_t count = 0;
    for (size_t i = 0; i < addresses->count; i++)
        count += (addresses->items[i].tags & FASTPATH_TAGS_NO_SOURCE) != 0;
    return count;
}

static size_t count_answered(const struct fastpath_addresses *addresses)
{
    return addresses->count - count_sources(addresses);
}

static void an_address_of_a_vlan_is_known_under_its_tags_alone(void **state)
{
    (void)state;
    make_link(BASE, 0, 0, 0);
    make_link(11, BASE, 5, 0x8100);
    make_link(12, BASE, 6, 0x88a8);
    make_link(13, 12, 4095, 0x8100);
    make_address(BASE, "10.0.0.1", 0);
    make_address(11, "10.0.5.1", 0);
    make_address(12, "fd00::6", 0);
    make_address(13, "10.0.7.1", 0);
    make_address(11, "fe80::1", 0);
    make_address(BASE, "fe80::1", 0);
    struct fastpath_addresses found = list_all(BASE);
    assert_int_equal(count_answered(&found), 6);
    assert_true(has(&found, "10.0.0.1", 0));
    assert_true(has(&found, "10.0.5.1", 5));
    assert_true(has(&found, "fd00::6", 6 | FASTPATH_TAG_IS_8021AD));
    assert_true(has(&found, "10.0.7.1", (6 | FASTPATH_TAG_IS_8021AD) | 4095U << FASTPATH_TAG_BITS));
    assert_true(has(&found, "fe80::1", 0));
    assert_true(has(&found, "fe80::1", 5));
    fastpath_addresses_fini(&found);
}

static void addresses_of_vlans_elsewhere_or_too_deep_are_unknown(void **state)
{
    (void)state;
    make_link(BASE, 0, 0, 0);
    make_link(20, 0, 0, 0);
    make_link(21, 20, 5, 0x8100);
    make_link(22, 99, 5, 0x8100);
    make_link(23, BASE, 1, 0x8100);
    make_link(24, 23, 2, 0x8100);
    make_link(25, 24, 3, 0x8100);
    make_link(26, 26, 3, 0x8100);
    for (unsigned index = 21; index <= 26; index++) {
        char text[16];
        snprintf(text, sizeof text, "10.0.0.%u", index);
        if (index != 23 && index != 24)
            make_address(index, text, 0);
    }
    struct fastpath_addresses found = list_all(BASE);
    assert_int_equal(count_answered(&found), 0);
    fastpath_addresses_fini(&found);
}

static void of_another_interface_only_what_is_routed_is_known(void **state)
{
    (void)state;
    make_link(BASE, 0, 0, 0);
    make_link(20, 0, 0, 0);
    make_address(20, "192.0.2.1", 0);
    make_address(20, "fe80::2", 0);
    make_address(20, "127.0.0.9", 0);
    make_address(20, "::1", 0);
    make_address(20, "224.0.0.1", 0);
    make_address(30, "192.0.2.3", 0); /* a device that is down has it */
    struct fastpath_addresses found = list_all(BASE);
    assert_int_equal(count_answered(&found), 1);
    assert_true(has(&found, "192.0.2.1", 0));
    fastpath_addresses_fini(&found);
}

static void sources_are_checked_as_the_greater_setting_says(void **state)
{
    static const struct {
        uint32_t of_all, of_base, of_vlan, of_other;
        bool is_strict;
    } cases[] = {
        {0, 0, 0, 0, false}, {1, 0, 0, 0, true},  {0, 1, 0, 0, true},  {0, 0, 1, 0, true},
        {0, 0, 0, 1, false}, {1, 2, 2, 2, false}, {2, 1, 1, 1, false}, {1, 2, 0, 2, true},
    };
    (void)state;
    make_link(BASE, 0, 0, 0);
    make_link(11, BASE, 5, 0x8100);
    make_link(20, 0, 0, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        checks.length = 0;
        make_check(BASE, cases[i].of_base);
        make_check(11, cases[i].of_vlan);
        make_check(20, cases[i].of_other);
        make_check(NETCONFA_IFINDEX_ALL, cases[i].of_all);
        make_check(NETCONFA_IFINDEX_DEFAULT, 1);
        struct fastpath_addresses found = list_all(BASE);
        assert_int_equal(found.is_strict, cases[i].is_strict);
        fastpath_addresses_fini(&found);
    }
}

static void set_check(const char *device, char value)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/sys/net/ipv4/conf/%s/rp_filter", device);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, &value, 1), 1);
    close(fd);
}

static void a_change_of_what_is_checked_is_told(void **state)
{
    (void)state;
    if (access("/proc/sys/net/ipv4/conf/all/rp_filter", W_OK) != 0)
        skip();
    set_check("all", '0');
    set_check("lo", '0');
    int fd = fastpath_addresses_watch();
    assert_true(fd >= 0);
    for (unsigned i = 0; i < 4; i++) {
        set_check(i < 2 ? "all" : "lo", i % 2 == 0 ? '1' : '0');
        assert_true(fastpath_addresses_changed(fd));
        struct fastpath_addresses found = list_all(if_nametoindex("lo"));
        assert_int_equal(found.is_strict, i % 2 == 0);
        fastpath_addresses_fini(&found);
    }
    close(fd);
}

static void an_address_that_is_not_ready_is_unknown(void **state)
{
    (void)state;
    make_link(BASE, 0, 0, 0);
    make_address(BASE, "fd00::1", IFA_F_TENTATIVE);
    make_address(BASE, "fd00::2", IFA_F_DADFAILED);
    make_address(BASE, "fd00::3", IFA_F_TENTATIVE | IFA_F_OPTIMISTIC);
    make_address(BASE, "fd00::4", IFA_F_PERMANENT);
    make_address(BASE, "fd00::4", IFA_F_PERMANENT);
    struct fastpath_addresses found = list_all(BASE);
    assert_int_equal(count_answered(&found), 2);
    assert_true(has(&found, "fd00::3", 0));
    assert_true(has(&found, "fd00::4", 0));
    fastpath_addresses_fini(&found);
}

static void only_what_is_listened_on_is_known(void **state)
{
    static const char *const addresses[] = {"10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"};
    static const struct {
        const char *listen[2];
        bool known[4];
    } cases[] = {
        {{"::"}, {true, true, true, true}},
        {{"0.0.0.0"}, {true, true, false, false}},
        {{"10.0.0.2"}, {false, true, false, false}},
        {{"fd00::1"}, {false, false, true, false}},
        {{"::", "10.0.0.1"}, {true, false, true, true}},
        {{"::", "0.0.0.0"}, {true, true, true, true}},
        {{"10.0.0.1", "fd00::2"}, {true, false, false, true}},
    };
    (void)state;
    make_link(BASE, 0, 0, 0);
    for (size_t i = 0; i < 4; i++)
        make_address(BASE, addresses[i], 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct in6_addr listen[2];
        size_t count = 0;
        for (; count < 2 && cases[i].listen[count] != NULL; count++)
            listen[count] = parse(cases[i].listen[count]);
        struct fastpath_addresses found = list(BASE, listen, count);
        for (size_t j = 0; j < 4; j++)
            assert_int_equal(has(&found, addresses[j], 0), cases[i].known[j]);
        fastpath_addresses_fini(&found);
    }
}

static void own_addresses_are_no_sources_wherever_they_are(void **state)
{
    struct in6_addr listen = parse("10.0.0.1");
    (void)state;
    make_link(BASE, 0, 0, 0);
    make_link(20, 0, 0, 0);
    make_link(21, 20, 5, 0x8100);
    make_address(BASE, "10.0.0.1", 0);
    make_address(BASE, "10.0.0.2", 0);
    make_address(20, "192.0.2.1", 0);
    make_address(20, "192.0.2.1", 0);
    make_address(20, "fe80::2", 0);
    make_address(21, "10.0.5.1", 0);
    make_address(30, "192.0.2.3", 0); /* a device that is down has it */
    make_address(BASE, "fd00::1", IFA_F_TENTATIVE);
    make_address(BASE, "fd00::2", IFA_F_DADFAILED);
    make_address(20, "127.0.0.9", 0);
    make_address(20, "::1", 0);
    make_address(20, "224.0.0.1", 0);
    struct fastpath_addresses found = list(BASE, &listen, 1);
    assert_int_equal(count_answered(&found), 1);
    assert_true(has(&found, "10.0.0.1", 0));
    static const char *const sources[] = {"10.0.0.1", "10.0.0.2",  "192.0.2.1", "fe80::2",
                                          "10.0.5.1", "192.0.2.3", "fd00::1",   "fd00::2"};
    size_t count = sizeof sources / sizeof sources[0];
    assert_int_equal(count_sources(&found), count);
    for (size_t i = 0; i < count; i++)
        assert_true(is_source(&found, sources[i]));
    fastpath_addresses_fini(&found);
}

static void broadcast_addresses_are_no_sources(void **state)
{
    static const struct {
        struct made made;
        const char *sources[3]; /* in order */
    } cases[] = {
        {{"10.0.0.1", "10.0.0.1", "10.0.0.255", 24, 0}, {"10.0.0.1", "10.0.0.255"}},
        {{"10.0.0.1", "10.0.0.1", NULL, 24, 0}, {"10.0.0.1", "10.0.0.255"}},
        {{"10.0.0.1", "10.0.0.1", "10.0.0.0", 24, 0}, {"10.0.0.0", "10.0.0.1", "10.0.0.255"}},
        {{"10.0.0.1", "10.0.0.1", "255.255.255.255", 24, 0}, {"10.0.0.1", "10.0.0.255"}},
        {{"10.0.0.1", "172.16.9.9", "10.9.9.9", 12, 0}, {"10.0.0.1", "10.9.9.9", "172.31.255.255"}},
        {{"10.0.0.5", "10.0.0.5", NULL, 30, 0}, {"10.0.0.5", "10.0.0.7"}},
        {{"10.0.0.4", "10.0.0.4", NULL, 31, 0}, {"10.0.0.4"}},
        {{"10.0.0.4", "10.0.0.4", NULL, 32, 0}, {"10.0.0.4"}},
        {{"10.0.0.4", "10.0.0.4", NULL, 0, 0}, {"10.0.0.4"}},
        {{"127.0.0.1", "127.0.0.1", "127.255.255.255", 8, 0}, {NULL}},
        {{NULL, "fd00::4", NULL, 16, 0}, {"fd00::4"}},
        {{"fd00::4", "fd00::9", NULL, 128, 0}, {"fd00::4"}},
        {{NULL, NULL, NULL, 24, 0}, {NULL}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t count = 0;
        make_nothing(state);
        make_link(BASE, 0, 0, 0);
        make_assigned(BASE, &cases[i].made);
        struct fastpath_addresses found = list_all(BASE);
        for (; count < 3 && cases[i].sources[count] != NULL; count++)
            assert_true(is_source(&found, cases[i].sources[count]));
        assert_int_equal(count_sources(&found), count);
        fastpath_addresses_fini(&found);
    }
}

static void what_has_no_room_is_where_pings_go_to_and_not_a_source(void **state)
{
    (void)state;
    make_link(BASE, 0, 0, 0);
    for (unsigned i = 0; i < TOO_MANY; i++) {
        char text[16];
        snprintf(text, sizeof text, "10.9.%u.%u", i / 256, i % 256);
        make_address(BASE, text, 0);
    }
    struct fastpath_addresses found = list_all(BASE);
    assert_int_equal(found.count, FASTPATH_MAX_ADDRESSES);
    assert_int_equal(count_sources(&found), TOO_MANY);
    fastpath_addresses_fini(&found);
}

static void a_map_holds_what_was_stored_last(void **state)
{
    LargestIntegralType keys = 0;
    (void)state;
    int map =
        bpf_map_create(BPF_MAP_TYPE_HASH, "test", sizeof(struct fastpath_address), 1, 64, NULL);
    if (map == -EPERM)
        exit(NETNS_SKIP);
    assert_true(map >= 0);
    struct fastpath_settings settings = {.sources = 0};
    struct fastpath_addresses_place place = {.map_fd = map, .settings = &settings};
    struct fastpath_addresses before = {.items = NULL};
    for (unsigned round = 0; round < 64; round++) {
        struct fastpath_address items[6];
        struct fastpath_addresses next = {.items = items};
        for (uint32_t bit = 0; bit < 6; bit++) {
            if (round * 37 >> bit & 1)
                items[next.count++] = (struct fastpath_address){.address = {bit}};
        }
        uint32_t version = settings.addresses_version;
        assert_int_equal(fastpath_addresses_store(&place, &before, &next), 0);
        assert_true(settings.addresses_version != version);
        for (uint32_t bit = 0; bit < 6; bit++) {
            struct fastpath_address key = {.address = {bit}};
            uint8_t value;
            bool present = bpf_map_lookup_elem(map, &key, &value) == 0;
            assert_int_equal(present, round * 37 >> bit & 1);
            keys += present;
        }
        before.items = realloc(before.items, sizeof items);
        assert_non_null(before.items);
        memcpy(before.items, items, next.count * sizeof items[0]);
        before.count = next.count;
    }
    assert_true(keys > 0);
    fastpath_addresses_fini(&before);
    close(map);
}

/* As far as it gets: there is not room for all. */
static void a_source_is_stored_before_what_is_answered(void **state)
{
    (void)state;
    make_link(BASE, 0, 0, 0);
    make_address(BASE, "10.0.0.1", 0);
    make_address(BASE, "fd00::1", 0);
    struct fastpath_addresses found = list_all(BASE), nothing = {.items = NULL};
    assert_int_equal(found.count, 4);
    for (uint32_t room = 1; room < found.count; room++) {
        int map = bpf_map_create(BPF_MAP_TYPE_HASH, "test", sizeof(struct fastpath_address), 1,
                                 room, NULL);
        if (map == -EPERM)
            exit(NETNS_SKIP);
        assert_true(map >= 0);
        struct fastpath_settings settings = {.sources = 0};
        struct fastpath_addresses_place place = {.map_fd = map, .settings = &settings};
        assert_int_equal(fastpath_addresses_store(&place, &nothing, &found), -E2BIG);
        assert_true(settings.sources == UINT64_MAX && settings.addresses_version != 0);
        uint32_t sources = 0;
        for (size_t i = 0; i < found.count; i++) {
            uint8_t value;
            sources += (found.items[i].tags & FASTPATH_TAGS_NO_SOURCE) != 0 &&
                       bpf_map_lookup_elem(map, &found.items[i], &value) == 0;
        }
        assert_int_equal(sources, room < 2 ? room : 2);
        close(map);
    }
    fastpath_addresses_fini(&found);
}

/* A full map takes one source more in the place of a destination. */
static void what_goes_makes_room_for_what_comes(void **state)
{
    enum {
        ROOM = 8
    };
    struct fastpath_address items[ROOM], other_items[ROOM];
    struct fastpath_settings settings = {.sources = 0};
    struct fastpath_addresses nothing = {.items = NULL};
    struct fastpath_addresses full = {.items = items, .count = ROOM};
    struct fastpath_addresses other = {.items = other_items, .count = ROOM};
    (void)state;
    int map =
        bpf_map_create(BPF_MAP_TYPE_HASH, "test", sizeof(struct fastpath_address), 1, ROOM, NULL);
    if (map == -EPERM)
        exit(NETNS_SKIP);
    assert_true(map >= 0);
    struct fastpath_addresses_place place = {.map_fd = map, .settings = &settings};
    for (uint32_t i = 0; i < ROOM; i++) {
        uint32_t tags = i < ROOM / 2 ? FASTPATH_TAGS_NO_SOURCE : 0;
        items[i] = (struct fastpath_address){.address = {2 * i}, .tags = tags};
        other_items[i] = (struct fastpath_address){.address = {2 * i + 1}, .tags = tags};
    }
    assert_int_equal(fastpath_addresses_store(&place, &nothing, &full), 0);
    assert_int_equal(fastpath_addresses_store(&place, &full, &other), 0);
    for (uint32_t i = 0; i < ROOM; i++) {
        uint8_t value;
        assert_int_equal(bpf_map_lookup_elem(map, &other_items[i], &value), 0);
        assert_int_not_equal(bpf_map_lookup_elem(map, &items[i], &value), 0);
    }
    close(map);
}

static void the_map_is_asked_about_sources_alone(void **state)
{
    struct fastpath_settings settings = {.sources = 1};
    const uint64_t *bits = &settings.sources;
    uint64_t seen = 0;
    struct fastpath_addresses before = {.items = NULL}, nothing = {.items = NULL};
    struct fastpath_address items[] = {{.address = {0}, .tags = FASTPATH_TAGS_NO_SOURCE},
                                       {.address = {7}}};
    (void)state;
    int map =
        bpf_map_create(BPF_MAP_TYPE_HASH, "test", sizeof(struct fastpath_address), 1, 64, NULL);
    if (map == -EPERM)
        exit(NETNS_SKIP);
    assert_true(map >= 0);
    struct fastpath_addresses_place place = {.map_fd = map, .settings = &settings};
    for (uint32_t last = 0; last < 256; last++) {
        struct in6_addr address = {.s6_addr = {[10] = 0xff, 0xff, 10, 1, 2, (uint8_t)last}};
        memcpy(items[0].address, &address, sizeof items[0].address);
        struct fastpath_addresses next = {.items = items, .count = 2};
        assert_int_equal(fastpath_addresses_store(&place, &before, &next), 0);
        assert_true(*bits == fastpath_source_bit(items[0].address));
        assert_true(*bits != 0 && (*bits & (*bits - 1)) == 0);
        seen |= *bits;
        assert_int_equal(fastpath_addresses_store(&place, &next, &nothing), 0);
        assert_true(*bits == 0);
    }
    assert_true(seen == UINT64_MAX); /* one source costs few of its neighbours a question */
    close(map);
}

static void a_change_is_told(void **state)
{
    (void)state;
    netns_ip("link add here type veth peer name there");
    netns_ip("link set here up");
    int fd = fastpath_addresses_watch();
    assert_true(fd >= 0);
    assert_false(fastpath_addresses_changed(fd));
    netns_ip("addr add 10.9.0.1/24 broadcast 10.9.0.99 dev here");
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, 10000), 1);
    assert_true(fastpath_addresses_changed(fd));
    assert_false(fastpath_addresses_changed(fd));
    struct fastpath_addresses found = list_all(if_nametoindex("here"));
    assert_true(has(&found, "10.9.0.1", 0));
    assert_false(has(&found, "127.0.0.1", 0));
    assert_true(is_source(&found, "10.9.0.1"));
    assert_true(is_source(&found, "10.9.0.99"));
    assert_true(is_source(&found, "10.9.0.255"));
    assert_false(is_source(&found, "127.0.0.1"));
    fastpath_addresses_fini(&found);
    found = list_all(if_nametoindex("lo"));
    assert_true(has(&found, "127.0.0.1", 0));
    fastpath_addresses_fini(&found);
    netns_ip("link del here");
    close(fd);
}

#define MADE_TEST(name) cmocka_unit_test_setup_teardown(name, make_nothing, ask_the_kernel)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MADE_TEST(an_address_of_a_vlan_is_known_under_its_tags_alone),
        MADE_TEST(addresses_of_vlans_elsewhere_or_too_deep_are_unknown),
        MADE_TEST(of_another_interface_only_what_is_routed_is_known),
        MADE_TEST(sources_are_checked_as_the_greater_setting_says),
        MADE_TEST(an_address_that_is_not_ready_is_unknown),
        MADE_TEST(only_what_is_listened_on_is_known),
        MADE_TEST(own_addresses_are_no_sources_wherever_they_are),
        MADE_TEST(broadcast_addresses_are_no_sources),
        MADE_TEST(what_has_no_room_is_where_pings_go_to_and_not_a_source),
        MADE_TEST(a_source_is_stored_before_what_is_answered),
        cmocka_unit_test(what_goes_makes_room_for_what_comes),
        cmocka_unit_test(the_map_is_asked_about_sources_alone),
        cmocka_unit_test(a_map_holds_what_was_stored_last),
        cmocka_unit_test(a_change_is_told),
        cmocka_unit_test(a_change_of_what_is_checked_is_told),
    };
    netns_enter();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
