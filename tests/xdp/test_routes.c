/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of routes and neighbours, in a network namespace of its own. Bridges are
 * spoken for here, since not every kernel has them. */
#include "fastpath/routes.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"
#include "xdp/netns.h"

/* More than are remembered, and more than a socket holds news of. */
#define TOO_MANY 12000U

static struct fastpath_routes *routes;

/* A neighbour has a number, and another MAC address in each turn. */
static uint64_t mac_of(unsigned number, unsigned turn)
{
    return 0x02 | (uint64_t)turn << 24 | (uint64_t)(number >> 8) << 32 |
           (uint64_t)(number & 0xff) << 40;
}

static void write_change(FILE *file, unsigned number, unsigned turn, const char *state)
{
    fprintf(file, "neigh replace 10.1.%u.%u lladdr 02:00:00:%02x:%02x:%02x dev near nud %s\n",
            number >> 8, number & 0xff, turn, number >> 8, number & 0xff, state);
}

/* Has ip(8) do what is written. */
static void do_batch(FILE *file, const char *path)
{
    char command[64];
    assert_int_equal(fclose(file), 0);
    snprintf(command, sizeof command, "-batch %s", path);
    netns_ip(command);
    unlink(path);
}

static FILE *open_batch(char path[])
{
    int fd = mkstemp(path);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    assert_non_null(file);
    return file;
}

static void change(unsigned first, unsigned count, unsigned turn, const char *state)
{
    char path[] = "/tmp/paddock-test-XXXXXX";
    FILE *file = open_batch(path);
    for (unsigned i = first; i < first + count; i++)
        write_change(file, i, turn, state);
    do_batch(file, path);
}

static struct fastpath_reroute news(void)
{
    struct fastpath_reroute reroute = {.is_all = false};
    fastpath_routes_read(routes, &reroute);
    return reroute;
}

static void assert_nothing(void)
{
    struct fastpath_reroute reroute = news();
    assert_false(reroute.is_all);
    assert_int_equal(reroute.count, 0);
}

static void assert_one(uint64_t mac)
{
    struct fastpath_reroute reroute = news();
    assert_false(reroute.is_all);
    assert_int_equal(reroute.count, 1);
    assert_int_equal(reroute.macs[0], mac);
}

static bool is_running(int fd, const char *name)
{
    struct ifreq question = {.ifr_flags = 0};
    snprintf(question.ifr_name, sizeof question.ifr_name, "%s", name);
    assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &question), 0);
    return (question.ifr_flags & IFF_RUNNING) != 0;
}

/* All that the kernel does later by itself is over before the routes are followed: it makes no
 * addresses, and both ends run. */
static int set_up(void **state)
{
    (void)state;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    netns_ip("link add near type veth peer name far");
    netns_ip("link set near addrgenmode none up");
    netns_ip("link set far addrgenmode none up");
    while (!is_running(fd, "near") || !is_running(fd, "far"))
        usleep(10000);
    close(fd);
    netns_ip("addr add 10.1.0.1/16 dev near");
    change(10, 1, 0, "permanent");
    assert_int_equal(fastpath_routes_open(&routes), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fastpath_routes_close(routes);
    netns_ip("link del near");
    return 0;
}

static void routes_rules_addresses_and_links_are_everything(void **state)
{
    (void)state;
    static const char *const changes[] = {
        "route add 10.9.0.0/16 via 10.1.0.10",
        "-6 route add fd00:9::/64 dev near",
        "rule add from 10.9.0.1 table 7",
        "addr add 10.2.0.1/16 dev near",
        "link set near mtu 1400",
    };
    assert_nothing();
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        netns_ip(changes[i]);
        assert_true(news().is_all);
    }
    netns_ip("rule del from 10.9.0.1 table 7");
}

