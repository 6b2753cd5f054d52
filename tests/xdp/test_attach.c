/* SPDX-License-Identifier: Apache-2.0 */
/* Attaching in a network namespace of its own, and why it may not work. */
#include "fastpath/attach.h"

#include <errno.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pass.skel.h"
#include "support/cmocka.h"
#include "xdp/netns.h"

static int program_fd(void **state)
{
    const struct pass_bpf *programs = *state;
    return bpf_program__fd(programs->progs.pass);
}

static int load(void **state)
{
    libbpf_set_print(NULL);
    struct pass_bpf *programs = pass_bpf__open_and_load();
    if (programs == NULL) {
        fprintf(stderr, "cannot load the program: %s\n", strerror(errno));
        exit(errno == EPERM ? NETNS_SKIP : EXIT_FAILURE);
    }
    *state = programs;
    return 0;
}

static int unload(void **state)
{
    pass_bpf__destroy(*state);
    return 0;
}

static int make_pair(void **state)
{
    (void)state;
    netns_ip("link add here type veth peer name there");
    netns_ip("link set here up");
    netns_ip("link set there up");
    return 0;
}

static int remove_pair(void **state)
{
    (void)state;
    netns_ip("link del here");
    return 0;
}

static int attach(void **state, unsigned interface, enum xdp_mode mode, struct error *error)
{
    const struct xdp_attachment wanted = {.program_fd = program_fd(state),
                                          .interface = interface,
                                          .mode = mode,
                                          .instead = "something else"};
    return xdp_attach(&wanted, error);
}

/* The id of the program on an interface. */
static uint32_t holder(const char *name)
{
    uint32_t id = 0;
    assert_int_equal(bpf_xdp_query_id((int)if_nametoindex(name), 0, &id), 0);
    return id;
}

static void check_mode(void **state, enum xdp_mode mode)
{
    struct error error;
    int link = attach(state, if_nametoindex("here"), mode, &error);
    assert_true(link >= 0);
    assert_int_not_equal(holder("here"), 0);
    close(link);
    assert_int_equal(holder("here"), 0);
}

static void an_attachment_lives_as_long_as_its_descriptor(void **state)
{
    check_mode(state, XDP_MODE_NATIVE);
    check_mode(state, XDP_MODE_GENERIC);
}

/* Attaches beside a program that is there, and checks that it stays and is named. */
static void check_refused(void **state, const char *fragment)
{
    struct error error;
    char id[32];
    uint32_t before = holder("here");
    snprintf(id, sizeof id, " %u 'pass'", before);
    for (int mode = XDP_MODE_NATIVE; mode <= XDP_MODE_GENERIC; mode++) {
        int link = attach(state, if_nametoindex("here"), (enum xdp_mode)mode, &error);
        assert_true(link == -EBUSY || link == -EEXIST);
        assert_non_null(strstr(error.text, id));
        assert_non_null(strstr(error.text, fragment));
        assert_int_equal(holder("here"), before);
    }
}

static void a_program_that_is_there_stays_and_is_named(void **state)
{
    struct error error;
    for (int mode = XDP_MODE_NATIVE; mode <= XDP_MODE_GENERIC; mode++) {
        int link = attach(state, if_nametoindex("here"), (enum xdp_mode)mode, &error);
        assert_true(link >= 0);
        check_refused(state, mode == XDP_MODE_NATIVE ? "(native mode)" : "(generic mode)");
        close(link);
    }
}

static void a_program_that_was_attached_without_a_link_stays_and_is_named(void **state)
{
    int interface = (int)if_nametoindex("here");
    assert_int_equal(bpf_xdp_attach(interface, program_fd(state), 0, NULL), 0);
    check_refused(state, "ip link set dev here xdp off");
    assert_int_equal(bpf_xdp_detach(interface, 0, NULL), 0);
}

static void an_interface_without_native_xdp_names_what_there_is_instead(void **state)
{
    struct error error;
    int link = attach(state, if_nametoindex("lo"), XDP_MODE_NATIVE, &error);
    assert_int_equal(link, -EOPNOTSUPP);
    assert_string_equal(error.text,
                        "cannot attach to lo in native mode: its driver has no XDP: use "
                        "something else");
}

static void an_interface_that_is_not_there_is_an_error(void **state)
{
    struct error error;
    int link = attach(state, 4711, XDP_MODE_NATIVE, &error);
    assert_int_equal(link, -ENODEV);
    assert_string_equal(error.text, "there is no network interface 4711");
}

static void the_default_interface_is_that_of_the_best_route(void **state)
{
    (void)state;
    assert_int_equal(xdp_default_interface(), 0);
    netns_ip("-6 route add default dev there metric 7");
    assert_int_equal(xdp_default_interface(), if_nametoindex("there"));
    netns_ip("addr add 10.9.0.1/24 dev here");
    netns_ip("route add default dev here metric 9");
    assert_int_equal(xdp_default_interface(), if_nametoindex("here"));
    netns_ip("route add default dev there metric 8");
    assert_int_equal(xdp_default_interface(), if_nametoindex("there"));
    netns_ip("route add blackhole default metric 1");
    netns_ip("route add 10.8.0.0/16 dev here metric 2");
    netns_ip("route add default dev here metric 3 table 99");
    assert_int_equal(xdp_default_interface(), if_nametoindex("there"));
}

static void the_default_interface_of_a_route_over_several_is_the_first(void **state)
{
    (void)state;
    netns_ip("addr add 10.9.0.1/24 dev here");
    netns_ip("addr add 10.9.1.1/24 dev there");
    netns_ip("route add default nexthop via 10.9.1.2 dev there nexthop via 10.9.0.2 dev here");
    assert_int_equal(xdp_default_interface(), if_nametoindex("there"));
}

#define PAIR_TEST(name) cmocka_unit_test_setup_teardown(name, make_pair, remove_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(an_attachment_lives_as_long_as_its_descriptor),
        PAIR_TEST(a_program_that_is_there_stays_and_is_named),
        PAIR_TEST(a_program_that_was_attached_without_a_link_stays_and_is_named),
        PAIR_TEST(an_interface_without_native_xdp_names_what_there_is_instead),
        PAIR_TEST(an_interface_that_is_not_there_is_an_error),
        PAIR_TEST(the_default_interface_is_that_of_the_best_route),
        PAIR_TEST(the_default_interface_of_a_route_over_several_is_the_first),
    };
    netns_enter();
    return cmocka_run_group_tests(tests, load, unload);
}