static void a_neighbour_is_news_where_it_has_another_mac_address_or_goes(void **state)
{
    (void)state;
    change(10, 1, 1, "reachable");
    assert_one(mac_of(10, 0));
    change(10, 1, 1, "stale"); /* nothing but its freshness */
    change(10, 1, 1, "permanent");
    assert_nothing();
    change(11, 1, 0, "permanent"); /* nothing went there */
    assert_nothing();
    netns_ip("neigh del 10.1.0.11 dev near");
    assert_one(mac_of(11, 0));
    change(11, 1, 1, "permanent");
    assert_nothing();
    change(11, 1, 2, "permanent");
    assert_one(mac_of(11, 1));
}

static void more_neighbours_than_can_be_named_are_everything(void **state)
{
    (void)state;
    change(20, FASTPATH_REROUTED_NEIGHBOURS + 1, 0, "permanent");
    assert_nothing();
    change(20, FASTPATH_REROUTED_NEIGHBOURS, 1, "permanent");
    struct fastpath_reroute reroute = news();
    assert_false(reroute.is_all);
    assert_int_equal(reroute.count, FASTPATH_REROUTED_NEIGHBOURS);
    change(20, FASTPATH_REROUTED_NEIGHBOURS + 1, 2, "permanent");
    assert_true(news().is_all);
}

static void lost_news_are_everything_and_no_later_ones_are_missed(void **state)
{
    (void)state;
    change(300, TOO_MANY / 4, 0, "permanent");
    assert_true(news().is_all);
    change(300, TOO_MANY / 4, 1, "permanent");
    assert_true(news().is_all);
    for (unsigned number = 300 + TOO_MANY / 4; number > 300; number -= TOO_MANY / 20) {
        change(number - 1, 1, 2, "permanent");
        assert_one(mac_of(number - 1, 1));
    }
}

/* Sends what a kernel could say. */
static void say(const void *message, size_t bytes)
{
    struct sockaddr_nl to;
    socklen_t to_bytes = sizeof to;
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    assert_int_equal(getsockname(fastpath_routes_fd(routes), (struct sockaddr *)&to, &to_bytes), 0);
    assert_int_equal(sendto(fd, message, bytes, 0, (struct sockaddr *)&to, to_bytes), bytes);
    close(fd);
}

static void a_mac_address_that_moves_to_another_port_of_a_bridge_is_news(void **state)
{
    (void)state;
    struct {
        struct nlmsghdr head;
        struct ndmsg neighbour;
        struct nlattr attribute;
        uint8_t mac[8];
    } message = {.head = {.nlmsg_len = sizeof message, .nlmsg_type = RTM_NEWNEIGH},
                 .neighbour = {.ndm_family = AF_BRIDGE, .ndm_state = NUD_REACHABLE},
                 .attribute = {.nla_len = sizeof message.attribute + 6, .nla_type = NDA_LLADDR},
                 .mac = {2, 0, 0, 7, 0, 9}};
    say(&message, sizeof message);
    assert_one(mac_of(9, 7));
    message.head.nlmsg_len++; /* what cannot be read is lost */
    say(&message, sizeof message);
    assert_true(news().is_all);
    assert_nothing();
}

static void of_more_neighbours_than_are_remembered_none_is_missed(void **state)
{
    (void)state;
    change(300, TOO_MANY, 0, "permanent");
    assert_true(news().is_all);
    for (unsigned number = 300; number < 300 + TOO_MANY; number += TOO_MANY / 50) {
        change(number, 1, 1, "permanent");
        struct fastpath_reroute reroute = news();
        assert_true(reroute.is_all || reroute.macs[0] == mac_of(number, 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(routes_rules_addresses_and_links_are_everything, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            a_neighbour_is_news_where_it_has_another_mac_address_or_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_neighbours_than_can_be_named_are_everything, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(lost_news_are_everything_and_no_later_ones_are_missed,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_mac_address_that_moves_to_another_port_of_a_bridge_is_news, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_more_neighbours_than_are_remembered_none_is_missed,
                                        set_up, tear_down),
    };
    netns_enter();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
